/// A number along the height of images and one along their width: a kernel's size, a step, a border.
package struct Sides: Hashable, Sendable, CustomStringConvertible {
    package let height: Int
    package let width: Int

    package init(_ both: Int) { self.init(both, both) }
    package init(_ height: Int, _ width: Int) { (self.height, self.width) = (height, width) }

    package func map(_ body: (Int) -> Int) -> Sides { Sides(body(height), body(width)) }

    package var isSquare: Bool { height == width }
    package var value: Value { isSquare ? .integer(height) : .list([.integer(height), .integer(width)]) }
    package var description: String { isSquare ? "\(height)" : "\(height) x \(width)" }
}

extension Sides: ExpressibleByIntegerLiteral {
    package init(integerLiteral both: Int) { self.init(both) }
}

extension Arguments {
    /// The value of an argument of type `sides`.
    package func sides(_ name: String) -> Sides { optionalSides(name)! }
    package func optionalSides(_ name: String) -> Sides? {
        let numbers = integers(name)
        return numbers.isEmpty ? nil : Sides(numbers[0], numbers[numbers.count - 1])
    }
}
