import Glibc
import RiffleTensor

extension Tensor {
    /// Samples as rows of numbers, detached from how they were computed.
    /// - Throws: `RiffleError` when there are none, or a number is not finite, so that no distance can be computed.
    func samples(_ name: String, as dtype: DType) throws -> Tensor {
        guard rank >= 2, count > 0 else {
            throw RiffleError(
                "",
                "\(name) should hold samples along its first dimension and at least one number in each, got \(shape)")
        }
        let rows = try detach().converted(to: dtype).viewed(as: [shape[0], count / shape[0]])
        guard rows.nonfiniteCount == 0 else {
            throw RiffleError("", "\(name) \(shape) holds numbers that are NaN or infinite")
        }
        return rows
    }

    /// Whether shape, type and all bits are the same.
    func isSame(as other: Tensor) -> Bool {
        shape == other.shape && dtype == other.dtype && memcmp(pointer, other.pointer, count * dtype.size) == 0
    }
}

/// Two sets of samples as rows of one length and type: float64 where one of them is, else float32.
func pair(_ a: Tensor, _ b: Tensor) throws -> (Tensor, Tensor) {
    let dtype: DType = a.dtype == .float64 || b.dtype == .float64 ? .float64 : .float32
    let x = try a.samples("a", as: dtype)
    let y = try b.samples("b", as: dtype)
    guard x.shape[1] == y.shape[1], a.rank == b.rank else {
        throw RiffleError("", "samples differ in size (a \(a.shape), b \(b.shape))")
    }
    return (x, y)
}

/// A distance, checked; a number below 0 by no more than rounding becomes 0.
/// - Parameters:
///   - size: the size of the parts whose difference the distance is.
///   - rounding: how much of that size rounding may take.
/// - Throws: `RiffleError` where the number is not finite or further below 0, and therefore no distance.
func distance(_ value: Double, of size: Double, within rounding: Double) throws -> Double {
    guard value.isFinite, value >= -rounding * size else {
        throw RiffleError(
            "",
            "the distance came out as \(riffleFormat(value)), from parts of the size \(riffleFormat(size)): "
                + "samples are too large or too far apart for these numbers")
    }
    return value < 0 ? 0 : value
}
