import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleMetrics

@Suite(.serialized) struct FeatureStatisticsTests {
    init() { Context.current.random = RandomSource(seed: 17) }

    private func sums(_ samples: Tensor, inBatchesOf size: Int) throws -> FeatureSums {
        var sums = FeatureSums()
        for start in stride(from: 0, to: samples.shape[0], by: size) {
            try sums.add(samples.sliced(0, start..<min(start + size, samples.shape[0])))
        }
        return sums
    }

    private func statistics(_ samples: Tensor) throws -> FeatureStatistics {
        try sums(samples, inBatchesOf: samples.shape[0]).statistics()
    }

    /// Statistics with given eigenvalues along the rows of an orthogonal matrix.
    private func statistics(_ eigenvalues: [Double], along axes: Tensor, mean: Double) throws -> FeatureStatistics {
        let n = eigenvalues.count
        let covariance = try (axes * Tensor(eigenvalues, [n, 1])).matmul(axes, transposeA: true)
        return try FeatureStatistics(count: nil, mean: .full([n], mean, .float64), covariance: covariance.transposed())
    }

    /// An orthogonal matrix, or that of no turn.
    private func axes(_ n: Int, turned: Bool) throws -> Tensor {
        let root = try Tensor.randn([n, n], .float64)
        let identity = try Tensor((0..<n * n).map { $0 % (n + 1) == 0 ? 1.0 : 0 }, [n, n])
        return turned ? try LinearAlgebra.eigenvectors(root + root.transposed()).vectors : identity
    }

    // MARK: - Sums

    @Test(arguments: [0.0, 1e8]) func batchesDoNotCount(origin: Double) throws {
        let samples = try Tensor.randn([2600, 9], .float64).matmul(.randn([9, 9], .float64)) + origin
        let whole = try statistics(samples)
        #expect(whole.count == 2600 && whole.features == 9 && !whole.isRankDeficient)
        for size in [1, 700, 1024, 2599] {
            for threads in [1, 2] {
                let before = Processor.threads
                Processor.threads = threads
                defer { Processor.threads = before }
                let parts = try sums(samples, inBatchesOf: size).statistics()
                #expect(try parts.mean.doubles() == whole.mean.doubles(), "\(size)")
                #expect(try parts.covariance.doubles() == whole.covariance.doubles(), "\(size)")
            }
        }
        // The definitions, about an origin that costs no digits.
        let centred = try samples - origin, mean = try centred.mean([0]), apart = try centred - mean
        let covariance = try apart.matmul(apart, transposeA: true) / 2599
        #expect(try (whole.mean - origin - mean).abs().max().item() <= max(1e-14, 1e-15 * origin))
        #expect(try (whole.covariance - covariance).abs().max().item() < 1e-13 * covariance.abs().max().item())
    }

    @Test func partsAreMerged() throws {
        let samples = try Tensor.randn([3000, 5], .float64) + 4, whole = try statistics(samples)
        for cuts in [[0, 1, 3000], [0, 1024, 2048, 3000], [0, 0, 2999, 3000]] {
            var merged = FeatureSums()
            for (start, end) in zip(cuts, cuts.dropFirst()) {
                try merged.merge(start == end ? FeatureSums() : sums(samples.sliced(0, start..<end), inBatchesOf: 300))
            }
            #expect(merged.count == 3000)
            let found = try merged.statistics()
            #expect(try (found.mean - whole.mean).abs().max().item() < 1e-14)
            #expect(try (found.covariance - whole.covariance).abs().max().item() < 1e-13)
        }
    }

    @Test(arguments: [0, 1, 700, 1024, 2048, 2500]) func sumsAreSaved(after count: Int) throws {
        let samples = try Tensor.randn([2600, 4]), whole = try statistics(samples)
        let first = count == 0 ? FeatureSums() : try sums(samples.sliced(0, 0..<count), inBatchesOf: 100)
        let state = try first.saved()
        var resumed = try FeatureSums(from: state)
        #expect(resumed.count == count)
        try resumed.add(samples.sliced(0, count..<2600))
        let found = try resumed.statistics()
        #expect(try found.mean.doubles() == whole.mean.doubles())
        #expect(try found.covariance.doubles() == whole.covariance.doubles())
        for name in state.tensors.keys {
            var broken = state
            broken.tensors[name] = try .zeros([7, 7])
            #expect(message { _ = try FeatureSums(from: broken) }.contains("should be float64"))
        }
    }

    @Test func pixelsAreFeaturesToo() throws {
        let samples = try Tensor.rand([40, 2, 3]), found = try statistics(samples)
        #expect(try found.mean.doubles() == statistics(samples.reshaped(to: [40, 6])).mean.doubles())
        #expect(!found.isRankDeficient)
        #expect(try statistics(samples.sliced(0, 0..<6)).isRankDeficient)
    }

    // MARK: - Distances

    /// Covariances with the same eigenvectors: sums of (sqrt a - sqrt b)^2, singular ones as well.
    @Test(arguments: [false, true]) func covariancesThatCommute(turned: Bool) throws {
        let many = (0..<40).map { exp(-Double($0) / 5) }
        let cases: [([Double], [Double])] = [
            ([4], [9]), ([0], [2]), ([1, 4, 9], [9, 1, 4]), (many, many.reversed()),
            (many.map { $0 < 0.1 ? 0 : $0 }, many.reversed()),
            (many.map { $0 < 0.1 ? 0 : $0 }, many.map { $0 >= 0.1 ? 0 : $0 }),
            ([Double](repeating: 0, count: 40), many), (many.map { $0 * 1e160 }, many.map { $0 * 4e160 }),
        ]
        for (a, b) in cases {
            let axes = try axes(a.count, turned: turned), mean = a[0] > 1e100 ? 1e80 : 0.5
            let exact = zip(a, b).reduce(mean * mean * Double(a.count)) { sum, pair in
                sum + pow(pair.0.squareRoot() - pair.1.squareRoot(), 2)
            }
            let (x, y) = try (statistics(a, along: axes, mean: mean), statistics(b, along: axes, mean: 2 * mean))
            for found in [try Metrics.frechetDistance(x, y), try Metrics.frechetDistance(y, x)] {
                #expect(abs(found / exact - 1) < 1e-8, "\(found), exactly \(exact)")
            }
        }
    }

    @Test(arguments: [(3000, 200), (60, 200), (10, 12), (500, 24)]) func isTheDistanceOfTheSamples(n: Int, m: Int)
        throws
    {
        let mix = try Tensor.randn([24, 24], .float64)
        let (x, y) = try (
            Tensor.randn([n, 24]).matmul(mix.cast(.float32)), Tensor.rand([m, 24]).matmul(mix.cast(.float32))
        )
        let found = try Metrics.frechetDistance(statistics(x), statistics(y))
        #expect(abs(found / (try Metrics.frechetDistance(x, y)) - 1) < 1e-8)
    }

    @Test(arguments: [10, 24, 500]) func equalStatisticsHaveNoDistance(n: Int) throws {
        let samples = try Tensor.randn([n, 24]), found = try statistics(samples)
        #expect(try Metrics.frechetDistance(found, found) == 0)
        #expect(try Metrics.frechetDistance(samples, samples) == 0)
        // The same samples in another order.
        let order = try Context.current.random.permutation(n)
        let other = try Metrics.frechetDistance(found, statistics(samples.take(order)))
        #expect((0..<1e-11).contains(other), "\(other)")
    }

    // MARK: - Mistakes

    @Test func whatIsNoStatisticsIsRefused() throws {
        var sums = FeatureSums()
        #expect(message { _ = try sums.statistics() }.contains("two samples or more have a covariance, got 0"))
        try sums.add(.ones([1, 3]))
        #expect(message { _ = try sums.statistics() }.contains("got 1"))
        #expect(message { try sums.add(.ones([4, 2])) }.contains("samples of 2 features follow samples of 3"))
        #expect(message { try sums.add(.full([2, 3], .nan)) }.contains("NaN"))
        #expect(message { try sums.add(.ones([3])) }.contains("[3]"))
        #expect(sums.count == 1)
        var other = FeatureSums()
        try other.add(.ones([4, 2]))
        #expect(message { try sums.merge(other) }.contains("2 features follow samples of 3"))

        func covariance(_ numbers: [Double], mean: [Double] = [0, 0]) -> String {
            message {
                let side = Int(Double(numbers.count).squareRoot())
                let found = try FeatureStatistics(
                    count: nil, mean: Tensor(mean, [mean.count]), covariance: Tensor(numbers, [side, side]))
                _ = try Metrics.frechetDistance(
                    found, FeatureStatistics(count: 9, mean: .zeros([2]), covariance: .zeros([2, 2])))
            }
        }
        #expect(covariance([1]).contains("the covariance of 2 features is [2, 2], got [1, 1]"))
        #expect(covariance([1, 0, 0, 1], mean: [0, .infinity]).contains("the mean [2] holds numbers that are NaN"))
        #expect(covariance([1, .nan, 0, 1]).contains("the covariance [2, 2] holds numbers that are NaN"))
        #expect(covariance([1, 0.5, 0.4, 1]).contains("differ from those across the diagonal by 0.1"))
        #expect(covariance([1, 0, 0, -0.5]).contains("the variance of feature 2 is negative, -0.5"))
        #expect(covariance([1, 3, 3, 1]).contains("no covariance: its smallest eigenvalue is -2"))
        #expect(covariance([1], mean: [0]).contains("statistics differ in features, 1 and 2"))
        #expect(
            message { _ = try FeatureStatistics(count: 1, mean: .zeros([1]), covariance: .zeros([1, 1])) }.contains(
                "got 1"))
    }
}
