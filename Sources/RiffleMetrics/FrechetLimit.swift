import RiffleTensor

extension Metrics {
    /// What a distance would be of infinitely many samples, by a line through its values for some numbers of samples.
    package struct Extrapolation: Sendable {
        /// Numbers of samples, and the distance for each.
        package let sizes: [Int]
        package let distances: [Double]
        /// The line's value where 1 / n is 0.
        package let limit: Double

        /// - Throws: `RiffleError` when there are not two different numbers of samples at least.
        package init(sizes: [Int], distance: (_ size: Int) throws -> Double) throws {
            guard Set(sizes).count > 1, sizes.allSatisfy({ $0 > 0 }) else {
                throw RiffleError("", "a line goes through two numbers of samples or more, got \(sizes)")
            }
            let distances = try sizes.map(distance)
            // Least squares of the distance over 1 / n.
            let inverses = sizes.map { 1 / Double($0) }
            let (x, y) = (Estimate(inverses).mean, Estimate(distances).mean)
            let rise = zip(inverses, distances).reduce(0) { $0 + ($1.0 - x) * ($1.1 - y) }
            limit = y - x * rise / inverses.reduce(0) { $0 + ($1 - x) * ($1 - x) }
            self.sizes = sizes
            self.distances = distances
        }
    }

    /// The Frechet distance without most of its bias, which falls as 1 / n; on features of Inception-v3 it is known as
    /// FID infinity. The limit of similar distributions may come out below 0.
    ///
    /// The distance is computed for growing subsets, from `smallest` samples to all of them in equal steps.
    /// - Parameters:
    ///   - features: `[n, ...]`; all but the first dimension are coordinates.
    ///   - reference: the statistics of many samples, such as those of a data set.
    ///   - points: how many subsets.
    ///   - smallest: the samples of the first subset.
    ///   - seed: the seed of the subsets; the same seed gives the same subsets.
    /// - Throws: `RiffleError` when there are no more samples than in the smallest subset, or as `frechetDistance`
    ///   does.
    /// - Source: Chong and Forsyth 2019, 1911.07023; sizes as their own code has them.
    package static func frechetLimit(
        _ features: Tensor, to reference: FeatureStatistics, points: Int = 15, smallest: Int = 5000, seed: UInt64 = 0
    ) throws -> Extrapolation {
        let rows = try features.samples("features", as: features.dtype == .float64 ? .float64 : .float32)
        let n = rows.shape[0]
        guard rows.shape[1] == reference.features else {
            throw RiffleError("", "samples of \(rows.shape[1]) features, and statistics of \(reference.features)")
        }
        guard points >= 2, smallest >= 2 else {
            throw RiffleError("", "there are 2 or more subsets of 2 or more samples, got \(points) from \(smallest) on")
        }
        guard n > smallest else {
            throw RiffleError(
                "", "subsets have \(smallest) samples or more, and there are only \(n) to extrapolate from")
        }
        var random = RandomSource(seed: seed)
        return try withoutGradient {
            let spread = try Spread(reference)
            let sizes = (0..<points).map { smallest + (n - smallest) * $0 / (points - 1) }
            return try Extrapolation(sizes: sizes) { size in
                let subset = try rows.take(random.permutation(n).sliced(0, 0..<size))
                return try Spread(subset).distance(to: spread)
            }
        }
    }
}
