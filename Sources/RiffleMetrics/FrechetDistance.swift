import RiffleTensor

extension Metrics {
    /// The Frechet distance between the normal distributions with the samples' means and covariances, not rooted; on
    /// features of an image network it is known as FID.
    ///
    ///     |m - n|^2 + tr S + tr T - 2 tr (S^1/2 T S^1/2)^1/2
    ///
    /// In float64. With S = F^T F and T = G^T G the last trace is the sum of the singular values of F G^T. F is the R
    /// of the samples' QR factorisation, or the samples themselves where they are fewer than the features: covariances
    /// are never formed, so that singular and steep ones keep their digits, and few samples cost little. 4096 samples
    /// of 2048 features take some seconds, and some twelve matrices of features x features besides the samples.
    ///
    /// It is biased upwards by about (features)^2 / samples: compare at equal numbers of samples, many more than
    /// features.
    /// - Parameters:
    ///   - a: features `[n, ...]`; all but the first dimension are coordinates.
    ///   - b: features `[m, ...]`.
    /// - Throws: `RiffleError` when shapes do not fit, there are fewer than two samples, numbers are not finite, LAPACK
    ///   is missing, or a check of its results fails.
    /// - Source: Heusel et al. 2017, equation 6; Dowson and Landau 1982.
    package static func frechetDistance(_ a: Tensor, _ b: Tensor) throws -> Double {
        let (x, y) = try pair(a, b)
        guard x.shape[0] > 1, y.shape[0] > 1 else {
            throw RiffleError("", "two samples or more have a covariance (a \(a.shape), b \(b.shape))")
        }
        return try withoutGradient {
            let unit = try unit(x, y)
            let s = try Spread(x, unit)
            let t = try Spread(y, unit)
            let values = try LinearAlgebra.singularValues(LinearAlgebra.product(s.factor, t.factor))
            let shared = values.reduce(0, +) / (s.freedom * t.freedom).squareRoot()
            let apart = try (s.mean - t.mean).square().sum().item()
            let spread = s.trace + t.trace
            return try distance(
                (apart + spread - 2 * shared) * unit * unit, of: (apart + spread) * unit * unit,
                within: LinearAlgebra.tolerance)
        }
    }

    /// The power of two in whose units the numbers of two sets are at most 2, where fourth powers of the numbers would
    /// overflow or vanish; else 1.
    private static func unit(_ x: Tensor, _ y: Tensor) throws -> Double {
        let largest = try max(x.abs().max().item(), y.abs().max().item())
        guard largest > 0, !(0x1p-200...0x1p200).contains(largest) else { return 1 }
        return Double(sign: .plus, exponent: largest.exponent, significand: 1)
    }

    /// The mean of samples and a factor of their covariance.
    private struct Spread {
        /// [features, 1].
        let mean: Tensor
        /// k x features, in LAPACK's order: F^T F is the covariance times `freedom`.
        let factor: Tensor
        /// n - 1, as NumPy divides by.
        let freedom: Double
        /// The covariance's trace.
        let trace: Double

        /// - Parameter unit: the unit of all results; the rows are divided by it.
        init(_ rows: Tensor, _ unit: Double) throws {
            let n = rows.shape[0]
            let features = rows.shape[1]
            // Some rows at a time, so that copies in float64 stay small beside the samples.
            let some = max(4 * features, 4096)
            let parts = stride(from: 0, to: n, by: some).map { $0..<min($0 + some, n) }
            func columns(_ part: Range<Int>) throws -> Tensor {
                let columns = try rows.sliced(0, part).converted(to: .float64).transposed()
                return unit == 1 ? columns : try columns / unit
            }
            var sum = try Tensor.zeros([features, 1], .float64)
            for part in parts { sum = try sum + columns(part).sum([1], keep: true) }
            let mean = try sum / Double(n)

            var factor: Tensor?
            var squares = 0.0
            for part in parts {
                try Interrupt.check()
                let centred = try columns(part) - mean
                squares += try centred.square().sum().item()
                let stacked = try factor.map { try .cat([$0, centred], 1) } ?? centred
                factor = stacked.shape[1] > features ? try LinearAlgebra.triangle(stacked) : stacked
            }
            guard let factor else { throw RiffleError("", "there are no samples") }
            self.mean = mean
            self.factor = factor
            freedom = Double(n - 1)
            trace = squares / freedom
        }
    }
}
