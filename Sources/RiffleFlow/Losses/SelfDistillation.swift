import RiffleNN
import RiffleTensor

/// Self-distillation of flow maps (Boffi, Albergo and Vanden-Eijnden 2505.18825): the student learns the velocity on
/// the diagonal s = t, and a residual extends the velocity to longer jumps.
///
///     L = E |u(x_s, s, s) - v|^2 on a part of the batch + E |residual|^2 on the rest
///
/// | form | residual |
/// | --- | --- |
/// | lagrangian (LSD) | d/dt X_{s,t}(x) - sg u(X_{s,t}(x), t, t) |
/// | eulerian (ESD) | d/ds X_{s,t}(x) + sg (u(x, s, s) . grad) X_{s,t}(x) |
/// | progressive (PSD) | u(x, s, t) - sg ((m - s) u(x, s, m) + (t - m) u(X_{s,m}(x), m, t)) / (t - s) |
///
/// The progressive form cuts a jump at m, in the middle (PSD-M) or uniformly between s and t (PSD-U).
///
/// v is the path's velocity, or the teacher's where a teacher is given. The teacher's velocity then also replaces
/// u(., t, t).
package struct SelfDistillationLoss {
    package enum Form: Sendable, CaseIterable {
        case lagrangian, eulerian, progressive

        /// The paper's name of the loss.
        var name: String {
            switch self {
            case .lagrangian: "lsd"
            case .eulerian: "esd"
            case .progressive: "psd"
            }
        }
    }

    /// Where the progressive form cuts a jump.
    package enum Cut: String, Sendable, CaseIterable { case middle, uniform }

    package var options = LossOptions()
    package var form: Form
    package var cut: Cut = .middle
    /// The part of the batch that learns the velocity.
    package var diagonal = 0.75

    package init(_ form: Form) { self.form = form }

    /// - Parameters:
    ///   - target: the network whose results are the constants; the student itself where nil.
    ///   - data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let roles = try Roles(student, teacher: teacher, target: target)
        let batch = try FlowBatch(data, condition, options, roles, operation: form.name)
        let (first, rest) = try batch.split(diagonal)
        var terms = Terms(options)
        try terms.addVelocity(first, roles)
        if let rest { try terms.add(form.name, residual(rest.jumps, roles), rest.jumps, weight: rest.share) }
        return try terms.loss(form.name)
    }

    private func residual(_ jumps: Jumps, _ roles: Roles) throws -> Tensor {
        switch form {
        case .lagrangian:
            let (u, du) = try roles.alongEnd(jumps)
            return try u + jumps.span() * du - roles.instant(jumps.end(u), jumps.t, jumps.condition)
        case .eulerian:
            let v = try roles.instant(jumps.x, jumps.s, jumps.condition)
            return try roles.eulerianResidual(jumps, at: v, .semi)
        case .progressive:
            let dtype = jumps.s.dtype
            return try progressive(
                jumps, cut == .middle ? .full([jumps.count], 0.5, dtype) : .rand([jumps.count], dtype), roles)
        }
    }

    /// - Parameter part: [n], the parts of the jumps' lengths at which they are cut.
    private func progressive(_ jumps: Jumps, _ part: Tensor, _ roles: Roles) throws -> Tensor {
        let middle = try jumps.s + part * (jumps.t - jumps.s)
        let first = jumps.to(middle)
        let before = try roles.target(first)
        let after = try roles.target(jumps.from(first.end(before), middle))
        let share = try part.alongside(jumps.x)
        return try roles.student(jumps) - (share * before + (1 - share) * after)
    }
}

extension SelfDistillationLoss: LossFromData {
    static let methods = [
        method(
            "lsd", .lagrangian, target: .targetWithoutTeacher, [],
            Doc(
                "Lagrangian self-distillation: the velocity on the diagonal, and the student's own at a jump's end.",
                formula: "L = E |u(x, s, s) - v|^2 + E |d/dt X(t) - sg u(X(t), t, t)|^2",
                source: "Boffi, Albergo and Vanden-Eijnden 2025, 2505.18825",
                parts: [.velocity, Doc.Part("lsd", "the end of a jump against its own velocity")])),
        method(
            "esd", .eulerian, [],
            Doc(
                "Eulerian self-distillation: the velocity on the diagonal, carried by the start of a jump.",
                formula: "L = E |u(x, s, s) - v|^2 + E |d/ds X + sg (u(x, s, s) . grad) X|^2",
                source: "Boffi, Albergo and Vanden-Eijnden 2025, 2505.18825",
                parts: [.velocity, Doc.Part("esd", "how the end changes with the start")])),
        method(
            "psd", .progressive, [Option("cut", \.cut, "where a jump is cut in two: PSD-M or PSD-U")],
            Doc(
                "Progressive self-distillation: the velocity on the diagonal, one jump for two.",
                formula: """
                    L = E |u(x, s, s) - v|^2 \
                    + E |u(x, s, t) - sg ((m - s) u(x, s, m) + (t - m) u(X(m), m, t)) / (t - s)|^2
                    """,
                source: "Boffi, Albergo and Vanden-Eijnden 2025, 2505.18825",
                parts: [.velocity, Doc.Part("psd", "one jump against two")])),
    ]

    private static func method(
        _ name: String, _ form: Form, target: Argument = .target, _ options: [Option<Self>], _ doc: Doc
    ) -> LossMethod {
        let diagonal = Option<Self>("diagonal", \.diagonal, .fraction(0...1), .diagonal)
        return .fromData(name, { SelfDistillationLoss(form) }, target: target, options + [diagonal], doc)
    }
}
