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

/// Every loss vanishes, or shrinks at its order, on the exact flow map of a Gaussian.
@Suite struct LossTests {
    private func loss(_ make: (GaussianFlow, GaussianFlow, Tensor) throws -> Loss, error: Double = 0) throws -> Loss {
        Context.current.random = RandomSource(seed: 5)
        let data = try Tensor.randn([4096, 1], .float64)
        return try make(GaussianFlow(times: 2, error: error), GaussianFlow(times: 1), data)
    }

    @Test(arguments: LFMDLoss.Gradient.allCases) func lfmdVanishes(_ gradient: LFMDLoss.Gradient) throws {
        var method = LFMDLoss()
        (method.gradient, method.initialWeight) = (gradient, 1)
        #expect(try loss { try method($0, $1, $2) }.total.item() < 1e-20)
        #expect(try loss({ try method($0, $1, $2) }, error: 0.1).total.item() > 1e-3)
    }

    /// The segment forms ask the student alone, which is exact; the others have the last step's error.
    @Test(arguments: ITVMLoss.Terminal.allCases, [FixedStepMethod.euler, .midpoint, .heun])
    func itvmShrinks(_ terminal: ITVMLoss.Terminal, _ lastStep: FixedStepMethod) throws {
        let values = try [0.1, 0.05].map { offset in
            var method = ITVMLoss()
            (method.terminal, method.lastStep, method.offset, method.isOffsetRelative) = (terminal, lastStep, offset, true)
            return try loss { try method($0, $1, $2) }
        }
        let residuals = values.map { ($0.parts.last?.value ?? 0).squareRoot() }
        #expect(values.allSatisfy { $0.parts[0].value < 1e-20 }, "the initial term")
        if terminal == .segment || terminal == .segmentQuotient {
            #expect(residuals.allSatisfy { $0 < 1e-8 }, "\(residuals)")
            return
        }
        // Offsets relative to t - s: the error of w is O(offset^order), and `lagged` divides it by another offset's worth.
        let order = log2(residuals[0] / residuals[1])
        let expected = terminal == .tangent ? 1 : Double(lastStep.order) + (terminal == .lagged ? 1 : 0)
        // For this flow the midpoint rule does better than its order.
        #expect(order > expected - 0.4, "measured order \(order), residuals \(residuals)")
    }

    /// The semi-gradient leaves out the way through the teacher, the full one has it: against finite differences.
    @Test func lfmdGradients() throws {
        let h = 1e-5
        func value(_ gradient: LFMDLoss.Gradient, _ error: Double) throws -> (loss: Double, slope: Double) {
            var method = LFMDLoss()
            method.gradient = gradient
            Context.current.random = RandomSource(seed: 9)
            let student = try GaussianFlow(times: 2, error: error)
            let data = try Tensor.randn([256, 1], .float64)
            let result = try method(student, GaussianFlow(times: 1), data)
            try result.total.backward()
            return (try result.total.item(), try student.error.gradient?.item() ?? .nan)
        }
        let difference = try (value(.full, 0.3 + h).loss - value(.full, 0.3 - h).loss) / (2 * h)
        let (full, semi) = (try value(.full, 0.3).slope, try value(.semi, 0.3).slope)
        #expect(abs(full - difference) < 1e-6 * abs(difference))
        #expect(abs(semi - difference) > 1e-2 * abs(difference), "the stop-gradient has no effect")
    }

    @Test func matchingPrefersTheVelocity() throws {
        Context.current.random = RandomSource(seed: 3)
        let data = try Tensor.randn([20000, 1], .float64).affine(0.5, 0.7)
        func loss(_ network: Network) throws -> Double {
            Context.current.random = RandomSource(seed: 4)
            return try MatchingLoss()(network, data).total.item()
        }
        let exact = try loss(GaussianFlow(times: 2)), wrong = try loss(GaussianFlow(times: 2, error: 0.1))
        // At the minimiser the excess is the square of the error.
        #expect(abs(wrong - exact - 0.01) < 0.005)
    }

    @Test func mistakesNameTheRole() throws {
        let (student, teacher) = (try GaussianFlow(times: 1), try MLP(.init(dim: 3)))
        let data = try Tensor.randn([4, 2])
        let noJump = #expect(throws: RiffleError.self) { try ITVMLoss()(student, teacher, data) }
        #expect(noJump?.description.contains("two_timed") == true)
        let other = #expect(throws: RiffleError.self) { try ITVMLoss()(MLP(.init(times: 2)), teacher, data) }
        #expect(other?.description.contains("teacher") == true && other?.description.contains("[4, 2]") == true)
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

    @Test(arguments: [TimeSampling.uniform, .logitNormal(mean: -0.4, deviation: 1), .skewed])
    func timesLieInOrder(_ times: TimeSampling) throws {
        let (s, t) = try times.pairs(10000)
        #expect(try s.min().item() >= 0 && t.max().item() <= 1 && (t - s).min().item() >= 0)
        if times == .uniform { #expect(abs(try s.mean().item() - 1.0 / 3) < 0.02) }
    }
}
