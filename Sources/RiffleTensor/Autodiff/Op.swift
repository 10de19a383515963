import CKernels

/// One differentiable operation: the single source for Swift, Lua, help, documentation and tests.
package final class Op: Sendable {
    /// One application of an operation, as a rule sees it.
    package struct Call {
        /// The row that is applied.
        let op: Op
        let inputs: [Tensor]
        /// The arguments that are no tensors, by the names that the row declares.
        let attributes: Arguments
        var outputs: [Tensor] = []
        /// Whether a gradient is wanted, for each input; set in `vjp` only.
        var wanted: [Bool] = []

        /// The only output, or the first.
        var output: Tensor { outputs[0] }
        /// The same operation applied to other tensors, with the same attributes.
        func again(_ inputs: Tensor...) throws -> Tensor { try op.apply(inputs, attributes.values)[0] }
        func wants(_ input: Int) -> Bool { wanted[input] }
    }

    /// The tensors whose numbers the rules read, and which the tape keeps. Shapes are always kept.
    package struct Keep: Sendable {
        /// A bit for each input.
        var inputs: UInt32 = 0
        /// A bit for each output.
        var outputs: UInt32 = 0

        static let nothing = Keep()
        static let inputs = Keep(inputs: .max)
        static let outputs = Keep(outputs: .max)
        static let everything = Keep(inputs: .max, outputs: .max)
        func contains(input index: Int) -> Bool { inputs & (1 << UInt32(index)) != 0 }
        func contains(output index: Int) -> Bool { outputs & (1 << UInt32(index)) != 0 }
    }

    /// The operation for a tensor and a plain number.
    package struct Scalar: Sendable {
        /// For a number behind the tensor.
        let behind: @Sendable (Tensor, Double) throws -> Tensor
        /// For a number before the tensor; nil where the number has to be made a tensor.
        var before: (@Sendable (Double, Tensor) throws -> Tensor)?
    }

    package enum Kind: Sendable {
        /// Has rules of its own.
        case primitive
        /// Lets no gradient or tangent pass: its results count as constants.
        case constant
        /// Made of other operations, whose rules apply.
        case composed
    }

    package typealias Forward = @Sendable (Call) throws -> [Tensor]
    /// Turns gradients of the outputs into gradients of the inputs; nil is zero. Broadcast inputs may get the broadcast
    /// gradient.
    package typealias VJP = @Sendable (Call, [Tensor?]) throws -> [Tensor?]
    /// Turns tangents of the inputs into tangents of the outputs; nil is zero. Written in operations, so that tangents
    /// can be differentiated.
    package typealias JVP = @Sendable (Call, [Tensor?]) throws -> [Tensor?]
    /// Draws an application for tests.
    package typealias Draw = @Sendable (inout Dice) -> Sample

    package let name: String
    package let arguments: [Argument]
    package let doc: Doc
    /// The arguments that are no tensors.
    private let attributes: [Argument]
    package let keep: Keep
    package let kind: Kind
    /// How many outputs a caller gets, or .max for a list of all; the others are for the rules alone.
    package let results: Int
    package let forward: Forward
    package let vjp: VJP
    package let jvp: JVP
    /// For an operation that fuses several others: the same result by these others, for forward mode, with one output
    /// and the same errors. Nil where the operation fuses nothing.
    package let unfused: @Sendable (Call) throws -> Tensor?
    package let samples: [Sample]
    /// Draws applications of all sizes and options for the fuzzer.
    package let draw: Draw?
    /// Arithmetic with a plain number, which needs no second tensor.
    package let scalar: Scalar?
    /// The inputs that may be bfloat16, a bit for each; all others are widened to float32 first.
    package let bfloat16: UInt32
    /// Whether an element of the result depends on one element of each input alone.
    package let isPointwise: Bool
    package let mistakes: [Sample]

    package init(
        _ name: String, _ arguments: [Argument], _ doc: Doc, keep: Keep = .inputs, kind: Kind = .primitive,
        results: Int = 1, bfloat16: UInt32 = 0, isPointwise: Bool = false,
        scalar: Scalar? = nil, samples: [Sample], draw: Draw? = nil, mistakes: [Sample], forward: @escaping Forward,
        vjp: @escaping VJP,
        jvp: @escaping JVP, unfused: @escaping @Sendable (Call) throws -> Tensor? = { _ in nil }
    ) {
        self.kind = kind
        self.results = results
        self.name = name
        self.arguments = arguments
        self.doc = doc
        self.keep = keep
        self.samples = samples
        self.draw = draw
        self.bfloat16 = bfloat16
        self.isPointwise = isPointwise
        self.scalar = scalar
        attributes = arguments.filter { !$0.type.isOfTensors }
        self.mistakes = mistakes
        self.forward = forward
        self.vjp = vjp
        self.jvp = jvp
        self.unfused = unfused
    }

    /// An operation whose results are constants: whole numbers, comparisons, detached values.
    package convenience init(
        notDifferentiable name: String, _ arguments: [Argument], _ doc: Doc, isPointwise: Bool = false,
        samples: [Sample], draw: Draw? = nil, mistakes: [Sample], forward: @escaping Forward
    ) {
        self.init(
            name, arguments, doc, keep: .nothing, kind: .constant, isPointwise: isPointwise, samples: samples,
            draw: draw,
            mistakes: mistakes, forward: forward,
            vjp: { call, _ in call.inputs.map { _ in nil } }, jvp: { call, _ in call.outputs.map { _ in nil } })
    }

    /// An operation made of others.
    package static func composed(
        _ name: String, _ arguments: [Argument], _ doc: Doc, samples: [Sample], draw: Draw? = nil, mistakes: [Sample],
        body: @escaping @Sendable (Call) throws -> Tensor
    ) -> Op {
        Op(
            name, arguments, doc, keep: .nothing, kind: .composed, samples: samples, draw: draw, mistakes: mistakes,
            forward: { [try body($0)] }, vjp: { call, _ in call.inputs.map { _ in nil } }, jvp: { _, _ in [nil] })
    }

    /// One application, as rules see it.
    func call(
        _ inputs: [Tensor], _ attributes: [Value] = [], outputs: [Tensor] = [], wanted: [Bool] = []
    ) -> Call {
        precondition(
            attributes.count <= self.attributes.count,
            "\(name) declares \(self.attributes.count) attributes, got \(attributes.count)")
        return Call(
            op: self, inputs: inputs, attributes: Arguments(attributes, self.attributes), outputs: outputs,
            wanted: wanted)
    }

    /// Applies an operation that has one output.
    package func callAsFunction(_ inputs: Tensor..., with attributes: Value...) throws -> Tensor {
        try apply(inputs, attributes)[0]
    }

    /// Computes the outputs, with their tangents where inputs carry some, and records what reverse mode needs.
    package func apply(_ inputs: [Tensor], _ attributes: [Value] = []) throws -> [Tensor] {
        try Interrupt.check()
        let context = Context.current
        if let profiler = context.profiler {
            return try profiler.measure(name) { try dispatch(context, inputs, attributes) }
        }
        return try dispatch(context, inputs, attributes)
    }

    private func dispatch(_ context: Context, _ inputs: [Tensor], _ attributes: [Value]) throws -> [Tensor] {
        if kind == .composed { return try compute(inputs, attributes) }
        if inputs.contains(where: { $0.dtype == .bfloat16 }) {
            let given = try inputs.enumerated().map { index, input in
                bfloat16 & 1 << UInt32(index) == 0 ? try input.widened() : input
            }
            return try evaluate(context, given, attributes)
        }
        return try evaluate(context, inputs, attributes)
    }

    /// The outputs for inputs of types that the operation knows.
    private func evaluate(_ context: Context, _ inputs: [Tensor], _ attributes: [Value]) throws -> [Tensor] {
        if inputs.contains(where: { $0.dual != nil }) {
            let inputs = inputs.map(context.withoutClosedLevels)
            if let level = inputs.compactMap({ $0.dual?.level }).max() {
                if let result = try unfused(call(inputs, attributes)) { return [result] }
                return try applyForwardMode(level, inputs, attributes)
            }
            return try evaluate(context, inputs, attributes)
        }
        let outputs = try compute(inputs, attributes)
        if context.guardsAgainstNaN { try checkFinite(outputs, from: inputs) }
        if kind == .primitive, context.isRecording, inputs.contains(where: \.needsGradient) {
            context.tape.append(
                self, attributes, inputs: inputs, outputs: outputs, precision: context.precision,
                location: context.guardsAgainstNaN ? context.callLocation() : "")
        }
        return outputs
    }

    private func compute(_ inputs: [Tensor], _ attributes: [Value]) throws -> [Tensor] {
        do {
            return try forward(call(inputs, attributes))
        } catch var error as RiffleError {
            // The error names the composed operation, which the user called, rather than one of its parts.
            if kind == .composed || error.operation.isEmpty { error.operation = name }
            throw error
        }
    }

    private func applyForwardMode(_ level: Int, _ inputs: [Tensor], _ attributes: [Value]) throws -> [Tensor] {
        let primals = inputs.map { $0.primal(at: level) }
        let outputs = try apply(primals, attributes)
        let call = call(primals, attributes, outputs: outputs)
        let isConstant = Context.current.constantLevels.contains(level)
        let tangents =
            try isConstant
            ? withoutGradient { try jvp(call, inputs.map { $0.tangent(at: level) }) }
            : jvp(call, inputs.map { $0.tangent(at: level) })
        return try zip(outputs, tangents).map { output, tangent in
            try tangent.map { output.dual(level, tangent: try $0.cast(output.dtype)) } ?? output
        }
    }
}

extension Op {
    /// Stops at the first operation that makes NaN or infinity out of finite numbers.
    private func checkFinite(_ outputs: [Tensor], from inputs: [Tensor]) throws {
        for output in outputs where output.dtype.isFloating {
            let bad = output.nonfiniteCount
            guard bad > 0 else { continue }
            let shapes = zip(arguments, inputs).map { argument, input in
                let nonfinite = input.nonfiniteCount
                return "\(argument.name) \(input.shape)" + (nonfinite > 0 ? " with \(nonfinite) not finite" : "")
            }
            throw RiffleError(
                name, "\(bad) of \(output.count) results are NaN or infinite (\(shapes.joined(separator: ", ")))")
        }
    }
}

extension Op {
    /// Stops where a rule makes NaN or infinity out of finite gradients, also in its fused kernels.
    /// - Parameters:
    ///   - location: the line of the user's code that recorded the operation; empty where the line is unknown.
    ///   - rule: computes the gradients of the inputs.
    func guardingAgainstNaN(_ gradients: [Tensor?], location: String, _ rule: () throws -> [Tensor?]) throws
        -> [Tensor?]
    {
        func recorded(_ problem: String) -> RiffleError {
            let origin = location.isEmpty ? "" : "; it was computed at \(location)"
            return RiffleError(name, "in its gradient \(problem)" + origin)
        }
        func isFinite(_ x: Tensor?) -> Bool { x?.nonfiniteCount ?? 0 == 0 }
        let results: [Tensor?]
        do {
            results = try rule()
        } catch let error as RiffleError where error.kind == .mistake {
            throw recorded(error.description)
        }
        guard gradients.allSatisfy(isFinite), let bad = results.firstIndex(where: { !isFinite($0) }) else {
            return results
        }
        let input = bad < arguments.count ? arguments[bad].name : "input \(bad + 1)"
        throw recorded("numbers for \(input) are NaN or infinite")
    }
}
