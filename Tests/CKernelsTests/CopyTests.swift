import CKernels
import Testing

/// A copy between strided arrays: a shape, the input's strides and the output's.
struct Copy: CustomStringConvertible, Sendable {
    var size: [Int], x: [Int], y: [Int]
    var description: String { "\(size) from \(x) to \(y)" }

    static func strides(_ size: [Int]) -> [Int] {
        size.indices.map { size[($0 + 1)...].reduce(1, *) }
    }
    /// The dimensions of a contiguous tensor in another order.
    static func permute(_ size: [Int], _ order: [Int]) -> Copy {
        let x = strides(size)
        let to = order.map { size[$0] }
        return Copy(size: to, x: order.map { x[$0] }, y: strides(to))
    }
    func offsets(_ stride: [Int]) -> [Int] {
        var all = [0]
        for (n, step) in zip(size, stride) { all = all.flatMap { base in (0..<n).map { base + $0 * step } } }
        return all
    }
}

@Suite struct CopyTests {
    static let copies: [Copy] = [
        Copy(size: [], x: [], y: []), Copy(size: [1, 1], x: [1, 1], y: [1, 1]),
        Copy(size: [0, 4], x: [4, 1], y: [4, 1]),
        Copy(size: [70_000], x: [1], y: [1]), Copy(size: [50], x: [3], y: [1]), Copy(size: [50], x: [1], y: [4]),
        Copy(size: [6, 100], x: [0, 1], y: [100, 1]), Copy(size: [100, 6], x: [1, 0], y: [6, 1]),
        Copy(size: [40], x: [0], y: [1]),
        Copy(size: [1000, 3], x: [4, 1], y: [3, 1]), Copy(size: [1000, 3], x: [3, 1], y: [5, 1]),
        Copy(size: [20, 30, 40], x: [2000, 50, 1], y: [1200, 40, 1]),
        Copy(size: [3, 4, 5], x: [20, 5, 1], y: [1, 3, 12]),
        .permute([5, 3], [1, 0]), .permute([64, 64], [1, 0]), .permute([301, 205], [1, 0]),
        .permute([3, 500], [1, 0]),
        .permute([4, 15, 33, 7], [0, 3, 1, 2]), .permute([4, 7, 66, 15], [0, 2, 3, 1]),
        .permute([2, 100, 130], [0, 2, 1]),
        .permute([2, 17, 4, 32], [0, 2, 1, 3]), .permute([2, 3, 4, 5, 6], [4, 2, 0, 3, 1]),
        .permute([40, 50, 60], [2, 1, 0]),
    ]

    /// Elements of 16 bits, each its own number.
    @Test(arguments: copies) func copiesHalves(copy: Copy) {
        let from = copy.offsets(copy.x), to = copy.offsets(copy.y)
        let x = (0...(from.max() ?? 0)).map { UInt16(truncatingIfNeeded: $0) }
        var wanted = [UInt16](repeating: 7, count: (to.max() ?? 0) + 9)
        var y = wanted
        for (i, j) in zip(from, to) { wanted[j] = x[i] }
        rk_copy_strided(rk_dtype(UInt32(RK_BF16)), Int32(copy.size.count), copy.size, x, copy.x, &y, copy.y)
        #expect(y == wanted)
    }

    @Test(arguments: copies, [RK_F32, RK_F64, RK_I32])
    func copiesWhatTheStridesSay(copy: Copy, dtype: rk_dtype) {
        let from = copy.offsets(copy.x)
        let to = copy.offsets(copy.y)
        let width = dtype == RK_F64 ? 2 : 1
        let x = (0..<((from.max() ?? 0) + 1) * width).map { Int32($0) }
        var wanted = [Int32](repeating: -1, count: ((to.max() ?? 0) + 9) * width)
        var y = wanted
        for (i, j) in zip(from, to) {
            for part in 0..<width { wanted[j * width + part] = x[i * width + part] }
        }
        rk_copy_strided(dtype, Int32(copy.size.count), copy.size, x, copy.x, &y, copy.y)
        #expect(y == wanted)
    }

    @Test(arguments: [(0, 3), (5, 1), (700, 3), (300, 200)])
    func rowsByIndex(count: Int, width: Int) {
        let rows = 40
        let x = noise(max(count, rows) * width, seed: 8).f32
        let index = (0..<count).map { Int32($0 * 7919 % rows) }
        let gathered = floats(count * width) { rk_gather_rows(RK_F32, x, index, $0, count, width) }
        #expect(gathered == index.flatMap { x[Int($0) * width..<(Int($0) + 1) * width] })
        var sums = [Float](repeating: 0.5, count: rows * width)
        for (i, row) in index.enumerated() { for j in 0..<width { sums[Int(row) * width + j] += x[i * width + j] } }
        let scatter = { () -> [[Float]] in
            var y = [Float](repeating: 0.5, count: rows * width)
            rk_scatter_add_rows(RK_F32, x, index, &y, count, width)
            return [y]
        }
        #expect(scatter()[0] == sums)
        #expect(sameForAnyThreads(scatter))
        var low: Int32 = 9
        var high: Int32 = 9
        rk_index_range(index, count, &low, &high)
        #expect(low == index.min() ?? 0 && high == index.max() ?? -1)
    }
}
