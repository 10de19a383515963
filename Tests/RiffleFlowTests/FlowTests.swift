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
            let (x, report) = try solve(
                start(), along: evenGrid(from: 0, to: 2, steps: steps), method, velocity: velocity)
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

    @Test(arguments: FixedStepMethod.allCases) func visitsTheGrid(_ method: FixedStepMethod) throws {
        let grid = [2, 1.5, 1.1, 0.4]
        var states: [Tensor] = []
        let end = try solve(start(), along: grid, method, visit: { states.append($0) }, velocity: velocity).x
        #expect(states.count == 4 && states[3] === end)
        for (index, state) in states.enumerated() where index > 0 {
            let alone = try solve(start(), along: Array(grid[...index]), method, velocity: velocity).x
            #expect(try state.doubles() == alone.doubles())
        }
    }

    /// The continuous extension has order 4: quartics come out exactly between the ends of steps of any length, and
    /// forward as well as backward; quintics do not.
    @Test(arguments: [[0, 0.1, 0.37, 0.9, 1], [1, 0.8, 0.001, 0], [-2, 0.5]]) func quarticsAreExact(_ times: [Double])
        throws
    {
        for (power, isExact) in [(4.0, true), (5.0, false)] {
            var states: [Double] = []
            let from = try Tensor([pow(times[0], power)], [1])
            let (_, report) = try DormandPrince(relativeTolerance: 0.1, absoluteTolerance: 0.1).solve(
                from, along: times, visit: { states.append(try $0.item()) },
                velocity: { x, t in try x * 0 + power * pow(t, power - 1) })
            let error = largest(zip(states, times).map { abs($0 - pow($1, power)) })
            #expect(report.times == times && states.count == times.count)
            if isExact { #expect(error < 1e-12, "\(states)") } else if times.count > 2 { #expect(error > 1e-6) }
        }
    }

    @Test(arguments: [1e-4, 1e-7, 1e-10]) func statesOnTheWayAreAsGoodAsTheEnd(_ tolerance: Double) throws {
        let method = DormandPrince(relativeTolerance: tolerance, absoluteTolerance: tolerance)
        let times = evenGrid(from: 0, to: 2, steps: 100)
        var worst = 0.0, index = 0
        let along = try method.solve(
            start(), along: times,
            visit: { state in
                worst = largest([worst, try error(state, at: times[index])])
                index += 1
            }, velocity: velocity)
        #expect(worst < 30 * tolerance && index == 101)
        // The times change neither the steps nor the end, and steps are visited at their ends.
        var steps: [Tensor] = []
        let alone = try method.solve(start(), from: 0, to: 2, visit: { steps.append($0) }, velocity: velocity)
        #expect(try along.x.doubles() == alone.x.doubles() && along.report.evaluations == alone.report.evaluations)
        #expect(steps.count == alone.report.times.count && steps.count < 101)
        for (state, t) in zip(steps, alone.report.times) { #expect(try error(state, at: t) < 10 * tolerance) }
    }

    /// The message of what solving x' = v from 1 says.
    private func failure(_ method: DormandPrince, _ x: Double = 1, _ v: (Tensor, Double) throws -> Tensor) -> String {
        let error = #expect(throws: RiffleError.self) {
            try method.solve(Tensor([Float(x)], [1]), from: 0, to: 1, velocity: v)
        }
        return error?.message ?? ""
    }

    @Test func failuresNameCauseAndTime() throws {
        let tiny = DormandPrince(relativeTolerance: 1e-300, absoluteTolerance: 1e-300)
        let small = failure(tiny) { x, t in try x * cos(9 * t) }
        #expect(small.contains("rtol 1e-300 and atol 1e-300 allow") && small.contains("too small"))
        // The solution is constant, so that no tolerance is too small.
        #expect(try tiny.solve(.zeros([2]), from: 0, to: 1) { x, _ in try x * 0 }.x.doubles() == [0, 0])
        #expect(failure(DormandPrince()) { x, t in try x / (1 - t) }.hasPrefix("at time 0.9999999"))
        #expect(failure(DormandPrince()) { x, t in try x * x * 2 }.hasPrefix("at time 0.50000"))
        #expect(
            failure(DormandPrince()) { x, t in try t > 0.25 ? x * .nan : x }.hasPrefix(
                "the solution is not finite behind time 0.2499"))
        #expect(failure(DormandPrince(), .nan) { x, _ in x } == "the solution is not finite at time 0")
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

    /// The times of diffusers 0.42.1: 1 less the scheduler's sigmas.
    @Test func shiftedTimesAreThoseOfDiffusers() {
        let few = shiftedGrid(steps: 4, shift: 3), many = shiftedGrid(steps: 28, shift: 3)
        for (found, wanted) in zip(few + many, [0, 0.142308, 0.397849, 0.9910714, 1, 0, 0.012619, 0.025892]) {
            #expect(abs(found - wanted) < 1e-6)
        }
        #expect(few.count == 5 && many.count == 29 && shiftedGrid(steps: 1, shift: 3) == [0, 1])
    }

    @Test(arguments: [TimeSampling.uniform, .logitNormal(mean: -0.4, deviation: 1), .skewed, .gap, .start])
    func timesAreInOrder(_ times: TimeSampling) throws {
        let (s, t) = try times.pairs(10000)
        #expect(try s.min().item() >= 0 && t.max().item() <= 1 && (t - s).min().item() >= 0)
        if times == .uniform { #expect(abs(try s.mean().item() - 1.0 / 3) < 0.02) }
        if times == .start { #expect(try s.max().item() == 0 && abs(t.mean().item() - 0.5) < 0.02) }
        var limited = times
        (limited.from, limited.to) = (0.25, 0.75)
        let (first, second) = try limited.pairs(10000), single = try limited.sample(1000)
        for drawn in [first, second, single] {
            #expect(try drawn.min().item() >= 0.25 && drawn.max().item() <= 0.75)
        }
        // A shift moves times towards the noise, and keeps the order of their ranks.
        limited = times
        limited.shift = 3
        Context.current.random = RandomSource(seed: 4)
        let plain = try times.sample(1000)
        Context.current.random = RandomSource(seed: 4)
        #expect(try (limited.sample(1000) - plain / (3 - plain * 2)).abs().max().item() < 1e-6)
        (limited.from, limited.to) = (0.25, 0.25)
        let error = #expect(throws: RiffleError.self) { try limited.sample(3) }
        #expect(error?.description.contains("no time lies between from = 0.25 and to = 0.25") ?? false)
    }
}
