import RiffleNN
import RiffleTensor

/// Samples from a network: carries x from the first time of a grid (noise at 0) to the last (data at 1).
///
/// Networks are evaluated without dropout and without recording.
package enum Sampler {
    /// Follows the network's velocity over a grid of times.
    /// - Parameter visit: gets the state at each time of the grid.
    package static func ode(
        _ network: Network, _ x: Tensor, along grid: [Double], _ method: FixedStepMethod, _ condition: Condition? = nil,
        visit: (Tensor) throws -> Void = { _ in }
    ) throws -> (x: Tensor, report: SolverReport) {
        try following(network, x, condition, through: grid) {
            try solve(x, along: grid, method, visit: visit, velocity: $0)
        }
    }

    /// Follows the network's velocity with an adaptive step.
    /// - Parameter visit: gets the state at the start and after each step.
    package static func ode(
        _ network: Network, _ x: Tensor, from: Double = 0, to: Double = 1, _ method: DormandPrince,
        _ condition: Condition? = nil, visit: (Tensor) throws -> Void = { _ in }
    ) throws -> (x: Tensor, report: SolverReport) {
        try following(network, x, condition, through: [from, to]) {
            try method.solve(x, from: from, to: to, visit: visit, velocity: $0)
        }
    }

    /// Follows the network's velocity with an adaptive step from the first of the times to the last.
    /// - Parameter visit: gets the state at each of the times.
    package static func ode(
        _ network: Network, _ x: Tensor, along times: [Double], _ method: DormandPrince, _ condition: Condition? = nil,
        visit: (Tensor) throws -> Void = { _ in }
    ) throws -> (x: Tensor, report: SolverReport) {
        try following(network, x, condition, through: times) {
            try method.solve(x, along: times, visit: visit, velocity: $0)
        }
    }

    /// Jumps from time to time of a grid with a two-timed network, one evaluation a jump.
    package static func jump(
        _ network: Network, _ x: Tensor, along grid: [Double], _ condition: Condition? = nil
    ) throws -> (x: Tensor, report: SolverReport) {
        try checkGrid(grid, "jump")
        try checkRange(grid, "jump")
        return try evaluating(network, x) {
            var x = x.detach()
            var report = SolverReport(times: grid)
            for (s, t) in zip(grid, grid.dropFirst()) {
                try Interrupt.check()
                x = try network.jump(x, .full([x.shape[0]], s, x.dtype), .full([x.shape[0]], t, x.dtype), condition)
                report.evaluations += 1
            }
            return (x, report)
        }
    }

    /// Samples a consistency model (Song et al. 2023, algorithm 1): jumps from each time of a rising grid to the data,
    /// and adds fresh noise to the data for the next time. The last jump begins at the last of the times.
    package static func consistency(
        _ network: Network, _ x: Tensor, along starts: [Double], _ path: Path = .linear, _ condition: Condition? = nil
    ) throws -> (x: Tensor, report: SolverReport) {
        try checkRange(starts, "consistency")
        guard starts.first == 0, starts.count == 1 || zip(starts, starts.dropFirst()).allSatisfy({ $0 < $1 }),
            starts.last != 1
        else {
            throw RiffleError(
                "consistency",
                "times must rise from 0 and end before 1, got \(starts.map(riffleExact).joined(separator: ", "))")
        }
        return try evaluating(network, x) {
            var report = SolverReport(times: starts)
            report.evaluations = starts.count
            return (try Generation.made(network, x.detach(), path, condition, from: starts), report)
        }
    }

    /// A generator's samples, usually by one evaluation.
    package static func generate(
        _ network: Network, _ z: Tensor, _ generation: Generation = Generation(), _ path: Path = .linear,
        _ condition: Condition? = nil
    ) throws -> Tensor {
        try evaluating(network, z) { try generation(network, z.detach(), path, condition) }
    }

    private static func checkRange(_ times: [Double], _ operation: String) throws {
        guard let time = times.first(where: { !(0...1).contains($0) }) else { return }
        throw RiffleError(operation, "times must be from 0, noise, to 1, data; got \(riffleExact(time))")
    }

    private static func evaluating<Result>(_ network: Network, _ x: Tensor, _ body: () throws -> Result) throws
        -> Result
    {
        guard x.rank >= 1 else { throw RiffleError("sample", "x must be a batch [n, ...], got a single number") }
        return try withoutGradient { try network.evaluating(body) }
    }

    /// Runs a solver on the network's velocity.
    private static func following<Result>(
        _ network: Network, _ x: Tensor, _ condition: Condition?, through times: [Double],
        _ solver: ((Tensor, Double) throws -> Tensor) throws -> Result
    ) throws -> Result {
        try checkRange(times, "ode")
        return try evaluating(network, x) {
            try solver { try network.velocity($0, .full([x.shape[0]], $1, x.dtype), condition) }
        }
    }
}
