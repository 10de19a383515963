import RiffleTensor

extension Metrics {
    /// How far generated samples lie among real ones, and real among generated, each from 0 to 1 but for the density.
    package struct PrecisionRecall: Sendable {
        /// The share of generated samples that lie in the ball of a real one.
        package let precision: Double
        /// The share of real samples that lie in the ball of a generated one.
        package let recall: Double
        /// In how many balls of real samples a generated one lies, in the mean, over the number of neighbours.
        package let density: Double
        /// The share of real samples whose ball holds a generated one.
        package let coverage: Double
    }

    /// Precision and recall, density and coverage. A sample's ball reaches as far as its k-th nearest neighbour in its
    /// own set, borders included.
    ///
    /// Takes (n + m)^2 distances in bounded memory: 50,000 samples of 2048 features on either side take some ten
    /// minutes of two cores.
    /// - Parameters:
    ///   - real: features `[n, ...]`; all but the first dimension are coordinates.
    ///   - generated: features `[m, ...]`.
    ///   - neighbours: k.
    /// - Throws: `RiffleError` when shapes do not fit, numbers are not finite, or a set has no k-th neighbours.
    /// - Source: Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 3 and 5.
    package static func precisionRecall(real: Tensor, generated: Tensor, neighbours: Int = 3) throws -> PrecisionRecall
    {
        let (x, y) = try pair(real, generated), (n, m) = (x.shape[0], y.shape[0])
        guard neighbours >= 1, neighbours < min(n, m) else {
            throw RiffleError(
                "",
                "neighbours are 1 or more, and fewer than there are samples, got \(neighbours) (real \(real.shape), "
                    + "generated \(generated.shape))")
        }
        try Memory.check((n + m) * (neighbours + 4) * MemoryLayout<Double>.stride)
        return try withoutGradient {
            let (reach, others) = (try radii(x, neighbours), try radii(y, neighbours))
            // For each generated sample, how many balls it lies in; for each real one, whether it lies in a ball, and
            // how far the nearest generated sample is.
            var balls = [Int](repeating: 0, count: m)
            var isReached = [Bool](repeating: false, count: n)
            var nearest = [Double](repeating: .infinity, count: n)
            try DistanceTile.each(x, y) { tile in
                for (row, number) in tile.rows.enumerated() {
                    let (distances, own) = (tile.row(row), reach[number])
                    for (index, column) in tile.columns.enumerated() {
                        if distances[index] <= own { balls[column] += 1 }
                        if distances[index] <= others[column] { isReached[number] = true }
                    }
                    nearest[number] = min(nearest[number], distances.min() ?? .infinity)
                }
            }
            return PrecisionRecall(
                precision: Double(balls.count { $0 > 0 }) / Double(m),
                recall: Double(isReached.count { $0 }) / Double(n),
                density: Double(balls.reduce(0, +)) / Double(neighbours * m),
                coverage: Double(zip(nearest, reach).count { $0 <= $1 }) / Double(n))
        }
    }

    /// The squared distance from each sample to its k-th nearest neighbour in the same set, itself not counted.
    private static func radii(_ x: Tensor, _ neighbours: Int) throws -> [Double] {
        // The sample itself is at 0, so that with it there are k + 1; each row of these is in order.
        let kept = neighbours + 1
        var smallest = [Double](repeating: .infinity, count: x.shape[0] * kept)
        try smallest.withUnsafeMutableBufferPointer { smallest in
            try DistanceTile.each(x, x) { tile in
                for (row, number) in tile.rows.enumerated() {
                    let list = UnsafeMutableBufferPointer(rebasing: smallest[(number * kept)..<((number + 1) * kept)])
                    for distance in tile.row(row) where distance < list[neighbours] {
                        var slot = neighbours
                        while slot > 0, list[slot - 1] > distance {
                            list[slot] = list[slot - 1]
                            slot -= 1
                        }
                        list[slot] = distance
                    }
                }
            }
        }
        return (0..<x.shape[0]).map { smallest[$0 * kept + neighbours] }
    }
}
