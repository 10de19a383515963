import RiffleNN
import RiffleTensor

/// Consistency flow matching (Yang et al. 2407.02398): straight lines to the end of each of a few segments of time.
///
///     L = E |f(x_s, s) - sg f*(x_r, r)|^2 + alpha |v(x_s, s) - sg v*(x_r, r)|^2,  f(x, s) = x + (T - s) v(x, s),
///     r = min(s + gap, T)
///
/// T is the end of s's segment. From time `boundary` on, f*(x_r, r) is the path's own point at T. The paper's first
/// phase has boundary 0, its last 0.9. With a teacher x_r is an Euler step from x_s, and there is no boundary.
package struct ConsistencyFMLoss {
    package var options = LossOptions()
    package var segments = 2
    package var gap = 1e-3
    package var velocityWeight = 1e-5
    package var boundary = 0.9

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let n = try FlowBatch.count(data, "consistency_fm")
        let parts = Double(segments)
        let s = try options.times.sample(n, data.dtype)
        let end = try ((s * parts).floor() + 1).clamp(1, parts) / parts
        let r = try (s + gap).minimum(end)
        let roles = try Roles(student.stepping, teacher: teacher, target: target?.stepping)
        let batch = try FlowBatch(
            data, condition, options, roles, operation: "consistency_fm", times: (s, end))
        let jumps = batch.jumps
        let point =
            roles.hasTeacher
            ? try jumps.to(r).end(roles.velocity(batch)) : try options.path.point(batch.noise, batch.data, r)
        let later = jumps.from(point, r)
        let v = try roles.student(jumps)
        let u = try roles.target(later)
        var wanted = try later.end(u)
        if !roles.hasTeacher {
            let isKnown = try r.ge(.scalar(boundary, r.dtype)).alongside(jumps.x)
            wanted = try options.path.point(batch.noise, batch.data, end).where(isKnown, else: wanted)
        }
        var terms = Terms(options)
        try terms.add("consistency", jumps.end(v) - wanted, jumps)
        if velocityWeight > 0 {
            // Samples do not count across the end of a segment, where the velocity jumps, nor where the end is known.
            var counts = try (end - s).gt(.scalar(1.01 * gap, s.dtype))
            if !roles.hasTeacher { counts = try counts * s.lt(.scalar(boundary, s.dtype)) }
            try terms.add("velocity", v - u, jumps, weight: velocityWeight, scale: counts)
        }
        return try terms.loss("consistency_fm")
    }
}

extension ConsistencyFMLoss: LossFromData {
    static let method = LossMethod.fromData(
        "consistency_fm", ConsistencyFMLoss.init, student: .steppingStudent,
        [
            Option("segments", \.segments, .integer(1...1000), "segments of time"),
            Option("gap", \.gap, .fraction(1e-6...1), "the time from one point to the next"),
            Option("velocity_weight", \.velocityWeight, .nonNegative),
            Option(
                "boundary", \.boundary, .fraction(0...1),
                "the time from which on a segment's end is known, without a teacher"),
        ],
        Doc(
            "Consistency flow matching: straight lines to the ends of segments. The student may take one time.",
            formula:
                "L = E |f(x_s, s) - sg f*(x_r, r)|^2 + a |v(x_s, s) - sg v*(x_r, r)|^2, f(x, s) = x + (T - s) v(x, s)",
            source: "Yang et al. 2024, 2407.02398",
            parts: [
                Doc.Part("consistency", "where both points lead"),
                Doc.Part("velocity", "the velocities at both points"),
            ])
    )
}
