import RiffleNN
import RiffleTensor

/// Align Your Flow (Sabour et al. 2506.14603): a student that follows the normalised tangent of its own map, in the
/// limit of steps of no length.
///
///     L = E |u(x_s, s, t) - sg (u*(x_s, s, t) + g / (|g| + c))|^2
///
/// | form | tangent g |
/// | --- | --- |
/// | eulerian (AYF-EMD) | v_s(x_s) - u* + r (t - s) D u*, D the derivative along (v_s, 1) in x and s |
/// | lagrangian (AYF-LMD) | v_t(X*_{s,t}(x_s)) - u* - r (t - s) du*/dt |
///
/// |g| is the root mean square of a sample, c = 0.1, and r warms up from 0 to 1. u* is the target, v is the teacher's
/// velocity. The Eulerian form takes the path's velocity where there is no teacher.
///
/// With t = 1 the Eulerian form is the continuous consistency model sCM (Lu and Song 2410.11081) on this path.
package struct AYFLoss {
    package enum Form: String, Sendable, CaseIterable { case eulerian, lagrangian }

    package var options = LossOptions()
    package var form: Form = .eulerian
    /// r, the weight of the derivative in the tangent.
    package var warmup = 1.0
    /// c of the normalisation; 0 for no normalisation.
    package var normaliser = 0.1
    /// Whether every jump ends at time 1, which makes a consistency model.
    package var endsAtData = false

    package init() {}

    /// sCM.
    package static var consistency: AYFLoss {
        var loss = AYFLoss()
        loss.endsAtData = true
        return loss
    }

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let name = endsAtData ? "scm" : "ayf"
        guard teacher != nil || form == .eulerian else {
            throw RiffleError(name, "the lagrangian form needs a teacher")
        }
        let roles =
            try endsAtData
            ? Roles(student.stepping, teacher: teacher, target: target?.stepping)
            : Roles(student, teacher: teacher, target: target)
        var times = try options.times.pairs(FlowBatch.count(data, name), data.dtype)
        if endsAtData {
            times = (try options.times.sample(data.shape[0], data.dtype), try .ones([data.shape[0]], data.dtype))
        }
        let batch = try FlowBatch(data, condition, options, roles, operation: name, times: times)
        var terms = Terms(options)
        try terms.add(name, residual(batch, roles), batch.jumps)
        return try terms.loss(name)
    }

    private func residual(_ batch: FlowBatch, _ roles: Roles) throws -> Tensor {
        let jumps = batch.jumps
        let span = try jumps.span() * warmup
        switch form {
        case .eulerian:
            let v = try roles.velocity(batch)
            let (u, now, du) = try roles.alongStartStopped(jumps, at: v)
            return try u - (now + normalised(v - now + span * du))
        case .lagrangian:
            let (u, now, du) = try roles.alongEndStopped(jumps)
            let arrival = try roles.instant(jumps.end(now), jumps.t, jumps.condition)
            return try u - (now + normalised(arrival - now - span * du))
        }
    }

    private func normalised(_ g: Tensor) throws -> Tensor {
        guard normaliser > 0 else { return g }
        let size = g.rank > 1 ? try g.square().mean(Array(1..<g.rank), keep: true).sqrt() : try g.abs()
        return try g / (size + normaliser)
    }
}

extension AYFLoss: LossFromData {
    static let methods = [
        method(
            "ayf", AYFLoss.init, student: .student,
            [Option("form", \.form, "which end of a jump the derivative varies")],
            Doc(
                "Align Your Flow: the student follows the normalised tangent of its own map.",
                formula: "L = E |u - sg (u* + g / (|g| + c))|^2, g = v - u* + r (t - s) D u* (eulerian)",
                source: "Sabour, Fidler and Kreis 2025, 2506.14603", parts: [Doc.Part("ayf", "the whole loss")])),
        method(
            "scm", { consistency }, student: .steppingStudent, [],
            Doc(
                "A continuous-time consistency model, with normalised tangents. The student may take one time.",
                formula: "L = E |u - sg (u* + g / (|g| + c))|^2, g = v - u* + r (1 - s) D u*, every jump to 1",
                source: "Lu and Song 2024, 2410.11081", parts: [Doc.Part("scm", "the whole loss")])),
    ]

    private static func method(
        _ name: String, _ usual: @escaping @Sendable () -> AYFLoss, student: Argument, _ own: [Option<Self>], _ doc: Doc
    ) -> LossMethod {
        let options: [Option<Self>] =
            own + [
                Option("warmup", \.warmup, .fraction(0...1), "r: the weight of the derivative in the tangent"),
                Option("normaliser", \.normaliser, .nonNegative, "c; 0 for no normalisation"),
            ]
        return .fromData(name, usual, student: student, options, doc)
    }
}
