import CKernels
import Foundation
import Testing

@Suite struct RandomTests {
    /// The published test vectors: counter, key, result.
    @Test(
        arguments: [
            ([0, 0], 0, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([.max, .max], .max, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x85a3_08d3_243f_6a88, 0x0370_7344_1319_8a2e], 0x299f_31d0_a409_3822,
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
            ),
        ] as [([UInt64], UInt64, [UInt32])])
    func knownAnswers(counter: [UInt64], key: UInt64, words: [UInt32]) {
        var got = [UInt32](repeating: 0, count: 4)
        rk_philox(key, counter[1], counter[0], &got)
        #expect(got == words)
    }

    static let seed: UInt64 = 0x1234_5678_9abc_def1, stream: UInt64 = 0xfedc_ba98_7654_3210

    @Test(arguments: [0, 3, 0xffff_fff0, 0x3_ffff_fff2] as [UInt64])
    func uniformAndIntegersAreTheWordsOfTheCounter(offset: UInt64) {
        let count = 1000
        let words = (0..<count).map { i -> UInt32 in
            var w = [UInt32](repeating: 0, count: 4)
            rk_philox(Self.seed, Self.stream, (offset + UInt64(i)) / 4, &w)
            return w[Int((offset + UInt64(i)) % 4)]
        }
        atEachLevel { level in
            let uniform = floats(count) { rk_random_uniform(RK_F32, Self.seed, Self.stream, offset, $0, count) }
            #expect(uniform == words.map { Float($0 >> 8) * 0x1p-24 }, "level \(level.rawValue)")
            var whole = [Int32](repeating: -1, count: count)
            rk_random_integers(Self.seed, Self.stream, offset, 1000, &whole, count)
            #expect(whole == words.map { Int32((UInt64($0) * 1000) >> 32) }, "level \(level.rawValue)")
        }
    }

    static let fills: [@Sendable (rk_dtype, UInt64, UnsafeMutableRawPointer, Int) -> Void] = [
        { rk_random_uniform($0, seed, stream, $1, $2, $3) }, { rk_random_normal($0, seed, stream, $1, $2, $3) },
    ]

    @Test(arguments: [0, 1])
    func anElementDependsOnItsIndexAlone(fill: Int) {
        let fill = Self.fills[fill]
        let count = 40_000
        atEachLevel { _ in
            let whole = floats(count) { fill(RK_F32, 0, $0, count) }!
            let wide = doubles(count) { fill(RK_F64, 0, $0, count) }!
            for (begin, length) in [(0, 0), (0, 1), (1, 1), (2, 7), (255, 3), (5, 300), (1023, 2050), (17, 39_000)] {
                #expect(
                    floats(length) { fill(RK_F32, UInt64(begin), $0, length) } == Array(whole[begin..<begin + length]))
                #expect(
                    doubles(length) { fill(RK_F64, UInt64(begin), $0, length) } == Array(wide[begin..<begin + length]))
            }
        }
        #expect(sameForAnyThreads { [floats(count) { fill(RK_F32, 3, $0, count) }!] })
    }

    /// Moments and a histogram of a million numbers, each within five standard deviations of what it should be.
    @Test(arguments: [RK_F32, RK_F64], [1, 77_777] as [UInt64])
    func normalNumbersAreNormal(dtype: rk_dtype, seed: UInt64) {
        let count = 1 << 20
        let n = Double(count)
        let z: [Double] =
            dtype == RK_F64
            ? doubles(count) { rk_random_normal(dtype, seed, 5, 0, $0, count) }!
            : floats(count) { rk_random_normal(dtype, seed, 5, 0, $0, count) }!.map { Double($0) }
        func moment(_ k: Int) -> Double { z.reduce(0) { $0 + pow($1, Double(k)) } / n }
        let note: Comment = "seed \(seed)"
        #expect(abs(moment(1)) < 5 / n.squareRoot(), note)
        #expect(abs(moment(2) - 1) < 5 * (2 / n).squareRoot(), note)
        #expect(abs(moment(3)) < 5 * (15 / n).squareRoot(), note)
        #expect(abs(moment(4) - 3) < 5 * (96 / n).squareRoot(), note)
        let neighbours = zip(z, z.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 } / n
        #expect(abs(neighbours) < 5 / n.squareRoot(), note)
        let bins = 50
        var histogram = [Double](repeating: 0, count: bins)
        for v in z { histogram[min(bins - 1, Int(0.5 * erfc(-v / 2.0.squareRoot()) * Double(bins)))] += 1 }
        let expected = n / Double(bins)
        let chi2 = histogram.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
        #expect(abs(chi2 - 49) < 5 * (2.0 * 49).squareRoot(), note)
        #expect(z.map(abs).max()! > 4.2 && z.map(abs).max()! < 6.8, note)
    }
}
