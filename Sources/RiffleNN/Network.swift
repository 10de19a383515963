import RiffleTensor

/// A network over samples and times: a velocity v(x, t), or with two times an average velocity u(x, s, t).
///
/// Times run from noise at 0 to data at 1. Every network takes x [n, ...], times [n] or of one element for all, and the
/// condition that its `conditioning` asks for, and gives a tensor of x's shape.
open class Network: Module {
    /// 1 for a velocity, 2 for an average velocity.
    open override var times: Int { 1 }
    /// What the network is conditioned on.
    open var conditioning: Conditioning { .none }
    /// The shape of one sample, where the network is made for one.
    open var sampleShape: Shape? { nil }

    /// How matrix products are computed: in float32, or faster from factors rounded to bfloat16. Parameters, sums and
    /// everything else are float32 in both. Copies and students take the precision over.
    package var precision = Precision.float32

    /// Whether the tape keeps the inputs of the network's blocks alone, and the backward pass computes the blocks
    /// again. Copies and students take the setting over.
    package var recomputes = false
    /// Whether the network has blocks that can be computed again.
    open class var hasBlocks: Bool { false }
    /// The blocks whose values `innerValues` gives, by their names in files, in the order of evaluation.
    open var blockNames: [String] { [] }
    /// Takes the values of blocks while somebody wants them.
    final var recorder: InnerValues?

    /// What a block gives as a map [n, height, width, channels], or [n, width] of networks for points.
    open func map(ofBlock value: Tensor) throws -> Tensor { value }

    public final override var settings: String {
        let adapters = adaptation.map { _ in
            let ranks = Set(adapterForms.values.map(\.rank)).sorted().map(String.init).joined(separator: ", ")
            return "adapters of rank \(ranks) on \(adapterForms.count) layers"
        }
        return [precision == .bfloat16 ? "bf16" : nil, recomputes ? "recompute" : nil, adapters].compactMap(\.self)
            .joined(separator: ", ")
    }
    public final override func takeSettings(of twin: Module) {
        guard let twin = twin as? Network else { return }
        (precision, recomputes) = (twin.precision, twin.recomputes)
    }

    /// The network's function, which subclasses define: in the precision that the thread has, of inputs that have been
    /// checked. Callers use `velocity` and `average`, or `evaluateInOwnPrecision` from a network around this one.
    /// - Parameter times: [n] each, as many as `self.times`. The same tensor twice is a jump of no length, see
    ///   `isJumpOfNoLength`.
    open func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        throw RiffleError(kind, "this network has no function")
    }

    /// A copy that takes a second time: u(x, s, t) = v(x, s) at first, and u(x, s, s) = v(x, s) where blocks are
    /// decoupled.
    /// - Parameter decoupled: how many of the last blocks alone see t, by the embedding of times that is there, so that
    ///   no parameter is new (Lee et al. 2510.24474); the network's own setting where nil.
    /// - Throws: `RiffleError` for networks that cannot.
    open func twoTimed(decoupled: Int?) throws -> Network {
        throw RiffleError(
            "two_timed", "a \(kind) has no second time to add; write forward(self, x, s, t) with times = 2")
    }

    package final func twoTimed() throws -> Network { try twoTimed(decoupled: nil) }

    /// The velocity v(x, t); of a network with two times, the average velocity of a jump of no length.
    package func velocity(_ x: Tensor, _ t: Tensor, _ condition: Condition? = nil) throws -> Tensor {
        // The same tensor as both times, so that `isJumpOfNoLength` sees that there is no jump.
        try checked(x, times == 1 ? [t] : [t, t], condition)
    }

    /// The average velocity u(x, s, t) of the jump from s to t.
    /// - Throws: `RiffleError` when the network takes one time.
    package func average(_ x: Tensor, _ s: Tensor, _ t: Tensor, _ condition: Condition? = nil) throws -> Tensor {
        guard times == 2 else {
            throw RiffleError(
                kind, "this network takes one time and cannot jump; make a student of it with net:two_timed()")
        }
        return try checked(x, [s, t], condition)
    }

    /// Where the jump from s to t ends: phi_{s,x}(t) = x + (t - s) u(x, s, t).
    package func jump(_ x: Tensor, _ s: Tensor, _ t: Tensor, _ condition: Condition? = nil) throws -> Tensor {
        try x + (t - s).alongside(x) * average(x, s, t, condition)
    }

    /// A network of the same form, see `blank`.
    package func blankNetwork() throws -> Network {
        guard let twin = try blank() as? Network else { throw RiffleError("copy", "a \(kind) cannot be copied") }
        return twin
    }

    /// Any number: `forward` says which inputs are missing.
    open override var arity: ClosedRange<Int> { 0...Int.max }

    /// Inputs as Lua gives them: x, then as many times as the network has, then the condition's tensors.
    open override func forward(_ inputs: [Tensor]) throws -> Tensor {
        let (x, times, condition) = try parts(of: inputs)
        return try checked(x, times, condition)
    }

    /// The samples, times and condition that inputs of `forward` are.
    /// - Throws: `RiffleError` that says which are missing.
    package final func parts(of inputs: [Tensor]) throws -> (x: Tensor, times: [Tensor], condition: Condition) {
        guard inputs.count > times, inputs.count <= times + 3 else {
            let names = times == 1 ? "x and t" : "x, s and t"
            throw RiffleError(
                kind, "\(names)\(conditioning == .none ? "" : ", then labels,") are needed, got \(inputs.count) tensors"
            )
        }
        return (inputs[0], Array(inputs[1...times]), Condition(Array(inputs[(times + 1)...])))
    }

    /// Calls `evaluate` in this network's own precision. For networks that wrap this one, whose inputs have been
    /// checked.
    package func evaluateInOwnPrecision(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        try multiplying(in: precision) { try evaluate(x, times, condition) }
    }

    /// The outputs of a block of this network, which is computed again for the gradient where the network recomputes.
    /// - Parameter body: reads no parameters but the block's.
    func block(
        _ name: String, _ block: Module, _ inputs: Tensor..., body: @escaping ([Tensor]) throws -> [Tensor]
    ) throws -> [Tensor] {
        let values = try recomputes ? recomputed(name, block, inputs, body) : named(name) { try body(inputs) }
        try recorder?.take(name, values[0])
        return values
    }

    private func recomputed(
        _ name: String, _ block: Module, _ inputs: [Tensor], _ body: @escaping ([Tensor]) throws -> [Tensor]
    ) throws -> [Tensor] {
        let training = block.everyModule.filter(\.isTraining)
        return try recomputing(inputs, parameters: block.parameters.map(\.parameter)) { [self] inputs in
            try block.training(training) { try named(name) { try body(inputs) } }
        }
    }

    /// The times of inputs that fit, [n] each.
    func checkedInputs(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> [Tensor] {
        guard times.count == self.times else {
            throw RiffleError(kind, "the network takes \(self.times) times, got \(times.count)")
        }
        if let sampleShape, x.rank != sampleShape.rank + 1 || Shape(Array(x.shape.sizes.dropFirst())) != sampleShape {
            throw RiffleError(kind, "a batch must be [n\(sampleShape.sizes.map { ", \($0)" }.joined())] (x \(x.shape))")
        }
        guard let n = x.shape.sizes.first, x.dtype.isFloating else {
            throw RiffleError(kind, "x must be a batch of floats (x \(x.dtype) \(x.shape))")
        }
        // Times [n] are passed on as they are: `isJumpOfNoLength` compares the tensors' identities.
        let times = try times.map { t -> Tensor in
            guard t.dtype.isFloating else {
                throw RiffleError(kind, "times must be floats (times \(t.dtype) \(t.shape))")
            }
            if t.count == 1 { return try t.reshaped(to: [1]).expanded(to: [n]) }
            guard t.shape == [n] else {
                throw RiffleError(kind, "times must be [\(n)], one for each sample (x \(x.shape), times \(t.shape))")
            }
            return t
        }
        do { try conditioning.check(condition, n) } catch let error as RiffleError {
            throw RiffleError(kind, error.message)
        }
        return times
    }

    private func checked(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let times = try checkedInputs(x, times, condition)
        let result = try evaluateInOwnPrecision(x, times, condition)
        guard result.shape == x.shape, result.dtype.isFloating else {
            throw RiffleError(
                kind,
                "the network gave \(result.dtype) \(result.shape) for x \(x.dtype) \(x.shape); a velocity has the "
                    + "shape of x and is of floats"
            )
        }
        return result
    }
}

extension [Tensor] {
    /// Whether these times of jumps are one tensor twice, so that no jump has any length.
    ///
    /// Two tensors that are equal describe the same jumps; a network then computes the lengths a sample at a time,
    /// which costs more and gives the same up to rounding. So whoever means no jump passes the same tensor on.
    var isJumpOfNoLength: Bool { count == 2 && self[0] === self[1] }
}

extension Tensor {
    /// Times [n] shaped [n, 1, ...] to broadcast over samples like x [n, ...].
    package func alongside(_ x: Tensor) throws -> Tensor {
        try reshaped(to: Shape([count] + [Int](repeating: 1, count: Swift.max(x.rank - 1, 0))))
    }
}
