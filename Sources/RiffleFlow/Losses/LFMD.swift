import RiffleNN
import RiffleTensor

/// Whether the value with which a loss compares takes gradients, too.
package enum LossGradient: String, Sendable, CaseIterable {
    /// The value is a constant: the usual form, which is also more stable.
    case semi
    /// Gradients also flow through the network into the point at which it is evaluated.
    case full
}

/// Lagrangian flow map distillation (Boffi, Albergo and Vanden-Eijnden 2406.07507, LMD).
///
///     L = E |d/dt phi_{s,x}(t) - v_t(phi_{s,x}(t))|^2,  phi = x + (t - s) u(x, s, t)
///
/// The derivative is exact, by forward mode, and gradients flow through it.
package struct LFMDLoss {
    package var options = LossOptions()
    package var gradient: LossGradient = .semi
    /// Weight of |u(x, s, s) - v_s(x)|^2 on the first `initialFraction` of the batch.
    package var initialWeight = 0.0
    package var initialFraction = 0.25

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(_ student: Network, _ teacher: Network, _ data: Tensor, _ condition: Condition? = nil)
        throws -> Loss
    {
        let roles = try Roles(student, teacher: teacher)
        let batch = try FlowBatch(data, condition, options, roles, operation: "lfmd")
        let jumps = batch.jumps
        var terms = Terms(options)
        if initialWeight > 0, let start = try batch.leading(initialFraction) {
            try terms.add(
                "initial", roles.student(start.jumps.starts) - roles.velocity(start), start.jumps.starts,
                weight: initialWeight)
        }
        let (u, du) = try roles.alongEnd(jumps)
        let end = try jumps.end(u)
        let wanted =
            gradient == .semi
            ? try roles.instant(end, jumps.t, jumps.condition) : try roles.instantThrough(end, jumps.t, jumps.condition)
        try terms.add("terminal", u + jumps.span() * du - wanted, jumps)
        return try terms.loss("lfmd")
    }
}

extension LFMDLoss: LossByTeacher {
    static let method = LossMethod.withTeacher(
        "lfmd", LFMDLoss.init,
        [
            Option("gradient", \.gradient, "full also goes through the teacher's input"),
            Option("initial_weight", \.initialWeight, .nonNegative, "the weight of |u(x, s, s) - v_s(x)|^2"),
            Option("initial_fraction", \.initialFraction, .fraction(0...1), .initialFraction),
        ],
        Doc(
            "Lagrangian flow map distillation, with the exact derivative in t.",
            formula: "L = E |d/dt phi(t) - v_t(phi(t))|^2, phi(t) = x_s + (t - s) u(x_s, s, t)",
            source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
            parts: [.initial, Doc.Part("terminal", "the end of a jump against the teacher")])
    )
}
