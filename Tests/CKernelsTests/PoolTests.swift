import CKernels
import Testing

/// Windows of pixels: `[n, h, w, c] kernel_h x kernel_w stride pad`, the step and the border for height and width.
struct Pooling: CustomStringConvertible, Sendable {
    var n: Int, h: Int, w: Int, c: Int
    var kh = 3, kw = 3, stride = (1, 1), pad = (1, 1), ceil = false, countsPadding = false

    var description: String {
        "[\(n), \(h), \(w), \(c)] \(kh) x \(kw) stride \(stride) pad \(pad) ceil \(ceil) padding \(countsPadding)"
    }
    var outH: Int { count(h, kh, stride.0, pad.0) }
    var outW: Int { count(w, kw, stride.1, pad.1) }

    /// Windows begin every `stride` pixels until one reaches the end; without `ceil` all are whole.
    private func count(_ size: Int, _ kernel: Int, _ stride: Int, _ pad: Int) -> Int {
        (0...size).prefix { i in
            let begin = i * stride - pad, end = size + pad
            return ceil ? begin < size && begin - stride + kernel < end : begin + kernel <= end
        }.count
    }

    var shape: rk_pool_shape {
        rk_pool_shape(
            n: n, h: h, w: w, c: c, kernel_h: kh, kernel_w: kw, stride_h: stride.0, stride_w: stride.1, pad_h: pad.0,
            pad_w: pad.1, out_h: outH, out_w: outW, count_padding: countsPadding)
    }

    /// For each element of the result the elements of its window, and how many positions count for the mean.
    func windows() -> [(elements: [Int], count: Int)] {
        (0..<n * outH * outW * c).map { at in
            let (channel, j, i, image) = (at % c, at / c % outW, at / c / outW % outH, at / c / outW / outH)
            var elements: [Int] = [], count = 0
            for p in 0..<kh {
                for q in 0..<kw {
                    let (row, column) = (i * stride.0 + p - pad.0, j * stride.1 + q - pad.1)
                    let isInside = (0..<h).contains(row) && (0..<w).contains(column)
                    if isInside { elements.append(((image * h + row) * w + column) * c + channel) }
                    if isInside || countsPadding && row < h + pad.0 && column < w + pad.1 { count += 1 }
                }
            }
            return (elements, count)
        }
    }
}

@Suite(.serialized) struct PoolTests {
    static let poolings: [Pooling] = [
        Pooling(n: 2, h: 6, w: 8, c: 3, kh: 2, kw: 2, stride: (2, 2), pad: (0, 0)),
        Pooling(n: 1, h: 9, w: 8, c: 64), Pooling(n: 2, h: 5, w: 7, c: 70, countsPadding: true),
        Pooling(n: 2, h: 9, w: 13, c: 17, stride: (2, 2), pad: (0, 0), ceil: true),
        Pooling(n: 1, h: 7, w: 6, c: 130, kh: 3, kw: 2, stride: (2, 3), pad: (1, 0), ceil: true, countsPadding: true),
        Pooling(n: 1, h: 2, w: 1, c: 16, kh: 5, kw: 4, stride: (1, 2), pad: (2, 2), countsPadding: true),
        Pooling(n: 0, h: 4, w: 4, c: 8), Pooling(n: 1, h: 4, w: 4, c: 0),
    ]

    /// Few different numbers, so that windows have equal ones, with NaN and infinities.
    @Test(arguments: poolings) func windowsAreTheDefinition(p: Pooling) {
        let seed: UInt64 = 51, windows = p.windows()
        var x = noise(p.n * p.h * p.w * p.c, seed: seed).map { ($0 * 2).rounded() }
        for (at, number) in zip(stride(from: 5, to: x.count, by: 17), [-Double.infinity, .nan, .infinity]) {
            x[at] = number
        }
        // The first of the largest, or the last that is NaN.
        let chosen = windows.map { window in
            window.elements.reduce(window.elements[0]) { x[$1] > x[$0] || x[$1].isNaN ? $1 : $0 }
        }
        let largest = chosen.map { x[$0] }
        let mean = windows.map { window in window.elements.map { x[$0] }.reduce(0, +) / Double(window.count) }
        let gy = noise(windows.count, seed: seed + 1)
        var gx = [Double](repeating: 0, count: x.count)
        for (window, g) in zip(windows, gy) { for at in window.elements { gx[at] += g / Double(window.count) } }
        var shape = p.shape
        var index = [Int32](repeating: 0, count: windows.count)
        rk_max_pool_index(RK_F64, &shape, x, &index)
        #expect(index == chosen.map { Int32($0 + 1) }, "seed \(seed)")
        #expect(firstDifference(doubles(windows.count) { rk_max_pool(RK_F64, &shape, x, $0) }, largest) == nil)
        #expect(firstDifference(doubles(windows.count) { rk_avg_pool(RK_F64, &shape, x, $0) }, mean) == nil)
        #expect(firstDifference(doubles(x.count) { rk_avg_pool_input_grad(RK_F64, &shape, gy, $0) }, gx) == nil)
        let (xf, gyf) = (x.f32, gy.f32)
        atEachLevel { level in
            var index = index.map { _ in Int32(0) }
            rk_max_pool_index(RK_F32, &shape, xf, &index)
            let faults = [
                mismatch(floats(windows.count) { rk_max_pool(RK_F32, &shape, xf, $0) }, largest, relative: 0),
                mismatch(
                    floats(windows.count) { rk_avg_pool(RK_F32, &shape, xf, $0) }, mean, relative: 1e-6,
                    absolute: { _ in 1e-6 }),
                mismatch(
                    floats(x.count) { rk_avg_pool_input_grad(RK_F32, &shape, gyf, $0) }, gx, relative: 1e-6,
                    absolute: { _ in 1e-6 }),
            ].compactMap { $0 }
            #expect(faults.isEmpty && index == chosen.map { Int32($0 + 1) }, "level \(level.rawValue), seed \(seed)")
        }
    }

    private func firstDifference(_ found: [Double]?, _ wanted: [Double]) -> Int? {
        guard let found, found.count == wanted.count else { return -1 }
        return wanted.indices.first {
            !(found[$0] == wanted[$0] || abs(found[$0] - wanted[$0]) < 1e-12 || found[$0].isNaN && wanted[$0].isNaN)
        }
    }

    @Test(arguments: [(0, 3, 3, 4, 2), (2, 3, 5, 7, 2), (1, 1, 1, 3, 3), (1, 4, 2, 20, 1)])
    func upsamplingRepeatsPixelsAndPoolingIsItsAdjoint(n: Int, h: Int, w: Int, c: Int, factor: Int) {
        let seed: UInt64 = 31
        let x = noise(n * h * w * c, seed: seed)
        var wide = [Float](repeating: .nan, count: x.count * factor * factor)
        var back = [Float](repeating: .nan, count: x.count)
        var small = rk_block_shape(n: n, h: h, w: w, c: c, factor: factor)
        rk_upsample_nearest(RK_F32, &small, x.f32, &wide)
        let expected = wide.indices.map { at in
            let column = at / c % (w * factor)
            let row = at / c / (w * factor)
            return Float(x[(row / factor * w + column / factor) * c + at % c])
        }
        #expect(wide == expected, "seed \(seed)")
        let gy = noise(wide.count, seed: seed + 1)
        rk_sum_blocks(RK_F32, &small, gy.f32, &back)
        let product = dot(gy, wide.map { Double($0) })
        #expect(abs(dot(back.map { Double($0) }, x) - product) < 1e-4, "seed \(seed)")
        var plain = x
        rk_sum_blocks(RK_F64, &small, gy, &plain)
        #expect(relativeError(back, plain) < 1e-6, "seed \(seed)")
    }
}
