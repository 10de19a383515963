import CKernels

extension Op {
    static let attentions: [Op] = [attention]

    static let attention: Op = Op(
        "attention", [
            Argument("q", .tensor), Argument("k", .tensor), Argument("v", .tensor),
            Argument("scale", .positive, "1 / sqrt(width) when not given", default: .none),
        ],
        Doc("Scaled dot-product attention, without storing the scores.", formula: "y = softmax(scale q k^T) v for each head", shapes: "q [n, queries, heads, width], k and v [n, keys, heads, width] -> as q", example: "> riffle.attention(riffle.ones(1, 2, 1, 4), riffle.ones(1, 3, 1, 4), riffle.ones(1, 3, 1, 4)):shape()\n[1, 2, 1, 4]", source: "Vaswani et al. 2017; Dao et al. 2022"),
        keep: .everything, results: 1,
        samples: [Sample([2, 3, 2, 4], [2, 5, 2, 4], [2, 5, 2, 4]), Sample([1, 4, 1, 3], [1, 4, 1, 3], [1, 4, 1, 3], with: [.number(0.3)])],
        mistakes: [Sample([2, 3, 2, 4], [2, 5, 2, 3], [2, 5, 2, 4]), Sample([2, 3, 2, 4], [2, 5, 2, 4], [2, 4, 2, 4]), Sample([3, 4], [3, 4], [3, 4])],
        forward: { call in
            let (q, k, v) = (try call.inputs[0].floating(), call.inputs[1], call.inputs[2])
            guard q.rank == 4, k.rank == 4, k.shape == v.shape, k.shape.replacing(1, with: 0) == q.shape.replacing(1, with: 0),
                k.shape[1] > 0, q.dtype == k.dtype, q.dtype == v.dtype
            else {
                throw RiffleError(
                    "", "q must be [n, queries, heads, width], k and v [n, keys, heads, width] of the same type"
                        + " (q \(q.shape), k \(k.shape), v \(v.shape))")
            }
            let out = try Tensor(uninitialized: q.shape, q.dtype)
            let lse = try Tensor(uninitialized: [q.shape[0], q.shape[2], q.shape[1]], q.dtype)
            var shape = attentionShape(call)
            try workspace(rk_attention(q.dtype.kernel, &shape, q.pointer, k.pointer, v.pointer, out.pointer, lse.pointer))
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
            let (q, k, v) = (call.inputs[0], call.inputs[1], call.inputs[2])
            let gradients = try call.inputs.map { try Tensor(uninitialized: $0.shape, $0.dtype) }
            var shape = attentionShape(call)
            try workspace(rk_attention_grad(
                q.dtype.kernel, &shape, q.pointer, k.pointer, v.pointer, call.outputs[0].pointer, call.outputs[1].pointer, g.pointer,
                gradients[0].pointer, gradients[1].pointer, gradients[2].pointer))
            return gradients
        },
        jvp: { call, d in
            let parts = try Parts(call)
            let scores = try total([
                d[0].map { try $0.swapped().matmul(parts.k, transposeB: true) }, d[1].map { try parts.q.matmul($0.swapped(), transposeB: true) },
            ])
            let moved = try total([
                scores.map { try parts.slope($0 * parts.scale).matmul(parts.v) }, d[2].map { try parts.weights.matmul($0.swapped()) },
            ])
            return [try moved?.swapped(), nil]
        })

    /// Attention in basic operations, for derivatives of derivatives: heads before positions.
    private struct Parts {
        let q: Tensor, k: Tensor, v: Tensor, weights: Tensor
        let scale: Double

        init(_ call: Call) throws {
            (q, k, v) = (try call.inputs[0].swapped(), try call.inputs[1].swapped(), try call.inputs[2].swapped())
            scale = attentionScale(call)
            weights = try (q.matmul(k, transposeB: true) * scale).softmax()
        }

        /// What a change of the scores makes of the weights (the softmax's symmetric Jacobian).
        func slope(_ change: Tensor) throws -> Tensor { try weights * (change - (weights * change).sum([-1], keep: true)) }
    }

    private static func attentionScale(_ call: Call) -> Double {
        call.attributes.optionalNumber(0) ?? 1 / Double(call.inputs[0].shape.last).squareRoot()
    }

    private static func attentionShape(_ call: Call) -> rk_attention_shape {
        let (q, k) = (call.inputs[0].shape, call.inputs[1].shape), row = q[2] * q[3]
        let queries = rk_attention_stride(batch: q[1] * row, row: row, head: q[3]), keys = rk_attention_stride(batch: k[1] * row, row: row, head: q[3])
        return rk_attention_shape(
            batch: q[0], heads: q[2], queries: q[1], keys: k[1], width: q[3], scale: attentionScale(call), q: queries, k: keys, v: keys,
            out: queries, precision: Context.current.precision.kernel)
    }
}

extension Tensor {
    /// [n, positions, heads, width] to [n, heads, positions, width] and back.
    fileprivate func swapped() throws -> Tensor { try permuted([0, 2, 1, 3]) }
}
