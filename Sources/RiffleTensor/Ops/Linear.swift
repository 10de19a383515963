import CKernels

extension Op {
    static let linear: [Op] = [matmul, dense]

    static let matmul: Op = Op(
        "matmul",
        [
            Argument("a", .tensor), Argument("b", .tensor),
            Argument("transpose_a", .boolean, "takes a's last two dimensions swapped", default: .boolean(false)),
            Argument("transpose_b", .boolean, "takes b's last two dimensions swapped", default: .boolean(false)),
        ],
        Doc(
            "The matrix product; leading dimensions broadcast.",
            formula: "y[..., i, j] = sum over l of a[..., i, l] b[..., l, j]",
            shapes: "a [..., m, k], b [..., k, n] -> [..., m, n]",
            example: "> riffle.tensor({ { 1, 2 } }):matmul(riffle.tensor({ { 3 }, { 4 } })):item()\n11.0"),
        bfloat16: 0b10,
        samples: [
            Sample([3, 4], [4, 5]), Sample([2, 3, 4], [2, 5, 4], with: [.boolean(false), .boolean(true)]),
            Sample([2, 4, 3], [4, 5], with: [.boolean(true), .boolean(false)]), Sample([2, 1, 3, 4], [5, 4, 2]),
            Sample([4, 3], [2, 4], with: [.boolean(true), .boolean(true)]), Sample([2, 3, 4], [4, 2]),
            Sample([2, 0], [0, 3]),
        ],
        draw: { dice in
            let (m, n, k) = product(&dice)
            let ta = dice.chance(0.4)
            let tb = dice.chance(0.4)
            let lead =
                dice.chance(0.5)
                ? [[], []] : dice.broadcasting(2, ranks: 0...2).map { $0.sizes.map { Swift.min($0, 5) } }
            let a = Shape(lead[0] + (ta ? [k, m] : [m, k]))
            let b = Shape(lead[1] + (tb ? [n, k] : [k, n]))
            return Sample(a, b, with: [.boolean(ta), .boolean(tb)], terms: k)
        },
        mistakes: [Sample([8, 64], [32, 10]), Sample([3], [3, 2]), Sample([2, 3, 4], [3, 4, 5])],
        forward: { call in
            [
                try product(
                    call.inputs[0], call.inputs[1], call.attributes.boolean("transpose_a"),
                    call.attributes.boolean("transpose_b"))
            ]
        },
        vjp: { call, g in
            guard let g = g[0] else { return [nil, nil] }
            var a = call.inputs[0]
            var b = call.inputs[1]
            var gradient = g
            let ta = call.attributes.boolean("transpose_a")
            let tb = call.attributes.boolean("transpose_b")
            let ga =
                !call.wants(0)
                ? nil : try ta ? b.matmul(g, transposeA: tb, transposeB: true) : g.matmul(b, transposeB: !tb)
            guard call.wants(1) else { return [ga, nil] }
            // Where a has many matrices and b is one, b's gradient is one product over all rows, not a sum of products.
            if b.rank == 2, a.rank > 2, !ta {
                let rows = Shape(Array(a.shape.sizes.dropLast())).count
                a = try a.reshaped(to: [rows, a.shape.last])
                gradient = try g.reshaped(to: [rows, g.shape.last])
            }
            b = try tb ? gradient.matmul(a, transposeA: true, transposeB: ta) : a.matmul(gradient, transposeA: !ta)
            return [ga, b]
        },
        jvp: { call, d in
            [
                try total([
                    d[0].map { try call.again($0, call.inputs[1]) }, d[1].map { try call.again(call.inputs[0], $0) },
                ])
            ]
        })

    /// Rows, columns and terms of a random product that is small enough for float64's plain loops.
    private static func product(_ dice: inout Dice) -> (m: Int, n: Int, k: Int) {
        let work = dice.pick([10_000, 200_000, 200_000, 3_000_000]), first = dice.size()
        let second = dice.size(most: work / Swift.max(first, 1))
        let third = dice.size(most: work / Swift.max(first * second, 1))
        let sizes = dice.order(of: 3).map { [first, second, third][$0] }
        return (sizes[0], sizes[1], sizes[2])
    }

    private static func product(_ a: Tensor, _ b: Tensor, _ ta: Bool, _ tb: Bool) throws -> Tensor {
        guard a.rank >= 2, b.rank >= 2 else {
            throw RiffleError("", "both must have at least 2 dimensions (a \(a.shape), b \(b.shape))")
        }
        let dtype = try a.floating().dtype.joined(with: b.floating().dtype)
        let rowsA = a.shape[a.rank - 2]
        let columnsA = a.shape.last
        let rowsB = b.shape[b.rank - 2]
        let columnsB = b.shape.last
        let m = ta ? columnsA : rowsA
        let k = ta ? rowsA : columnsA
        let n = tb ? rowsB : columnsB
        guard k == (tb ? columnsB : rowsB) else {
            let how = ta || tb ? ", after transposing" : ""
            throw RiffleError(
                "", "inner sizes differ, \(k) and \(tb ? columnsB : rowsB)\(how) (a \(a.shape), b \(b.shape))")
        }
        let leadA = Shape(Array(a.shape.sizes.dropLast(2)))
        let leadB = Shape(Array(b.shape.sizes.dropLast(2)))
        guard let lead = Shape.broadcast(leadA, leadB) else {
            throw RiffleError("", "leading dimensions do not broadcast (a \(a.shape), b \(b.shape))")
        }
        let y = try Tensor(uninitialized: Shape(lead.sizes + [m, n]), dtype)
        var shape = rk_gemm_shape()
        shape.precision = Context.current.precision.kernel
        (shape.batch, shape.m, shape.n, shape.k) = (lead.count, m, n, k)
        (shape.transpose_a, shape.transpose_b, shape.alpha) = (ta, tb, 1)
        (shape.lda, shape.ldb, shape.ldc) = (columnsA, columnsB, n)
        (shape.stride_a, shape.stride_b, shape.stride_c) = (rowsA * columnsA, rowsB * columnsB, m * n)
        let left = try operand(a, leadA, lead, dtype, &shape.stride_a)
        let right = leadB.count == 1 ? b : try operand(b, leadB, lead, dtype, &shape.stride_b)
        if leadB.count == 1 { shape.stride_b = 0 }
        if shape.stride_b == 0, !ta, leadA.count == lead.count { (shape.m, shape.batch) = (m * lead.count, 1) }
        try multiply(shape, left, right, y)
        return y
    }

    /// y = the product of a, which has y's type, and b, which is converted to it; one matrix of bfloat16 is multiplied
    /// as it is.
    private static func multiply(_ shape: rk_gemm_shape, _ a: Tensor, _ b: Tensor, _ y: Tensor) throws {
        var shape = shape
        if b.dtype == .bfloat16, y.dtype == .float32 {
            try Memory.taking(workspace: {
                rk_gemm_bfloat16(
                    &shape, a.pointer.assumingMemoryBound(to: Float.self),
                    b.pointer.assumingMemoryBound(to: UInt16.self),
                    y.pointer.assumingMemoryBound(to: Float.self))
            })
            return
        }
        let b = try b.converted(to: y.dtype)
        withExtendedLifetime((a, b)) { rk_gemm(y.dtype.kernel, &shape, a.pointer, b.pointer, y.pointer) }
    }

    /// A factor as the kernel takes it: a matrix for each product of the batch, or one matrix for all products.
    private static func operand(_ x: Tensor, _ own: Shape, _ lead: Shape, _ dtype: DType, _ stride: inout Int) throws
        -> Tensor
    {
        let x = try x.converted(to: dtype)
        if own.count == lead.count { return x }
        if own.count == 1 {
            stride = 0
            return x
        }
        return try withoutGradient { try x.detach().expanded(to: Shape(lead.sizes + x.shape.sizes.suffix(2))) }
    }

    static let dense: Op = Op(
        "linear",
        [
            Argument("x", .tensor), Argument("weight", .tensor), Argument("bias", .tensor, default: .none),
            Argument(
                "after", .choice(activations.map(\.name)),
                "an activation of x; its result is computed again for the gradient, not kept",
                default: .none),
        ],
        Doc(
            "A linear layer's function.", formula: "y = x weight^T + bias, or after(x) weight^T + bias",
            shapes: "x [..., in], weight [out, in], bias [out] -> [..., out]",
            example: "> riffle.ones(2, 3):linear(riffle.ones(1, 3), riffle.ones(1)):reshape(2)\ntensor float32 [2]: 4 4"
        ),
        keep: Keep(inputs: 0b11), bfloat16: 0b10,
        samples: [
            Sample([2, 4], [3, 4], [3]), Sample([2, 3, 4], [5, 4]), Sample([0, 4], [3, 4], [3]),
            Sample([4], [3, 4], [3]), Sample([2, 0], [3, 0], [3]),
            Sample([2, 4], [3, 4], [3], with: [.string("gelu")]), Sample([2, 3, 4], [5, 4], with: [.string("silu")]),
        ],
        draw: { dice in
            let (m, n, k) = product(&dice)
            let lead = dice.pick([[m], [1, m], [m, 1], []])
            let inputs = [Shape(lead + [k]), [n, k], [n]].prefix(dice.integer(2...3)).map {
                Sample.Input.random($0, -2...2)
            }
            let after = dice.pick([Value.none] + activations.map { .string($0.name) })
            return Sample(Array(inputs), [after], terms: k)
        },
        mistakes: [Sample([2, 4], [3, 5], [3]), Sample([2, 4], [3, 4], [4])],
        forward: { call in
            let x = try call.inputs[0].floating()
            let weight = call.inputs[1]
            let bias = call.inputs.count > 2 ? call.inputs[2] : nil
            guard weight.rank == 2, x.rank >= 1, x.shape.last == weight.shape[1],
                bias.map({ $0.shape == [weight.shape[0]] }) ?? true
            else {
                throw RiffleError(
                    "",
                    "the sizes do not fit (x \(x.shape), weight \(weight.shape)"
                        + (bias.map { ", bias \($0.shape)" } ?? "") + ")")
            }
            let active = try withoutGradient { try activation(call)?(x) ?? x }
            let dtype = x.dtype.joined(with: weight.dtype)
            let y = try Tensor(uninitialized: x.shape.replacing(x.rank - 1, with: weight.shape[0]), dtype)
            let left = try active.converted(to: dtype)
            let shift = try bias?.converted(to: dtype)
            var shape = rk_gemm_shape()
            shape.precision = Context.current.precision.kernel
            (shape.batch, shape.m, shape.n, shape.k) = (
                1, Shape(Array(x.shape.sizes.dropLast())).count, weight.shape[0], weight.shape[1]
            )
            (shape.transpose_b, shape.alpha) = (true, 1)
            (shape.lda, shape.ldb, shape.ldc) = (weight.shape[1], weight.shape[1], weight.shape[0])
            shape.bias = shift.map { UnsafeRawPointer($0.pointer) }
            try withExtendedLifetime(shift) { try multiply(shape, left, weight, y) }
            return [y]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            let x = call.inputs[0]
            let weight = call.inputs[1]
            let samples = Shape(Array(x.shape.sizes.dropLast())).count
            let rows = try g.reshaped(to: [samples, weight.shape[0]]), activation = try activation(call)
            var result: [Tensor?] = [call.wants(0) ? try rows.matmul(weight).reshaped(to: x.shape) : nil, nil]
            if let activation, let gradient = result[0] {
                result[0] = try activation.vjp(activation.call([x]), [gradient])[0]
            }
            if call.wants(1) {
                let active = try activation?(x) ?? x
                result[1] = try rows.matmul(active.reshaped(to: [samples, weight.shape[1]]), transposeA: true)
            }
            if call.inputs.count > 2 { result.append(call.wants(2) ? try g.reduced(to: call.inputs[2].shape) : nil) }
            return result
        },
        jvp: { call, d in
            let x = call.inputs[0]
            let weight = call.inputs[1]
            let bias = d.count > 2 ? d[2] : nil
            return [
                try total([
                    d[0].map { try call.op($0, weight) }, d[1].map { try call.op(x, $0) },
                    bias.map { try $0.expanded(to: call.output.shape) },
                ])
            ]
        },
        unfused: { call in
            try activation(call).map { try call.op.apply([$0(call.inputs[0])] + call.inputs.dropFirst())[0] }
        })

    private static let activations = [gelu, silu]

    /// The activation that is applied to a linear layer's input, if any. The rules of these activations read their
    /// input alone.
    private static func activation(_ call: Call) throws -> Op? {
        guard let name = call.attributes.optionalString("after") else { return nil }
        guard let op = activations.first(where: { $0.name == name }) else {
            throw RiffleError(
                "",
                "the activation before must be one of \(activations.map(\.name).joined(separator: ", ")), got \(name)")
        }
        return op
    }
}
