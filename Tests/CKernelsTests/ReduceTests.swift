import CKernels
import Foundation
import Testing

@Suite struct ReduceTests {
    static let shapes: [[Int]] = [
        [0, 3, 2], [3, 0, 2], [1, 1, 1], [1, 31, 1], [5, 3, 1], [4, 1000, 1], [2, 200_003, 1], [1, 5_000_000, 1],
        [300, 70, 1],
        [3, 2, 5], [1, 9, 3], [1, 100_001, 3], [7, 33, 64], [1, 3001, 65], [2, 501, 300], [1, 40_001, 40],
        [40, 30, 20], [1, 2, 9000],
    ]

    static func input(_ shape: [Int]) -> [Float] { noise(shape.reduce(1, *), seed: UInt64(shape[1])).f32 }

    /// The elements of each reduction, in order.
    static func groups(_ shape: [Int], _ x: [Float]) -> [[Float]] {
        let (outer, n, inner) = (shape[0], shape[1], shape[2])
        return (0..<outer * inner).map { (o: Int) -> [Float] in
            (0..<n).map { (j: Int) -> Float in x[(o / inner * n + j) * inner + o % inner] }
        }
    }

    @Test(arguments: shapes)
    func reductionsAgreeWithTheDefinition(shape: [Int]) {
        let x = Self.input(shape)
        let groups = Self.groups(shape, x)
        let count = shape[0] * shape[2]
        let sums = groups.map { (group: [Float]) -> Double in group.reduce(0.0) { $0 + Double($1) } }
        let wanted = [
            sums, groups.map { Double($0.max() ?? -.infinity) }, groups.map { Double($0.min() ?? .infinity) },
        ]
        for op in [RK_REDUCE_SUM, RK_REDUCE_MAX, RK_REDUCE_MIN] {
            let run = { (y: UnsafeMutablePointer<Float>) in rk_reduce(op, RK_F32, x, y, shape[0], shape[1], shape[2]) }
            let exact = wanted[Int(op.rawValue)]
            var results: [[Float]?] = []
            atEachLevel { _ in results.append(floats(count, run)) }
            #expect(mismatch(results[0], exact, relative: 6e-8, absolute: { _ in 1e-9 * Double(shape[1]) }) == nil)
            #expect(results.allSatisfy { $0 == results[0] }, "levels differ")
            #expect(sameForAnyThreads { [floats(count, run)!] })
            let wide = x.map { Double($0) }
            #expect(doubles(count) { rk_reduce(op, RK_F64, wide, $0, shape[0], shape[1], shape[2]) } == exact)
        }
    }

    @Test(arguments: shapes.filter { $0[1] > 0 && $0[1] < 1_000_000 })
    func extremesAreFoundFirstAndNaNFirstOfAll(shape: [Int]) {
        var x = Self.input(shape).map { ($0 * 8).rounded() }
        for nans in [false, true] {
            if nans { for i in stride(from: x.count / 2, to: x.count, by: 1013) { x[i] = .nan } }
            let groups = Self.groups(shape, x)
            for largest in [true, false] {
                let wanted = groups.map { group -> Int32 in
                    let best = largest ? group.max { $0 < $1 } : group.min { $0 < $1 }
                    return Int32(group.firstIndex(where: \.isNaN) ?? group.firstIndex(of: best!)!)
                }
                atEachLevel { _ in
                    var y = [Int32](repeating: -1, count: groups.count)
                    rk_arg_reduce(largest, RK_F32, x, &y, shape[0], shape[1], shape[2])
                    #expect(y == wanted)
                    var extreme = [Float](repeating: 0, count: groups.count)
                    rk_reduce(
                        largest ? RK_REDUCE_MAX : RK_REDUCE_MIN, RK_F32, x, &extreme, shape[0], shape[1], shape[2])
                    #expect(
                        zip(zip(groups, wanted), extreme).allSatisfy { pair, e in
                            let v = pair.0[Int(pair.1)]
                            return v == e || v.isNaN && e.isNaN
                        })
                }
            }
        }
    }

    @Test(arguments: shapes.filter { $0[1] < 1_000_000 }, [false, true])
    func runningSums(shape: [Int], reverse: Bool) {
        let x = Self.input(shape)
        let inner = shape[2]
        let n = shape[1]
        var wanted = x.map { Double($0) }
        for o in 0..<shape[0] {
            for j in 1..<max(n, 1) {
                for i in 0..<inner {
                    let at = reverse ? n - 1 - j : j
                    let from = reverse ? at + 1 : at - 1
                    wanted[(o * n + at) * inner + i] += wanted[(o * n + from) * inner + i]
                }
            }
        }
        let got = floats(x.count) { rk_cumsum(reverse, RK_F32, x, $0, shape[0], n, inner) }
        #expect(mismatch(got, wanted, relative: 1e-7, absolute: { _ in 1e-9 * Double(n) }) == nil)
    }

    @Test(arguments: [0, 1, 31, 32, 1000, 200_001])
    func wholeArrays(count: Int) {
        var x = noise(count, seed: 9).f32
        let wanted = x.reduce(0.0) { $0 + Double($1) * Double($1) }
        var sums: [Double] = []
        atEachLevel { _ in sums.append(rk_sum_squares(RK_F32, x, count)) }
        #expect(abs(sums[0] - wanted) <= 1e-12 * wanted)
        #expect(abs(rk_sum_squares(RK_F64, x.map { Double($0) }, count) - wanted) <= 1e-12 * wanted)
        for i in stride(from: 0, to: count, by: 3) { x[i] = [.infinity, -.infinity, .nan][i / 3 % 3] }
        atEachLevel { _ in #expect(rk_count_nonfinite(RK_F32, x, count) == (count + 2) / 3) }
        #expect(rk_count_nonfinite(RK_F64, x.map { Double($0) }, count) == (count + 2) / 3)
    }

    @Test(arguments: [0, 1, 2, 64, 65, 3000, 100_000, 300_000], [false, true])
    func sortingIsStableAndPutsNaNAboveAll(n: Int, isDescending: Bool) {
        let rows = 3
        let x = ElementwiseTests.values(rows * n, seed: 10).map { abs($0) < 1 ? $0 : $0.rounded() }
        var wanted: [Int32] = []
        for r in 0..<rows {
            let row = x[r * n..<(r + 1) * n]
            wanted += row.indices.map { Int32($0 - r * n) }.sorted { i, j in
                let a = x[r * n + Int(i)]
                let b = x[r * n + Int(j)]
                if a == b || a.isNaN && b.isNaN { return i < j }
                return (a < b || !a.isNaN && b.isNaN) != isDescending
            }
        }
        let sorted = wanted.indices.map { x[$0 / max(n, 1) * n + Int(wanted[$0])] }
        var order = [Int32](repeating: -1, count: rows * n)
        let got = floats(rows * n) { _ = rk_sort_rows(isDescending, RK_F32, x, $0, &order, rows, n) }
        #expect(order == wanted)
        #expect(got?.map(\.bitPattern) == sorted.map(\.bitPattern))
        order = []
        let wide = doubles(rows * n) { _ = rk_sort_rows(isDescending, RK_F64, x.map { Double($0) }, $0, nil, rows, n) }
        #expect(wide?.map { Float($0).bitPattern } == sorted.map(\.bitPattern))
        let whole = (0..<rows * n).map { (i: Int) -> Int32 in Int32(truncatingIfNeeded: i &* 2_654_435_761) }
        var ascending = whole
        _ = rk_sort_rows(isDescending, RK_I32, whole, &ascending, nil, rows, n)
        let byRow = (0..<rows).flatMap { (r: Int) -> [Int32] in
            whole[r * n..<(r + 1) * n].sorted { isDescending ? $0 > $1 : $0 < $1 }
        }
        #expect(ascending == byRow)

        for count in Set([0, 1, 2, n / 3, n]) where count <= n {
            var first = [Int32](repeating: -1, count: rows * count)
            #expect(rk_top_rows(isDescending, RK_F32, x, &first, rows, n, count))
            #expect(first == (0..<rows).flatMap { wanted[$0 * n..<$0 * n + count] })
        }
    }
}
