import RiffleTensor

/// The features of a stream of samples, as the sums that their statistics take.
///
/// Samples are summed up in float64, counted from the first sample, so that means far from 0 cost no digits, and in
/// blocks of one size whatever batches they come in: the sums are the same bits for batches of any size and any number
/// of threads.
package struct FeatureSums: Sendable {
    /// The first sample `[1, features]`, from which all others are counted.
    private var origin: Tensor?
    /// Of the samples in whole blocks.
    private var moments: Moments?
    /// Samples behind the last whole block, fewer than a block holds.
    private var waiting: [Tensor] = []

    /// The samples of a block: enough for a product that is worth its calls.
    private static let blockSize = 1024

    package init() {}

    /// How many samples were added.
    package var count: Int { (moments?.count ?? 0) + waiting.reduce(0) { $0 + $1.shape[0] } }

    /// The numbers of a sample; nil before the first.
    package var features: Int? { origin?.count }

    /// Adds the features of a batch of samples.
    /// - Parameter batch: `[n, ...]`; all but the first dimension are features.
    /// - Throws: `RiffleError` when the batch is empty, numbers are not finite, or samples differ in their number of
    ///   features from those before; nothing was added then.
    package mutating func add(_ batch: Tensor) throws {
        let rows = try batch.samples("features", as: .float64)
        try check(rows.shape[1])
        self = try withoutGradient {
            var next = self
            let first = try origin ?? rows.sliced(0, 0..<1)
            next.origin = first
            next.waiting.append(try rows - first)
            try next.sumBlocks()
            return next
        }
    }

    /// Adds the samples of other sums, such as another process made. The result is that of one stream up to rounding.
    package mutating func merge(_ other: FeatureSums) throws {
        guard let theirs = other.origin else { return }
        guard let ours = origin else {
            self = other
            return
        }
        try check(theirs.count)
        moments = try withoutGradient {
            let (left, right) = (try total(), try other.total())
            let shifted = Moments(
                count: right.count, mean: try right.mean + (theirs - ours), scatter: right.scatter)
            return try left.joined(with: shifted)
        }
        waiting = []
    }

    /// The mean and the covariance of all samples so far; more may be added afterwards.
    /// - Throws: `RiffleError` for fewer than two samples, or sums beyond the range of numbers.
    package func statistics() throws -> FeatureStatistics {
        guard let origin, count > 1 else {
            throw RiffleError("", "two samples or more have a covariance, got \(count)")
        }
        return try withoutGradient {
            let total = try total()
            return try FeatureStatistics(
                count: count, mean: (total.mean + origin).viewed(as: [origin.count]),
                covariance: total.scatter / Double(count - 1))
        }
    }

    // MARK: - Parts

    private func check(_ width: Int) throws {
        guard features ?? width == width else {
            throw RiffleError("", "samples of \(width) features follow samples of \(features ?? 0)")
        }
    }

    private mutating func sumBlocks() throws {
        guard waiting.reduce(0, { $0 + $1.shape[0] }) >= FeatureSums.blockSize else { return }
        let rows = try Tensor.cat(waiting)
        var done = 0
        while done + FeatureSums.blockSize <= rows.shape[0] {
            try Interrupt.check()
            let block = try Moments(rows.sliced(0, done..<(done + FeatureSums.blockSize)))
            moments = try moments?.joined(with: block) ?? block
            done += FeatureSums.blockSize
        }
        waiting = done < rows.shape[0] ? [try rows.sliced(0, done..<rows.shape[0])] : []
    }

    /// Of all samples, of which there is one at least.
    private func total() throws -> Moments {
        if let moments, waiting.isEmpty { return moments }
        let rest = try Moments(Tensor.cat(waiting))
        return try moments?.joined(with: rest) ?? rest
    }
}

/// The mean of samples, counted from an origin, and their sums of products about it.
private struct Moments: Sendable {
    let count: Int
    /// [1, features].
    let mean: Tensor
    /// [features, features].
    let scatter: Tensor

    init(count: Int, mean: Tensor, scatter: Tensor) {
        self.count = count
        self.mean = mean
        self.scatter = scatter
    }

    /// - Parameter rows: float64 `[n, features]`.
    init(_ rows: Tensor) throws {
        let mean = try rows.mean([0], keep: true), centred = try rows - mean
        self.init(count: rows.shape[0], mean: mean, scatter: try LinearAlgebra.product(centred, centred))
    }

    /// - Source: Chan, Golub and LeVeque 1983, equation 2.1.
    func joined(with other: Moments) throws -> Moments {
        let (n, m) = (Double(count), Double(other.count))
        let apart = try other.mean - mean
        let between = try apart.transposed() * (apart * (n * m / (n + m)))
        return Moments(
            count: count + other.count, mean: try mean + apart * (m / (n + m)),
            scatter: try scatter + other.scatter + between)
    }
}
