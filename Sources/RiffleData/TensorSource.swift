import RiffleTensor

/// Samples that are rows of a tensor.
package final class TensorSource: SampleSource {
    package let labels: Labels?
    private let x: Tensor
    package let origin: String?

    /// - Parameters:
    ///   - x: floats `[n, ...]`.
    ///   - labels: int32 `[n]`, from 1.
    /// - Throws: `RiffleError` where they do not fit each other.
    package convenience init(_ x: Tensor, labels: Tensor?) throws {
        guard x.rank >= 1, x.shape[0] >= 1, x.dtype.isFloating else {
            throw RiffleError("", "x must be floats [n, ...] of one sample or more (x \(x.dtype) \(x.shape))")
        }
        let own = try labels.map { try Labels(fromOne: $0, count: x.shape[0]) { RiffleError("", $0) } }
        try self.init(x, own, origin: nil)
    }

    init(_ x: Tensor, _ labels: Labels?, origin: String?) throws {
        self.x = try x.converted(to: .float32).viewed(as: x.shape)
        self.labels = labels
        self.origin = origin
    }

    package var count: Int { x.shape[0] }
    package var sampleShape: Shape { x.shape.removing(0) }

    package func copy(_ draw: Draw, to numbers: UnsafeMutableBufferPointer<Float>) throws -> Bool {
        let rows = x.elements(Float.self)
        for index in numbers.indices { numbers[index] = rows[draw.number * numbers.count + index] }
        return true
    }

    package func description(_ count: String) -> String {
        "\(count) samples \(sampleShape)\(labels?.summary ?? "")" + (origin.map { ", from \($0)" } ?? "")
    }
}

extension Labels {
    /// Labels that count from 1, in a tensor.
    /// - Throws: what `error` makes of a message, where they are not int32 `[count]` from 1.
    package init(fromOne labels: Tensor, count: Int, _ error: (String) -> RiffleError) throws {
        guard labels.dtype == .int32, labels.shape == [count] else {
            throw error("labels must be int32 [\(count)], one a sample (labels \(labels.dtype) \(labels.shape))")
        }
        let numbers = Array(labels.elements(Int32.self))
        if let index = numbers.firstIndex(where: { !(1...Int32(Labels.mostClasses)).contains($0) }) {
            throw error("label \(index + 1) is \(numbers[index]), expected 1 to \(Labels.mostClasses)")
        }
        self.init(numbers, classes: (1...(numbers.max().map(Int.init) ?? 1)).map(String.init))
    }

    /// ` in 10 classes`, for descriptions.
    var summary: String { " in \(classes.count) class\(classes.count == 1 ? "" : "es")" }
}
