import Glibc
import RiffleTensor

/// The adaptive method of Dormand and Prince (1980), order 5 with an error estimate of order 4.
///
/// Between the ends of a step the method's continuous extension of order 4 gives the solution from the same evaluations
/// (Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.6, equation 6.12).
package struct DormandPrince: Sendable {
    package var relativeTolerance = 1e-5
    package var absoluteTolerance = 1e-5
    /// The largest number of steps, both taken and rejected.
    package var maximumSteps = 10_000

    package init(relativeTolerance: Double = 1e-5, absoluteTolerance: Double = 1e-5, maximumSteps: Int = 10_000) {
        self.relativeTolerance = relativeTolerance
        self.absoluteTolerance = absoluteTolerance
        self.maximumSteps = maximumSteps
    }

    /// The shortest step.
    private static let shortest = 1e-12

    private static let nodes = [0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1]
    private static let stages: [[Double]] = [
        [1.0 / 5], [3.0 / 40, 9.0 / 40], [44.0 / 45, -56.0 / 15, 32.0 / 9],
        [19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729],
        [9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656],
        [35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84],
    ]
    /// The last stage's weights minus those of order 4.
    private static let error = [71.0 / 57600, 0, -71.0 / 16695, 71.0 / 1920, -17253.0 / 339200, 22.0 / 525, -1.0 / 40]
    /// The weights of the slopes in the term (part (1 - part))^2 that is added to the cubic through both ends of a
    /// step.
    private static let quartic = [
        -12715105075.0 / 11282082432, 0, 87487479700.0 / 32700410799, -10690763975.0 / 1880347072,
        701980252875.0 / 199316789632, -1453857185.0 / 822651844, 69997945.0 / 29380423,
    ]

    /// Follows dx/dt = v(x, t) from one time to another, up or down.
    ///
    /// The root mean square of error / (atol + rtol max(|x|, |x'|)) over the whole batch controls the step. A step
    /// whose error is too large, or whose numbers are not finite, is repeated shorter.
    /// - Parameters:
    ///   - visit: gets the state at the start and after each step.
    /// - Throws: `RiffleError` when the steps run out, the solution is not finite, or the tolerances cannot be met.
    package func solve(
        _ x: Tensor, from start: Double, to end: Double, visit: (Tensor) throws -> Void = { _ in },
        velocity: (Tensor, Double) throws -> Tensor
    ) throws -> (x: Tensor, report: SolverReport) {
        var times = [start]
        try visit(x)
        var (x, report) = try follow(x, from: start, to: end, velocity) { step in
            times.append(step.end)
            try visit(step.after)
        }
        report.times = times
        return (x, report)
    }

    /// Follows dx/dt = v(x, t) from the first of the times to the last. The times in between do not change the steps.
    /// - Parameters:
    ///   - visit: gets the state at each of the times.
    /// - Throws: `RiffleError` as above, and unless the times are two or more, all different, in order.
    package func solve(
        _ x: Tensor, along times: [Double], visit: (Tensor) throws -> Void, velocity: (Tensor, Double) throws -> Tensor
    ) throws -> (x: Tensor, report: SolverReport) {
        try checkGrid(times, "ode")
        let direction = times[1] > times[0] ? 1.0 : -1.0
        var next = 1
        try visit(x)
        var (x, report) = try follow(x, from: times[0], to: times[times.count - 1], velocity) { step in
            while next < times.count, direction * times[next] <= direction * step.end {
                try visit(step.state(at: times[next]))
                next += 1
            }
        }
        report.times = times
        return (x, report)
    }

    /// One step that was taken.
    private struct Step {
        let before: Tensor
        let after: Tensor
        let start: Double
        let end: Double
        /// The velocities of the stages, the last of them at the step's end.
        let slopes: [Tensor]

        /// The solution inside the step.
        func state(at t: Double) throws -> Tensor {
            guard t != end else { return after }
            let length = end - start
            let part = (t - start) / length
            let change = try after - before
            let early = try slopes[0] * length - change
            let late = try change - slopes[6] * length - early
            let quartic = try DormandPrince.combine(DormandPrince.quartic, slopes) * length
            let inner = try early + (late + quartic * (1 - part)) * part
            return try before + (change + inner * (1 - part)) * part
        }
    }

    private func follow(
        _ x: Tensor, from start: Double, to end: Double, _ velocity: (Tensor, Double) throws -> Tensor,
        taking: (Step) throws -> Void
    ) throws -> (Tensor, SolverReport) {
        guard start != end, start.isFinite, end.isFinite else {
            throw RiffleError(
                "ode", "times must differ and be finite, got \(riffleExact(start)) and \(riffleExact(end))")
        }
        var x = x
        var t = start
        var report = SolverReport(times: [start, end])
        if x.count == 0 {
            try taking(Step(before: x, after: x, start: start, end: end, slopes: [Tensor](repeating: x, count: 7)))
            return (x, report)
        }
        var slope = try velocity(x, t)
        guard x.nonfiniteCount == 0, slope.nonfiniteCount == 0 else {
            throw RiffleError("ode", "the solution is not finite at time \(riffleExact(t))")
        }
        var h = try firstStep(x, t, slope, end, velocity)
        report.evaluations = 2
        let direction = end > start ? 1.0 : -1.0
        for _ in 0..<maximumSteps {
            try Interrupt.check()
            let isLast = abs(end - t) <= abs(h) * (1 + 1e-12)
            if isLast { h = end - t }
            let (next, slopes, ratio) = try attempt(x, t, h, slope, velocity)
            report.evaluations += 6
            let isTaken = ratio <= 1
            if isTaken {
                let step = Step(before: x, after: next, start: t, end: isLast ? end : t + h, slopes: slopes)
                x = next
                slope = slopes[6]
                t = step.end
                try taking(step)
                if isLast { return (x, report) }
            } else {
                report.rejected += 1
                if abs(h) <= Self.shortest { throw stuck(at: t, next, slopes, ratio) }
            }
            // The smallest factor follows a ratio that is not finite.
            h *= isTaken || ratio.isFinite ? min(10, max(0.2, 0.9 * pow(max(ratio, 1e-10), -0.2))) : 0.2
            if abs(h) < Self.shortest { h = direction * Self.shortest }
        }
        throw RiffleError(
            "ode",
            "\(maximumSteps) steps did not reach time \(riffleExact(end)), only \(riffleExact(t)); raise rtol and "
                + "atol, or max_steps"
        )
    }

    /// The error that says why even the shortest step fails.
    private func stuck(at t: Double, _ next: Tensor, _ slopes: [Tensor], _ ratio: Double) -> RiffleError {
        guard next.nonfiniteCount == 0, slopes.allSatisfy({ $0.nonfiniteCount == 0 }) else {
            return RiffleError("ode", "the solution is not finite behind time \(riffleExact(t))")
        }
        return RiffleError(
            "ode",
            "at time \(riffleExact(t)) even a step of \(riffleFormat(Self.shortest)) is off by \(riffleFormat(ratio)) "
                + "times what rtol \(riffleFormat(relativeTolerance)) and atol \(riffleFormat(absoluteTolerance)) "
                + "allow: the velocity has no bound there, or they are too small for these numbers")
    }

    private func attempt(
        _ x: Tensor, _ t: Double, _ h: Double, _ slope: Tensor, _ velocity: (Tensor, Double) throws -> Tensor
    ) throws -> (Tensor, [Tensor], Double) {
        var slopes = [slope]
        var next = x
        for (stage, weights) in Self.stages.enumerated() {
            next = try x + Self.combine(weights, slopes) * h
            slopes.append(try velocity(next, t + Self.nodes[stage + 1] * h))
        }
        let error = try Self.combine(Self.error, slopes) * h
        return (next, slopes, try Self.rms(error / scale(x.abs().maximum(next.abs()))))
    }

    /// The length of the first step (Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4).
    private func firstStep(
        _ x: Tensor, _ t: Double, _ slope: Tensor, _ end: Double, _ velocity: (Tensor, Double) throws -> Tensor
    ) throws -> Double {
        let scale = try scale(x.abs())
        let d0 = try Self.rms(x / scale)
        let d1 = try Self.rms(slope / scale)
        let length = abs(end - t)
        let direction = end > t ? 1.0 : -1.0
        let guess = min(length, d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : Self.finite(0.01 * d0 / d1))
        let nextSlope = try velocity(x + slope * (direction * guess), t + direction * guess)
        let d2 = try Self.rms((nextSlope - slope) / scale) / guess
        let curve = max(d1, d2)
        let second = curve <= 1e-15 ? max(1e-6, guess * 1e-3) : Self.finite(pow(0.01 / curve, 0.2))
        return direction * max(Self.shortest, min(100 * guess, second, length))
    }

    /// The length of a first step, or 1e-6 where the tolerances are so small that a quotient by them overflowed.
    private static func finite(_ step: Double) -> Double { step.isFinite ? step : 1e-6 }

    /// The size against which errors are measured; at least the smallest normal number, for tolerances that vanish in
    /// the tensor's type.
    private func scale(_ size: Tensor) throws -> Tensor {
        let least = size.dtype == .float64 ? Double.leastNormalMagnitude : Double(Float.leastNormalMagnitude)
        return try size.affine(relativeTolerance, absoluteTolerance).maximum(.scalar(least, size.dtype))
    }

    private static func combine(_ weights: [Double], _ slopes: [Tensor]) throws -> Tensor {
        var sum = try slopes[0] * weights[0]
        for (weight, slope) in zip(weights, slopes).dropFirst() where weight != 0 { sum = try sum + slope * weight }
        return sum
    }

    private static func rms(_ x: Tensor) throws -> Double { try x.square().mean().item().squareRoot() }
}
