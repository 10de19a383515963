import RiffleNN
import RiffleTensor

/// Samples of a network by their numbers: a sample of a seed is the same one, however many are asked for and from where
/// on.
///
/// Noise and what a sampler draws later depend on the seed and the sample's number alone. A product of matrices,
/// however, may sum up in another order in a batch of another size, and a sample's last bits with it. So batches begin
/// at multiples of their size, and are made whole: with 32 in a batch, sample 17 is made beside samples 1 to 32. Sizes
/// in multiples of 16 give the same bits as one another where layers have less than 2048 inputs.
package struct NumberedSamples {
    /// How a sample is made in a number of evaluations.
    package enum Method: String, CaseIterable, Sendable {
        /// Equal jumps of a network of two times.
        case jump
        /// Multistep sampling of a consistency model, at equal times.
        case consistency
        /// A generator's samples, as `Generation` makes them from its start on.
        case generate
        /// Equal steps of a solver along the velocity. One step of Euler's is a generator's sample.
        case euler, midpoint, heun, rk4

        /// Nil for what is no solver.
        package var solver: FixedStepMethod? { FixedStepMethod(rawValue: rawValue) }

        /// What is usual for a network.
        package static func usual(for network: Network) -> Method { network.times == 2 ? .jump : .euler }
    }

    /// The largest number of a sample, from 1.
    package static let last = 1 << 40

    package let network: Network
    package let seed: UInt64
    package let evaluations: Int
    package let method: Method
    /// The time at which a generator takes its noise.
    package let start: Double
    /// The path on which a generator or a consistency model adds noise to data.
    package let path: Path
    package let sampleShape: Shape
    package let batch: Int
    package static let largestBatch = 1 << 20

    /// - Parameters:
    ///   - evaluations: of the network, for each sample.
    ///   - method: jumps of a network with two times, else Euler steps, where not given.
    ///   - start: of `Method.generate` alone, as the generator was trained with.
    ///   - shape: of one sample, for networks that do not know it.
    ///   - batch: the samples of one evaluation.
    /// - Throws: `RiffleError` where the method cannot use so many evaluations or the network, or the shape is not the
    ///   network's, or unknown.
    package init(
        _ network: Network, seed: UInt64 = 0, evaluations: Int, method: Method? = nil, start: Double = 0,
        path: Path = .linear, shape: Shape? = nil, batch: Int = 32
    ) throws {
        let method = method ?? .usual(for: network)
        if method == .jump, network.times != 2 {
            throw RiffleError(
                "samples",
                "this \(network.kind) takes one time and cannot jump; sample it with euler, midpoint, heun or rk4")
        }
        guard start == 0 || method == .generate && Generation.starts.contains(start) else {
            throw RiffleError(
                "samples",
                method == .generate
                    ? "start must be from 0 to \(Generation.starts.upperBound), got \(riffleExact(start))"
                    : "start is for the sampler generate, and \(method.rawValue) begins at 0")
        }
        let order = method.solver?.order ?? 1
        guard evaluations > 0, evaluations % order == 0 else {
            throw RiffleError(
                "samples",
                "\(method.rawValue) takes \(order) evaluation\(order == 1 ? "" : "s") a step, so that nfe must be a "
                    + "positive multiple of \(order), got \(evaluations)")
        }
        guard (1...NumberedSamples.largestBatch).contains(batch) else {
            throw RiffleError("samples", "a batch has 1 to \(NumberedSamples.largestBatch) samples, got \(batch)")
        }
        guard let sampleShape = network.sampleShape ?? shape else {
            throw RiffleError(
                "samples", "this \(network.kind) does not know the shape of a sample; give shape = { ... }")
        }
        if let shape, shape != sampleShape {
            throw RiffleError("samples", "samples of this \(network.kind) are \(sampleShape), not \(shape)")
        }
        (self.network, self.seed, self.evaluations, self.method) = (network, seed, evaluations, method)
        (self.start, self.path, self.sampleShape, self.batch) = (start, path, sampleShape, batch)
    }

    /// The labels of samples where nobody gives any: the network's classes in turn, from 1; nil without classes.
    /// - Parameter range: of samples, from 0.
    package func labels(of range: Range<Int>) throws -> Tensor? {
        guard case .classes(let count, _) = network.conditioning else { return nil }
        let labels = try Tensor(uninitialized: [range.count], .int32)
        for (index, number) in range.enumerated() { labels.elements(Int32.self)[index] = Int32(number % count + 1) }
        return labels
    }

    /// Makes samples, without gradients. The thread's random numbers are as they were afterwards.
    /// - Parameters:
    ///   - range: their numbers, from 0.
    ///   - condition: of these samples; classes in turn where not given.
    /// - Returns: float32 [n, ...].
    package func callAsFunction(_ range: Range<Int>, _ condition: Condition? = nil) throws -> Tensor {
        guard range.lowerBound >= 0, range.upperBound <= NumberedSamples.last else {
            throw RiffleError(
                "samples",
                "samples are numbered from 1 to \(NumberedSamples.last), got \(range.lowerBound + 1) to "
                    + "\(range.upperBound)")
        }
        for tensor in condition?.tensors ?? [] where tensor.rank == 0 || tensor.shape[0] != range.count {
            throw RiffleError(
                "samples", "labels must be [\(range.count), ...], one for each sample (labels \(tensor.shape))")
        }
        let random = Context.current.random
        defer { Context.current.random = random }
        let samples = try Tensor(uninitialized: sampleShape.inserting(range.count, at: 0))
        var done = 0
        while done < range.count {
            let first = range.lowerBound + done
            let whole = (first / batch * batch)..<(first / batch * batch + batch)
            let made = try makeBatch(whole, rows(of: condition, range, in: whole))
            let kept = whole.clamped(to: range), size = sampleShape.count * DType.float32.size
            samples.pointer.advanced(by: done * size).copyMemory(
                from: made.pointer.advanced(by: (kept.lowerBound - whole.lowerBound) * size),
                byteCount: kept.count * size)
            done += kept.count
        }
        return samples
    }

    /// The condition of a whole batch. Samples outside of the range, which nobody will see, get that of the nearest.
    private func rows(of condition: Condition?, _ range: Range<Int>, in batch: Range<Int>) throws -> Condition? {
        guard let condition else { return try labels(of: batch).map { Condition([$0]) } }
        let nearest = batch.map { Int32(min(max($0, range.lowerBound), range.upperBound - 1) - range.lowerBound + 1) }
        let index = try Tensor(nearest, [batch.count])
        return Condition(try condition.tensors.map { try $0.take(index) })
    }

    private func makeBatch(_ batch: Range<Int>, _ condition: Condition?) throws -> Tensor {
        Context.current.random = RandomSource(seed: seed, samplesBefore: batch.lowerBound)
        let noise = try Tensor.randn(sampleShape.inserting(batch.count, at: 0))
        let grid = evenGrid(from: 0, to: 1, steps: evaluations / (method.solver?.order ?? 1))
        let made =
            if let solver = method.solver {
                try Sampler.ode(network, noise, along: grid, solver, condition).x
            } else if method == .jump {
                try Sampler.jump(network, noise, along: grid, condition).x
            } else {
                try Sampler.generate(network, noise, Generation(start: start, steps: evaluations), path, condition)
            }
        return try made.converted(to: .float32)
    }
}
