import CKernels

extension Op {
    static let elementwise: [Op] = [
        negate, abs, sign, square, sqrt, rsqrt, reciprocal, exp, log, sin, cos, tanh, sigmoid, erf,
        relu, silu, gelu, geluErf, softplus, floor, ceil, round, isFinite, isNaN, affine, power, clamp, cast, detach,
    ]

    static let negate: Op = elementwise(
        "neg",
        Doc(
            "Turns the sign.", formula: "y = -x",
            example: """
                > riffle.tensor({ 1, -2 }):neg()
                tensor float32 [2]: -1 2
                """),
        kernel: RK_NEG, keep: .nothing, rule: { _, incoming in [try incoming[0].map { try -$0 }] })

    static let abs: Op = elementwise(
        "abs",
        Doc(
            "The absolute value.", formula: "y = |x|",
            example: "> riffle.tensor({ 1, -2 }):abs()\ntensor float32 [2]: 1 2"),
        kernel: RK_ABS, in: 0.2...2, derivative: { x, _ in try x.sign() })

    static let sign: Op = stepwise(
        "sign",
        Doc(
            "1 above zero, -1 below, 0 at zero.",
            example: "> riffle.tensor({ 3, -2, 0 }):sign()\ntensor float32 [3]: 1 -1 0"),
        kernel: RK_SIGN, in: 0.2...2)

    static let square: Op = elementwise(
        "square",
        Doc("The square.", formula: "y = x x", example: "> riffle.tensor({ 3, -2 }):square()\ntensor float32 [2]: 9 4"),
        kernel: RK_SQUARE, derivative: { x, _ in try x * 2 })

    static let sqrt: Op = elementwise(
        "sqrt",
        Doc(
            "The square root.", formula: "y = sqrt(x)",
            example: "> riffle.tensor({ 9, 4 }):sqrt()\ntensor float32 [2]: 3 2"),
        kernel: RK_SQRT, in: 0.3...3, keep: .outputs, derivative: { _, y in try y.reciprocal() * 0.5 })

    static let rsqrt: Op = elementwise(
        "rsqrt",
        Doc(
            "One over the square root.", formula: "y = 1 / sqrt(x)",
            example: "> riffle.tensor({ 4, 16 }):rsqrt()\ntensor float32 [2]: 0.5 0.25"),
        kernel: RK_RSQRT, in: 0.3...3, keep: .outputs, derivative: { _, y in try y * y * y * -0.5 })

    static let reciprocal: Op = elementwise(
        "reciprocal",
        Doc(
            "One over x.", formula: "y = 1 / x",
            example: "> riffle.tensor({ 4, -2 }):reciprocal()\ntensor float32 [2]: 0.25 -0.5"),
        kernel: RK_RECIPROCAL, in: 0.3...3, keep: .outputs, derivative: { _, y in try -(y.square()) })

    static let exp: Op = elementwise(
        "exp",
        Doc(
            "The exponential.", formula: "y = e^x",
            example: "> riffle.tensor({ 0, 1 }):exp()\ntensor float32 [2]: 1 2.71828"),
        kernel: RK_EXP, keep: .outputs, derivative: { _, y in y })

    static let log: Op = elementwise(
        "log",
        Doc(
            "The natural logarithm.", formula: "y = ln x",
            example: "> riffle.tensor({ 1, 10 }):log()\ntensor float32 [2]: 0 2.30259"),
        kernel: RK_LOG, in: 0.3...3, derivative: { x, _ in try x.reciprocal() })

    static let sin: Op = elementwise(
        "sin",
        Doc(
            "The sine, of radians.", formula: "y = sin x",
            example: "> riffle.tensor({ 0, 1 }):sin()\ntensor float32 [2]: 0 0.841471"),
        kernel: RK_SIN, in: -6...6, derivative: { x, _ in try x.cos() })

    static let cos: Op = elementwise(
        "cos",
        Doc(
            "The cosine, of radians.", formula: "y = cos x",
            example: "> riffle.tensor({ 0, 1 }):cos()\ntensor float32 [2]: 1 0.540302"),
        kernel: RK_COS, in: -6...6, derivative: { x, _ in try -(x.sin()) })

    package static let tanh: Op = elementwise(
        "tanh",
        Doc(
            "The hyperbolic tangent.", formula: "y = tanh x",
            example: "> riffle.tensor({ 0, 1 }):tanh()\ntensor float32 [2]: 0 0.761594"),
        kernel: RK_TANH, keep: .outputs, derivative: { _, y in try 1 - y.square() })

    package static let sigmoid: Op = elementwise(
        "sigmoid",
        Doc(
            "The logistic function.", formula: "y = 1 / (1 + e^-x)",
            example: "> riffle.tensor({ 0, 1 }):sigmoid()\ntensor float32 [2]: 0.5 0.731059"),
        kernel: RK_SIGMOID, keep: .outputs, derivative: { _, y in try y - y.square() })

    static let erf: Op = elementwise(
        "erf",
        Doc(
            "The error function.", formula: "y = 2 / sqrt(pi) * integral of e^(-u u) for u from 0 to x",
            example: "> riffle.tensor({ 0, 1 }):erf()\ntensor float32 [2]: 0 0.842701"),
        kernel: RK_ERF, derivative: { x, _ in try (-(x.square())).exp() * 1.1283791670955126 })

    package static let relu: Op = elementwise(
        "relu",
        Doc(
            "x where it is positive, else 0.", formula: "y = max(x, 0)",
            example: "> riffle.tensor({ 3, -2 }):relu()\ntensor float32 [2]: 3 0"),
        kernel: RK_RELU, in: 0.2...2,
        rule: { call, incoming in
            let zero = try Tensor.scalar(0, call.output.dtype)
            return [try incoming[0].map { try zero.where(call.inputs[0].le(zero), else: $0) }]
        })

    package static let silu: Op = elementwise(
        "silu",
        Doc(
            "The SiLU, or swish, activation.", formula: "y = x sigmoid(x)",
            example: "> riffle.tensor({ 0, 1 }):silu()\ntensor float32 [2]: 0 0.731059"),
        kernel: RK_SILU, rule: { call, incoming in [try incoming[0].map { try siluGrad(call.inputs[0], $0) }] })

    package static let gelu: Op = elementwise(
        "gelu",
        Doc(
            "The GELU activation in its tanh form.", formula: "y = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))",
            example: "> riffle.tensor({ 0, 1 }):gelu()\ntensor float32 [2]: 0 0.841192",
            source: "Hendrycks and Gimpel 2016"),
        kernel: RK_GELU, rule: { call, incoming in [try incoming[0].map { try geluGrad(call.inputs[0], $0) }] })

    package static let geluErf: Op = elementwise(
        "gelu_erf",
        Doc(
            "The GELU activation, exactly.", formula: "y = x / 2 (1 + erf(x / sqrt(2)))",
            example: "> riffle.tensor({ 0, 1 }):gelu_erf()\ntensor float32 [2]: 0 0.841345",
            source: "Hendrycks and Gimpel 2016"),
        kernel: RK_GELU_ERF,
        derivative: { x, _ in
            let x = try x.clamp(-40, 40)  // beyond, the derivative is 0 or 1; infinity times 0 is avoided
            let cumulative = try (x * 0.7071067811865476).erf() * 0.5 + 0.5
            return try cumulative + x * (x.square() * -0.5).exp() * 0.3989422804014327
        })

    package static let softplus: Op = elementwise(
        "softplus",
        Doc(
            "A smooth relu.", formula: "y = ln(1 + e^x)",
            example: "> riffle.tensor({ 0, 1 }):softplus()\ntensor float32 [2]: 0.693147 1.31326"),
        kernel: RK_SOFTPLUS, derivative: { x, _ in try x.sigmoid() })

    static let floor: Op = stepwise(
        "floor",
        Doc(
            "The largest whole number not above x.",
            example: "> riffle.tensor({ 1.5, -1.5 }):floor()\ntensor float32 [2]: 1 -2"),
        kernel: RK_FLOOR, in: 0.2...0.8)

    static let ceil: Op = stepwise(
        "ceil",
        Doc(
            "The smallest whole number not below x.",
            example: "> riffle.tensor({ 1.5, -1.5 }):ceil()\ntensor float32 [2]: 2 -1"),
        kernel: RK_CEIL, in: 0.2...0.8)

    static let round: Op = stepwise(
        "round",
        Doc(
            "The nearest whole number, halves to even.",
            example: "> riffle.tensor({ 1.5, -0.4, 2.5 }):round()\ntensor float32 [3]: 2 -0 2"),
        kernel: RK_ROUND, in: 0.6...1.4)

    static let isFinite: Op = stepwise(
        "isfinite",
        Doc(
            "1 where x is a finite number, else 0.",
            example: "> riffle.tensor({ 1, 0 / 0 }):isfinite()\ntensor float32 [2]: 1 0"),
        kernel: RK_IS_FINITE)

    static let isNaN: Op = stepwise(
        "isnan",
        Doc(
            "1 where x is not a number, else 0.",
            example: "> riffle.tensor({ 1, 0 / 0 }):isnan()\ntensor float32 [2]: 0 1"),
        kernel: RK_IS_NAN)

    static let affine: Op = Op(
        "affine",
        [Argument("x", .tensor), Argument("scale", .number), Argument("shift", .number, default: .number(0))],
        Doc(
            "Scales and shifts by two numbers in one pass.", formula: "y = scale x + shift",
            example: "> riffle.tensor({ 1, 2 }):affine(2, 1)\ntensor float32 [2]: 3 5"),
        keep: .nothing, isPointwise: true, samples: [Sample([3, 5], with: [.number(2), .number(-1)])],
        draw: { dice in
            let scale = dice.pick([0, 1, -1, 0.3, 7])
            let shift = dice.pick([0, 1, -0.7])
            return Sample(dice.shape(), with: [.number(scale), .number(shift)])
        },
        mistakes: [],
        forward: { call in
            let x = try call.inputs[0].floating()
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            rk_affine(
                x.dtype.kernel, call.attributes.number("scale"), call.attributes.number("shift"), x.pointer, y.pointer,
                x.count)
            return [y]
        },
        vjp: { call, gradients in [try gradients[0].map { try $0 * call.attributes.number("scale") }] },
        jvp: { call, tangents in [try tangents[0].map { try $0 * call.attributes.number("scale") }] })

    static let power: Op = Op(
        "power", [Argument("x", .tensor), Argument("exponent", .number)],
        Doc(
            "Raises to a power given as a number.", formula: "y = x^exponent",
            example: "> riffle.tensor({ -2, 3 }):power(3)\ntensor float32 [2]: -8 27"),
        isPointwise: true,
        samples: [Sample([7], in: 0.3...3, with: [.number(1.7)]), Sample([2, 3], with: [.integer(3)])],
        draw: { dice in
            let exponent = dice.pick([0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.7])
            return Sample(dice.shape(), in: 0.3...3, with: [.number(exponent)])
        },
        mistakes: [],
        forward: { call in
            let x = try call.inputs[0].floating()
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            rk_power(x.dtype.kernel, call.attributes.number("exponent"), x.pointer, y.pointer, x.count)
            return [y]
        },
        vjp: { call, gradients in try powerRule(call, gradients) },
        jvp: { call, tangents in try powerRule(call, tangents) })

    private static func powerRule(_ call: Call, _ incoming: [Tensor?]) throws -> [Tensor?] {
        let exponent = call.attributes.number("exponent")
        if exponent == 0 { return [nil] }
        return [try incoming[0].map { try $0 * call.inputs[0].pow(exponent - 1) * exponent }]
    }

    static let clamp: Op = Op(
        "clamp",
        [
            Argument("x", .tensor), Argument("low", .number, default: .number(-.infinity)),
            Argument("high", .number, default: .number(.infinity)),
        ],
        Doc(
            "Limits x to the range between two numbers; the gradient is zero outside of it and at both ends.",
            formula: "y = min(max(x, low), high)",
            example: "> riffle.tensor({ -3, 0.5, 3 }):clamp(-1, 1)\ntensor float32 [3]: -1 0.5 1"),
        isPointwise: true,
        samples: [
            Sample([7], in: -0.8...0.8, with: [.number(-1), .number(1)]),
            Sample([7], in: 2...3, with: [.number(-1), .number(1)]),
        ],
        draw: { dice in
            let (low, high) = dice.pick([
                (-1, 1), (-1, .infinity), (-.infinity, 1), (-.infinity, .infinity), (0.5, 0.5),
            ])
            return Sample(dice.shape(), with: [.number(low), .number(high)])
        },
        mistakes: [Sample([2], with: [.number(1), .number(-1)])],
        forward: { call in
            let low = call.attributes.number("low")
            let high = call.attributes.number("high")
            let x = try call.inputs[0].floating()
            guard low <= high else { throw RiffleError("clamp", "low is \(low), above high, \(high) (x \(x.shape))") }
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            rk_clamp(x.dtype.kernel, low, high, x.pointer, y.pointer, x.count)
            return [y]
        },
        vjp: { call, gradients in try clampRule(call, gradients) },
        jvp: { call, tangents in try clampRule(call, tangents) })

    private static func clampRule(_ call: Call, _ incoming: [Tensor?]) throws -> [Tensor?] {
        guard let incoming = incoming[0] else { return [nil] }
        let low = call.attributes.number("low")
        let high = call.attributes.number("high")
        let zero = try Tensor.scalar(0, incoming.dtype)
        let x = call.inputs[0].detach()
        let outside = try x.le(.scalar(low, x.dtype)).maximum(x.ge(.scalar(high, x.dtype)))
        return [try zero.where(outside, else: incoming)]
    }

    static let cast: Op = Op(
        "to", [Argument("x", .tensor), Argument("dtype", .dtype)],
        Doc(
            "Converts to float32, float64 or int32 (towards zero).",
            example: "> riffle.tensor({ 1.5, -1.5 }):to(\"int32\")\ntensor int32 [2]: 1 -1"),
        keep: .nothing, isPointwise: true, samples: [Sample([3, 2], with: [.string("float64")])],
        draw: { dice in
            let dtype = dice.pick(DType.computed).description
            return Sample(dice.shape(), in: -100...100, with: [.string(dtype)])
        },
        mistakes: [],
        forward: { call in
            let dtype = call.attributes.dtype("dtype")
            return [try call.inputs[0].converted(to: dtype).detach()]
        },
        vjp: { call, gradients in [try gradients[0]?.cast(call.inputs[0].dtype)] },
        jvp: { call, tangents in
            let dtype = call.attributes.dtype("dtype")
            return [dtype.isFloating ? try tangents[0]?.cast(dtype) : nil]
        })

    static let detach: Op = Op(
        notDifferentiable: "detach", [Argument("x", .tensor)],
        Doc(
            "The same numbers, cut off from how they were computed.",
            example: "> riffle.parameter(riffle.ones(2)):detach()\ntensor float32 [2]: 1 1"),
        isPointwise: true, samples: [Sample([3])], draw: { dice in Sample(dice.shape()) }, mistakes: [],
        forward: { call in [call.inputs[0].detach()] })

    // The derivatives of activations are fused operations of their own, because training spends its time in them.
    static let siluGrad: Op = activationDerivative(
        "silu_grad", RK_SILU_GRAD,
        Doc(
            "The gradient of silu.", formula: "y = g silu'(x)",
            example: "> riffle.silu_grad(riffle.tensor({ 0, 1 }), riffle.ones(2))\ntensor float32 [2]: 0.5 0.927671"),
        derivative: { try siluGrad($0, $1) }, nextDerivative: { try siluCurve($0, $1) })

    static let geluGrad: Op = activationDerivative(
        "gelu_grad", RK_GELU_GRAD,
        Doc(
            "The gradient of gelu.", formula: "y = g gelu'(x)",
            example: "> riffle.gelu_grad(riffle.tensor({ 0, 1 }), riffle.ones(2))\ntensor float32 [2]: 0.5 1.08296"),
        derivative: { try geluGrad($0, $1) }, nextDerivative: { try geluCurve($0, $1) })

    static let siluCurve: Op = activationDerivative(
        "silu_curve", RK_SILU_CURVE,
        Doc(
            "The second derivative of silu.", formula: "y = g silu''(x)",
            example: "> riffle.silu_curve(riffle.tensor({ 0, 1 }), riffle.ones(2))\ntensor float32 [2]: 0.5 0.302366"),
        derivative: { try siluCurve($0, $1) },
        nextDerivative: { x, g in
            let x = try x.clamp(-800, 800)
            let s = try x.sigmoid()
            let p = try s * (1 - s)
            let turn = try 1 - s * 2
            return try g * (p * (turn * (3 + x * turn) - x * p * 2))
        })

    static let geluCurve: Op = activationDerivative(
        "gelu_curve", RK_GELU_CURVE,
        Doc(
            "The second derivative of gelu.", formula: "y = g gelu''(x)",
            example:
                "> riffle.gelu_curve(riffle.tensor({ 0, 1 }), riffle.ones(2))\ntensor float32 [2]: 0.797885 0.242148"),
        derivative: { try geluCurve($0, $1) },
        nextDerivative: { x, g in
            // Derivatives of x / 2 (1 + tanh(u)), u a cubic with the derivatives du, ddu and dddu.
            let c = 0.7978845608028654
            let a = 0.044715
            let x = try x.clamp(-40, 40)
            let t = try ((x + x.pow(3) * a) * c).tanh()
            let flat = try 1 - t.square()
            let du = try x.square() * (3 * a * c) + c
            let ddu = try x * (6 * a * c)
            let dddu = 6 * a * c
            let first = try ddu * 1.5 - t * du.square() * 3
            let second = try dddu - t * du * ddu * 6 + du.pow(3) * (t.square() * 6 - 2)
            return try g * flat * (first + x * second * 0.5)
        })

    /// A derivative of an activation at x times g.
    /// - Parameters:
    ///   - derivative: the operation itself.
    ///   - nextDerivative: the following derivative at x times g.
    private static func activationDerivative(
        _ name: String, _ kernel: rk_binary_op, _ doc: Doc,
        derivative: @escaping @Sendable (_ x: Tensor, _ g: Tensor) throws -> Tensor,
        nextDerivative: @escaping @Sendable (_ x: Tensor, _ g: Tensor) throws -> Tensor
    ) -> Op {
        broadcasting(
            name, names: ("x", "g"), doc, kernel: kernel,
            vjp: { call, h in
                guard let h = h[0] else { return [nil, nil] }
                let x = call.inputs[0]
                let g = call.inputs[1]
                return [
                    call.wants(0) ? try nextDerivative(x, g * h) : nil, call.wants(1) ? try derivative(x, h) : nil,
                ]
            },
            jvp: { call, d in
                let x = call.inputs[0]
                let g = call.inputs[1]
                let tangent = try total([
                    d[0].map { try nextDerivative(x, g * $0) }, d[1].map { try derivative(x, $0) },
                ])
                return [try tangent.map { try $0.expanded(to: call.output.shape).cast(call.output.dtype) }]
            })
    }
}
