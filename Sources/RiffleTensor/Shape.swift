/// The sizes of a tensor's dimensions, outermost first. Printed as `[8, 3, 32, 32]`.
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
    package let sizes: [Int]

    package init(_ sizes: [Int]) { self.sizes = sizes }
    public init(arrayLiteral sizes: Int...) { self.sizes = sizes }

    /// The most dimensions that a tensor may have.
    package static let maximumRank = 8

    package var rank: Int { sizes.count }
    /// The number of elements.
    package var count: Int { sizes.reduce(1, &*) }
    package subscript(_ dim: Int) -> Int { sizes[dim] }
    package var last: Int { sizes.last ?? 1 }
    public var description: String { "[" + sizes.map(String.init).joined(separator: ", ") + "]" }

    /// Steps between neighbours along each dimension, in elements, of a contiguous tensor.
    package var strides: [Int] {
        var strides = [Int](repeating: 1, count: rank)
        for dim in stride(from: rank - 2, through: 0, by: -1) { strides[dim] = strides[dim + 1] &* sizes[dim + 1] }
        return strides
    }

    package func replacing(_ dim: Int, with size: Int) -> Shape {
        var sizes = sizes
        sizes[dim] = size
        return Shape(sizes)
    }

    package func removing(_ dim: Int) -> Shape {
        var sizes = sizes
        sizes.remove(at: dim)
        return Shape(sizes)
    }

    package func inserting(_ size: Int, at dim: Int) -> Shape {
        var sizes = sizes
        sizes.insert(size, at: dim)
        return Shape(sizes)
    }

    /// The sizes behind leading ones, `rank` sizes in all.
    package func padded(to rank: Int) -> [Int] {
        rank == self.rank ? sizes : [Int](repeating: 1, count: max(0, rank - self.rank)) + sizes
    }

    /// The shape to which both broadcast (sizes aligned from the last; 1 repeats), or nil where they don't fit.
    package static func broadcast(_ a: Shape, _ b: Shape) -> Shape? {
        if a == b { return a }
        let rank = max(a.rank, b.rank)
        let left = a.padded(to: rank)
        let right = b.padded(to: rank)
        var sizes = [Int](repeating: 0, count: rank)
        for dim in 0..<rank {
            if left[dim] == right[dim] || right[dim] == 1 {
                sizes[dim] = left[dim]
            } else if left[dim] == 1 {
                sizes[dim] = right[dim]
            } else {
                return nil
            }
        }
        return Shape(sizes)
    }

    /// Checks sizes given by a user: none negative, at most `maximumRank` of them, the product within an Int.
    /// - Throws: `RiffleError` naming the shape.
    @discardableResult
    package func checked(_ operation: String) throws -> Shape {
        guard rank <= Shape.maximumRank else {
            throw RiffleError(operation, "a tensor has at most \(Shape.maximumRank) dimensions, got \(rank), \(self)")
        }
        var count = 1
        for size in sizes {
            guard size >= 0 else { throw RiffleError(operation, "a size is negative in \(self)") }
            let (product, overflow) = count.multipliedReportingOverflow(by: max(size, 1))
            guard !overflow, product < Int.max / 16 else {
                throw RiffleError(operation, "\(self) has too many elements")
            }
            count = product
        }
        return self
    }
}
