import CKernels

extension Op {
    static let binary: [Op] = [
        add, sub, mul, div, pow, maximum, minimum, atan2, eq, ne, lt, le, gt, ge, siluGrad, geluGrad, siluCurve,
        geluCurve, `where`,
    ]

    /// Two tensors broadcast against each other.
    ///
    /// `slope` gives the derivatives for a and b, to be multiplied with the gradient or tangent.
    static func broadcasting(
        _ name: String, names: (String, String) = ("a", "b"), _ doc: Doc, kernel: rk_binary_op, keep: Keep = .inputs,
        in domain: ClosedRange<Double> = -2...2,
        scalar: Scalar? = nil, slope: (@Sendable (Call) throws -> (Tensor?, Tensor?))? = nil, vjp: VJP? = nil,
        jvp: JVP? = nil
    ) -> Op {
        let forward: Forward = { call in [try broadcast(kernel, call.inputs[0], call.inputs[1], names)] }
        return Op(
            name, [Argument(names.0, .operand), Argument(names.1, .operand)], doc, keep: keep, isPointwise: true,
            scalar: scalar,
            samples: [
                Sample([2, 3], [2, 3], in: domain), Sample([4, 1, 3], [5, 1], in: domain), Sample([], [3], in: domain),
                Sample([17], [1], in: domain), Sample([0, 3], [3], in: domain),
            ],
            draw: { dice in
                let shapes = dice.broadcasting(2)
                return Sample(shapes[0], shapes[1], in: domain)
            },
            mistakes: [Sample([2, 3], [2, 4])],
            forward: forward,
            vjp: vjp ?? { call, gradients in
                guard let g = gradients[0], let slopes = try slope?(call.floating()) else { return [nil, nil] }
                return [
                    call.wants(0) ? try slopes.0.map { try g * $0 } : nil,
                    call.wants(1) ? try slopes.1.map { try g * $0 } : nil,
                ]
            },
            jvp: jvp ?? { call, tangents in
                guard let slopes = try slope?(call.floating()) else { return [nil] }
                let parts = [
                    try tangents[0].flatMap { da in try slopes.0.map { try da * $0 } },
                    try tangents[1].flatMap { db in try slopes.1.map { try db * $0 } },
                ]
                return [try total(parts).map { try $0.expanded(to: call.output.shape).cast(call.output.dtype) }]
            })
    }

    /// Runs the kernel over the broadcast shape, after both tensors are converted to one type.
    private static func broadcast(_ kernel: rk_binary_op, _ a: Tensor, _ b: Tensor, _ names: (String, String)) throws
        -> Tensor
    {
        guard let shape = Shape.broadcast(a.shape, b.shape) else {
            throw RiffleError("", "the shapes do not broadcast (\(names.0) \(a.shape), \(names.1) \(b.shape))")
        }
        var dtype = a.dtype.joined(with: b.dtype)
        if dtype == .int32, !integerKernels.contains(kernel.rawValue) { dtype = .float32 }
        let left = try a.converted(to: dtype)
        let right = try b.converted(to: dtype)
        let y = try Tensor(uninitialized: shape, dtype)
        withExtendedLifetime((left, right)) {
            rk_binary(
                kernel, dtype.kernel, Int32(shape.rank), shape.sizes, left.pointer, a.shape.padded(to: shape.rank),
                right.pointer, b.shape.padded(to: shape.rank), y.pointer)
        }
        return y
    }

    private static let integerKernels: Set<UInt32> = Set(
        [RK_ADD, RK_SUB, RK_MUL, RK_MAXIMUM, RK_MINIMUM, RK_EQ, RK_NE, RK_LT, RK_LE, RK_GT, RK_GE].map(\.rawValue))

    /// The sum of the parts that are not nil; nil where there is none.
    static func total(_ parts: [Tensor?]) throws -> Tensor? {
        try parts.compactMap { $0 }.reduce(nil as Tensor?) { sum, part in try sum.map { try $0 + part } ?? part }
    }

    static let add: Op = broadcasting(
        "add",
        Doc(
            "The sum.", formula: "y = a + b",
            example: "> riffle.tensor({ 1, 2 }) + riffle.tensor({ 10, 20 })\ntensor float32 [2]: 11 22"),
        kernel: RK_ADD, keep: .nothing, scalar: Scalar(behind: { try $0 + $1 }, before: { try $1 + $0 }),
        vjp: { _, g in [g[0], g[0]] },
        jvp: { call, d in [try total(d)?.expanded(to: call.output.shape)] })

    static let sub: Op = broadcasting(
        "sub",
        Doc(
            "The difference.", formula: "y = a - b",
            example: "> riffle.tensor({ 1, 2 }) - riffle.tensor({ 10, 20 })\ntensor float32 [2]: -9 -18"),
        kernel: RK_SUB, keep: .nothing, scalar: Scalar(behind: { try $0 - $1 }, before: { try $0 - $1 }),
        vjp: { call, g in [g[0], call.wants(1) ? try g[0].map { try -$0 } : nil] },
        jvp: { call, d in
            guard let da = d[0], let db = d[1] else {
                return [try (d[0] ?? d[1].map { try -$0 })?.expanded(to: call.output.shape)]
            }
            return [try (da - db).expanded(to: call.output.shape)]
        })

    static let mul: Op = broadcasting(
        "mul",
        Doc(
            "The product, element by element.", formula: "y = a b",
            example: "> riffle.tensor({ 1, 2 }) * riffle.tensor({ 10, 20 })\ntensor float32 [2]: 10 40"),
        kernel: RK_MUL, scalar: Scalar(behind: { try $0 * $1 }, before: { try $1 * $0 }),
        slope: { call in (call.inputs[1], call.inputs[0]) })

    static let div: Op = broadcasting(
        "div",
        Doc(
            "The quotient.", formula: "y = a / b",
            example: "> riffle.tensor({ 1, 2 }) / riffle.tensor({ 10, 20 })\ntensor float32 [2]: 0.1 0.1"),
        kernel: RK_DIV, in: 0.3...2, scalar: Scalar(behind: { try $0 / $1 }),
        // 1 / b and 1 / b^2 would overflow before the quotients g / b and a / b / b do.
        vjp: { call, g in
            guard let g = g[0] else { return [nil, nil] }
            let parts = try call.floating().inputs
            let a = parts[0]
            let b = parts[1]
            return [call.wants(0) ? try g / b : nil, call.wants(1) ? try -(g * (a / b / b)) : nil]
        },
        jvp: { call, d in
            let parts = try call.floating().inputs
            let a = parts[0]
            let b = parts[1]
            let tangent = try total([d[0].map { try $0 / b }, d[1].map { try -($0 * (a / b / b)) }])
            return [try tangent.map { try $0.expanded(to: call.output.shape).cast(call.output.dtype) }]
        })

    static let pow: Op = broadcasting(
        "pow",
        Doc(
            "a to the power of b.", formula: "y = a^b",
            example: "> riffle.tensor({ 2, 3 }) ^ 2\ntensor float32 [2]: 4 9"),
        kernel: RK_POW, in: 0.3...2, scalar: Scalar(behind: { try $0.pow($1) }),
        slope: { call in
            let a = call.inputs[0]
            let b = call.inputs[1]
            let zero = try Tensor.scalar(0, a.dtype)
            let one = try Tensor.scalar(1, a.dtype)
            // 0^b has the slope 0 in b from b = 0 on, and 0^0 has the slope 0 in a: without 0 times infinity.
            let isZero = try a.eq(zero)
            let base = try one.where(isZero * b.ge(zero), else: a)
            return (try b * call.again(a, b - 1 + isZero * b.eq(zero)), try call.again(base, b) * base.log())
        })

    static let maximum: Op = choice(
        "maximum",
        Doc(
            "The larger; the gradient goes to the larger, half to each where they are equal.", formula: "y = max(a, b)",
            example: "> riffle.maximum(riffle.tensor({ 1, 5 }), 3)\ntensor float32 [2]: 3 5"),
        kernel: RK_MAXIMUM, first: { try $0.gt($1) + $0.ge($1) })

    static let minimum: Op = choice(
        "minimum",
        Doc(
            "The smaller; the gradient goes to the smaller, half to each where they are equal.",
            formula: "y = min(a, b)", example: "> riffle.minimum(riffle.tensor({ 1, 5 }), 3)\ntensor float32 [2]: 1 3"),
        kernel: RK_MINIMUM, first: { try $0.lt($1) + $0.le($1) })

    /// An operation that chooses one of two numbers, which takes the gradient; equal numbers share the gradient.
    /// - Parameter first: 2 where a is chosen, 1 where a and b are equal, 0 where b is chosen.
    private static func choice(
        _ name: String, _ doc: Doc, kernel: rk_binary_op, first: @escaping @Sendable (Tensor, Tensor) throws -> Tensor
    ) -> Op {
        let shares: @Sendable (Call) throws -> (Tensor, Tensor) = { call in
            let inputs = try call.floating().inputs.map { $0.detach() }
            let part = try first(inputs[0], inputs[1]) * 0.5
            return (part, try 1 - part)
        }
        return broadcasting(
            name, doc, kernel: kernel,
            vjp: { call, g in
                guard let g = g[0] else { return [nil, nil] }
                let (a, b) = try shares(call)
                return [call.wants(0) ? try g.shared(a) : nil, call.wants(1) ? try g.shared(b) : nil]
            },
            jvp: { call, d in
                let (a, b) = try shares(call)
                let tangent = try total([d[0].map { try $0.shared(a) }, d[1].map { try $0.shared(b) }])
                return [try tangent.map { try $0.expanded(to: call.output.shape).cast(call.output.dtype) }]
            })
    }

    static let atan2: Op = broadcasting(
        "atan2", names: ("y", "x"),
        Doc(
            "The angle of the point (x, y), in radians.",
            example: "> riffle.atan2(riffle.tensor({ 1, -1 }), 1)\ntensor float32 [2]: 0.785398 -0.785398"),
        kernel: RK_ATAN2, in: 0.3...2,
        slope: { call in
            // Both coordinates are in units of the larger one, whose square might overflow. At the origin the slope is
            // 0 in every direction.
            let zero = try Tensor.scalar(0, call.inputs[0].dtype)
            let one = try Tensor.scalar(1, call.inputs[0].dtype)
            let unit = try call.inputs[0].detach().abs().maximum(call.inputs[1].detach().abs())
            let isOrigin = try unit.eq(zero)
            let length = try one.where(isOrigin, else: unit)
            let y = try call.inputs[0] / length
            let x = try call.inputs[1] / length
            let inverse = try (x.square() + y.square() + isOrigin).reciprocal() / length
            return (try x * inverse, try -(y * inverse))
        })

    private static func comparison(_ name: String, _ kernel: rk_binary_op, _ words: String, _ example: String) -> Op {
        Op(
            notDifferentiable: name, [Argument("a", .operand), Argument("b", .operand)],
            Doc("1 where a is \(words) b, else 0, as a float: a mask for x[mask].", example: example),
            isPointwise: true,
            samples: [Sample([2, 3], [2, 3]), Sample([4, 1, 3], [5, 1])],
            draw: { dice in
                let shapes = dice.broadcasting(2)
                return Sample(shapes[0], shapes[1])
            },
            mistakes: [Sample([2, 3], [2, 4])],
            forward: { call in
                let truth = try broadcast(kernel, call.inputs[0], call.inputs[1], ("a", "b"))
                return [truth.dtype.isFloating ? truth : try truth.converted(to: .float32)]
            })
    }
    static let eq: Op = comparison("eq", RK_EQ, "equal to", "> riffle.tensor({ 1, 5 }):eq(5)\ntensor float32 [2]: 0 1")
    static let ne: Op = comparison(
        "ne", RK_NE, "not equal to", "> riffle.tensor({ 1, 5 }):ne(5)\ntensor float32 [2]: 1 0")
    static let lt: Op = comparison("lt", RK_LT, "less than", "> riffle.tensor({ 1, 5 }):lt(5)\ntensor float32 [2]: 1 0")
    static let le: Op = comparison("le", RK_LE, "at most", "> riffle.tensor({ 1, 5 }):le(5)\ntensor float32 [2]: 1 1")
    static let gt: Op = comparison(
        "gt", RK_GT, "greater than", "> riffle.tensor({ 1, 5 }):gt(5)\ntensor float32 [2]: 0 0")
    static let ge: Op = comparison("ge", RK_GE, "at least", "> riffle.tensor({ 1, 5 }):ge(5)\ntensor float32 [2]: 0 1")

    static let `where`: Op = Op(
        "where", [Argument("condition", .tensor), Argument("a", .operand), Argument("b", .operand)],
        Doc(
            "a where the condition is not zero, else b.",
            example: "> riffle.where(riffle.tensor({ 1, 0 }), 7, 8)\ntensor float32 [2]: 7 8"),
        isPointwise: true,
        samples: [
            Sample([.indices([1, 0, 1, 0, 0, 1], [2, 3]), .random([2, 3], -2...2), .random([3], -2...2)]),
            Sample([.indices([1, 0], [2, 1]), .random([], -2...2), .random([2, 2], -2...2)]),
        ],
        draw: { dice in
            let shapes = dice.broadcasting(3)
            return Sample([dice.indices(0...1, shapes[0]), .random(shapes[1], -2...2), .random(shapes[2], -2...2)])
        },
        mistakes: [Sample([2], [3], [2])],
        forward: { call in
            let c = call.inputs[0]
            let a = call.inputs[1]
            let b = call.inputs[2]
            guard let values = Shape.broadcast(a.shape, b.shape), let shape = Shape.broadcast(c.shape, values) else {
                throw RiffleError("", "the shapes do not broadcast (condition \(c.shape), a \(a.shape), b \(b.shape))")
            }
            let dtype = a.dtype.joined(with: b.dtype)
            let parts = try withoutGradient { try [c, a, b].map { try $0.detach().cast(dtype).expanded(to: shape) } }
            let y = try Tensor(uninitialized: shape, dtype)
            withExtendedLifetime(parts) {
                rk_where(dtype.kernel, parts[0].pointer, parts[1].pointer, parts[2].pointer, y.pointer, y.count)
            }
            return [y]
        },
        vjp: { call, g in
            guard let g = g[0] else { return [nil, nil, nil] }
            let zero = try Tensor.scalar(0, g.dtype)
            return [nil, try g.where(call.inputs[0], else: zero), try zero.where(call.inputs[0], else: g)]
        },
        jvp: { call, d in
            guard d[1] != nil || d[2] != nil else { return [nil] }
            let zero = try Tensor.scalar(0, call.output.dtype)
            return [try (d[1] ?? zero).where(call.inputs[0], else: d[2] ?? zero).expanded(to: call.output.shape)]
        })
}

extension Tensor {
    /// This tensor times `part`: 0 where the part is 0, even where this tensor is infinite.
    func shared(_ part: Tensor) throws -> Tensor { try (self * part).where(part, else: .scalar(0, dtype)) }
}

extension Op.Call {
    /// The same call with int32 inputs converted to the type of the result, as the kernel has them.
    fileprivate func floating() throws -> Op.Call {
        guard inputs.contains(where: { !$0.dtype.isFloating }) else { return self }
        return Op.Call(
            op: op, inputs: try inputs.map { $0.dtype.isFloating ? $0 : try $0.cast(output.dtype) },
            attributes: attributes,
            outputs: outputs, wanted: wanted)
    }
}
