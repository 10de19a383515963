import CKernels
import Testing

/// Attention over q, k and v as slices of packed rows `[batch, row, 3, heads, width]` where queries = keys, else apart.
struct Attention: CustomStringConvertible, Sendable {
    var batch: Int, heads: Int, queries: Int, keys: Int, width: Int

    var description: String { "batch \(batch), heads \(heads), queries \(queries), keys \(keys), width \(width)" }
    var row: Int { 3 * heads * width }
    var lseCount: Int { batch * heads * queries }
    var outCount: Int { batch * queries * heads * width }

    var shape: rk_attention_shape {
        let packed = { rk_attention_stride(batch: $0 * row, row: row, head: width) }
        return rk_attention_shape(
            batch: batch, heads: heads, queries: queries, keys: keys, width: width, scale: 0.7, q: packed(queries),
            k: packed(keys), v: packed(keys),
            out: rk_attention_stride(batch: queries * heads * width, row: heads * width, head: width),
            precision: RK_FLOAT32)
    }

    /// `q` and `kv` are packed rows of queries and of keys; where they are the same, so are the rows.
    func forward<T: FloatingPoint & BitwiseCopyable>(_ dtype: rk_dtype, _ q: [T], _ kv: [T]) -> (out: [T], lse: [T]) {
        var out = [T](repeating: .nan, count: outCount)
        var lse = [T](repeating: .nan, count: lseCount)
        var shape = shape
        q.withUnsafeBufferPointer { q in
            kv.withUnsafeBufferPointer { kv in
                let k = kv.baseAddress.map { $0 + heads * width }
                let v = kv.baseAddress.map { $0 + 2 * heads * width }
                #expect(rk_attention(dtype, &shape, q.baseAddress, k, v, &out, &lse))
            }
        }
        return (out, lse)
    }

    func gradient<T: FloatingPoint & BitwiseCopyable>(
        _ dtype: rk_dtype, _ q: [T], _ kv: [T], _ f: (out: [T], lse: [T]), _ gout: [T]
    ) -> (q: [T], kv: [T]) {
        var gq = [T](repeating: 0, count: q.count)
        var gkv = [T](repeating: 0, count: kv.count)
        var shape = shape
        q.withUnsafeBufferPointer { q in
            kv.withUnsafeBufferPointer { kv in
                gkv.withUnsafeMutableBufferPointer { gkv in
                    let k = heads * width
                    let v = 2 * heads * width
                    #expect(
                        rk_attention_grad(
                            dtype, &shape, q.baseAddress, kv.baseAddress! + k, kv.baseAddress! + v, f.out, f.lse, gout,
                            &gq,
                            gkv.baseAddress! + k, gkv.baseAddress! + v))
                }
            }
        }
        return (gq, gkv)
    }

    /// The output's tangent for those of the packed rows, with the means that the gradient needs.
    func tangent<T: FloatingPoint & BitwiseCopyable>(_ dtype: rk_dtype, _ x: Duals<T>, _ f: (out: [T], lse: [T])) -> (
        y: [T], mean: [T]
    ) {
        var y = [T](repeating: .nan, count: outCount)
        var mean = [T](repeating: .nan, count: lseCount)
        var shape = shape
        x.withPointers(keys: heads * width, values: 2 * heads * width) { q, k, v, dq, dk, dv in
            #expect(rk_attention_tangent(dtype, &shape, q, k, v, dq, dk, dv, f.out, f.lse, &y, &mean))
        }
        return (y, mean)
    }

    func tangentGradient<T: FloatingPoint & BitwiseCopyable>(
        _ dtype: rk_dtype, _ x: Duals<T>, _ f: (out: [T], lse: [T]), _ t: (y: [T], mean: [T]), _ g: [T]
    ) -> Duals<T> {
        func zeros(_ like: [T]) -> [T] { .init(repeating: 0, count: like.count) }
        var r = Duals(q: zeros(x.q), kv: zeros(x.kv), dq: zeros(x.dq), dkv: zeros(x.dkv))
        var shape = shape
        let (keys, values) = (heads * width, 2 * heads * width)
        x.withPointers(keys: keys, values: values) { q, k, v, dq, dk, dv in
            r.kv.withUnsafeMutableBufferPointer { gkv in
                r.dkv.withUnsafeMutableBufferPointer { gdkv in
                    #expect(
                        rk_attention_tangent_grad(
                            dtype, &shape, q, k, v, dq, dk, dv, f.out, f.lse, t.y, t.mean, g, &r.q,
                            gkv.baseAddress! + keys,
                            gkv.baseAddress! + values, &r.dq, gdkv.baseAddress! + keys, gdkv.baseAddress! + values))
                }
            }
        }
        return r
    }
}

/// Packed rows of queries and keys, and their tangents.
struct Duals<T: BitwiseCopyable> {
    var q: [T], kv: [T], dq: [T], dkv: [T]

    var all: [[T]] { [q, kv, dq, dkv] }

    func withPointers(
        keys: Int, values: Int,
        _ body: (
            UnsafePointer<T>, UnsafePointer<T>, UnsafePointer<T>, UnsafePointer<T>, UnsafePointer<T>, UnsafePointer<T>
        ) -> Void
    ) {
        q.withUnsafeBufferPointer { q in
            kv.withUnsafeBufferPointer { kv in
                dq.withUnsafeBufferPointer { dq in
                    dkv.withUnsafeBufferPointer { dkv in
                        let (x, y, u, w) = (q.baseAddress!, kv.baseAddress!, dq.baseAddress!, dkv.baseAddress!)
                        body(x, y + keys, y + values, u, w + keys, w + values)
                    }
                }
            }
        }
    }
}

extension Duals<Double> {
    init(_ a: Attention, seed: UInt64) {
        let (queries, keys) = (a.batch * a.queries * a.row + 1, a.batch * a.keys * a.row + 1)
        self.init(
            q: noise(queries, seed: seed), kv: noise(keys, seed: seed + 1), dq: noise(queries, seed: seed + 2),
            dkv: noise(keys, seed: seed + 3))
    }
    var f32: Duals<Float> { Duals<Float>(q: q.f32, kv: kv.f32, dq: dq.f32, dkv: dkv.f32) }
}

@Suite(.serialized) struct AttentionTests {
    static let cases: [Attention] = [
        Attention(batch: 1, heads: 1, queries: 1, keys: 1, width: 1),
        Attention(batch: 2, heads: 3, queries: 5, keys: 7, width: 3),
        Attention(batch: 1, heads: 2, queries: 65, keys: 129, width: 17),
        Attention(batch: 1, heads: 1, queries: 200, keys: 300, width: 40),
        Attention(batch: 4, heads: 2, queries: 64, keys: 64, width: 64),
        Attention(batch: 2, heads: 4, queries: 130, keys: 131, width: 32),
        Attention(batch: 1, heads: 1, queries: 70, keys: 70, width: 200),
        Attention(batch: 0, heads: 2, queries: 4, keys: 4, width: 8),
    ]

    @Test(arguments: cases) func matchesPlainForm(a: Attention) {
        let seed: UInt64 = 71
        let q = noise(a.batch * a.queries * a.row + 1, seed: seed)
        let kv = noise(a.batch * a.keys * a.row + 1, seed: seed + 1)
        let gout = noise(a.outCount, seed: seed + 2)
        let plain = a.forward(RK_F64, q, kv)
        let plainGrad = a.gradient(RK_F64, q, kv, plain, gout)
        func run() -> [[Float]] {
            let f = a.forward(RK_F32, q.f32, kv.f32)
            let g = a.gradient(RK_F32, q.f32, kv.f32, f, gout.f32)
            return [f.out, f.lse, g.q, g.kv]
        }
        for (result, expected) in zip(run(), [plain.out, plain.lse, plainGrad.q, plainGrad.kv]) {
            #expect(relativeError(result, expected) < 1e-5, "seed \(seed)")
        }
        #expect(sameForAnyThreads(run), "seed \(seed)")
    }

    @Test(arguments: cases[..<3]) func plainGradientsAreSlopes(a: Attention) {
        let seed: UInt64 = 81
        let q = noise(a.batch * a.queries * a.row, seed: seed)
        let kv = noise(a.batch * a.keys * a.row, seed: seed + 1)
        let gout = noise(a.outCount, seed: seed + 2)
        let g = a.gradient(RK_F64, q, kv, a.forward(RK_F64, q, kv), gout)
        #expect(
            slopeError(of: g.q, at: q, seed: seed) { dot(gout, a.forward(RK_F64, $0, kv).out) } < 1e-6, "seed \(seed)")
        #expect(
            slopeError(of: g.kv, at: kv, seed: seed) { dot(gout, a.forward(RK_F64, q, $0).out) } < 1e-6, "seed \(seed)")
    }

    @Test(arguments: cases) func tangentMatchesPlainForm(a: Attention) {
        let seed: UInt64 = 61
        let x = Duals(a, seed: seed), g = noise(a.outCount, seed: seed + 4)
        let plain = a.forward(RK_F64, x.q, x.kv), plainTangent = a.tangent(RK_F64, x, plain)
        let plainGradient = a.tangentGradient(RK_F64, x, plain, plainTangent, g)
        func run() -> [[Float]] {
            let f = a.forward(RK_F32, x.q.f32, x.kv.f32), t = a.tangent(RK_F32, x.f32, f)
            return [t.y, t.mean] + a.tangentGradient(RK_F32, x.f32, f, t, g.f32).all
        }
        atEachLevel { _ in
            for (result, expected) in zip(run(), [plainTangent.y, plainTangent.mean] + plainGradient.all) {
                #expect(relativeError(result, expected) < 2e-5, "seed \(seed)")
            }
        }
        #expect(sameForAnyThreads(run), "seed \(seed)")
    }

    @Test(arguments: cases[..<3]) func plainTangentIsTheSlope(a: Attention) {
        let seed: UInt64 = 63
        let x = Duals(a, seed: seed), g = noise(a.outCount, seed: seed + 4), f = a.forward(RK_F64, x.q, x.kv)
        let t = a.tangent(RK_F64, x, f), pulled = a.gradient(RK_F64, x.q, x.kv, f, g)
        #expect(abs(dot(g, t.y) - dot(pulled.q, x.dq) - dot(pulled.kv, x.dkv)) < 1e-9, "seed \(seed)")
        let gradient = a.tangentGradient(RK_F64, x, f, t, g)
        func error(_ gradient: [Double], _ part: WritableKeyPath<Duals<Double>, [Double]>) -> Double {
            slopeError(of: gradient, at: x[keyPath: part], seed: seed) { values in
                var changed = x
                changed[keyPath: part] = values
                return dot(g, a.tangent(RK_F64, changed, a.forward(RK_F64, changed.q, changed.kv)).y)
            }
        }
        #expect(error(gradient.q, \.q) < 1e-6 && error(gradient.kv, \.kv) < 1e-6, "seed \(seed)")
        #expect(error(gradient.dq, \.dq) < 1e-6 && error(gradient.dkv, \.dkv) < 1e-6, "seed \(seed)")
    }

    /// Scores in the thousands neither overflow nor lose the row's sum.
    @Test func largeScoresStayFinite() {
        let a = Attention(batch: 1, heads: 1, queries: 70, keys: 300, width: 8)
        let q = noise(a.queries * a.row, seed: 91).map { $0 * 50 }
        let kv = noise(a.keys * a.row, seed: 92).map { $0 * 50 }
        let plain = a.forward(RK_F64, q, kv)
        let f = a.forward(RK_F32, q.f32, kv.f32)
        #expect(relativeError(f.out, plain.out) < 1e-2 && relativeError(f.lse, plain.lse) < 1e-6)
    }

    @Test func withoutKeysTheResultIsZero() {
        let a = Attention(batch: 1, heads: 2, queries: 3, keys: 0, width: 4)
        let f = a.forward(RK_F32, noise(3 * a.row, seed: 1).f32, [0])
        #expect(f.out.allSatisfy { $0 == 0 } && f.lse.allSatisfy { $0 == -.infinity })
    }
}
