import CKernels

extension Op {
    static let attentions: [Op] = [attention, attentionTangent]

    /// Shapes of queries and of keys, and the attributes.
    private static func drawAttention(_ dice: inout Dice) -> (q: Shape, k: Shape, attributes: [Value]) {
        // The number of scores, which decides how long a case takes.
        let work = dice.pick([500, 10_000, 100_000]), n = dice.size(most: 3), heads = dice.size(most: 4),
            queries = dice.size()
        let keys = dice.size(1, most: work / Swift.max(1, n * heads * queries))
        let q: Shape = [n, queries, heads, dice.size(1, most: 70)]
        return (q, q.replacing(1, with: keys), [dice.chance(0.5) ? .none : .number(0.2)])
    }

    static let attention: Op = Op(
        "attention",
        [
            Argument("q", .tensor), Argument("k", .tensor), Argument("v", .tensor),
            Argument("scale", .positive, "1 / sqrt(width) when not given", default: .none),
        ],
        Doc(
            "Scaled dot-product attention, without storing the scores.",
            formula: "y = softmax(scale q k^T) v for each head",
            shapes: "q [n, queries, heads, width], k and v [n, keys, heads, width] -> as q",
            example:
                """
                > riffle.attention(riffle.ones(1, 2, 1, 4), riffle.ones(1, 3, 1, 4), riffle.ones(1, 3, 1, 4)):shape()
                [1, 2, 1, 4]
                """,
            source: "Vaswani et al. 2017; Dao et al. 2022"),
        keep: .everything, results: 1,
        samples: [
            Sample([2, 3, 2, 4], [2, 5, 2, 4], [2, 5, 2, 4]),
            Sample([1, 4, 1, 3], [1, 4, 1, 3], [1, 4, 1, 3], with: [.number(0.3)]),
        ],
        draw: { dice in
            let (q, k, attributes) = drawAttention(&dice)
            return Sample([q, k, k].map { .random($0, -2...2) }, attributes, terms: k[1])
        },
        mistakes: [
            Sample([2, 3, 2, 4], [2, 5, 2, 3], [2, 5, 2, 4]), Sample([2, 3, 2, 4], [2, 5, 2, 4], [2, 4, 2, 4]),
            Sample([3, 4], [3, 4], [3, 4]),
        ],
        forward: { call in
            let q = try call.inputs[0].floating()
            let k = call.inputs[1]
            let v = call.inputs[2]
            guard q.rank == 4, k.rank == 4, k.shape == v.shape,
                k.shape.replacing(1, with: 0) == q.shape.replacing(1, with: 0),
                k.shape[1] > 0, q.dtype == k.dtype, q.dtype == v.dtype
            else {
                throw RiffleError(
                    "",
                    "q must be [n, queries, heads, width], k and v [n, keys, heads, width] of the same type"
                        + " (q \(q.dtype) \(q.shape), k \(k.dtype) \(k.shape), v \(v.dtype) \(v.shape))")
            }
            let out = try Tensor(uninitialized: q.shape, q.dtype)
            let lse = try Tensor(uninitialized: [q.shape[0], q.shape[2], q.shape[1]], q.dtype)
            var shape = attentionShape(call)
            try workspace(rk_attention(q.dtype.kernel, &shape, kernelInputs([q, k, v]), out.pointer, lse.pointer))
            return [out, lse]
        },
        vjp: { call, g in
            guard let g = g[0] else { return [nil, nil, nil] }
            if Context.current.isRecording {
                let parts = try Parts(call)
                let slope = try parts.slope(g.swapped().matmul(parts.v, transposeB: true))
                return [
                    try slope.matmul(parts.k).swapped() * parts.scale,
                    try (slope.matmul(parts.q, transposeA: true) * parts.scale).swapped(),
                    try parts.weights.matmul(g.swapped(), transposeA: true).swapped(),
                ]
            }
            let gradients = try call.inputs.map { try Tensor(uninitialized: $0.shape, $0.dtype) }
            let results = rk_attention_results(
                out: call.outputs[0].pointer, lse: call.outputs[1].pointer, tangent: nil, mean: nil)
            var shape = attentionShape(call)
            try workspace(
                rk_attention_grad(
                    call.inputs[0].dtype.kernel, &shape, kernelInputs(call.inputs[...]), results, g.pointer,
                    kernelGradients(gradients[...])))
            return gradients
        },
        jvp: { call, d in
            guard d.contains(where: { $0 != nil }) else { return [nil, nil] }
            let tangents = try zip(d, call.inputs).map { try $0 ?? .zeros($1.shape, $1.dtype) }
            let known = call.outputs.map { $0.detach() }
            return [try knownAttentionTangent.apply(call.inputs + tangents + known, call.attributes.values)[0], nil]
        })

    static let attentionTangent: Op = composed(
        "attention_tangent",
        [
            Argument("q", .tensor), Argument("k", .tensor), Argument("v", .tensor),
            Argument("dq", .tensor), Argument("dk", .tensor), Argument("dv", .tensor),
            Argument("scale", .positive, "1 / sqrt(width) when not given", default: .none),
        ],
        Doc(
            "The derivative of attention along the tangents dq, dk and dv of q, k and v.",
            formula: "y = dp v + p dv, p the softmax and dp its tangent",
            shapes: "as attention's; dq, dk and dv as q, k and v -> as q",
            example:
                """
                > local q, z = riffle.ones(1, 2, 1, 4), riffle.zeros(1, 2, 1, 4)
                > riffle.attention_tangent(q, q, q, z, z, q):shape()
                [1, 2, 1, 4]
                """
        ),
        samples: [
            Sample([2, 3, 2, 4], [2, 5, 2, 4], [2, 5, 2, 4], [2, 3, 2, 4], [2, 5, 2, 4], [2, 5, 2, 4]),
            Sample(
                [1, 4, 1, 3], [1, 4, 1, 3], [1, 4, 1, 3], [1, 4, 1, 3], [1, 4, 1, 3], [1, 4, 1, 3], with: [.number(0.3)]
            ),
        ],
        draw: { dice in
            let (q, k, attributes) = drawAttention(&dice)
            return Sample([q, k, k, q, k, k].map { .random($0, -2...2) }, attributes, terms: k[1])
        },
        mistakes: [Sample([2, 3, 2, 4], [2, 5, 2, 4], [2, 5, 2, 4], [2, 3, 2, 4], [2, 5, 2, 4], [2, 4, 2, 4])],
        body: { call in
            let x = Array(call.inputs[..<3]), d = Array(call.inputs[3...])
            guard zip(x, d).allSatisfy({ $0.shape == $1.shape && $0.dtype == $1.dtype }) else {
                let shapes = zip(["q", "k", "v", "dq", "dk", "dv"], call.inputs).map { "\($0) \($1.dtype) \($1.shape)" }
                    .joined(separator: ", ")
                throw RiffleError("", "dq, dk and dv must be as q, k and v (\(shapes))")
            }
            let known = try withoutGradient { try attention.apply(x.map { $0.detach() }, call.attributes.values) }
            return try knownAttentionTangent.apply(call.inputs + known, call.attributes.values)[0]
        })

    /// The tangent of attention for callers that have attention's results, which count as constants; the inputs are q,
    /// k, v, dq, dk, dv, out and lse. The table does not list the operation, as only attention has the second result.
    private static let knownAttentionTangent: Op = Op(
        "attention_tangent",
        ["q", "k", "v", "dq", "dk", "dv", "out", "lse"].map { Argument($0, .tensor) } + [attentionTangent.arguments[6]],
        attentionTangent.doc, keep: .everything, results: 1, samples: [], mistakes: [],
        forward: { call in
            let x = call.inputs, (out, lse) = (x[6], x[7])
            let (tangent, mean) = (
                try Tensor(uninitialized: out.shape, out.dtype), try Tensor(uninitialized: lse.shape, lse.dtype)
            )
            var shape = attentionShape(call)
            try workspace(
                rk_attention_tangent(
                    out.dtype.kernel, &shape, kernelInputs(x[..<3]), kernelInputs(x[3..<6]), out.pointer, lse.pointer,
                    tangent.pointer, mean.pointer))
            return [tangent, mean]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            if Context.current.isRecording { return try Parts(call).tangentGradients(call, g.swapped()) + [nil, nil] }
            let x = call.inputs, gradients = try x[..<6].map { try Tensor(uninitialized: $0.shape, $0.dtype) }
            let results = rk_attention_results(
                out: x[6].pointer, lse: x[7].pointer, tangent: call.outputs[0].pointer, mean: call.outputs[1].pointer)
            var shape = attentionShape(call)
            try workspace(
                rk_attention_tangent_grad(
                    g.dtype.kernel, &shape, kernelInputs(x[..<3]), kernelInputs(x[3..<6]), results, g.pointer,
                    kernelGradients(gradients[..<3]), kernelGradients(gradients[3...])))
            return gradients + [nil, nil]
        },
        jvp: { call, tangents in
            // The tangent of the tangent, by forward mode over basic operations.
            let level = ForwardLevel()
            defer { level.close() }
            let inputs = try zip(call.inputs, tangents).map { input, tangent in
                try tangent.map { try level.dual(input, $0) } ?? input
            }
            return [try level.split(Parts(call.op.call(inputs, call.attributes.values)).tangent(inputs)).tangent, nil]
        })

    /// Attention in basic operations, with heads before positions, for derivatives of derivatives.
    private struct Parts {
        let q: Tensor, k: Tensor, v: Tensor, weights: Tensor
        let scale: Double

        init(_ call: Call) throws {
            q = try call.inputs[0].swapped()
            k = try call.inputs[1].swapped()
            v = try call.inputs[2].swapped()
            scale = attentionScale(call)
            weights = try (q.matmul(k, transposeB: true) * scale).softmax()
        }

        /// The change of the weights for a change of the scores, by the softmax's symmetric Jacobian.
        func slope(_ change: Tensor) throws -> Tensor {
            try weights * (change - (weights * change).sum([-1], keep: true))
        }

        /// The tangent of the scores, for `inputs` q, k, v, dq, dk and dv.
        private func scoresTangent(_ inputs: [Tensor]) throws -> Tensor {
            try (inputs[3].swapped().matmul(k, transposeB: true) + q.matmul(inputs[4].swapped(), transposeB: true))
                * scale
        }

        /// The output's tangent.
        func tangent(_ inputs: [Tensor]) throws -> Tensor {
            try (slope(scoresTangent(inputs)).matmul(v) + weights.matmul(inputs[5].swapped())).swapped()
        }

        /// Gradients of the output's tangent, from a gradient g with heads first; the formulas are the kernel's.
        func tangentGradients(_ call: Call, _ g: Tensor) throws -> [Tensor?] {
            let dq = try call.inputs[3].swapped()
            let dk = try call.inputs[4].swapped()
            let dv = try call.inputs[5].swapped()
            let d = try scoresTangent(call.inputs), a = try g.matmul(v, transposeB: true)
            func mean(_ x: Tensor) throws -> Tensor { try (weights * x).sum([-1], keep: true) }
            let u = try slope(a) * scale
            let w = try slope(a * (d - mean(d)) - mean(a) * d + g.matmul(dv, transposeB: true)) * scale
            return [
                try (w.matmul(k) + u.matmul(dk)).swapped(),
                try (w.matmul(q, transposeA: true) + u.matmul(dq, transposeA: true)).swapped(),
                try slope(d).matmul(g, transposeA: true).swapped(),
                try u.matmul(k).swapped(), try u.matmul(q, transposeA: true).swapped(),
                try weights.matmul(g, transposeA: true).swapped(),
            ]
        }
    }

    /// Queries, keys and values, or their tangents, as kernels take them; the caller keeps the tensors alive.
    private static func kernelInputs(_ x: ArraySlice<Tensor>) -> rk_attention_inputs {
        let first = x.startIndex
        return rk_attention_inputs(q: x[first].pointer, k: x[first + 1].pointer, v: x[first + 2].pointer)
    }

    private static func kernelGradients(_ g: ArraySlice<Tensor>) -> rk_attention_grads {
        let first = g.startIndex
        return rk_attention_grads(q: g[first].pointer, k: g[first + 1].pointer, v: g[first + 2].pointer)
    }

    private static func attentionScale(_ call: Call) -> Double {
        call.attributes.optionalNumber("scale") ?? 1 / Double(call.inputs[0].shape.last).squareRoot()
    }

    private static func attentionShape(_ call: Call) -> rk_attention_shape {
        let (q, k) = (call.inputs[0].shape, call.inputs[1].shape), row = q[2] * q[3]
        let queries = rk_attention_stride(batch: q[1] * row, row: row, head: q[3]),
            keys = rk_attention_stride(batch: k[1] * row, row: row, head: q[3])
        return rk_attention_shape(
            batch: q[0], heads: q[2], queries: q[1], keys: k[1], width: q[3], scale: attentionScale(call), q: queries,
            k: keys, v: keys,
            out: queries, precision: Context.current.precision.kernel)
    }
}

extension Tensor {
    /// [n, positions, heads, width] to [n, heads, positions, width] and back.
    fileprivate func swapped() throws -> Tensor { try permuted([0, 2, 1, 3]) }
}
