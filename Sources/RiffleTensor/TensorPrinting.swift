import Glibc

extension Tensor: CustomStringConvertible {
    /// Type, shape and numbers: all of a small tensor, corners and statistics of a large one.
    public var description: String {
        let head = "tensor \(dtype) \(shape)"
        if count == 0 { return head }
        let body = rank == 0 || rank == 1 && count <= 8 ? " " + row(0, count) : "\n" + block(0, 0, ends, indent: 1)
        return head + (count > 64 ? statistics : "") + ":" + body
    }

    private var statistics: String {
        guard let numbers = try? doubles(), dtype.isFloating else { return "" }
        let mean = numbers.reduce(0, +) / Double(count)
        let deviation = (numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)).squareRoot()
        let low = numbers.min() ?? 0
        let high = numbers.max() ?? 0
        let bad = nonfiniteCount
        return " mean \(short(mean)) std \(short(deviation)) min \(short(low)) max \(short(high))"
            + (bad > 0 ? ", \(bad) not finite" : "")
    }

    /// How many rows a tensor is printed in before fewer elements of each dimension are printed.
    private static let fewLines = 32

    /// How many elements are printed at each end of a dimension whose middle is left out: 3, or fewer where rows of
    /// many dimensions would fill a screen.
    private var ends: Int {
        for ends in [3, 2] where shape.sizes.dropLast().reduce(1, { $0 * printed($1, ends).count }) <= Tensor.fewLines {
            return ends
        }
        return 1
    }

    /// The indices of a dimension that are printed; -1 stands for the indices left out.
    private func printed(_ count: Int, _ ends: Int) -> [Int] {
        count <= 2 * ends + 2 ? Array(0..<count) : Array(0..<ends) + [-1] + Array(count - ends..<count)
    }

    /// `count` numbers from the element `start` on, the middle of long rows left out.
    private func row(_ start: Int, _ count: Int, width: Int = 0) -> String {
        printed(count, 3).map { index in
            let text = index < 0 ? "..." : short(element(start + index))
            return String(repeating: " ", count: Swift.max(0, width - text.count)) + text
        }.joined(separator: " ")
    }

    private func block(_ dim: Int, _ start: Int, _ ends: Int, indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        if dim == rank - 1 { return margin + row(start, shape[dim], width: 9) }
        let step = shape.strides[dim]
        return printed(shape[dim], ends).map {
            $0 < 0 ? margin + "..." : block(dim + 1, start + $0 * step, ends, indent: indent)
        }
        .joined(separator: dim == rank - 2 ? "\n" : "\n\n")
    }

    private func short(_ number: Double) -> String {
        if dtype == .int32, number == number.rounded(), Swift.abs(number) < 1e15 { return "\(Int(number))" }
        return riffleFormat(number)
    }
}

/// A number to six significant digits, as C's %g writes it.
package func riffleFormat(_ number: Double) -> String {
    if number.isNaN { return "nan" }
    var buffer = [CChar](repeating: 0, count: 32)
    let length = withVaList([number]) { vsnprintf(&buffer, buffer.count, "%g", $0) }
    return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// A number in six significant digits where these identify the number, else in as many digits as that takes: for
/// messages about numbers that are just out of range.
package func riffleExact(_ number: Double) -> String {
    let short = riffleFormat(number)
    return Double(short) == number || !number.isFinite ? short : "\(number)"
}
