import Glibc
import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

@Suite struct SolverTests {
    /// x' = -x t from x(0) = 1, whose solution is exp(-t^2 / 2).
    private func velocity(_ x: Tensor, _ t: Double) throws -> Tensor { try x * -t }
    private func start() throws -> Tensor { try Tensor([1.0, 2.0], [2]) }

    private func error(_ x: Tensor, at t: Double) throws -> Double { abs(try x.doubles()[0] - exp(-t * t / 2)) }

    @Test(arguments: FixedStepMethod.allCases) func order(_ method: FixedStepMethod) throws {
        let errors = try [16, 32].map { steps in
            let (x, report) = try solve(start(), along: evenGrid(from: 0, to: 2, steps: steps), method, velocity: velocity)
            #expect(report.evaluations == steps * method.order)
            return try error(x, at: 2)
        }
        let order = log2(errors[0] / errors[1])
        #expect(abs(order - Double(method.order)) < 0.35, "\(method): measured order \(order)")
    }

    @Test(arguments: FixedStepMethod.allCases) func backwardUndoesForward(_ method: FixedStepMethod) throws {
        let grid = evenGrid(from: 0.2, to: 1.3, steps: 200)
        let there = try solve(start(), along: grid, method, velocity: velocity).x
        let back = try solve(there, along: grid.reversed(), method, velocity: velocity).x
        #expect(try abs(back.doubles()[0] - 1) < 0.01)
    }

    @Test(arguments: [1e-3, 1e-6, 1e-9]) func adaptive(_ tolerance: Double) throws {
        let method = DormandPrince(relativeTolerance: tolerance, absoluteTolerance: tolerance)
        let (x, report) = try method.solve(start(), from: 0, to: 2, velocity: velocity)
        #expect(try error(x, at: 2) < 10 * tolerance)
        #expect(report.evaluations == 2 + 6 * (report.times.count - 1 + report.rejected))
        #expect(report.times.last == 2)
        let back = try method.solve(x, from: 2, to: 0, velocity: velocity).x
        #expect(try abs(back.doubles()[0] - 1) < 100 * tolerance)
    }

    @Test func mistakes() throws {
        for grid in [[], [0.0], [0, 0], [0, 1, 0.5], [0, .nan]] {
            #expect(throws: RiffleError.self) { try solve(start(), along: grid, .euler, velocity: velocity) }
        }
        #expect(throws: RiffleError.self) {
            try DormandPrince(maximumSteps: 3).solve(start(), from: 0, to: 50, velocity: { try $0 * cos($1 * 40) })
        }
    }
}

@Suite struct SamplerTests {
    @Test func jumpsAndSolutionsAgree() throws {
        let (network, noise) = (try GaussianFlow(times: 2), try Tensor.randn([100, 1], .float64))
        let exact = try Sampler.jump(network, noise, along: [0, 1]).x
        let jumped = try Sampler.jump(network, noise, along: [0, 0.3, 0.7, 1])
        #expect(jumped.report.evaluations == 3)
        #expect(try (exact - jumped.x).abs().max().item() < 1e-12)
        let solved = try Sampler.ode(network, noise, DormandPrince()).x
        #expect(try (exact - solved).abs().max().item() < 1e-4)
        let back = try Sampler.jump(network, jumped.x, along: [1, 0]).x
        #expect(try (back - noise).abs().max().item() < 1e-12)
    }

    @Test(arguments: [TimeSampling.uniform, .logitNormal(mean: -0.4, deviation: 1), .skewed, .gap])
    func timesLieInOrder(_ times: TimeSampling) throws {
        let (s, t) = try times.pairs(10000)
        #expect(try s.min().item() >= 0 && t.max().item() <= 1 && (t - s).min().item() >= 0)
        if times == .uniform { #expect(abs(try s.mean().item() - 1.0 / 3) < 0.02) }
    }
}
