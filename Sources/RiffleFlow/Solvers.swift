import Glibc
import RiffleNN
import RiffleTensor

/// The cost of a solution, and its times.
package struct SolverReport: Sendable {
    /// Evaluations of the velocity, each for the whole batch.
    package internal(set) var evaluations = 0
    /// The times of the solution, first and last included: those of the grid, or of an adaptive method's steps, or the
    /// given times at which the caller wanted states.
    package internal(set) var times: [Double]
    /// Steps of an adaptive method that were rejected and repeated.
    package internal(set) var rejected = 0
}

/// A way to follow dx/dt = v(x, t) over a grid of times, upwards or downwards.
package enum FixedStepMethod: String, Sendable, CaseIterable {
    case euler, midpoint, heun, rk4

    /// Evaluations in a step, which is also the method's order.
    package var order: Int {
        switch self {
        case .euler: 1
        case .midpoint, .heun: 2
        case .rk4: 4
        }
    }

    /// One step from t to t + h.
    package func step(_ x: Tensor, _ t: Double, _ h: Double, _ velocity: (Tensor, Double) throws -> Tensor) throws
        -> Tensor
    {
        try x + average { slope, part in try velocity(slope.map { try x + $0 * (h * part) } ?? x, t + h * part) } * h
    }

    /// The average velocity of one step from s to t, times [n] that may differ from sample to sample.
    func average(_ x: Tensor, _ s: Tensor, _ t: Tensor, _ velocity: (Tensor, Tensor) throws -> Tensor) throws -> Tensor
    {
        let h = try (t - s).alongside(x)
        return try average { slope, part in
            let time = part == 0 ? s : part == 1 ? t : try s + (t - s) * part
            return try velocity(slope.map { try x + $0 * (h * part) } ?? x, time)
        }
    }

    /// The method itself: a step's average velocity.
    /// - Parameter velocity: gives the velocity after a part of the step, from 0 to 1, at the point that a slope leads
    ///   to; without a slope at the start.
    private func average(_ velocity: (_ slope: Tensor?, _ part: Double) throws -> Tensor) throws -> Tensor {
        let k1 = try velocity(nil, 0)
        switch self {
        case .euler: return k1
        case .midpoint: return try velocity(k1, 0.5)
        case .heun: return try (k1 + velocity(k1, 1)) * 0.5
        case .rk4:
            let k2 = try velocity(k1, 0.5)
            let k3 = try velocity(k2, 0.5)
            let k4 = try velocity(k3, 1)
            return try (k1 + (k2 + k3) * 2 + k4) * (1.0 / 6)
        }
    }
}

/// Follows dx/dt = v(x, t) from the first time of the grid to the last.
/// - Parameter visit: gets the state at each time of the grid, the first and the last included.
/// - Throws: `RiffleError` unless the grid has two times or more, all different, in order.
package func solve(
    _ x: Tensor, along grid: [Double], _ method: FixedStepMethod, visit: (Tensor) throws -> Void = { _ in },
    velocity: (Tensor, Double) throws -> Tensor
) throws -> (x: Tensor, report: SolverReport) {
    try checkGrid(grid, "ode")
    var x = x
    var report = SolverReport(times: grid)
    try visit(x)
    for (from, to) in zip(grid, grid.dropFirst()) {
        try Interrupt.check()
        x = try method.step(x, from, to - from, velocity)
        report.evaluations += method.order
        try visit(x)
    }
    return (x, report)
}

/// The grid of `steps` equal steps.
package func evenGrid(from: Double, to: Double, steps: Int) -> [Double] {
    (0...steps).map { $0 == steps ? to : from + (to - from) * Double($0) / Double(steps) }
}

/// The grid of Karras et al. 2022 (eq. 5) as times of the linear path, t = 1 / (1 + sigma). It begins at 0, goes from
/// EDM's largest noise level, 80, to its smallest, 0.002, and ends at 1.
package func edmGrid(steps: Int) -> [Double] {
    let (least, most, rho) = (0.002, 80.0, 7.0)
    let inner = (1..<max(steps, 1)).map { step -> Double in
        let part = Double(step) / Double(steps - 1)
        return 1 / (1 + pow(pow(most, 1 / rho) + part * (pow(least, 1 / rho) - pow(most, 1 / rho)), rho))
    }
    return [0] + inner + [1]
}

/// SD3's times from 0 to 1 (Esser et al. 2403.03206), as diffusers' FlowMatchEulerDiscreteScheduler makes them: equal
/// steps, shifted to the noise, from 0 to the last of 1000 shifted ones, and a step to 1.
package func shiftedGrid(steps: Int, shift: Double) -> [Double] {
    func shifted(_ time: Double) -> Double { time / (time + shift * (1 - time)) }
    let last = shifted(0.999)
    return (0..<steps).map { shifted(last * Double($0) / Double(max(steps - 1, 1))) } + [1]
}

/// - Throws: `RiffleError` unless the grid has two times or more, all different, in order.
func checkGrid(_ grid: [Double], _ operation: String) throws {
    let differences = zip(grid, grid.dropFirst()).map { $1 - $0 }
    guard grid.count >= 2, grid.allSatisfy(\.isFinite),
        differences.allSatisfy({ $0 > 0 }) || differences.allSatisfy({ $0 < 0 })
    else {
        throw RiffleError(
            operation,
            "times must be at least two, all rising or all falling, got "
                + "\(grid.isEmpty ? "none" : grid.map(riffleExact).joined(separator: ", "))"
        )
    }
}
