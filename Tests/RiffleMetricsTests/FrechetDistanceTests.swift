import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleMetrics

@Suite struct FrechetDistanceTests {
    init() { Context.current.random = RandomSource(seed: 6) }

    /// n samples of 24 features that depend on each other, with deviations from 1 to 10^-decades.
    private func samples(_ n: Int, decades: Double = 0) throws -> Tensor {
        let deviations = try Tensor((0..<24).map { pow(10, -decades * Double($0) / 23) }, [24])
        return try (Tensor.randn([n, 24], .float64) * deviations).matmul(.randn([24, 24], .float64)) + 1
    }

    /// A symmetric positive map of the samples is the best transport of their normal distributions, so the distance is
    /// the mean of |y - x|^2, but for n - 1; also where there are fewer samples than features, or several blocks of
    /// them.
    @Test(arguments: [2, 7, 12, 24, 25, 400, 9000], [0.0, 4, 8])
    func closedForm(_ n: Int, _ decades: Double) throws {
        let root = try Tensor.randn([24, 24], .float64) * 0.3
        let map = try root.matmul(root, transposeB: true) + Tensor((0..<576).map { $0 % 25 == 0 ? 0.5 : 0 }, [24, 24])
        let x = try samples(n, decades: decades), y = try x.matmul(map) + 0.3
        let apart = try (x.mean([0]) - y.mean([0])).square().sum().item()
        let spread = try ((x - x.mean([0])) - (y - y.mean([0]))).square().sum().item() / Double(n - 1)
        let found = try Metrics.frechetDistance(x, y)
        #expect(abs(found / (apart + spread) - 1) < 1e-10, "\(found), exactly \(apart + spread)")
        #expect(abs(try Metrics.frechetDistance(y, x) / found - 1) < 1e-12)
    }

    /// Sets in directions of their own share nothing: what is left is the means' distance and both traces.
    @Test(arguments: [(5, 300), (300, 5), (40, 40)]) func differentDirections(_ n: Int, _ m: Int) throws {
        let (x, y) = (try Tensor.randn([n, 9], .float64), try Tensor.randn([m, 9], .float64))
        let (a, b) = (try Tensor.cat([x, x * 0], 1), try Tensor.cat([y * 0, y], 1))
        let wanted = try [(x, n), (y, m)].reduce(0) { sum, set in
            let mean = try set.0.mean([0])
            let squares = try (mean.square().sum().item(), (set.0 - mean).square().sum().item())
            return sum + squares.0 + squares.1 / Double(set.1 - 1)
        }
        #expect(abs(try Metrics.frechetDistance(a, b) / wanted - 1) < 1e-12)
    }

    @Test(arguments: [2, 12, 400]) func equalSetsHaveNoDistance(_ n: Int) throws {
        let x = try samples(n, decades: 6)
        // A feature twice, one that is constant, and in float32.
        for set in [x, try .cat([x, x, x * 0 + 3], 1), try x.cast(.float32)] {
            let size = try set.cast(.float64).square().sum().item() / Double(n)
            let found = try Metrics.frechetDistance(set, set)
            #expect(found >= 0 && found < 1e-12 * size, "\(found) of \(size)")
        }
        let twice = try Metrics.frechetDistance(x, .cat([x, x])), freedom = Double(2 * n - 1) / Double(2 * n - 2)
        let trace = try (x - x.mean([0])).square().sum().item() / Double(n - 1)
        #expect(abs(twice - trace * pow(1 - (1 / freedom).squareRoot(), 2)) < 1e-12 * trace)
    }

    /// Squares of such numbers, or their squares, leave the range of numbers.
    @Test(arguments: [-400, -260, 260, 400]) func unitsDoNotCount(_ exponent: Int) throws {
        let (x, y) = (try samples(60, decades: 2), try samples(80, decades: 2) + 1),
            unit = Double(sign: .plus, exponent: exponent, significand: 1)
        let wanted = try Metrics.frechetDistance(x, y), found = try Metrics.frechetDistance(x * unit, y * unit)
        #expect(abs(found / unit / unit / wanted - 1) < 1e-12)
    }

    /// A chain of springs, whose eigenvalues are 2 - 2 cos(k pi / (n + 1)); below itself, sqrt 2 times as much.
    @Test(arguments: [1, 2, 65, 200], [1, 2]) func singularValues(_ n: Int, _ copies: Int) throws {
        let chain = try Tensor(
            (0..<n * n).map { index -> Double in
                let (row, column) = index.quotientAndRemainder(dividingBy: n)
                return row == column ? 2 : abs(row - column) == 1 ? -1 : 0
            }, [n, n])
        let found = try LinearAlgebra.singularValues(.cat([Tensor](repeating: chain, count: copies), 1))
        let wanted = (1...n).reversed().map {
            Double(copies).squareRoot() * (2 - 2 * cos(Double($0) * .pi / Double(n + 1)))
        }
        #expect(zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-13 * wanted[0] } && found.count == n)
    }

    @Test func numbersThatAreNoDistanceAreErrors() throws {
        let x = try samples(30)
        #expect(message { _ = try Metrics.frechetDistance(x, .ones([1, 24], .float64)) }.contains("[1, 24]"))
        #expect(message { _ = try Metrics.frechetDistance(x * 1e200, x) } != "")
        for far in [1e25, 1e30] {
            let (left, right) = (try Tensor.full([2, 1], far), try Tensor([-Float(far), 0], [2, 1]))
            #expect(message { _ = try Metrics.energyDistance(left, right) }.contains("the distance came out as"))
        }
        #expect(try distance(-1e-12, of: 1, within: 1e-10) == 0 && distance(0.5, of: 1, within: 0) == 0.5)
        for wrong in [-1e-9, .nan, .infinity] {
            #expect(message { _ = try distance(wrong, of: 1, within: 1e-10) }.contains(riffleFormat(wrong)))
        }
    }

    /// Far from 0, where float32 has no more than a few digits for each coordinate.
    @Test func energyDoesNotDependOnTheOrigin() throws {
        let (x, y) = (try Tensor.randn([50, 3], .float64), try Tensor.randn([60, 3], .float64) + 0.5)
        let (near, far) = (try Metrics.energyDistance(x, y), try Metrics.energyDistance(x + 1e7, y + 1e7))
        #expect(abs(far / near - 1) < 1e-4, "\(near), \(far)")
    }
}
