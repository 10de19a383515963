import RiffleTensor

/// The inner products of all pairs of samples, in float32 about the middle of the samples: what float32 rounds off is
/// then small beside the distances, wherever the samples lie.
struct SampleProducts {
    /// `[1, features]`, float64.
    let centre: Tensor
    /// A power of two by which samples are divided, so that products neither overflow nor vanish.
    let unit: Double
    /// How far a product may be from the true one, as a part of the mean of both samples' squares.
    let slack: Double

    /// Products of some samples and some others, `[rows][columns]`.
    struct Tile {
        let rows: Range<Int>
        let columns: Range<Int>
        let products: UnsafeBufferPointer<Float>

        /// The products of a sample, counted from 0 in the tile.
        func row(_ number: Int) -> UnsafeBufferPointer<Float> {
            UnsafeBufferPointer(rebasing: products[(number * columns.count)..<((number + 1) * columns.count)])
        }
    }

    /// The most samples on a side of a tile.
    private static let side = 2048

    init(of sets: Tensor...) throws {
        let features = sets[0].shape[1], count = sets.reduce(0) { $0 + $1.shape[0] }
        var sum = try Tensor.zeros([1, features], .float64)
        for set in sets {
            for part in SampleProducts.parts(set) {
                sum = try sum + set.sliced(0, part).converted(to: .float64).sum([0], keep: true)
            }
        }
        let centre = try sum / Double(count)
        var largest = 0.0
        for set in sets {
            for part in SampleProducts.parts(set) {
                largest = max(largest, try (set.sliced(0, part).converted(to: .float64) - centre).abs().max().item())
            }
        }
        guard largest.isFinite else { throw RiffleError("", "samples are too far apart for float64") }
        self.centre = centre
        unit = largest > 0 ? Double(sign: .plus, exponent: largest.exponent, significand: 1) : 1
        // A chain of float32 sums, and the rounding of what is multiplied.
        slack = Double(features + 16) * Double(Float.ulpOfOne) / 2
    }

    /// Passes all pairs on, tile by tile in the same order each time, in memory that does not grow with their number.
    func each(_ x: Tensor, _ y: Tensor, _ body: (Tile) throws -> Void) throws {
        for rows in SampleProducts.parts(x) {
            let left = try centred(x, rows)
            for columns in SampleProducts.parts(y) {
                try Interrupt.check()
                let right = x === y && rows == columns ? left : try centred(y, columns)
                let products = try left.matmul(right, transposeB: true)
                try withExtendedLifetime(products) {
                    let numbers = UnsafeBufferPointer(products.elements(Float.self))
                    try body(Tile(rows: rows, columns: columns, products: numbers))
                }
            }
        }
    }

    /// The product of each sample with itself, in float64.
    func squares(_ x: Tensor) throws -> [Double] {
        try SampleProducts.parts(x).flatMap {
            try centred(x, $0).converted(to: .float64).square().sum([1]).doubles()
        }
    }

    /// Samples about the centre, in units.
    private func centred(_ x: Tensor, _ part: Range<Int>) throws -> Tensor {
        try ((x.sliced(0, part).converted(to: .float64) - centre) / unit).converted(to: .float32)
    }

    private static func parts(_ x: Tensor) -> [Range<Int>] {
        stride(from: 0, to: x.shape[0], by: side).map { $0..<min($0 + side, x.shape[0]) }
    }
}
