import RiffleNN
import RiffleTensor

/// Terminal velocity matching (2511.19797, eq. 9 and 12): the derivative at a jump's end against the student's own
/// velocity.
///
///     L = E |d/dt X_{s,t}(x_s) - sg u*(X_{s,t}(x_s), t, t)|^2 + E |u(x_r, r, r) - v|^2
///
/// u* is the target, an average of the student with decay 0.99; the derivative is exact and gradients flow through it.
/// v is the path's velocity at times r, which are drawn separately, or the teacher's where a teacher is given. The
/// teacher's velocity then also replaces u*.
package struct TVMLoss {
    package var options = LossOptions(times: .gap)
    package var velocityWeight = 1.0

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let roles = try Roles(student, teacher: teacher, target: target)
        let batch = try FlowBatch(data, condition, options, roles, operation: "tvm")
        let jumps = batch.jumps
        var terms = Terms(options)
        let (u, du) = try roles.alongEnd(jumps)
        try terms.add("terminal", u + jumps.span() * du - roles.instant(jumps.end(u), jumps.t, jumps.condition), jumps)
        if velocityWeight > 0 {
            let r = try options.times.sample(batch.count, data.dtype)
            let other = try FlowBatch(data, condition, options, roles, operation: "tvm", times: (r, r))
            try terms.add(
                "velocity", roles.student(other.jumps) - roles.velocity(other), other.jumps, weight: velocityWeight)
        }
        return try terms.loss("tvm")
    }
}

extension TVMLoss: LossFromData {
    static let method = LossMethod.fromData(
        "tvm", TVMLoss.init, target: .targetWithoutTeacher, [Option("velocity_weight", \.velocityWeight, .nonNegative)],
        Doc(
            "Terminal velocity matching: the derivative at a jump's end against the target's velocity.",
            formula: "L = E |d/dt X(t) - sg u*(X(t), t, t)|^2 + E |u(x, r, r) - v|^2",
            source: "Zhou et al. 2025, 2511.19797, eq. 9 and 12",
            parts: [Doc.Part("terminal", "the end of a jump against the target's velocity"), .velocity])
    )
}
