import RiffleNN
import RiffleTensor

/// Eulerian flow map distillation (Boffi, Albergo and Vanden-Eijnden 2406.07507, EMD): a jump ends at the same point
/// from whichever point of a teacher's trajectory it starts.
///
///     L = E |d/ds X + (v . grad) X|^2 = E |v - u + (t - s) D u|^2,  X = x + (t - s) u(x, s, t),
///     D u = du/ds + (v . grad) u
///
/// The semi-gradient holds the transport (v . grad) X constant.
package struct EFMDLoss {
    package var options = LossOptions()
    package var gradient: LossGradient = .full

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(_ student: Network, _ teacher: Network, _ data: Tensor, _ condition: Condition? = nil)
        throws -> Loss
    {
        let roles = try Roles(student, teacher: teacher)
        let batch = try FlowBatch(data, condition, options, roles, operation: "efmd")
        var terms = Terms(options)
        try terms.add("eulerian", roles.eulerianResidual(batch.jumps, at: roles.velocity(batch), gradient), batch.jumps)
        return try terms.loss("efmd")
    }
}

extension Roles {
    /// d/ds X + (v . grad) X of the student's jumps, with gradients through both terms or through the first alone.
    func eulerianResidual(_ jumps: Jumps, at v: Tensor, _ gradient: LossGradient) throws -> Tensor {
        let span = try jumps.span()
        switch gradient {
        case .full:
            let (u, du) = try alongStart(jumps, at: v)
            return try v - u + span * du
        case .semi:
            let (u, du) = try jvp([jumps.s], [.ones([jumps.count], jumps.s.dtype)]) {
                try student(jumps.from(jumps.x, $0[0]))
            }
            let transport = try withoutGradient {
                try jvp([jumps.x], [v]) { try target(jumps.from($0[0], jumps.s)) }.tangent
            }
            return try span * du - u + v + span * transport
        }
    }
}

extension EFMDLoss: LossByTeacher {
    static let method = LossMethod.withTeacher(
        "efmd", EFMDLoss.init,
        [Option("gradient", \.gradient, "semi holds the transport constant")],
        Doc(
            "Eulerian flow map distillation: a jump ends at the same point wherever it starts along the flow.",
            formula: "L = E |d/ds X + (v . grad) X|^2", source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
            parts: [Doc.Part("eulerian", "how the end changes with the start")])
    )
}
