/// Inputs of one application, for tests: shapes with ranges of random numbers, or given indices.
///
/// Its attributes hold no objects, so that threads may share it.
package struct Sample: @unchecked Sendable {
    package enum Input: Sendable {
        case random(Shape, ClosedRange<Double>)
        case indices([Int32], Shape)

        package var shape: Shape {
            switch self {
            case .random(let shape, _), .indices(_, let shape): shape
            }
        }
    }

    package let inputs: [Input]
    package let attributes: [Value]
    /// How many numbers an element of the result sums, on which its rounding error depends.
    package let terms: Int

    package init(_ inputs: [Input], _ attributes: [Value] = [], terms: Int = 1) {
        self.inputs = inputs
        self.attributes = attributes
        self.terms = terms
    }

    /// Random numbers of the given shapes, in [-2, 2] where no range is given.
    package init(
        _ shapes: Shape..., in range: ClosedRange<Double> = -2...2, with attributes: [Value] = [], terms: Int = 1
    ) {
        self.init(shapes.map { .random($0, range) }, attributes, terms: terms)
    }
}

/// Random numbers from which rows of the table draw their samples: the same seed gives the same samples (SplitMix64).
package struct Dice: Sendable {
    private var state: UInt64
    /// The largest size that is drawn, lowered to find a smaller sample of the same kind.
    private let most: Int

    package init(seed: UInt64, most: Int = .max) {
        state = seed
        self.most = most
    }

    package mutating func bits() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func integer(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(bits() % UInt64(range.count))
    }

    package mutating func number(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + Double(bits() >> 11) * 0x1p-53 * (range.upperBound - range.lowerBound)
    }

    package mutating func chance(_ probability: Double) -> Bool { number(0...1) < probability }

    package mutating func pick<Choice>(_ choices: [Choice]) -> Choice { choices[integer(0...choices.count - 1)] }

    // MARK: - Shapes

    /// The sizes of vectors, tiles and blocks, and their neighbours.
    private static let edges = [
        7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 127, 128, 129, 255, 256, 257,
    ]

    /// A dimension's size: mostly small, often at the edge of a kernel's block, now and then 0, 1 or large.
    package mutating func size(_ least: Int = 0, most limit: Int = .max) -> Int {
        let drawn =
            switch number(0...1) {
            case ..<0.04: 0
            case ..<0.15: 1
            case ..<0.5: integer(2...9)
            case ..<0.8: pick(Self.edges)
            case ..<0.95: integer(10...70)
            default: integer(200...1500)
            }
        let largest = Swift.max(least, Swift.min(most, limit))
        if drawn < least { return integer(least...Swift.min(largest, least + 3)) }
        return drawn <= largest ? drawn : integer(least...Swift.min(largest, 1 << 20))
    }

    /// A shape with sizes from `least` on. Small ones are computed by one thread, the largest by several.
    package mutating func shape(ranks: ClosedRange<Int> = 0...4, least: Int = 0) -> Shape {
        let budget = pick([100, 100, 300, 300, 1000, 1000, 1000, 5000, 20_000, 80_000])
        var sizes: [Int] = []
        for _ in 0..<integer(ranks) {
            let used = sizes.reduce(1) { $0 * Swift.max($1, 1) }
            sizes.insert(size(least, most: Swift.max(least, budget / used)), at: integer(0...sizes.count))
        }
        return Shape(sizes)
    }

    /// Shapes that broadcast against each other.
    package mutating func broadcasting(_ count: Int, ranks: ClosedRange<Int> = 0...4) -> [Shape] {
        let whole = shape(ranks: ranks)
        return (0..<count).map { _ in
            let kept = chance(0.3) ? integer(0...whole.rank) : whole.rank
            let repeats = chance(0.5)
            return Shape(whole.sizes.suffix(kept).map { repeats && chance(0.4) ? 1 : $0 })
        }
    }

    /// One of `rank` dimensions, counted from the front or from the back.
    package mutating func dim(of rank: Int) -> Int { integer(-rank...rank - 1) }

    /// Some of the dimensions in any order, each counted from the front or from the back.
    package mutating func dims(of rank: Int) -> [Int] {
        order(of: rank).filter { _ in chance(0.5) }.map { chance(0.3) ? $0 - rank : $0 }
    }

    /// The numbers from 0 to `count` - 1 in random order.
    package mutating func order(of count: Int) -> [Int] {
        var order = Array(0..<count)
        for index in stride(from: count - 1, to: 0, by: -1) { order.swapAt(index, integer(0...index)) }
        return order
    }

    /// Indices in a range, of a shape.
    package mutating func indices(_ range: ClosedRange<Int>, _ shape: Shape) -> Sample.Input {
        .indices((0..<shape.count).map { _ in Int32(integer(range)) }, shape)
    }
}
