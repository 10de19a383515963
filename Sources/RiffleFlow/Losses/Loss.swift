import RiffleNN
import RiffleTensor

/// A loss and its parts, which are for the log.
package struct Loss {
    /// A single number, to be differentiated.
    package let total: Tensor
    /// The mean of each part before its weight.
    package let parts: [(name: String, value: Double)]
}

/// Where the jumps of a batch start.
package enum Points: String, Sendable, CaseIterable {
    /// On the path between noise and data.
    case path
    /// Where the target's own jump from fresh noise leads, so that a teacher is enough and data count for nothing.
    case own
}

/// The options of every loss: how its points are drawn, and how residuals become one number.
package struct LossOptions {
    package var times: TimeSampling = .uniform
    package var path: Path = .linear
    /// How noise is paired with data.
    package var coupling: Coupling = .independent
    package var points: Points = .path
    /// The part of the labels that is replaced by "none".
    package var labelDropout = 0.0
    /// c of the pseudo-Huber norm sqrt(r^2 + c^2) - c (Song and Dhariwal 2023), where r^2 is the mean square over a
    /// sample's elements; nil for r^2 itself.
    package var huber: Double?
    /// p of the adaptive weight 1 / (l + 0.001)^p, a constant to gradients (MeanFlow, 2505.13447); 0 for none.
    package var adaptivePower = 0.0
    /// A weight of each sample by its times, which is applied after norm and adaptive weight.
    package var weight: LossWeight?

    package init(times: TimeSampling = .uniform) { self.times = times }

    /// A number for each sample of a residual [n, ...] -> [n], without weights.
    func measure(_ residual: Tensor) throws -> Tensor {
        let square = try sampleMean(residual.square())
        guard let c = huber else { return square }
        // sqrt(r^2 + c^2) - c without the difference of two nearly equal numbers.
        return try square / ((square + c * c).sqrt() + c)
    }

    /// Losses [n] with the adaptive weight.
    func adapted(_ losses: Tensor) throws -> Tensor {
        adaptivePower > 0 ? try losses * (losses.detach() + 1e-3).pow(-adaptivePower) : losses
    }
}

/// The terms of a loss, each measured a sample at a time, weighted, and averaged.
struct Terms {
    private let options: LossOptions
    private var total: Tensor?
    private var parts: [(name: String, value: Double)] = []

    init(_ options: LossOptions) { self.options = options }

    /// Adds the mean over a residual's samples, times `weight`.
    /// - Parameter scale: [n], factors of the samples' numbers, which are applied first.
    mutating func add(_ name: String, _ residual: Tensor, _ jumps: Jumps, weight: Double = 1, scale: Tensor? = nil)
        throws
    {
        var losses = try options.measure(residual)
        if let scale { losses = try losses * scale }
        try add(name, losses, weighted: options.adapted(losses), jumps, weight: weight)
    }

    /// Adds the mean over numbers that are losses already, [n] and of either sign, times `weight`.
    mutating func add(_ name: String, losses: Tensor, _ jumps: Jumps, weight: Double = 1) throws {
        try add(name, losses, weighted: losses, jumps, weight: weight)
    }

    /// Adds the velocity at the points of a part of a batch: u(x, s, s) against `Roles.velocity`.
    mutating func addVelocity(_ part: FlowBatch?, _ roles: Roles) throws {
        guard let part else { return }
        let starts = part.jumps.starts
        try add("velocity", roles.student(starts) - roles.velocity(part), starts, weight: part.share)
    }

    private mutating func add(_ name: String, _ losses: Tensor, weighted: Tensor, _ jumps: Jumps, weight: Double) throws
    {
        guard weight != 0 else { return }
        let term = try (options.weight?.weigh(weighted, jumps.s, jumps.t) ?? weighted).mean() * weight
        total = try total.map { try $0 + term } ?? term
        parts.append((name, try losses.mean().item()))
    }

    func loss(_ operation: String) throws -> Loss {
        guard let total else { throw RiffleError(operation, "every weight is zero") }
        return Loss(total: total, parts: parts)
    }
}

/// The mean of each sample's elements. [n, ...] -> [n].
func sampleMean(_ x: Tensor) throws -> Tensor { x.rank > 1 ? try x.mean(Array(1..<x.rank)) : x }
