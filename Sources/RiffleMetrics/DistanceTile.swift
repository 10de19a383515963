import CKernels
import RiffleTensor

/// Squared distances between some samples of a set and some of another, in float64 from the differences themselves, so
/// that close samples far from 0 are told apart.
struct DistanceTile {
    let rows: Range<Int>
    let columns: Range<Int>
    /// `[rows][columns]`.
    let distances: UnsafeBufferPointer<Double>

    /// The most rows and columns: enough for every thread, and few enough for the caches.
    private static let side = 1024

    /// Passes all pairs of samples on, tile by tile in the same order each time, in memory that does not grow with the
    /// number of samples.
    /// - Parameters:
    ///   - x: samples as rows, whose distances to `y` stand in a row of a tile.
    ///   - y: samples as rows.
    static func each(_ x: Tensor, _ y: Tensor, _ body: (DistanceTile) throws -> Void) throws {
        for rows in parts(x.shape[0]) {
            let left = try x.sliced(0, rows).converted(to: .float64)
            for columns in parts(y.shape[0]) {
                try Interrupt.check()
                let right = try y.sliced(0, columns).converted(to: .float64)
                let tile = try Tensor(uninitialized: [rows.count, columns.count], .float64)
                let distances = tile.elements(Double.self)
                rk_squared_distances(
                    rows.count, columns.count, x.shape[1], left.elements(Double.self).baseAddress,
                    right.elements(Double.self).baseAddress, distances.baseAddress)
                try withExtendedLifetime((left, right, tile)) {
                    try body(DistanceTile(rows: rows, columns: columns, distances: UnsafeBufferPointer(distances)))
                }
            }
        }
    }

    /// The distances of a sample, counted from 0 in the tile.
    func row(_ number: Int) -> UnsafeBufferPointer<Double> {
        UnsafeBufferPointer(rebasing: distances[(number * columns.count)..<((number + 1) * columns.count)])
    }

    private static func parts(_ count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: side).map { $0..<min($0 + side, count) }
    }
}
