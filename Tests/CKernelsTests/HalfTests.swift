import CKernels
import Testing

/// Every number of 16 bits, and the roundings to them.
@Suite struct HalfTests {
    private static let all = (0...UInt16.max).map(\.self)

    private func same(_ a: Float, _ b: Float) -> Bool { a.isNaN && b.isNaN || a.bitPattern == b.bitPattern }

    @Test func everyNumberIsWidened() {
        atEachLevel { level in
            let brains = floats(Self.all.count) { rk_widen_bfloat16(Self.all, $0, Self.all.count) }
            let halves = floats(Self.all.count) { rk_widen_float16(Self.all, $0, Self.all.count) }
            let wrongBrain = Self.all.first { brains?[Int($0)].bitPattern != UInt32($0) << 16 }
            let wrongHalf = Self.all.first { !same(halves?[Int($0)] ?? 0, Float(Float16(bitPattern: $0))) }
            #expect(wrongBrain == nil && wrongHalf == nil, "level \(level.rawValue)")
        }
    }

    /// Between two neighbours the nearer one is chosen, and of equals the even one; 2^128 - 2^119 is infinity.
    @Test func roundingTakesTheNearest() {
        let lows = Self.all.filter { $0 & 0x7FFF < 0x7F80 }
        for (rest, up) in [(0, { _ in 0 }), (0x7FFF, { _ in 0 }), (0x8000, { $0 & 1 }), (0x8001, { _ in 1 })]
            as [(UInt32, (UInt16) -> UInt16)]
        {
            let x = lows.map { Float(bitPattern: UInt32($0) << 16 | rest) }, wanted = lows.map { $0 + up($0) }
            atEachLevel { level in
                var y = [UInt16](repeating: 0, count: x.count)
                rk_round_bfloat16(x, &y, x.count)
                #expect(y == wanted, "rest \(rest), level \(level.rawValue)")
            }
        }
        let odd: [Float] = [
            .infinity, -.infinity, .nan, Float(bitPattern: 0x7F80_0001), Float(bitPattern: 0xFFFF_FFFF),
        ]
        atEachLevel { _ in
            var y = [UInt16](repeating: 0, count: odd.count)
            rk_round_bfloat16(odd, &y, odd.count)
            let back = y.map { Float(bitPattern: UInt32($0) << 16) }
            #expect(zip(back, odd).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN })
        }
    }
}
