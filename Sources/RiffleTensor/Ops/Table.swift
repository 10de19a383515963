import CKernels

extension Op {
    /// The table of operations: every family's rows.
    package static let all: [Op] =
        elementwise + binary + reductions + orders + shapes + slices + indexing + linear + convolutions + pools + norms
        + attentions

    /// The operation as a function that Lua can call: tensors first, then attributes, as the arguments are declared.
    package var function: Function {
        Function(name, arguments, doc) { [self] values in
            if let scalar = try withScalar(values) { return [.tensor(scalar)] }
            var inputs: [Tensor] = []
            var attributes: [Value] = []
            for (index, argument) in arguments.enumerated() {
                switch argument.type {
                case .tensor: if values.has(index) { inputs.append(values.tensor(index)) }
                case .tensors: inputs += values.tensors(index)
                case .operand: inputs.append(try values.operand(index, beside: values.values))
                default: attributes.append(values[index])
                }
            }
            let outputs = try apply(inputs, attributes).map(Value.tensor)
            return results == .max ? [.list(outputs)] : Array(outputs.prefix(results))
        }
    }

    private func withScalar(_ values: Arguments) throws -> Tensor? {
        guard let scalar, values.values.count == 2 else { return nil }
        if let x = values.optionalTensor(0), let number = values.optionalNumber(1) {
            return try scalar.behind(x, number)
        }
        if let number = values.optionalNumber(0), let x = values.optionalTensor(1) {
            return try scalar.before?(number, x)
        }
        return nil
    }
}

extension Arguments {
    /// A tensor, or a number as a tensor of the type of the tensor beside it.
    fileprivate func operand(_ index: Int, beside others: [Value]) throws -> Tensor {
        if let tensor = optionalTensor(index) { return tensor }
        let partner = others.indices.lazy.compactMap { optionalTensor($0) }.first { $0.dtype.isFloating }
        return try .scalar(number(index), partner?.dtype ?? .float32)
    }
}

// MARK: - Rows of the commonest forms

extension Op {
    /// Runs a kernel that needs work space, and throws the usual error where memory for that runs out.
    static func workspace(_ kernel: @autoclosure () -> Bool) throws { try Memory.taking(workspace: kernel) }

    /// An operation on each element by itself: one tensor in, one of the same shape out.
    package static func elementwise(
        _ name: String, _ doc: Doc, kernel: rk_unary_op, in domain: ClosedRange<Double> = -2...2, keep: Keep = .inputs,
        derivative: @escaping @Sendable (_ x: Tensor, _ y: Tensor) throws -> Tensor?
    ) -> Op {
        let rule: @Sendable (Call, [Tensor?]) throws -> [Tensor?] = { call, incoming in
            guard let incoming = incoming[0], let slope = try derivative(call.inputs[0], call.output) else {
                return [nil]
            }
            return [try incoming * slope]
        }
        return elementwise(name, doc, kernel: kernel, in: domain, keep: keep, rule: rule)
    }

    /// The same, with a rule that gives the product of derivative and incoming gradient or tangent.
    package static func elementwise(
        _ name: String, _ doc: Doc, kernel: rk_unary_op, in domain: ClosedRange<Double> = -2...2, keep: Keep = .inputs,
        rule: @escaping @Sendable (Call, [Tensor?]) throws -> [Tensor?]
    ) -> Op {
        Op(
            name, [Argument("x", .tensor)], doc, keep: keep, isPointwise: true, samples: samples(in: domain),
            draw: { dice in Sample(dice.shape(), in: domain) }, mistakes: [],
            forward: { [try unary(kernel, $0.inputs[0])] }, vjp: rule, jvp: rule)
    }

    /// A function that is constant between its steps.
    package static func stepwise(
        _ name: String, _ doc: Doc, kernel: rk_unary_op, in domain: ClosedRange<Double> = -2...2
    ) -> Op {
        Op(
            notDifferentiable: name, [Argument("x", .tensor)], doc, isPointwise: true, samples: samples(in: domain),
            draw: { dice in Sample(dice.shape(), in: domain) }, mistakes: [],
            forward: { [try unary(kernel, $0.inputs[0])] })
    }

    private static func samples(in domain: ClosedRange<Double>) -> [Sample] {
        [Sample([], in: domain), Sample([3, 5], in: domain), Sample([0, 2], in: domain), Sample([37], in: domain)]
    }

    private static func unary(_ kernel: rk_unary_op, _ x: Tensor) throws -> Tensor {
        let knowsIntegers = [RK_NEG, RK_ABS, RK_SIGN, RK_SQUARE].map(\.rawValue).contains(kernel.rawValue)
        let y = try Tensor(uninitialized: knowsIntegers ? x.shape : x.floating().shape, x.dtype)
        rk_unary(kernel, x.dtype.kernel, x.pointer, y.pointer, x.count)
        return y
    }

    /// An operation linear in all its tensors at once: its tangent is the operation applied to the tangents.
    package static func linearMap(
        _ name: String, _ arguments: [Argument], _ doc: Doc, samples: [Sample], draw: Draw? = nil, mistakes: [Sample],
        bfloat16: UInt32 = 0, forward: @escaping Forward, vjp: @escaping VJP
    ) -> Op {
        Op(
            name, arguments, doc, keep: .nothing, bfloat16: bfloat16, samples: samples, draw: draw, mistakes: mistakes,
            forward: forward,
            vjp: vjp,
            jvp: { call, tangents in
                guard tangents.contains(where: { $0 != nil }) else { return call.outputs.map { _ in nil } }
                let given = try zip(tangents, call.inputs).map { try $0 ?? Tensor.zeros($1.shape, $1.dtype) }
                return try call.op.apply(given, call.attributes.values)
            })
    }
}

extension Tensor {
    /// - Throws: `RiffleError` when the tensor holds integers.
    package func floating() throws -> Tensor {
        guard dtype.isFloating else {
            throw RiffleError(
                "", "an int32 tensor where floats are needed (x \(shape)); convert it with x:to(\"float32\")")
        }
        return self
    }

    /// The dimension counted from 0; negative numbers count from the end. Messages count from 1, as Lua does.
    package func dimension(_ dim: Int, _ operation: String = "") throws -> Int {
        let index = dim < 0 ? dim + rank : dim
        guard index >= 0, index < rank else {
            let number = dim < 0 ? dim : dim + 1
            throw RiffleError(
                operation, "dimension \(number) is out of range for a tensor of \(rank) dimensions, \(shape)")
        }
        return index
    }
}
