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
        let rows = try batch.samples("features", as: batch.dtype == .float64 ? .float64 : .float32)
        try check(rows.shape[1])
        self = try withoutGradient {
            var next = self
            let first = try origin ?? rows.sliced(0, 0..<1).converted(to: .float64)
            next.origin = first
            for start in stride(from: 0, to: rows.shape[0], by: FeatureSums.blockSize) {
                let part = try rows.sliced(0, start..<min(start + FeatureSums.blockSize, rows.shape[0]))
                next.waiting.append(try part.converted(to: .float64) - first)
                try next.sumBlock()
            }
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

    // MARK: - State

    /// The sums as a checkpoint keeps them.
    package func saved() throws -> SavedState {
        guard let origin else { return SavedState() }
        var tensors = ["origin": origin]
        if !waiting.isEmpty { tensors["waiting"] = try withoutGradient { try Tensor.cat(waiting) } }
        if let moments {
            tensors["mean"] = moments.mean
            tensors["scatter"] = moments.scatter
        }
        return SavedState(tensors: tensors, values: ["count": .integer(moments?.count ?? 0)])
    }

    /// The sums that `saved` returned; those of more samples are the same to the last bit as if nothing had been saved.
    /// - Throws: `RiffleError` that names what does not fit.
    package init(from state: SavedState) throws {
        guard !state.tensors.isEmpty else { return }
        func tensor(_ name: String, _ shape: Shape) throws -> Tensor {
            let tensor = try state.tensor(name)
            guard tensor.shape == shape, tensor.dtype == .float64 else {
                throw RiffleError("", "'\(name)' should be float64 \(shape), and is \(tensor.dtype) \(tensor.shape)")
            }
            return tensor
        }
        let width = try state.tensor("origin").count, count = try state.integer("count")
        origin = try tensor("origin", [1, width])
        if let rows = state.tensors["waiting"]?.shape.sizes.first {
            waiting = [try tensor("waiting", [min(rows, FeatureSums.blockSize - 1), width])]
        }
        if count > 0 {
            moments = Moments(
                count: count, mean: try tensor("mean", [1, width]), scatter: try tensor("scatter", [width, width]))
        }
    }

    // MARK: - Parts

    private func check(_ width: Int) throws {
        guard features ?? width == width else {
            throw RiffleError("", "samples of \(width) features follow samples of \(features ?? 0)")
        }
    }

    /// Sums up what waits, once it is a block or more, and less than two.
    private mutating func sumBlock() throws {
        let size = FeatureSums.blockSize
        guard waiting.reduce(0, { $0 + $1.shape[0] }) >= size else { return }
        try Interrupt.check()
        let rows = try Tensor.cat(waiting), block = try Moments(rows.sliced(0, 0..<size))
        moments = try moments?.joined(with: block) ?? block
        waiting = rows.shape[0] > size ? [try rows.sliced(0, size..<rows.shape[0])] : []
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
