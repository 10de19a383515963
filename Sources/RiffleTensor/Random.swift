import CKernels

/// A source of random numbers in which every draw is a stream of its own, keyed by seed and the number of the draw.
///
/// The same seed and order of draws give the same bits, however many threads share the work (Philox4x32-10). A sample's
/// numbers depend on its number alone, so that a source for samples from the 17th on gives them what they get in a
/// batch that begins at the first.
package struct RandomSource: Sendable {
    package let seed: UInt64
    /// The number of draws so far.
    package private(set) var stream: UInt64
    /// How many samples come before the first row of each draw.
    package let samplesBefore: Int

    /// - Parameter stream: the number of draws so far, for going on where another source left off.
    package init(seed: UInt64 = 0, stream: UInt64 = 0, samplesBefore: Int = 0) {
        self.seed = seed
        self.stream = stream
        self.samplesBefore = samplesBefore
    }

    private func checkFloating(_ dtype: DType, _ name: String) throws {
        guard dtype.isFloating else { throw RiffleError(name, "random int32 numbers are made by riffle.randint") }
    }

    private mutating func next() -> UInt64 {
        defer { stream += 1 }
        return stream
    }

    /// The number of the first element of a draw `[n, ...]` in its stream.
    private func offset(_ shape: Shape) throws -> UInt64 {
        guard samplesBefore > 0, let n = shape.sizes.first, n > 0 else { return 0 }
        let (offset, overflows) = samplesBefore.multipliedReportingOverflow(by: shape.count / n)
        guard !overflows else {
            throw RiffleError("", "sample \(samplesBefore + 1) of \(shape.count / n) numbers is beyond what a seed has")
        }
        return UInt64(offset)
    }

    /// Uniform numbers in [0, 1).
    package mutating func uniform(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        try checkFloating(dtype, "rand")
        let offset = try offset(shape)
        let tensor = try Tensor(uninitialized: shape, dtype)
        rk_random_uniform(dtype.kernel, seed, next(), offset, tensor.pointer, tensor.count)
        return tensor
    }

    /// Standard normal numbers.
    package mutating func normal(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        try checkFloating(dtype, "randn")
        let offset = try offset(shape)
        let tensor = try Tensor(uninitialized: shape, dtype)
        rk_random_normal(dtype.kernel, seed, next(), offset, tensor.pointer, tensor.count)
        return tensor
    }

    /// Integers in [1, bound].
    package mutating func integers(_ shape: Shape, through bound: Int) throws -> Tensor {
        guard bound >= 1, bound <= Int(Int32.max) else {
            throw RiffleError("randint", "the largest number must be in 1 to \(Int32.max), got \(bound)")
        }
        let offset = try offset(shape)
        let tensor = try Tensor(uninitialized: shape, .int32)
        let numbers = tensor.elements(Int32.self)
        rk_random_integers(
            seed, next(), offset, UInt32(bound), tensor.pointer.assumingMemoryBound(to: Int32.self), tensor.count)
        for index in numbers.indices { numbers[index] += 1 }
        return tensor
    }

    /// The numbers 1 to count in random order.
    package mutating func permutation(_ count: Int) throws -> Tensor {
        let order = try Tensor(uninitialized: [count], .int32)
        let numbers = order.elements(Int32.self)
        for index in numbers.indices { numbers[index] = Int32(index + 1) }
        var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
        let stream = next()
        for index in stride(from: count - 1, to: 0, by: -1) {
            withUnsafeMutableBytes(of: &words) { bytes in
                guard let base = bytes.bindMemory(to: UInt32.self).baseAddress else { return }
                rk_philox(seed, stream, UInt64(index), base)
            }
            let draw = UInt64(words.0) << 32 | UInt64(words.1)
            numbers.swapAt(index, Int(draw.multipliedFullWidth(by: UInt64(index + 1)).high))
        }
        return order
    }
}

/// Random tensors from the context's source.
extension Tensor {
    package static func rand(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        try Context.current.random.uniform(shape, dtype)
    }
    package static func randn(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        try Context.current.random.normal(shape, dtype)
    }

    /// Zeroes each element with the given probability and scales the rest, so that the mean stays.
    package func dropout(_ probability: Double) throws -> Tensor {
        guard probability > 0 else { return self }
        let kept = try Tensor.rand(shape).ge(.scalar(probability)).cast(dtype)
        return try self * (kept * (1 / (1 - probability)))
    }
}
