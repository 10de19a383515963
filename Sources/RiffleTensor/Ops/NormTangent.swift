import CKernels

// The tangents of norms are operations of their own, with fused gradients: losses that differentiate through a
// derivative in time (LFMD and its kin) would otherwise spend a third of a U-Net's time in the norms.

extension Op {
    static let groupNormTangent: Op = Op(
        "group_norm_tangent",
        [
            Argument("x", .tensor), Argument("d", .tensor), Argument("weight", .tensor, default: .none),
            Argument("groups", .integer(1...Int.max), default: .integer(32)),
            Argument("eps", .positive, default: .number(1e-5)),
        ],
        Doc(
            "The derivative of group_norm along the tangent d of x.",
            formula: "y = weight (d - mean(d) - n mean(d n)) / sqrt(var(x) + eps), n the normal x",
            shapes: "x and d [n, ..., channels], weight [channels] -> as x",
            example:
                """
                > local x, d = riffle.tensor { { -1, 1 } }, riffle.tensor { { 1, 1 } }
                > riffle.group_norm_tangent(x, d, { groups = 1 }):sum():item()
                0.0
                """
        ),
        keep: Keep(inputs: .max, outputs: 0b110), results: 1,
        samples: [
            Sample([2, 3, 4], [2, 3, 4], [4], with: [.integer(2), .number(1e-3)]),
            Sample([2, 2, 3, 6], [2, 2, 3, 6], with: [.integer(3), .number(1e-3)]),
        ],
        draw: { dice in
            let (x, groups, eps) = drawGroups(&dice)
            let shapes = dice.chance(0.5) ? [x, x] : [x, x, [x.last]]
            return Sample(shapes.map { .random($0, -2...2) }, [.integer(groups), .number(eps)])
        },
        mistakes: [
            Sample([2, 3, 4], [2, 3, 4], [3], with: [.integer(2), .number(1e-3)]),
            Sample([2, 3, 4], [2, 3, 2], with: [.integer(2), .number(1e-3)]),
            Sample([], [], with: [.integer(1), .number(1e-3)]),
        ],
        forward: { call in
            let (x, d, weight) = try tangentInputs(call)
            let channels = x.shape.last
            let groups = call.attributes.integer("groups")
            guard x.rank >= 2, channels % groups == 0, weight.map({ $0.shape == [channels] }) ?? true else {
                throw RiffleError(
                    "",
                    "x must be [n, ..., channels], with channels for \(groups) equal groups and a weight for each "
                        + "(\(describeTangent(call)))"
                )
            }
            let n = x.shape[0]
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            let (mean, rstd) = (
                try Tensor(uninitialized: [n, groups], x.dtype), try Tensor(uninitialized: [n, groups], x.dtype)
            )
            var shape = groupNormShape(call, silu: false)
            try withExtendedLifetime((d, weight)) {
                let inputs = rk_norm_inputs(x: x.pointer, d: d.pointer, weight: weight?.pointer, bias: nil)
                try workspace(
                    rk_group_norm_tangent(x.dtype.kernel, &shape, inputs, y.pointer, mean.pointer, rstd.pointer))
            }
            return [y, mean, rstd]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            if Context.current.isRecording { return try Normalisation(inGroups: call).tangentGradients(call, g) }
            var shape = groupNormShape(call, silu: false)
            return try call.tangentGradients(g) { inputs, gy, grads in
                rk_group_norm_tangent_grad(
                    call.inputs[0].dtype.kernel, &shape, inputs, call.outputs[1].pointer, call.outputs[2].pointer,
                    gy.pointer, grads)
            }
        },
        jvp: { call, tangents in [try Normalisation(inGroups: call).tangentTangent(call, tangents), nil, nil] })

    static let layerNormTangent: Op = Op(
        "layer_norm_tangent",
        [
            Argument("x", .tensor), Argument("d", .tensor), Argument("weight", .tensor, default: .none),
            Argument("eps", .positive, default: .number(1e-5)),
        ],
        Doc(
            "The derivative of layer_norm along the tangent d of x.",
            formula: "y = weight (d - mean(d) - n mean(d n)) / sqrt(var(x) + eps), n the normal x",
            shapes: "x and d [..., width], weight [width], or [n, 1, ..., width] for each of n samples its own -> as x",
            example: """
                > riffle.layer_norm_tangent(riffle.tensor({ -1, 1 }), riffle.tensor({ 1, 1 })):sum():item()
                0.0
                """),
        keep: Keep(inputs: .max, outputs: 0b110), results: 1,
        samples: [
            Sample([3, 5], [3, 5], [5], with: [.number(1e-3)]), Sample([2, 3, 6], [2, 3, 6], with: [.number(1e-3)]),
            Sample([2, 3, 6], [2, 3, 6], [2, 1, 6], with: [.number(1e-3)]),
        ],
        draw: { dice in
            let (x, scale) = drawRows(&dice)
            let shapes = [x, x] + (scale.map { [$0] } ?? [])
            return Sample(shapes.map { .random($0, -2...2) }, [.number(1e-3)])
        },
        mistakes: [
            Sample([3, 5], [3, 5], [4], with: [.number(1e-3)]), Sample([3, 5], [3, 4], with: [.number(1e-3)]),
            Sample([], [], with: [.number(1e-3)]),
        ],
        forward: { call in
            let (x, d, weight) = try tangentInputs(call), width = x.shape.last, rows = x.count / Swift.max(width, 1)
            guard x.rank >= 1, weight.map({ isScale($0.shape, of: x, perSample: true) }) ?? true else {
                throw RiffleError(
                    "", "x must be [..., width], with a weight for each of \(width) (\(describeTangent(call)))")
            }
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            let (mean, rstd) = (try Tensor(uninitialized: [rows], x.dtype), try Tensor(uninitialized: [rows], x.dtype))
            var shape = layerNormShape(call, weight)
            withExtendedLifetime((d, weight)) {
                let inputs = rk_norm_inputs(x: x.pointer, d: d.pointer, weight: weight?.pointer, bias: nil)
                rk_layer_norm_tangent(x.dtype.kernel, &shape, inputs, y.pointer, mean.pointer, rstd.pointer)
            }
            return [y, mean, rstd]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            if Context.current.isRecording { return try Normalisation(rows: call).tangentGradients(call, g) }
            var shape = layerNormShape(call, call.weight)
            return try call.tangentGradients(g) { inputs, gy, grads in
                rk_layer_norm_tangent_grad(
                    call.inputs[0].dtype.kernel, &shape, inputs, call.outputs[1].pointer, call.outputs[2].pointer,
                    gy.pointer, grads)
            }
        },
        jvp: { call, tangents in [try Normalisation(rows: call).tangentTangent(call, tangents), nil, nil] })

    /// x, d and the weight in x's type.
    private static func tangentInputs(_ call: Call) throws -> (x: Tensor, d: Tensor, weight: Tensor?) {
        let x = try call.inputs[0].floating()
        guard call.inputs[1].shape == x.shape else {
            throw RiffleError("", "x and d need one shape (\(describeTangent(call)))")
        }
        return (x, try call.inputs[1].converted(to: x.dtype), try call.weight?.converted(to: x.dtype))
    }

    private static func describeTangent(_ call: Call) -> String { describe(call, as: ["x", "d", "weight"]) }
}

extension Op.Call {
    fileprivate var weight: Tensor? { inputs.count > 2 ? inputs[2] : nil }

    /// The gradients of a norm's tangent for x, d and weight, by the tangent's fused kernel, which gets inputs and gy
    /// in x's type.
    fileprivate func tangentGradients(
        _ g: Tensor, kernel: (rk_norm_inputs, Tensor, rk_norm_grads) -> Bool
    ) throws -> [Tensor?] {
        let x = inputs[0]
        let d = try inputs[1].converted(to: x.dtype)
        let weight = try weight?.converted(to: x.dtype)
        let gy = try g.converted(to: x.dtype)
        let gx = try Tensor(uninitialized: x.shape, x.dtype)
        let gd = try Tensor(uninitialized: x.shape, x.dtype)
        let gw = try weight.flatMap { wants(2) ? try Tensor(uninitialized: $0.shape, x.dtype) : nil }
        let grads = rk_norm_grads(x: gx.pointer, d: gd.pointer, weight: gw?.pointer, bias: nil)
        try withExtendedLifetime((d, weight, gy)) {
            let inputs = rk_norm_inputs(x: x.pointer, d: d.pointer, weight: weight?.pointer, bias: nil)
            try Op.workspace(kernel(inputs, gy, grads))
        }
        return [gx, gd] + (weight == nil ? [] : [gw])
    }
}

/// A norm without its weight and bias, as the rules of norms and of their tangents see it.
///
/// Its Jacobian J is symmetric, and so is its second derivative: gradients and tangents are the same functions.
struct Normalisation {
    /// How many groups of channels are normalised, each within a sample; nil where the last dimension is normalised.
    let groups: Int?
    let eps: Double

    init(inGroups call: Op.Call) {
        groups = call.attributes.integer("groups")
        eps = call.attributes.number("eps")
    }

    init(rows call: Op.Call) {
        groups = nil
        eps = call.attributes.number("eps")
    }

    private var settings: [Value] { (groups.map { [.integer($0)] } ?? []) + [.number(eps)] }

    /// The norm of x, with weight and bias where they are given, and without silu.
    func normal(_ inputs: [Tensor]) throws -> Tensor {
        try (groups == nil ? Op.layerNorm : Op.groupNorm).apply(inputs, settings)[0]
    }

    /// weight J d.
    private func along(_ x: Tensor, _ d: Tensor, _ weight: Tensor? = nil) throws -> Tensor {
        try (groups == nil ? Op.layerNormTangent : Op.groupNormTangent).apply(
            [x, d] + [weight].compactMap { $0 }, settings)[0]
    }

    /// The derivative of J a along the tangent b of x:
    /// -r^2 (n (<a b> - <a><b> - 3 <a n><b n>) + <b n> (a - <a>) + <a n> (b - <b>)), with n the normal x, r its factor
    /// and means over the group written < >.
    private func curve(_ x: Tensor, _ a: Tensor, _ b: Tensor) throws -> Tensor {
        let whole = x.shape
        let split: Shape =
            groups.map { [x.shape[0], x.shape.sizes[1..<(x.rank - 1)].reduce(1, *), $0, x.shape.last / $0] } ?? x.shape
        let over = groups == nil ? [-1] : [1, 3]
        let x = try x.reshaped(to: split)
        let a = try a.reshaped(to: split)
        let b = try b.reshaped(to: split)
        func centred(_ x: Tensor) throws -> Tensor { try x - x.mean(over, keep: true) }
        func mean(_ a: Tensor, _ b: Tensor) throws -> Tensor { try (a * b).mean(over, keep: true) }
        let offset = try centred(x)
        let u = try centred(a)
        let v = try centred(b)
        let factor = try (mean(offset, offset) + eps).rsqrt()
        let normal = try offset * factor
        let un = try mean(u, normal)
        let vn = try mean(v, normal)
        let sum = try normal * (mean(u, v) - un * vn * 3) + vn * u + un * v
        return try -(factor.square() * sum).reshaped(to: whole)
    }

    // MARK: - Rules

    /// Gradients of a norm, recorded.
    func gradients(_ call: Op.Call, _ g: Tensor) throws -> [Tensor?] {
        let x = call.inputs[0]
        guard call.inputs.count > 1 else { return [try along(x, g)] }
        return [
            call.wants(0) ? try along(x, g * call.inputs[1]) : nil,
            call.wants(1) ? try (g * normal([x])).reduced(to: call.inputs[1].shape) : nil,
            call.wants(2) ? try g.reduced(to: call.inputs[2].shape) : nil,
        ]
    }

    /// The tangent of a norm.
    func tangent(_ call: Op.Call, _ d: [Tensor?]) throws -> Tensor? {
        let x = call.inputs[0]
        let direct = try d[0].map { try along(x, $0, call.inputs.count > 1 ? call.inputs[1] : nil) }
        guard d.count > 1 else { return direct }
        let affine =
            try d[1].map { try normal([x, $0, d[2] ?? .zeros($0.shape, $0.dtype)]) }
            ?? d[2].map { try $0.expanded(to: x.shape) }
        return try Op.total([direct, affine])
    }

    /// Gradients of a norm's tangent, recorded.
    func tangentGradients(_ call: Op.Call, _ g: Tensor) throws -> [Tensor?] {
        let x = call.inputs[0]
        let d = call.inputs[1]
        let weighted = try call.weight.map { try g * $0 } ?? g
        let towards = [
            call.wants(0) ? try curve(x, weighted, d) : nil,
            call.wants(1) ? try along(x, weighted) : nil,
        ]
        return try towards
            + (call.weight.map { [call.wants(2) ? try (g * along(x, d)).reduced(to: $0.shape) : nil] } ?? [])
    }

    /// The tangent of a norm's tangent.
    func tangentTangent(_ call: Op.Call, _ tangents: [Tensor?]) throws -> Tensor? {
        let x = call.inputs[0]
        let d = call.inputs[1]
        let curved = try tangents[0].map { try curve(x, d, $0) }
        return try Op.total([
            curved.map { curved in try call.weight.map { try curved * $0 } ?? curved },
            tangents[1].map { try along(x, $0, call.weight) },
            tangents.count > 2 ? tangents[2].map { try along(x, d, $0) } : nil,
        ])
    }
}
