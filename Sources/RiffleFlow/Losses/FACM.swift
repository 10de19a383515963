import RiffleNN
import RiffleTensor

/// Flow-anchored consistency models (Peng et al. 2507.03738): a consistency loss to the end of the path, held by an
/// anchor, the network's own regression on the velocity.
///
///     anchor       |u(x_t, t, t) - v|^2 + 1 - cos (u(x_t, t, t), v)
///     consistency  cos (pi t / 2) |u(x_t, t, 1) - sg (u* - (1 - t^p) clamp (g, -1, 1))|^2,
///                  g = u* - (v + (1 - t) D u*)
///
/// D is the derivative along (v, 1) in x and t, u* is the target, and v the path's velocity, or the teacher's where a
/// teacher is given. The cosine is that of each position's channels, of a point's numbers. A network of one time has
/// its anchor at the time 2 - t.
package struct FACMLoss {
    package var options = LossOptions()
    package var anchorWeight = 1.0
    /// p: the tangent counts less near the data.
    package var relaxation = 0.5

    package init() { options.adaptivePower = 0.5 }

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let n = try FlowBatch.count(data, "facm")
        let roles = try Roles(student.stepping, teacher: teacher, target: target?.stepping)
        let t = try options.times.sample(n, data.dtype), end = try Tensor.ones([n], data.dtype)
        let batch = try FlowBatch(
            data, condition, options, roles, operation: "facm", times: (t, end))
        let jumps = batch.jumps, v = try roles.velocity(batch)
        let (u, now, du) = try roles.alongStartStopped(jumps, at: v)
        let tangent = try (now - v - jumps.span() * du).clamp(-1, 1)
        let relaxed = try (1 - t.pow(relaxation)).alongside(data)
        var terms = Terms(options)
        try terms.add("facm", u - (now - relaxed * tangent), jumps, scale: (t * (.pi / 2)).cos())
        if anchorWeight > 0 {
            let anchor = student.times == 2 ? jumps.starts : jumps.from(jumps.x, try 2 - t)
            let velocity = try roles.student(anchor)
            let losses = try sampleMean((velocity - v).square()) + 1 - FACMLoss.cosine(velocity, v)
            try terms.add("anchor", losses: losses, jumps.starts, weight: anchorWeight)
        }
        return try terms.loss("facm")
    }

    /// The cosine of the angle of each position's channels, the mean over positions, [n].
    private static func cosine(_ x: Tensor, _ y: Tensor) throws -> Tensor {
        guard x.rank > 1 else { return try (x * y) / (x.abs() * y.abs() + 1e-8) }
        let last = [x.rank - 1]
        let sizes = try x.square().sum(last).sqrt() * y.square().sum(last).sqrt()
        return try sampleMean((x * y).sum(last) / (sizes + 1e-8))
    }
}

extension FACMLoss: LossFromData {
    static let method = LossMethod.fromData(
        "facm", FACMLoss.init, student: .steppingStudent,
        [
            Option("anchor_weight", \.anchorWeight, .nonNegative),
            Option("relaxation", \.relaxation, .positive, "p: the tangent counts 1 - t^p"),
        ],
        Doc(
            "A consistency model anchored in its flow. The student may take one time.",
            formula: """
                L = E |u(x, t, t) - v|^2 + 1 - cos (u, v) + E cos (pi t / 2) |u(x, t, 1) - sg (u* - (1 - t^p) g)|^2, \
                g = clamp (u* - v - (1 - t) D u*)
                """,
            source: "Peng et al. 2025, 2507.03738",
            parts: [
                Doc.Part("facm", "the consistency term"),
                Doc.Part("anchor", "the velocity, squared distance and cosine, where anchor_weight is above 0"),
            ]))
}
