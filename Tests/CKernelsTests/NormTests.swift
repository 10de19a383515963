import CKernels
import Foundation
import Testing

struct Normed<T> {
    var y: [T], mean: [T], rstd: [T]
}

struct NormGradient<T: BitwiseCopyable> {
    var x: [T], weight: [T], bias: [T]

    mutating func withPointers(_ body: (rk_norm_grads) -> Void) {
        x.withUnsafeMutableBytes { x in
            weight.withUnsafeMutableBytes { weight in
                bias.withUnsafeMutableBytes { bias in
                    body(rk_norm_grads(x: x.baseAddress, d: nil, weight: weight.baseAddress, bias: bias.baseAddress))
                }
            }
        }
    }
}

struct NormTangentGradient<T: BitwiseCopyable> {
    var x: [T], d: [T], weight: [T]

    mutating func withPointers(_ body: (rk_norm_grads) -> Void) {
        x.withUnsafeMutableBytes { x in
            d.withUnsafeMutableBytes { d in
                weight.withUnsafeMutableBytes { weight in
                    body(rk_norm_grads(x: x.baseAddress, d: d.baseAddress, weight: weight.baseAddress, bias: nil))
                }
            }
        }
    }
}

/// A group norm's sizes; as a layer norm: rows of `channels`, with `sets` of weights.
struct Norm: CustomStringConvertible, Sendable {
    var n: Int, pixels: Int, channels: Int, groups: Int
    var affine = true, layer = false, sets = 1, silu = false

    var description: String {
        "[\(n), \(pixels), \(channels)] in \(groups) groups, affine \(affine), silu \(silu), \(sets) sets, "
            + "\(layer ? "layer norm" : "group norm")"
    }
    var count: Int { n * pixels * channels }
    var groupShape: rk_group_norm_shape {
        rk_group_norm_shape(n: n, pixels: pixels, channels: channels, groups: groups, eps: 1e-5, silu: silu)
    }
    var layerShape: rk_layer_norm_shape { rk_layer_norm_shape(rows: n, width: channels, sets: sets, eps: 1e-5) }

    /// Calls `body` with pointers to arrays for the inputs, without weight and bias where the norm has none.
    func withInputs<T: BitwiseCopyable, Result>(
        _ x: [T], d: [T]? = nil, _ weight: [T], _ bias: [T]? = nil, _ body: (rk_norm_inputs) -> Result
    ) -> Result {
        x.withUnsafeBytes { x in
            (d ?? []).withUnsafeBytes { d in
                weight.withUnsafeBytes { weight in
                    (bias ?? []).withUnsafeBytes { bias in
                        body(
                            rk_norm_inputs(
                                x: x.baseAddress, d: d.baseAddress, weight: affine ? weight.baseAddress : nil,
                                bias: affine ? bias.baseAddress : nil))
                    }
                }
            }
        }
    }

    func forward<T: FloatingPoint & BitwiseCopyable>(_ dtype: rk_dtype, _ x: [T], _ weight: [T], _ bias: [T]) -> Normed<
        T
    > {
        var r = Normed<T>(
            y: .init(repeating: .nan, count: count), mean: .init(repeating: .nan, count: n * groups),
            rstd: .init(repeating: .nan, count: n * groups))
        var (groups, rows) = (groupShape, layerShape)
        withInputs(x, weight, bias) { inputs in
            if layer {
                rk_layer_norm(dtype, &rows, inputs, &r.y, &r.mean, &r.rstd)
            } else {
                #expect(rk_group_norm(dtype, &groups, inputs, &r.y, &r.mean, &r.rstd))
            }
        }
        return r
    }

    func tangent<T: FloatingPoint & BitwiseCopyable>(_ dtype: rk_dtype, _ x: [T], _ d: [T], _ weight: [T]) -> Normed<T>
    {
        var r = Normed<T>(
            y: .init(repeating: .nan, count: count), mean: .init(repeating: .nan, count: n * groups),
            rstd: .init(repeating: .nan, count: n * groups))
        var (groups, rows) = (groupShape, layerShape)
        withInputs(x, d: d, weight) { inputs in
            if layer {
                rk_layer_norm_tangent(dtype, &rows, inputs, &r.y, &r.mean, &r.rstd)
            } else {
                #expect(rk_group_norm_tangent(dtype, &groups, inputs, &r.y, &r.mean, &r.rstd))
            }
        }
        return r
    }

    func tangentGradient<T: FloatingPoint & BitwiseCopyable>(
        _ dtype: rk_dtype, _ x: [T], _ d: [T], _ weight: [T], _ f: Normed<T>, _ gy: [T]
    ) -> NormTangentGradient<T> {
        var g = NormTangentGradient<T>(
            x: .init(repeating: .nan, count: count), d: .init(repeating: .nan, count: count),
            weight: .init(repeating: .nan, count: sets * channels))
        var (groups, rows) = (groupShape, layerShape)
        withInputs(x, d: d, weight) { inputs in
            g.withPointers { grads in
                #expect(
                    layer
                        ? rk_layer_norm_tangent_grad(dtype, &rows, inputs, f.mean, f.rstd, gy, grads)
                        : rk_group_norm_tangent_grad(dtype, &groups, inputs, f.mean, f.rstd, gy, grads))
            }
        }
        return g
    }

    func gradient<T: FloatingPoint & BitwiseCopyable>(
        _ dtype: rk_dtype, _ x: [T], _ weight: [T], _ bias: [T], _ f: Normed<T>, _ gy: [T]
    ) -> NormGradient<T> {
        var g = NormGradient<T>(
            x: .init(repeating: .nan, count: count), weight: .init(repeating: .nan, count: sets * channels),
            bias: .init(repeating: .nan, count: sets * channels))
        var (groups, rows) = (groupShape, layerShape)
        withInputs(x, weight, bias) { inputs in
            g.withPointers { grads in
                #expect(
                    layer
                        ? rk_layer_norm_grad(dtype, &rows, inputs, f.mean, f.rstd, gy, grads)
                        : rk_group_norm_grad(dtype, &groups, inputs, f.mean, f.rstd, gy, grads))
            }
        }
        return g
    }
}

@Suite(.serialized) struct NormTests {
    static let norms: [Norm] = [
        Norm(n: 2, pixels: 9, channels: 12, groups: 3), Norm(n: 1, pixels: 1, channels: 4, groups: 1),
        Norm(n: 3, pixels: 50, channels: 100, groups: 4), Norm(n: 9, pixels: 300, channels: 64, groups: 32),
        Norm(n: 1, pixels: 260, channels: 192, groups: 32, affine: false),
        Norm(n: 2, pixels: 30, channels: 7, groups: 7),
        Norm(n: 0, pixels: 3, channels: 4, groups: 2), Norm(n: 40, pixels: 1, channels: 96, groups: 1, layer: true),
        Norm(n: 3, pixels: 1, channels: 5, groups: 1, layer: true),
        Norm(n: 12, pixels: 1, channels: 40, groups: 1, layer: true, sets: 3),
        Norm(n: 600, pixels: 1, channels: 260, groups: 1, layer: true, sets: 2),
        Norm(n: 0, pixels: 1, channels: 5, groups: 1, layer: true),
        Norm(n: 700, pixels: 1, channels: 257, groups: 1, affine: false, layer: true),
        Norm(n: 3, pixels: 140, channels: 88, groups: 4, silu: true),
        Norm(n: 9, pixels: 5, channels: 6, groups: 2, affine: false, silu: true),
        Norm(n: 2, pixels: 0, channels: 4, groups: 2), Norm(n: 2, pixels: 0, channels: 4, groups: 2, silu: true),
    ]

    @Test(arguments: norms, [0.0, 100]) func matchesPlainForm(norm: Norm, offset: Double) {
        let seed: UInt64 = 41
        let x = noise(norm.count, seed: seed).map { Double(Float($0 + offset)) }
        let weight = noise(norm.sets * norm.channels, seed: seed + 1)
        let bias = noise(norm.sets * norm.channels, seed: seed + 2)
        let gy = noise(norm.count, seed: seed + 3)
        let tolerance = offset == 0 ? 3e-6 : 1e-4
        let plain = norm.forward(RK_F64, x, weight, bias)
        let plainGrad = norm.gradient(RK_F64, x, weight, bias, plain, gy)
        let (x32, weight32, bias32, gy32) = (x.f32, weight.f32, bias.f32, gy.f32)
        func run() -> (Normed<Float>, NormGradient<Float>) {
            let f = norm.forward(RK_F32, x32, weight32, bias32)
            return (f, norm.gradient(RK_F32, x32, weight32, bias32, f, gy32))
        }
        atEachLevel { _ in
            let (f, g) = run()
            #expect(relativeError(f.y, plain.y) < tolerance, "seed \(seed)")
            #expect(
                relativeError(f.mean, plain.mean) < 1e-6 && relativeError(f.rstd, plain.rstd) < 1e-5, "seed \(seed)")
            #expect(
                relativeError(g.x, plainGrad.x) < tolerance && relativeError(g.weight, plainGrad.weight) < tolerance,
                "seed \(seed)")
            #expect(relativeError(g.bias, plainGrad.bias) < (norm.silu ? tolerance : 3e-6), "seed \(seed)")
        }
        #expect(
            sameForAnyThreads {
                let (f, g) = run()
                return [f.y, f.mean, f.rstd, g.x, g.weight, g.bias]
            }, "seed \(seed)")
    }

    @Test(arguments: norms, [0.0, 30]) func tangentsMatchPlainForm(norm: Norm, offset: Double) {
        let seed: UInt64 = 45
        let x = noise(norm.count, seed: seed).map { Double(Float($0 + offset)) }
        let d = noise(norm.count, seed: seed + 1)
        let weight = noise(norm.sets * norm.channels, seed: seed + 2)
        let gy = noise(norm.count, seed: seed + 3)
        let tolerance = offset == 0 ? 3e-6 : 1e-4
        let plain = norm.tangent(RK_F64, x, d, weight)
        let plainGrad = norm.tangentGradient(RK_F64, x, d, weight, plain, gy)
        let (x32, d32, weight32, gy32) = (x.f32, d.f32, weight.f32, gy.f32)
        func run() -> (Normed<Float>, NormTangentGradient<Float>) {
            let f = norm.tangent(RK_F32, x32, d32, weight32)
            return (f, norm.tangentGradient(RK_F32, x32, d32, weight32, f, gy32))
        }
        atEachLevel { _ in
            let (f, g) = run()
            #expect(relativeError(f.y, plain.y) < tolerance, "seed \(seed)")
            for (got, wanted) in [(g.x, plainGrad.x), (g.d, plainGrad.d), (g.weight, plainGrad.weight)] {
                #expect(relativeError(got, wanted) < tolerance, "seed \(seed)")
            }
        }
        #expect(
            sameForAnyThreads {
                let (f, g) = run()
                return [f.y, g.x, g.d, g.weight]
            }, "seed \(seed)")
    }

    @Test(arguments: norms[..<3] + norms[8...9] + norms[13...13]) func plainGradientsAreSlopes(norm: Norm) {
        let seed: UInt64 = 51
        let x = noise(norm.count, seed: seed)
        let gy = noise(norm.count, seed: seed + 1)
        let weight = noise(norm.sets * norm.channels, seed: seed + 2)
        let bias = noise(norm.sets * norm.channels, seed: seed + 3)
        let g = norm.gradient(RK_F64, x, weight, bias, norm.forward(RK_F64, x, weight, bias), gy)
        func error(_ gradient: [Double], _ at: [Double], _ y: ([Double]) -> Normed<Double>) -> Double {
            slopeError(of: gradient, at: at, seed: seed + 4) { dot(gy, y($0).y) }
        }
        #expect(error(g.x, x) { norm.forward(RK_F64, $0, weight, bias) } < 1e-6, "seed \(seed)")
        #expect(error(g.weight, weight) { norm.forward(RK_F64, x, $0, bias) } < 1e-6, "seed \(seed)")
        #expect(error(g.bias, bias) { norm.forward(RK_F64, x, weight, $0) } < 1e-6, "seed \(seed)")
        guard !norm.silu else { return }
        // The tangent is the adjoint of the gradient, and its own gradients are slopes of it.
        let d = noise(norm.count, seed: seed + 5)
        let tangent = norm.tangent(RK_F64, x, d, weight)
        #expect(abs(dot(gy, tangent.y) - dot(g.x, d)) < 1e-10, "seed \(seed)")
        let second = norm.tangentGradient(RK_F64, x, d, weight, tangent, gy)
        #expect(error(second.x, x) { norm.tangent(RK_F64, $0, d, weight) } < 1e-6, "seed \(seed)")
        #expect(error(second.d, d) { norm.tangent(RK_F64, x, $0, weight) } < 1e-6, "seed \(seed)")
        #expect(error(second.weight, weight) { norm.tangent(RK_F64, x, d, $0) } < 1e-6, "seed \(seed)")
    }

    @Test(arguments: [(0, 3), (1, 1), (5, 7), (33, 64), (300, 101)], [false, true])
    func softmax(size: (rows: Int, width: Int), logarithm: Bool) {
        let (rows, width) = size
        let seed: UInt64 = 61
        let x = noise(rows * width, seed: seed).map { $0 * 8 }
        let gy = noise(rows * width, seed: seed + 1)
        var plain = x
        var plainGrad = x
        var y = x.f32
        var gx = x.f32
        rk_softmax(RK_F64, logarithm, rows, width, x, &plain)
        rk_softmax_grad(RK_F64, logarithm, rows, width, plain, gy, &plainGrad)
        #expect(
            slopeError(of: plainGrad, at: x, seed: seed + 2) { x in
                var y = x
                rk_softmax(RK_F64, logarithm, rows, width, x, &y)
                return dot(gy, y)
            } < 1e-6, "seed \(seed)")
        for r in 0..<rows {
            let row = plain[r * width..<(r + 1) * width]
            #expect(abs(row.reduce(0) { $0 + (logarithm ? exp($1) : $1) } - 1) < 1e-12, "seed \(seed)")
        }
        rk_softmax(RK_F32, logarithm, rows, width, x.f32, &y)
        rk_softmax_grad(RK_F32, logarithm, rows, width, y, gy.f32, &gx)
        #expect(relativeError(y, plain) < 2e-6 && relativeError(gx, plainGrad) < 5e-6, "seed \(seed)")
    }

    /// Scores far apart and -inf, as masks give, stay without NaN.
    @Test func softmaxOfExtremes() {
        var y: [Float] = [0, 0, 0, 0]
        rk_softmax(RK_F32, false, 1, 4, [1e30, -.infinity, 1e30, -1e30] as [Float], &y)
        #expect(y == [0.5, 0, 0.5, 0])
    }
}
