import Glibc
import RiffleNN
import RiffleTensor

/// What a solution took.
public struct SolverReport: Sendable {
    /// Evaluations of the velocity, each for the whole batch.
    public internal(set) var evaluations = 0
    /// The times that the solution passed, first and last included.
    public internal(set) var times: [Double]
    /// Steps that were tried and taken back; adaptive methods only.
    public internal(set) var rejected = 0
}

/// A way to follow dx/dt = v(x, t) over a grid of times, upwards or downwards.
public enum FixedStepMethod: String, Sendable, CaseIterable {
    case euler, midpoint, heun, rk4

    /// Evaluations a step; also the method's order.
    public var order: Int {
        switch self {
        case .euler: 1
        case .midpoint, .heun: 2
        case .rk4: 4
        }
    }

    /// One step from t to t + h.
    public func step(_ x: Tensor, _ t: Double, _ h: Double, _ velocity: (Tensor, Double) throws -> Tensor) throws -> Tensor {
        try x + average { slope, part in try velocity(slope.map { try x + $0 * (h * part) } ?? x, t + h * part) } * h
    }

    /// The average velocity of one step from s to t, times [n] that may differ from sample to sample.
    func average(_ x: Tensor, _ s: Tensor, _ t: Tensor, _ velocity: (Tensor, Tensor) throws -> Tensor) throws -> Tensor {
        let h = try (t - s).alongside(x)
        return try average { slope, part in
            let time = part == 0 ? s : part == 1 ? t : try s + (t - s) * part
            return try velocity(slope.map { try x + $0 * (h * part) } ?? x, time)
        }
    }

    /// The method itself: a step's average velocity.
    /// - Parameter velocity: that at a part of the step, from 0 to 1, at the place which a slope leads to; at the start where nil.
    private func average(_ velocity: (_ slope: Tensor?, _ part: Double) throws -> Tensor) throws -> Tensor {
        let k1 = try velocity(nil, 0)
        switch self {
        case .euler: return k1
        case .midpoint: return try velocity(k1, 0.5)
        case .heun: return try (k1 + velocity(k1, 1)) * 0.5
        case .rk4:
            let k2 = try velocity(k1, 0.5), k3 = try velocity(k2, 0.5), k4 = try velocity(k3, 1)
            return try (k1 + (k2 + k3) * 2 + k4) * (1.0 / 6)
        }
    }
}

/// Follows dx/dt = v(x, t) from the first time of the grid to the last.
/// - Throws: `RiffleError` unless the grid has two times or more, all different, in order.
public func solve(
    _ x: Tensor, along grid: [Double], _ method: FixedStepMethod, velocity: (Tensor, Double) throws -> Tensor
) throws -> (x: Tensor, report: SolverReport) {
    try checkGrid(grid, "ode")
    var (x, report) = (x, SolverReport(times: grid))
    for (from, to) in zip(grid, grid.dropFirst()) {
        try Interrupt.check()
        x = try method.step(x, from, to - from, velocity)
        report.evaluations += method.order
    }
    return (x, report)
}

/// The grid of `steps` equal steps.
public func evenGrid(from: Double, to: Double, steps: Int) -> [Double] {
    (0...steps).map { $0 == steps ? to : from + (to - from) * Double($0) / Double(steps) }
}

/// The grid of Karras et al. 2022 (eq. 5) as times of the linear path, t = 1 / (1 + sigma): from 0, where EDM has its largest
/// noise level, 80, over its smallest, 0.002, to 1.
public func edmGrid(steps: Int) -> [Double] {
    let (least, most, rho) = (0.002, 80.0, 7.0)
    let inner = (1..<max(steps, 1)).map { step -> Double in
        let part = Double(step) / Double(steps - 1)
        return 1 / (1 + pow(pow(most, 1 / rho) + part * (pow(least, 1 / rho) - pow(most, 1 / rho)), rho))
    }
    return [0] + inner + [1]
}

func checkGrid(_ grid: [Double], _ operation: String) throws {
    let differences = zip(grid, grid.dropFirst()).map { $1 - $0 }
    guard grid.count >= 2, grid.allSatisfy(\.isFinite), differences.allSatisfy({ $0 > 0 }) || differences.allSatisfy({ $0 < 0 }) else {
        throw RiffleError(operation, "times must be at least two, all rising or all falling, got \(grid.map(riffleFormat).joined(separator: ", "))")
    }
}

/// The adaptive method of Dormand and Prince (1980), order 5 with an error estimate of order 4.
public struct DormandPrince: Sendable {
    public var relativeTolerance = 1e-5
    public var absoluteTolerance = 1e-5
    /// The most steps, taken and rejected together.
    public var maximumSteps = 10_000

    public init(relativeTolerance: Double = 1e-5, absoluteTolerance: Double = 1e-5, maximumSteps: Int = 10_000) {
        (self.relativeTolerance, self.absoluteTolerance) = (relativeTolerance, absoluteTolerance)
        self.maximumSteps = maximumSteps
    }

    private static let nodes = [0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1]
    private static let stages: [[Double]] = [
        [1.0 / 5], [3.0 / 40, 9.0 / 40], [44.0 / 45, -56.0 / 15, 32.0 / 9],
        [19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729],
        [9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656],
        [35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84],
    ]
    /// The last stage's weights minus those of order 4.
    private static let error = [71.0 / 57600, 0, -71.0 / 16695, 71.0 / 1920, -17253.0 / 339200, 22.0 / 525, -1.0 / 40]

    /// Follows dx/dt = v(x, t) from one time to another, up or down.
    ///
    /// The step is controlled by the root mean square of error / (atol + rtol max(|x|, |x'|)) over the whole batch.
    /// - Throws: `RiffleError` when the steps run out or the solution is not finite.
    public func solve(
        _ x: Tensor, from start: Double, to end: Double, velocity: (Tensor, Double) throws -> Tensor
    ) throws -> (x: Tensor, report: SolverReport) {
        guard start != end, start.isFinite, end.isFinite else { throw RiffleError("ode", "times must differ, got \(riffleFormat(start)) and \(riffleFormat(end))") }
        if x.count == 0 { return (x, SolverReport(times: [start, end])) }
        var (x, t, report) = (x, start, SolverReport(times: [start]))
        var slope = try velocity(x, t)
        var h = try firstStep(x, t, slope, end, velocity)
        report.evaluations = 2
        let direction = end > start ? 1.0 : -1.0
        for _ in 0..<maximumSteps {
            try Interrupt.check()
            let isLast = abs(end - t) <= abs(h) * (1 + 1e-12)
            if isLast { h = end - t }
            let (next, nextSlope, ratio) = try attempt(x, t, h, slope, velocity)
            report.evaluations += 6
            guard ratio.isFinite else { throw RiffleError("ode", "the solution is not finite at time \(riffleFormat(t))") }
            if ratio <= 1 {
                (x, slope, t) = (next, nextSlope, isLast ? end : t + h)
                report.times.append(t)
                if isLast { return (x, report) }
            } else {
                report.rejected += 1
            }
            h *= min(10, max(0.2, 0.9 * pow(max(ratio, 1e-10), -0.2)))
            if abs(h) < 1e-12 { h = direction * 1e-12 }
        }
        throw RiffleError("ode", "\(maximumSteps) steps did not reach time \(riffleFormat(end)), only \(riffleFormat(t)); raise rtol and atol, or max_steps")
    }

    private func attempt(
        _ x: Tensor, _ t: Double, _ h: Double, _ slope: Tensor, _ velocity: (Tensor, Double) throws -> Tensor
    ) throws -> (Tensor, Tensor, Double) {
        var (slopes, next) = ([slope], x)
        for (stage, weights) in Self.stages.enumerated() {
            next = try x + Self.combine(weights, slopes) * h
            slopes.append(try velocity(next, t + Self.nodes[stage + 1] * h))
        }
        let error = try Self.combine(Self.error, slopes) * h
        let scale = try x.abs().maximum(next.abs()).affine(relativeTolerance, absoluteTolerance)
        return (next, slopes[6], try Self.rms(error / scale))
    }

    /// Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4.
    private func firstStep(
        _ x: Tensor, _ t: Double, _ slope: Tensor, _ end: Double, _ velocity: (Tensor, Double) throws -> Tensor
    ) throws -> Double {
        let scale = try x.abs().affine(relativeTolerance, absoluteTolerance)
        let (d0, d1) = (try Self.rms(x / scale), try Self.rms(slope / scale))
        let length = abs(end - t), direction = end > t ? 1.0 : -1.0
        let guess = min(length, d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1)
        let moved = try velocity(x + slope * (direction * guess), t + direction * guess)
        let d2 = try Self.rms((moved - slope) / scale) / guess
        let curve = max(d1, d2)
        let second = curve <= 1e-15 ? max(1e-6, guess * 1e-3) : pow(0.01 / curve, 0.2)
        return direction * min(100 * guess, second, length)
    }

    private static func combine(_ weights: [Double], _ slopes: [Tensor]) throws -> Tensor {
        var sum = try slopes[0] * weights[0]
        for (weight, slope) in zip(weights, slopes).dropFirst() where weight != 0 { sum = try sum + slope * weight }
        return sum
    }

    private static func rms(_ x: Tensor) throws -> Double { try x.square().mean().item().squareRoot() }
}
