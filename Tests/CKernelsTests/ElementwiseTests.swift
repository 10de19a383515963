import CKernels
import Foundation
import Testing

@Suite struct ElementwiseTests {
    static let unary = (0..<RK_UNARY_COUNT.rawValue).map { rk_unary_op($0) }
    static let binary = (0..<RK_BINARY_COUNT.rawValue).map { rk_binary_op($0) }

    static func values(_ count: Int, seed: UInt64) -> [Float] {
        let scattered = noise(count, seed: seed).map { Float($0 * 6) }
        return scattered.indices.map { $0 % 3 == 2 ? awkward[$0 / 3 % awkward.count] : scattered[$0] }
    }

    @Test(arguments: unary, [0, 1, 15, 455, 40_001])
    func unaryAgreesWithFloat64(op: rk_unary_op, count: Int) {
        let x = Self.values(count, seed: UInt64(count))
        let wide = x.map { Double($0) }
        let wanted = doubles(count) { rk_unary(op, RK_F64, wide, $0, count) }!
        // 1 + tanh and 1 + erf cancel: gelu is exact to a float's precision of x.
        let cancels = op == RK_GELU || op == RK_GELU_ERF
        atEachLevel { level in
            let got = floats(count) { rk_unary(op, RK_F32, x, $0, count) }
            let fault = mismatch(got, wanted, relative: 2.5e-7) { cancels ? max(1.5e-7 * abs(wide[$0]), 1e-42) : 1e-42 }
            #expect(fault == nil, "level \(level.rawValue)")
            var inPlace = x
            inPlace.withUnsafeMutableBufferPointer { rk_unary(op, RK_F32, $0.baseAddress, $0.baseAddress, count) }
            #expect(inPlace.map(\.bitPattern) == got?.map(\.bitPattern))
        }
        #expect(sameForAnyThreads { [floats(count) { rk_unary(op, RK_F32, x, $0, count) }!] })
    }

    /// Each shape of broadcasting, as an output and its two inputs.
    static let shapes: [[[Int]]] = [
        [[], [], []], [[1], [1], [1]], [[37], [37], [37]], [[37], [1], [37]], [[37], [37], [1]],
        [[0, 3], [0, 3], [1, 3]],
        [[5, 7], [5, 7], [1, 7]], [[5, 7], [5, 1], [5, 7]], [[5, 7], [5, 1], [1, 7]], [[70, 80], [1, 80], [70, 80]],
        [[70, 80], [70, 80], [70, 1]], [[3, 11, 90], [3, 1, 90], [3, 11, 90]], [[3, 11, 9], [3, 11, 9], [3, 1, 9]],
        [[2, 3, 1, 5, 6], [2, 1, 1, 5, 1], [1, 3, 1, 1, 6]], [[2, 40_000], [2, 40_000], [2, 1]],
        [[9000, 3], [9000, 3], [1, 3]],
    ]

    /// Where the element `i` of the output comes from.
    static func source(_ i: Int, _ shape: [Int], _ input: [Int]) -> Int {
        var left = i
        var step = 1
        var at = 0
        for d in shape.indices.reversed() {
            if input[d] != 1 { at += left % shape[d] * step }
            step *= input[d]
            left /= shape[d]
        }
        return at
    }

    @Test(arguments: binary, shapes)
    func binaryAgreesWithFloat64ElementByElement(op: rk_binary_op, shapes: [[Int]]) {
        let counts = shapes.map { $0.reduce(1, *) }
        let count = counts[0]
        let a = Self.values(counts[1], seed: 3)
        let b = Self.values(counts[2], seed: 4).reversed().map { $0 }
        let sources = (0..<count).map { i -> (Int, Int) in
            (Self.source(i, shapes[0], shapes[1]), Self.source(i, shapes[0], shapes[2]))
        }
        let one = [1]
        let wanted = sources.map { i, j -> Double in
            var u = Double(a[i])
            var v = Double(b[j])
            var y = 0.0
            rk_binary(op, RK_F64, 1, one, &u, one, &v, one, &y)
            return y
        }
        let run = { (y: UnsafeMutablePointer<Float>) in
            rk_binary(op, RK_F32, Int32(shapes[0].count), shapes[0], a, shapes[1], b, shapes[2], y)
        }
        let slope = [RK_SILU_GRAD, RK_GELU_GRAD, RK_SILU_CURVE, RK_GELU_CURVE].contains(op)
        atEachLevel { level in
            // A slope crosses 0, where its error is relative to its terms.
            let fault = mismatch(floats(count, run), wanted, relative: 3e-7) {
                slope ? max(4e-7 * abs(Double(b[sources[$0].1])), 1e-42) : 1e-42
            }
            #expect(fault == nil, "level \(level.rawValue)")
        }
        #expect(sameForAnyThreads { [floats(count, run)!] })
        let wide = (a.map { Double($0) }, b.map { Double($0) })
        let broadcast = doubles(count) {
            rk_binary(op, RK_F64, Int32(shapes[0].count), shapes[0], wide.0, shapes[1], wide.1, shapes[2], $0)
        }
        #expect(broadcast?.map(\.bitPattern) == wanted.map(\.bitPattern))
    }

    @Test(arguments: [-3, -1, -0.5, 0, 0.5, 1, 1.7, 2, 3, 10, 65, -.infinity] as [Double])
    func powersOfSpecialAndNegativeBases(exponent: Double) {
        let x = Self.values(2000, seed: 5) + [0, -0.0, .infinity, -.infinity, .nan]
        let wanted = x.map { exponent == 0.5 ? Double($0).squareRoot() : pow(Double($0), Double(Float(exponent))) }
        atEachLevel { level in
            let got = floats(x.count) { rk_power(RK_F32, exponent, x, $0, x.count) }
            #expect(mismatch(got, wanted, relative: 2e-7) == nil, "level \(level.rawValue)")
        }
        if exponent == 0.5 {
            var roots = [Double](repeating: 0, count: x.count)
            rk_power(RK_F64, exponent, x.map(Double.init), &roots, x.count)
            #expect(zip(roots, wanted).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN })
        }
    }

    @Test(arguments: [0, 1, 33, 50_000])
    func simpleLoops(count: Int) {
        let x = Self.values(count, seed: 6)
        let other = noise(count, seed: 7).f32
        atEachLevel { level in
            let note: Comment = "level \(level.rawValue)"
            let affine = floats(count) { rk_affine(RK_F32, 0.5, 2, x, $0, count) }
            let line = x.map { Double($0) * 0.5 + 2 }
            #expect(mismatch(affine, line, relative: 2e-7, absolute: { _ in 1e-7 }) == nil, note)
            let clamped = floats(count) { rk_clamp(RK_F32, -1, 2, x, $0, count) }
            let between = x.map { (v: Float) -> Double in v.isNaN ? .nan : Double(min(max(v, -1), 2)) }
            #expect(mismatch(clamped, between, relative: 0) == nil, note)
            let condition = other.map { (v: Float) -> Float in v > 0 ? 1 : 0 }
            let chosen = floats(count) { rk_where(RK_F32, condition, x, other, $0, count) }
            let choice = zip(x, other).map { (a: Float, b: Float) -> Double in Double(b > 0 ? a : b) }
            #expect(mismatch(chosen, choice, relative: 0) == nil, note)
        }
        let filled = floats(count) { rk_fill(RK_F32, 0.3, $0, count) }
        #expect(filled?.allSatisfy { $0 == 0.3 } == true)
        var whole = [Int32](repeating: 7, count: count)
        rk_cast(RK_F32, x, RK_I32, &whole, count)
        let saturated = x.map { (v: Float) -> Int32 in v.isNaN ? 0 : Int32(clamping: Int(max(-1e15, min(1e15, v)))) }
        #expect(whole == saturated)
        let back = floats(count) { rk_cast(RK_I32, whole, RK_F32, $0, count) }
        #expect(back == whole.map { Float($0) })
    }

    @Test func integersWrapAndCompare() {
        let a: [Int32] = [.max, .min, -3, 0, 5]
        let b: [Int32] = [1, 1, 7, 0, 5]
        let shape = [5]
        func binary(_ op: rk_binary_op) -> [Int32] {
            var y = [Int32](repeating: 99, count: 5)
            rk_binary(op, RK_I32, 1, shape, a, shape, b, shape, &y)
            return y
        }
        #expect(binary(RK_ADD) == zip(a, b).map(&+))
        #expect(binary(RK_SUB) == zip(a, b).map(&-))
        #expect(binary(RK_MUL) == zip(a, b).map(&*))
        #expect(binary(RK_MINIMUM) == zip(a, b).map(min))
        #expect(binary(RK_LT) == zip(a, b).map { $0 < $1 ? 1 : 0 })
        var y = a
        rk_unary(RK_ABS, RK_I32, a, &y, 5)
        #expect(y == [.max, .min, 3, 0, 5])
        rk_unary(RK_SIGN, RK_I32, a, &y, 5)
        #expect(y == [1, -1, -1, 0, 1])
    }
}
