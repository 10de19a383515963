import CKernels

extension Op {
    static let norms: [Op] = [groupNorm, layerNorm, groupNormTangent, layerNormTangent, rmsNorm, softmax, logSoftmax]

    /// A shape of images whose channels make equal groups, the number of groups, and eps. Where a group is one number,
    /// its derivatives are differences of equal terms, which an eps of 1 keeps of order one.
    static func drawGroups(_ dice: inout Dice) -> (x: Shape, groups: Int, eps: Double) {
        let groups = dice.size(1, most: 40)
        let channels = groups * dice.size(1, most: 40)
        let pixels = dice.shape(ranks: 0...2).sizes.map { Swift.min($0, Swift.max(3, 4000 / channels)) }
        let x = Shape([dice.size(most: 5)] + pixels + [channels])
        return (x, groups, x.count == x[0] * groups ? 1 : 1e-3)
    }

    static let groupNorm: Op = Op(
        "group_norm",
        [
            Argument("x", .tensor), Argument("weight", .tensor, default: .none),
            Argument("bias", .tensor, "with a weight, or neither of them", default: .none),
            Argument("groups", .integer(1...Int.max), default: .integer(32)),
            Argument("eps", .positive, default: .number(1e-5)),
            Argument("silu", .boolean, "whether silu follows, in one pass", default: .boolean(false)),
        ],
        Doc(
            "Normalises each sample over groups of channels, then scales and shifts.",
            formula: "y = (x - mean) / sqrt(var + eps) weight + bias, or silu of it",
            shapes: "x [n, ..., channels], weight [channels], bias [channels] -> as x",
            example:
                """
                > riffle.tensor({ { 1, 3 } }):group_norm({ groups = 1 }):reshape(2)
                tensor float32 [2]: -0.999995 0.999995
                """,
            source: "Wu and He 2018"),
        keep: Keep(inputs: 0b111, outputs: 0b110), results: 1,
        samples: [
            Sample([2, 3, 4], [4], [4], with: [.integer(2), .number(1e-3), .boolean(false)]),
            Sample([2, 2, 3, 6], [6], [6], with: [.integer(3), .number(1e-3), .boolean(false)]),
            Sample([2, 5, 4], with: [.integer(2), .number(1e-3), .boolean(false)]),
            Sample([2, 3, 4], [4], [4], with: [.integer(2), .number(1e-3), .boolean(true)]),
            Sample([2, 5, 4], with: [.integer(2), .number(1e-3), .boolean(true)]),
        ],
        draw: { dice in
            let (x, groups, eps) = drawGroups(&dice)
            let silu = dice.chance(0.5)
            let scale = Shape([x.last])
            let shapes = dice.chance(0.6) ? [x, scale, scale] : [x]
            return Sample(shapes.map { .random($0, -2...2) }, [.integer(groups), .number(eps), .boolean(silu)])
        },
        mistakes: [
            Sample([2, 3, 4], [4], [4], with: [.integer(3), .number(1e-3), .boolean(false)]),
            Sample([2, 3, 4], [3], [4], with: [.integer(2), .number(1e-3), .boolean(false)]),
            Sample([6], with: [.integer(2), .number(1e-3), .boolean(false)]),
        ],
        forward: { call in
            let x = try call.inputs[0].floating()
            let channels = x.shape.last
            let groups = call.attributes.integer("groups")
            guard x.rank >= 2 else { throw RiffleError("", "x must be [n, ..., channels] (\(describe(call)))") }
            let (weight, bias) = try scaleAndShift(call, channels)
            guard channels > 0, channels % groups == 0 else {
                throw RiffleError("", "\(channels) channels do not make \(groups) equal groups (\(describe(call)))")
            }
            let n = x.shape[0]
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            let (mean, rstd) = (
                try Tensor(uninitialized: [n, groups], x.dtype), try Tensor(uninitialized: [n, groups], x.dtype)
            )
            var shape = groupNormShape(call, silu: call.attributes.boolean("silu"))
            try withExtendedLifetime((weight, bias)) {
                let inputs = rk_norm_inputs(x: x.pointer, d: nil, weight: weight?.pointer, bias: bias?.pointer)
                try workspace(
                    rk_group_norm(x.dtype.kernel, &shape, inputs, y.pointer, mean.pointer, rstd.pointer))
            }
            return [y, mean, rstd]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            if Context.current.isRecording {
                let norm = Normalisation(inGroups: call)
                return try norm.gradients(
                    call, call.attributes.boolean("silu") ? siluGrad(norm.normal(call.inputs), g) : g)
            }
            let x = call.inputs[0]
            let affine = try call.inputs.dropFirst().map { try $0.converted(to: x.dtype) },
                gy = try g.converted(to: x.dtype)
            var shape = groupNormShape(call, silu: call.attributes.boolean("silu"))
            return try withExtendedLifetime((affine, gy)) {
                let inputs = rk_norm_inputs(
                    x: x.pointer, d: nil, weight: affine.first?.pointer, bias: affine.last?.pointer)
                return try call.normGradients { grads in
                    rk_group_norm_grad(
                        x.dtype.kernel, &shape, inputs, call.outputs[1].pointer, call.outputs[2].pointer, gy.pointer,
                        grads)
                }
            }
        },
        jvp: { call, d in [try Normalisation(inGroups: call).tangent(call, d), nil, nil] },
        unfused: { call in
            call.attributes.boolean("silu") ? try Normalisation(inGroups: call).normal(call.inputs).silu() : nil
        })

    /// A shape of rows, and one of weights for the channels of all rows or of each sample; nil for no weights.
    static func drawRows(_ dice: inout Dice) -> (x: Shape, scale: Shape?) {
        let x = dice.shape(ranks: 1...4)
        let own = Shape(x.sizes.indices.map { $0 == 0 || $0 == x.rank - 1 ? x[$0] : 1 })
        return (x, dice.pick([nil, [x.last], x.rank > 1 ? own : [x.last]]))
    }

    static let layerNorm: Op = Op(
        "layer_norm",
        [
            Argument("x", .tensor), Argument("weight", .tensor, default: .none),
            Argument("bias", .tensor, "with a weight, or neither of them", default: .none),
            Argument("eps", .positive, default: .number(1e-5)),
        ],
        Doc(
            "Normalises over the last dimension, then scales and shifts.",
            formula: "y = (x - mean) / sqrt(var + eps) weight + bias",
            shapes:
                "x [..., width], weight and bias [width], or [n, 1, ..., width] for each of n samples its own -> as x",
            example: "> riffle.tensor({ 1, 3 }):layer_norm()\ntensor float32 [2]: -0.999995 0.999995",
            source: "Ba, Kiros and Hinton 2016"),
        keep: Keep(inputs: 0b11, outputs: 0b110), results: 1,
        samples: [
            Sample([3, 5], [5], [5], with: [.number(1e-3)]), Sample([2, 3, 6], with: [.number(1e-3)]),
            Sample([2, 3, 6], [2, 1, 6], [2, 1, 6], with: [.number(1e-3)]),
        ],
        draw: { dice in
            let (x, scale) = drawRows(&dice)
            let shapes = [x] + (scale.map { [$0, $0] } ?? [])
            return Sample(shapes.map { .random($0, -2...2) }, [.number(1e-3)])
        },
        mistakes: [
            Sample([3, 5], [4], [5], with: [.number(1e-3)]),
            Sample([2, 3, 5], [2, 3, 5], [2, 3, 5], with: [.number(1e-3)]), Sample([3, 5], [5], with: [.number(1e-3)]),
            Sample([], with: [.number(1e-3)]),
        ],
        forward: { call in
            let x = try call.inputs[0].floating(), width = x.shape.last, rows = x.count / Swift.max(width, 1)
            guard x.rank >= 1 else { throw RiffleError("", "x must be [..., width] (\(describe(call)))") }
            let (weight, bias) = try scaleAndShift(call, width, perSample: true)
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            let (mean, rstd) = (try Tensor(uninitialized: [rows], x.dtype), try Tensor(uninitialized: [rows], x.dtype))
            var shape = layerNormShape(call, weight)
            withExtendedLifetime((weight, bias)) {
                let inputs = rk_norm_inputs(x: x.pointer, d: nil, weight: weight?.pointer, bias: bias?.pointer)
                rk_layer_norm(x.dtype.kernel, &shape, inputs, y.pointer, mean.pointer, rstd.pointer)
            }
            return [y, mean, rstd]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            if Context.current.isRecording { return try Normalisation(rows: call).gradients(call, g) }
            let x = call.inputs[0]
            let (weight, gy) = (try call.inputs.dropFirst().first?.converted(to: x.dtype), try g.converted(to: x.dtype))
            var shape = layerNormShape(call, weight)
            return try withExtendedLifetime((weight, gy)) {
                let inputs = rk_norm_inputs(x: x.pointer, d: nil, weight: weight?.pointer, bias: nil)
                return try call.normGradients { grads in
                    rk_layer_norm_grad(
                        x.dtype.kernel, &shape, inputs, call.outputs[1].pointer, call.outputs[2].pointer, gy.pointer,
                        grads)
                }
            }
        },
        jvp: { call, d in [try Normalisation(rows: call).tangent(call, d), nil, nil] })

    static let rmsNorm: Op = composed(
        "rms_norm",
        [
            Argument("x", .tensor), Argument("weight", .tensor, default: .none),
            Argument("eps", .positive, default: .number(1e-6)),
        ],
        Doc(
            "Divides by the root mean square over the last dimension, then scales.",
            formula: "y = x / sqrt(mean(x x) + eps) weight", shapes: "x [..., width], weight [width] -> as x",
            example: """
                > riffle.tensor({ 3, 3 }):rms_norm()
                tensor float32 [2]: 1 1
                """, source: "Zhang and Sennrich 2019"),
        samples: [Sample([3, 5], [5], with: [.number(1e-3)]), Sample([2, 4], with: [.number(1e-3)])],
        draw: { dice in
            let x = dice.shape(ranks: 1...4)
            let shapes = dice.chance(0.5) ? [x] : [x, [x.last]]
            return Sample(shapes.map { .random($0, -2...2) }, [.number(1e-3)], terms: x.last)
        },
        mistakes: [Sample([3, 5], [4], with: [.number(1e-3)])],
        body: { call in
            let x = call.inputs[0]
            let normal = try x * (x.square().mean([-1], keep: true) + call.attributes.number("eps")).rsqrt()
            guard call.inputs.count > 1 else { return normal }
            guard call.inputs[1].shape == [x.shape.last] else {
                throw RiffleError(
                    "",
                    "the weight needs one number for each of \(x.shape.last) (x \(x.shape), weight "
                        + "\(call.inputs[1].shape))"
                )
            }
            return try normal * call.inputs[1]
        })

    /// Weight and bias of a norm, both or neither: a number for each channel or, where `perSample` allows that, for
    /// each channel of each sample.
    private static func scaleAndShift(_ call: Call, _ channels: Int, perSample: Bool = false) throws -> (
        Tensor?, Tensor?
    ) {
        guard call.inputs.count > 1 else { return (nil, nil) }
        let x = call.inputs[0]
        guard call.inputs.count == 3 else {
            throw RiffleError("", "give weight and bias, or neither (\(describe(call)))")
        }
        guard call.inputs[1].shape == call.inputs[2].shape, isScale(call.inputs[1].shape, of: x, perSample: perSample)
        else {
            let each = perSample ? ", or for each channel of each sample" : ""
            throw RiffleError(
                "", "weight and bias need a number for each of \(channels) channels\(each) (\(describe(call)))")
        }
        return (try call.inputs[1].converted(to: x.dtype), try call.inputs[2].converted(to: x.dtype))
    }

    /// Whether a weight scales x's channels: [channels] or, `perSample`, [n, 1, ..., channels].
    static func isScale(_ shape: Shape, of x: Tensor, perSample: Bool) -> Bool {
        let own = Shape(x.shape.sizes.indices.map { $0 == 0 || $0 == x.rank - 1 ? x.shape[$0] : 1 })
        return shape == [x.shape.last] || perSample && x.rank > 1 && shape == own
    }

    /// The sizes of a group norm, or of its tangent, as its kernels need them.
    static func groupNormShape(_ call: Call, silu: Bool) -> rk_group_norm_shape {
        let x = call.inputs[0], n = x.shape[0], channels = x.shape.last
        return rk_group_norm_shape(
            n: n, pixels: x.count / Swift.max(n * channels, 1), channels: channels,
            groups: call.attributes.integer("groups"), eps: call.attributes.number("eps"), silu: silu)
    }

    /// The sizes of a layer norm, or of its tangent, as its kernels need them; a weight may hold sets of channels.
    static func layerNormShape(_ call: Call, _ weight: Tensor?) -> rk_layer_norm_shape {
        let x = call.inputs[0], width = x.shape.last
        return rk_layer_norm_shape(
            rows: x.count / Swift.max(width, 1), width: width,
            sets: weight.map { $0.count / Swift.max($0.shape.last, 1) } ?? 1, eps: call.attributes.number("eps"))
    }

    /// Names and shapes of a call's inputs, for messages.
    static func describe(_ call: Call, as names: [String] = ["x", "weight", "bias"]) -> String {
        zip(names, call.inputs).map { "\($0) \($1.shape)" }.joined(separator: ", ")
    }

    static let softmax: Op = normaliser(
        "softmax", logarithm: false,
        Doc(
            "Exponentials over their sum along the last dimension.", formula: "y = e^x / sum(e^x)",
            example: "> riffle.tensor({ 0, 0 }):softmax()\ntensor float32 [2]: 0.5 0.5"))
    static let logSoftmax: Op = normaliser(
        "log_softmax", logarithm: true,
        Doc(
            "The logarithm of softmax.", formula: "y = x - ln(sum(e^x))",
            example: "> riffle.tensor({ 0, 0 }):log_softmax()\ntensor float32 [2]: -0.693147 -0.693147"))

    private static func normaliser(_ name: String, logarithm: Bool, _ doc: Doc) -> Op {
        Op(
            name, [Argument("x", .tensor)], doc, keep: .outputs,
            samples: [Sample([3, 5]), Sample([2, 1]), Sample([2, 3, 4])],
            draw: { dice in Sample(dice.shape(ranks: 1...4)) }, mistakes: [Sample([] as Shape)],
            forward: { call in
                let x = try call.inputs[0].floating()
                guard x.rank >= 1 else { throw RiffleError("", "x must have a dimension to sum over (x \(x.shape))") }
                let y = try Tensor(uninitialized: x.shape, x.dtype)
                rk_softmax(
                    x.dtype.kernel, logarithm, x.count / Swift.max(x.shape.last, 1), x.shape.last, x.pointer, y.pointer)
                return [y]
            },
            vjp: { call, g in
                guard let g = g[0] else { return [nil] }
                let y = call.output
                if Context.current.isRecording {
                    if logarithm { return [try g - y.exp() * g.sum([-1], keep: true)] }
                    return [try y * (g - (g * y).sum([-1], keep: true))]
                }
                let gx = try Tensor(uninitialized: y.shape, y.dtype)
                rk_softmax_grad(
                    y.dtype.kernel, logarithm, y.count / Swift.max(y.shape.last, 1), y.shape.last, y.pointer, g.pointer,
                    gx.pointer)
                return [gx]
            },
            jvp: { call, d in
                guard let d = d[0] else { return [nil] }
                let y = call.output
                if logarithm { return [try d - (y.exp() * d).sum([-1], keep: true)] }
                return [try y * (d - (y * d).sum([-1], keep: true))]
            })
    }
}

extension Op.Call {
    /// The gradients of a norm's input, weight and bias, by the norm's fused kernel.
    fileprivate func normGradients(kernel: (rk_norm_grads) -> Bool) throws -> [Tensor?] {
        let x = inputs[0], affine = inputs.count > 1 && (wants(1) || wants(2))
        let gx = try Tensor(uninitialized: x.shape, x.dtype)
        let gw = affine ? try Tensor(uninitialized: inputs[1].shape, x.dtype) : nil
        let gb = affine ? try Tensor(uninitialized: inputs[2].shape, x.dtype) : nil
        try Op.workspace(kernel(rk_norm_grads(x: gx.pointer, d: nil, weight: gw?.pointer, bias: gb?.pointer)))
        return [gx, gw, gb]
    }
}
