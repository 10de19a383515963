import Foundation
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleMetrics

/// Against the results of torch-fidelity and prdc in float64 (`scripts/check_metrics.py`), and closed forms.
@Suite(.serialized) struct SampleMetricsTests {
    private let fixtures: Npz

    init() throws {
        fixtures = try Npz(fixture("metrics/features.npz"))
        Context.current.random = RandomSource(seed: 3)
    }

    private func near(_ found: Double, _ wanted: Double, within tolerance: Double = 1e-12) -> Bool {
        abs(found - wanted) <= tolerance * max(abs(wanted), 1e-3)
    }

    /// The same bits with one thread and with two.
    private func onThreads(_ body: () throws -> [Double]) throws -> [Double] {
        let before = Processor.threads
        defer { Processor.threads = before }
        let results = try [1, 2].map { threads in
            Processor.threads = threads
            return try body()
        }
        #expect(results[0] == results[1])
        return results[0]
    }

    // MARK: - Kernel distance

    @Test func kernelDistancesAreTorchFidelitys() throws {
        let (a, b) = (try fixtures.tensor("a"), try fixtures.tensor("b"))
        let (rows, others) = (try fixtures.tensor("rows_a"), try fixtures.tensor("rows_b"))
        let wanted = try fixtures.tensor("kernel_distances").doubles()
        for (number, value) in wanted.enumerated() {
            func subset(_ samples: Tensor, _ rows: Tensor) throws -> Tensor {
                try samples.take(rows.sliced(0, number..<(number + 1)).viewed(as: [rows.shape[1]]) + 1)
            }
            let found = try onThreads { [try Metrics.kernelDistance(subset(a, rows), subset(b, others))] }
            #expect(near(found[0], value, within: 1e-6), "\(found[0]), \(value)")
        }
    }

    /// Random subsets of all samples are all samples; smaller ones have the same mean.
    @Test func subsetsEstimateTheWhole() throws {
        let (x, y) = (try Tensor.randn([200, 5]), try Tensor.randn([200, 5]) * 1.3 + 0.2)
        let whole = try Metrics.kernelDistance(x, y)
        let same = try Metrics.kernelDistance(x, y, subsets: 3, size: 200)
        #expect(near(same.mean, whole) && same.deviation < 1e-12 * whole)
        let parts = try Metrics.kernelDistance(x, y, subsets: 40, size: 50, seed: 1)
        let again = try Metrics.kernelDistance(x, y, subsets: 40, size: 50, seed: 1)
        #expect(parts.mean == again.mean && parts.deviation == again.deviation)
        #expect(abs(parts.mean - whole) < 4 * parts.deviation / 40.0.squareRoot())
        #expect(try Metrics.kernelDistance(x, y, subsets: 40, size: 50, seed: 2).mean != parts.mean)
        // The mean over pairs of equal sets without the diagonal is below that with it.
        #expect(try Metrics.kernelDistance(x, x) < 0)
    }

    // MARK: - Neighbours

    @Test func neighboursArePrdcs() throws {
        let (a, b) = (try fixtures.tensor("a"), try fixtures.tensor("b"))
        let found = try onThreads {
            let found = try Metrics.precisionRecall(real: a, generated: b)
            return [found.precision, found.recall, found.density, found.coverage]
        }
        #expect(zip(found, try fixtures.tensor("prdc").doubles()).allSatisfy { near($0, $1) }, "\(found)")
    }

    /// On a line far from 0; in clusters that float32 products cannot take apart; with samples that are there twice; in
    /// units whose squares float32 does not hold.
    @Test(arguments: [0, 1, 2, 3, 4]) func neighboursAreThoseOfTheDefinition(kind: Int) throws {
        func samples(_ n: Int) throws -> Tensor {
            let random = try Tensor.randn([n, 4])
            switch kind {
            case 0: return try Tensor((0..<n).map { 1e6 + Float($0) }, [n, 1])
            case 1: return try .cat([random * 1e-6, random * 1e-6 + 1, random * 1e-3])
            case 2: return try .cat([random.sliced(0, 0..<9), random.sliced(0, 0..<9), random])
            case 3: return try random * 1e-30
            default: return try random.cast(.float64) * 1e120
            }
        }
        func distances(_ x: Tensor, _ y: Tensor) throws -> [[Double]] {
            let size = x.shape[1], (x, y) = (try x.doubles(), try y.doubles())
            return (0..<x.count / size).map { row in
                (0..<y.count / size).map { column in
                    (0..<size).reduce(0) { $0 + pow(x[row * size + $1] - y[column * size + $1], 2) }
                }
            }
        }
        let (x, y) = (try samples(50), try samples(40)), neighbours = 2
        let across = try distances(x, y)
        let (reach, others) = (
            try distances(x, x).map { $0.sorted()[neighbours] }, try distances(y, y).map { $0.sorted()[neighbours] }
        )
        let inside = others.indices.map { column in across.indices.count { across[$0][column] <= reach[$0] } }
        let found = try Metrics.precisionRecall(real: x, generated: y, neighbours: neighbours)
        #expect(near(found.precision, Double(inside.count { $0 > 0 }) / Double(inside.count)))
        #expect(near(found.density, Double(inside.reduce(0, +)) / Double(inside.count * neighbours)))
        let isReached = across.map { row in row.indices.contains { row[$0] <= others[$0] } }
        #expect(near(found.recall, Double(isReached.count { $0 }) / Double(isReached.count)))
        let isCovered = across.indices.map { across[$0].contains { [own = reach[$0]] in $0 <= own } }
        #expect(near(found.coverage, Double(isCovered.count { $0 }) / Double(isCovered.count)))
        let same = try Metrics.precisionRecall(real: x, generated: x, neighbours: neighbours)
        #expect(same.precision == 1 && same.recall == 1 && same.coverage == 1)
    }

    /// More samples than a tile has, along one side and the other.
    @Test(arguments: [(2100, 3), (3, 2100)]) func allPairsMeetOnce(n: Int, m: Int) throws {
        let (x, y) = (try Tensor.randn([n, 2], .float64) + 1e6, try Tensor.randn([m, 2], .float64) + 1e6)
        let products = try SampleProducts(of: x, y)
        let exact = try (x - products.centre).matmul(y - products.centre, transposeB: true).doubles()
        let squares = (try products.squares(x), try products.squares(y)), unit = products.unit * products.unit
        var count = 0
        try products.each(x, y) { tile in
            for (row, number) in tile.rows.enumerated() {
                for (column, product) in zip(tile.columns, tile.row(row)) {
                    let size = (squares.0[number] + squares.1[column]) / 2
                    #expect(abs(Double(product) - exact[number * m + column] / unit) <= products.slack * size)
                    count += 1
                }
            }
        }
        #expect(count == n * m)
    }

    // MARK: - Inception score

    @Test func scoresAreTorchFidelitys() throws {
        let logits = try fixtures.tensor("logits"), wanted = try fixtures.tensor("inception_score").doubles()
        let found = try onThreads {
            let score = try Metrics.inceptionScore(logits: logits, parts: 3)
            return [score.mean, score.deviation]
        }
        #expect(zip(found, wanted).allSatisfy { near($0, $1) })
        let same = try Metrics.inceptionScore(probabilities: logits.softmax(), parts: 3)
        #expect(near(same.mean, wanted[0]) && near(same.deviation, wanted[1]))
        // Each class as often, and certain, even beyond the range of numbers; or nothing known.
        let sure = try Tensor((0..<36).map { $0 % 7 == 0 ? 1.0 : 0 }, [6, 6])
        #expect(near(try Metrics.inceptionScore(probabilities: sure, parts: 1).mean, 6))
        #expect(near(try Metrics.inceptionScore(logits: sure * 1e4, parts: 1).mean, 6))
        #expect(near(try Metrics.inceptionScore(logits: sure * 0, parts: 2).mean, 1))
    }

    // MARK: - Limit

    @Test func aLineIsFollowedToItsEnd() throws {
        let line = try Metrics.Extrapolation(sizes: [10, 40, 20, 80]) { 3 + 7 / Double($0) }
        #expect(near(line.limit, 3) && line.sizes == [10, 40, 20, 80])
        #expect(message { _ = try Metrics.Extrapolation(sizes: [5, 5]) { _ in 1 } }.contains("[5, 5]"))
    }

    /// Samples of the reference's own distribution: the limit is nearer to 0 than the distance of all samples.
    @Test func theLimitHasLessBias() throws {
        let mean = try Tensor.zeros([16], .float64)
        let identity = try Tensor((0..<256).map { $0 % 17 == 0 ? 1.0 : 0 }, [16, 16])
        let reference = try FeatureStatistics(count: nil, mean: mean, covariance: identity)
        let samples = try Tensor.randn([4000, 16])
        let found = try Metrics.frechetLimit(samples, to: reference, points: 8, smallest: 200, seed: 5)
        #expect(found.sizes.first == 200 && found.sizes.last == 4000 && found.sizes.count == 8)
        let whole = try #require(found.distances.last)
        var sums = FeatureSums()
        try sums.add(samples)
        #expect(near(whole, try Metrics.frechetDistance(sums.statistics(), reference), within: 1e-8))
        #expect(abs(found.limit) < 0.5 * whole, "\(found.limit), \(found.distances)")
        let again = try Metrics.frechetLimit(samples, to: reference, points: 8, smallest: 200, seed: 5)
        #expect(again.distances == found.distances && again.limit == found.limit)
    }

    // MARK: - Mistakes

    @Test func mistakesAreNamed() throws {
        let x = try Tensor.ones([10, 3]),
            reference = try FeatureStatistics(
                count: nil, mean: .zeros([2]), covariance: .zeros([2, 2]))
        let far = try Tensor.full([10, 3], 1e200, .float64), bad = try Tensor([0.5, 0.6, 0.5, 0.5], [2, 2])
        for (text, body) in [
            ("name a smaller size", { _ = try Metrics.kernelDistance(x, x, subsets: 3, size: 11) }),
            ("got 0 of 5", { _ = try Metrics.kernelDistance(x, x, subsets: 0, size: 5) }),
            ("two samples or more", { _ = try Metrics.kernelDistance(x, x.sliced(0, 0..<1)) }),
            ("too large", { _ = try Metrics.kernelDistance(far, far) }),
            ("samples differ in size", { _ = try Metrics.kernelDistance(x, .ones([10, 4])) }),
            ("NaN", { _ = try Metrics.precisionRecall(real: x, generated: x * .nan) }),
            ("got 10 (real [10, 3]", { _ = try Metrics.precisionRecall(real: x, generated: x, neighbours: 10) }),
            ("2 samples cannot be divided into 3 parts", { _ = try Metrics.inceptionScore(logits: bad, parts: 3) }),
            ("one sum is 1.1", { _ = try Metrics.inceptionScore(probabilities: bad, parts: 1) }),
            ("one is -0.6", { _ = try Metrics.inceptionScore(probabilities: -bad, parts: 1) }),
            ("[n, classes], got [2]", { _ = try Metrics.inceptionScore(logits: .ones([2])) }),
            ("3 features, and statistics of 2", { _ = try Metrics.frechetLimit(x, to: reference) }),
            (
                "there are only 10 to extrapolate from",
                { _ = try Metrics.frechetLimit(x.sliced(1, 0..<2), to: reference) }
            ),
        ] as [(String, () throws -> Void)] {
            let found = message(body)
            #expect(found.contains(text), "\(found)")
        }
    }
}
