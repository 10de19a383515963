import Glibc
@testable import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// v(x) = A x with A = [[rate, shear], [0, rate]]: N(0, I) goes to N(0, e^A e^A'), and e^A = e^rate [[1, shear], [0,
/// 1]].
private final class LinearField: Network {
    let (rate, shear) = (0.3, 0.8)
    private(set) var rows = 0

    override var kind: String { "linear field" }
    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        rows += x.shape[0]
        return try x.matmul(Tensor([rate, shear, 0, rate], [2, 2]).cast(x.dtype), transposeB: true)
    }

    /// Where x comes from, and its log-density.
    func exact(_ x: [Double]) -> (latent: [Double], logDensity: Double) {
        let shrunk = x.map { $0 * exp(-rate) }, z = [shrunk[0] - shear * shrunk[1], shrunk[1]]
        return (z, -0.5 * (z[0] * z[0] + z[1] * z[1]) - log(2 * .pi) - 2 * rate)
    }
}

@Suite(.serialized) struct LikelihoodTests {
    init() { Context.current.random = RandomSource(seed: 21) }

    private let precise = DormandPrince(relativeTolerance: 1e-8, absoluteTolerance: 1e-8)

    /// The log-density of N(mean, deviation^2) in every coordinate.
    private func gaussian(_ x: Tensor, _ flow: GaussianFlow) throws -> [Double] {
        let size = x.count / x.shape[0], numbers = try x.doubles()
        return (0..<x.shape[0]).map { row in
            numbers[(row * size)..<((row + 1) * size)].reduce(0) { sum, number in
                let z = (number - flow.mean) / flow.deviation
                return sum - 0.5 * z * z - log(flow.deviation) - 0.5 * log(2 * .pi)
            }
        }
    }

    /// The largest difference; infinite where there is NaN or a number too few.
    private func gap(_ found: Tensor, _ wanted: [Double]) throws -> Double {
        guard found.count == wanted.count else { return .infinity }
        return largest(zip(try found.doubles(), wanted).map { abs($0 - $1) })
    }

    @Test(arguments: [[64, 1], [7, 3], [2, 2, 3, 2]] as [Shape]) func exactDensityOfAGaussian(_ shape: Shape) throws {
        let flow = try GaussianFlow(times: 1), x = try Tensor.randn(shape, .float64)
        let found = try Likelihood(flow, x, precise)
        #expect(try gap(found.logDensity, gaussian(x, flow)) < 1e-6)
        #expect(found.logDensity.shape == [shape[0]] && found.latent.shape == shape)
        // One coordinate after another: z = (x - mean) / deviation.
        #expect(try gap(found.latent, x.doubles().map { ($0 - flow.mean) / flow.deviation }) < 1e-6)
        #expect(found.report.evaluations > 10 && found.report.times.first == 1 && found.report.times.last == 0)
    }

    @Test(arguments: FixedStepMethod.allCases) func gridsShrinkTheErrorAtTheirOrder(_ method: FixedStepMethod) throws {
        let flow = try GaussianFlow(times: 2), x = try Tensor.randn([16, 2], .float64), wanted = try gaussian(x, flow)
        let errors = try [20, 40].map { steps in
            let found = try Likelihood(flow, x, along: evenGrid(from: 1, to: 0, steps: steps), method)
            #expect(found.report.evaluations == steps * method.order)
            return try gap(found.logDensity, wanted)
        }
        #expect(abs(log2(errors[0] / errors[1]) - Double(method.order)) < 0.5, "\(errors)")
    }

    @Test func aShearIsExact() throws {
        let field = LinearField(), x = try Tensor.randn([50, 2], .float64), rows = try x.doubles()
        let wanted = (0..<50).map { field.exact(Array(rows[(2 * $0)..<(2 * $0 + 2)])) }
        let found = try Likelihood(field, x, precise)
        #expect(try gap(found.logDensity, wanted.map(\.logDensity)) < 1e-6)
        #expect(try gap(found.latent, wanted.flatMap(\.latent)) < 1e-6)
        let single = try Likelihood(field, x.cast(.float32), along: evenGrid(from: 1, to: 0, steps: 20), .rk4)
        #expect(try single.logDensity.dtype == .float32 && gap(single.logDensity, wanted.map(\.logDensity)) < 1e-4)
    }

    /// e . A e = 2 rate + shear e1 e2: each probe misses by the shear, up or down, and their mean by shear /
    /// sqrt(probes).
    @Test(arguments: [1, 4, 64]) func probesAreUnbiased(_ probes: Int) throws {
        let field = LinearField(), x = try Tensor.randn([2000, 2], .float64)
        let found = try Likelihood(field, x, along: [1, 0.5, 0], .rk4, .probes(probes))
        let exact = try Likelihood(field, x, along: [1, 0.5, 0], .rk4)
        let errors = zip(try found.logDensity.doubles(), try exact.logDensity.doubles()).map { $0 - $1 }
        let mean = errors.reduce(0, +) / 2000, deviation = (errors.reduce(0) { $0 + $1 * $1 } / 2000).squareRoot()
        let expected = field.shear / Double(probes).squareRoot()
        #expect(abs(mean) < 4 * expected / 2000.0.squareRoot(), "mean \(mean)")
        #expect(abs(deviation / expected - 1) < 0.1, "deviation \(deviation), expected \(expected)")
        #expect(try gap(found.latent, exact.latent.doubles()) < 1e-12)
    }

    /// Many directions share a call, or one takes several: the number of rows is that of the directions.
    @Test(arguments: [
        (3, Likelihood.Divergence.exact, 2), (3, .probes(5), 5), (30_000, .exact, 2), (40_000, .probes(3), 3),
    ])
    func everyDirectionIsAskedOnce(n: Int, divergence: Likelihood.Divergence, directions: Int) throws {
        let field = LinearField()
        let found = try Likelihood(field, .zeros([n, 2]), along: [1, 0], .euler, divergence)
        #expect(found.report.evaluations == 1 && field.rows == n * directions)
        #expect(try divergence != .exact || abs(found.logDensity.mean().item() + log(2 * .pi) + 2 * field.rate) < 1e-5)
    }

    @Test func labelsGoWithTheirSamples() throws {
        let net = try MLP(.init(dim: 3, width: 16, depth: 2, labels: ClassLabels(2))), x = try Tensor.randn([6, 3])
        let grid = evenGrid(from: 1, to: 0, steps: 4)
        func found(_ x: Tensor, _ labels: [Int32]) throws -> [Double] {
            try Likelihood(net, x, along: grid, .heun, .exact, Condition([Tensor(labels, [labels.count])])).logDensity
                .doubles()
        }
        let all = try found(x, [1, 2, 1, 2, 1, 2])
        for row in 0..<6 {
            #expect(try abs(found(x.sliced(0, row..<(row + 1)), [Int32(row % 2 + 1)])[0] - all[row]) < 1e-5)
        }
        #expect(try abs(found(x, [2, 1, 2, 1, 2, 1])[0] - all[0]) > 1e-6)
        #expect(throws: RiffleError.self) { try Likelihood(net, x, along: grid, .heun) }
    }

    /// Nothing is recorded, and the parameters get no gradient.
    @Test func isAConstant() throws {
        let net = try MLP(.init(width: 8, depth: 1)),
            found = try Likelihood(net, .randn([4, 2]), along: [1, 0], .euler)
        #expect(!found.logDensity.needsGradient && !found.latent.needsGradient && net.isTraining)
    }

    private func message(_ body: () throws -> Void) -> String {
        let error = #expect(throws: RiffleError.self) { try body() }
        return error?.description ?? ""
    }

    @Test func mistakesAreReported() throws {
        let flow = try GaussianFlow(times: 1), x = try Tensor.zeros([2, 1], .float64)
        for grid in [[0, 1], [1, 0.5], [0.9, 0], [], [1, 0.5, 0.7, 0], [1, .nan, 0]] as [[Double]] {
            #expect(message { _ = try Likelihood(flow, x, along: grid, .euler) }.contains("times must"))
        }
        for shape in [[], [3], [0, 2], [2, 0]] as [Shape] {
            #expect(
                message { _ = try Likelihood(flow, .zeros(shape, .float64), precise) }.contains("x must be a batch"))
        }
        #expect(message { _ = try Likelihood(flow, .zeros([2, 1], .int32), precise) }.contains("int32 [2, 1]"))
        #expect(message { _ = try Likelihood(flow, x, precise, .probes(0)) }.contains("probes count from 1"))
    }
}
