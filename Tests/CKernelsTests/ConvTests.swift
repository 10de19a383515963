import CKernels
import Testing

/// A convolution's sizes: `[n, h, w, c_in -> c_out] kernel_h x kernel_w stride pad groups`, the step and the border for
/// height and width.
struct Convolution: CustomStringConvertible, Sendable {
    var n: Int, h: Int, w: Int, cIn: Int, cOut: Int
    var kh = 3, kw = 3, stride = (1, 1), pad = (1, 1), groups = 1

    var description: String {
        "[\(n), \(h), \(w), \(cIn) -> \(cOut)] \(kh) x \(kw) stride \(stride) pad \(pad) groups \(groups)"
    }
    var outH: Int { (h + 2 * pad.0 - kh) / stride.0 + 1 }
    var outW: Int { (w + 2 * pad.1 - kw) / stride.1 + 1 }
    var xCount: Int { n * h * w * cIn }
    var weightCount: Int { cOut * kh * kw * cIn / groups }
    var yCount: Int { n * outH * outW * cOut }
    var shape: rk_conv_shape {
        rk_conv_shape(
            n: n, h: h, w: w, c_in: cIn, c_out: cOut, kernel_h: kh, kernel_w: kw, stride_h: stride.0,
            stride_w: stride.1, pad_h: pad.0, pad_w: pad.1, groups: groups, out_h: outH, out_w: outW,
            precision: RK_FLOAT32)
    }

    func forward<T: FloatingPoint & BitwiseCopyable>(_ dtype: rk_dtype, _ x: [T], _ weight: [T], _ bias: [T]?) -> [T] {
        var y = [T](repeating: .nan, count: yCount)
        var shape = shape
        #expect(rk_conv2d(dtype, &shape, x, weight, bias, &y))
        return y
    }

    func inputGradient<T: FloatingPoint & BitwiseCopyable>(_ dtype: rk_dtype, _ gy: [T], _ weight: [T]) -> [T] {
        var gx = [T](repeating: .nan, count: xCount)
        var shape = shape
        #expect(rk_conv2d_input_grad(dtype, &shape, gy, weight, &gx))
        return gx
    }

    func weightGradient<T: FloatingPoint & BitwiseCopyable>(_ dtype: rk_dtype, _ x: [T], _ gy: [T]) -> [T] {
        var gweight = [T](repeating: .nan, count: weightCount)
        var shape = shape
        #expect(rk_conv2d_weight_grad(dtype, &shape, x, gy, &gweight))
        return gweight
    }
}

@Suite(.serialized) struct ConvTests {
    static let convolutions: [Convolution] = [
        // 3x3 of stride 1, with and without enough channels for Winograd's form, from one pixel to odd sizes.
        Convolution(n: 1, h: 1, w: 1, cIn: 16, cOut: 16),
        Convolution(n: 2, h: 1, w: 9, cIn: 3, cOut: 5),
        Convolution(n: 9, h: 5, w: 7, cIn: 17, cOut: 33),
        Convolution(n: 1, h: 4, w: 4, cIn: 64, cOut: 48),
        Convolution(n: 2, h: 32, w: 32, cIn: 64, cOut: 64),
        Convolution(n: 1, h: 30, w: 19, cIn: 96, cOut: 40),
        Convolution(n: 2, h: 11, w: 10, cIn: 130, cOut: 260),
        Convolution(n: 20, h: 6, w: 6, cIn: 32, cOut: 16),
        Convolution(n: 2, h: 28, w: 28, cIn: 3, cOut: 64),
        Convolution(n: 2, h: 28, w: 28, cIn: 64, cOut: 3),
        Convolution(n: 0, h: 8, w: 8, cIn: 32, cOut: 32),
        // Everything else.
        Convolution(n: 2, h: 9, w: 9, cIn: 8, cOut: 6, stride: (2, 2)),
        Convolution(n: 2, h: 16, w: 16, cIn: 32, cOut: 32, stride: (2, 2)),
        Convolution(n: 1, h: 8, w: 6, cIn: 4, cOut: 7, kh: 4, kw: 4, stride: (4, 4), pad: (0, 0)),
        Convolution(n: 2, h: 7, w: 7, cIn: 5, cOut: 5, kh: 1, kw: 1, pad: (0, 0)),
        Convolution(n: 2, h: 7, w: 7, cIn: 5, cOut: 5, kh: 1, kw: 1, stride: (2, 2), pad: (0, 0)),
        Convolution(n: 1, h: 6, w: 5, cIn: 3, cOut: 4, kh: 5, kw: 2, stride: (3, 3), pad: (2, 2)),
        Convolution(n: 1, h: 2, w: 2, cIn: 20, cOut: 20, kh: 7, kw: 7, pad: (3, 3)),
        Convolution(n: 1, h: 6, w: 6, cIn: 16, cOut: 16, pad: (0, 0)),
        Convolution(n: 1, h: 5, w: 5, cIn: 16, cOut: 16, pad: (2, 2)),
        Convolution(n: 2, h: 9, w: 17, cIn: 20, cOut: 24, kh: 1, kw: 7, pad: (0, 3)),
        Convolution(n: 1, h: 9, w: 6, cIn: 16, cOut: 16, stride: (2, 1), pad: (1, 1)),
        Convolution(n: 1, h: 6, w: 9, cIn: 16, cOut: 16, stride: (1, 3), pad: (2, 0)),
        // Groups: of several channels, and of one, with too few of those for a vector, with all sizes of tiles, with
        // kernels beyond the image.
        Convolution(n: 2, h: 9, w: 8, cIn: 32, cOut: 48, groups: 2),
        Convolution(n: 1, h: 5, w: 4, cIn: 4, cOut: 8, kh: 2, groups: 4),
        Convolution(n: 2, h: 9, w: 6, cIn: 3, cOut: 3, groups: 3),
        Convolution(n: 2, h: 12, w: 19, cIn: 40, cOut: 40, groups: 40),
        Convolution(n: 1, h: 14, w: 13, cIn: 150, cOut: 150, kh: 5, kw: 5, stride: (2, 2), pad: (2, 2), groups: 150),
        Convolution(n: 1, h: 2, w: 3, cIn: 64, cOut: 64, kh: 5, kw: 7, stride: (1, 3), pad: (4, 3), groups: 64),
        Convolution(n: 0, h: 8, w: 8, cIn: 32, cOut: 32, groups: 32),
    ]

    /// By hand: the kernel 1 .. 9 over an image with one pixel set gives the kernel turned about.
    @Test func plainConvolutionIsTheDefinition() {
        let c = Convolution(n: 1, h: 3, w: 3, cIn: 1, cOut: 1)
        let y = c.forward(RK_F64, [0, 0, 0, 0, 1, 0, 0, 0, 0], (1...9).map { Double($0) }, [0.5])
        #expect(y == [9.5, 8.5, 7.5, 6.5, 5.5, 4.5, 3.5, 2.5, 1.5])
    }

    @Test(arguments: convolutions) func matchesPlainForm(c: Convolution) {
        let seed: UInt64 = 21
        let x = noise(c.xCount, seed: seed)
        let weight = noise(c.weightCount, seed: seed + 1)
        let bias = noise(c.cOut, seed: seed + 2)
        let gy = noise(c.yCount, seed: seed + 3)
        let y = c.forward(RK_F64, x, weight, nil)
        let gx = c.inputGradient(RK_F64, gy, weight)
        let gweight = c.weightGradient(RK_F64, x, gy)
        // The plain gradients are the adjoints of the plain convolution.
        let product = dot(gy, y)
        let size = max(1, Double(c.yCount).squareRoot()) * 1e-9
        #expect(abs(dot(gx, x) - product) < size && abs(dot(gweight, weight) - product) < size, "seed \(seed)")
        let (xf, wf, gyf) = (x.f32, weight.f32, gy.f32)
        let biased = c.forward(RK_F64, x, weight, bias)
        atEachLevel { level in
            let errors = [
                relativeError(c.forward(RK_F32, xf, wf, nil), y),
                relativeError(c.forward(RK_F32, xf, wf, bias.f32), biased),
                relativeError(c.inputGradient(RK_F32, gyf, wf), gx),
                relativeError(c.weightGradient(RK_F32, xf, gyf), gweight),
            ]
            #expect(largest(errors) < 1e-5, "seed \(seed), level \(level.rawValue)")
        }
        #expect(
            sameForAnyThreads {
                [
                    c.forward(RK_F32, xf, wf, bias.f32), c.inputGradient(RK_F32, gyf, wf),
                    c.weightGradient(RK_F32, xf, gyf),
                ]
            }, "seed \(seed)")
    }
}
