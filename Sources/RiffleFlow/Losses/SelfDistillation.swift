import RiffleNN
import RiffleTensor

/// Self-distillation of flow maps (Boffi, Albergo and Vanden-Eijnden 2505.18825): a velocity learned on the diagonal s = t,
/// and a condition that carries it to longer jumps.
///
///     L = E |u(x_s, s, s) - v|^2 on a part of the batch + E |residual|^2 on the rest
///
/// | form | residual |
/// | --- | --- |
/// | lagrangian (LSD) | d/dt X_{s,t}(x) - sg u(X_{s,t}(x), t, t) |
/// | eulerian (ESD) | d/ds X_{s,t}(x) + sg (u(x, s, s) . grad) X_{s,t}(x) |
/// | middle (PSD-M) | u(x, s, t) - sg (u(x, s, m) + u(X_{s,m}(x), m, t)) / 2, m = (s + t) / 2 |
/// | uniform (PSD-U) | u(x, s, t) - sg ((m - s) u(x, s, m) + (t - m) u(X_{s,m}(x), m, t)) / (t - s), m uniform between s and t |
///
/// v is the path's velocity, or the teacher's where one is given; the teacher then also answers for u(., t, t).
public struct SelfDistillationLoss {
    public enum Form: String, Sendable, CaseIterable {
        case lagrangian, eulerian, middle, uniform

        /// The paper's name of the loss.
        var name: String {
            switch self {
            case .lagrangian: "lsd"
            case .eulerian: "esd"
            case .middle, .uniform: "psd"
            }
        }
    }

    public var options = LossOptions()
    public var form: Form
    /// The part of the batch that learns the velocity.
    public var diagonal = 0.75

    public init(_ form: Form) { self.form = form }

    /// - Parameters:
    ///   - target: what is held constant comes from it; the student itself when nil.
    ///   - data: x1 [n, ...].
    public func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let roles = try Roles(student, teacher: teacher, target: target)
        let batch = try FlowBatch(data, condition, options, for: roles.asked, operation: form.name)
        let (first, rest) = try batch.split(diagonal)
        var terms = Terms(options)
        if let first { try terms.add("velocity", roles.student(first.jumps.starts) - roles.velocity(first), first.jumps.starts, weight: first.share) }
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
        case .middle: return try progressive(jumps, .full([jumps.count], 0.5, jumps.s.dtype), roles)
        case .uniform: return try progressive(jumps, .rand([jumps.count], jumps.s.dtype), roles)
        }
    }

    /// - Parameter part: [n], how far along the jump it is cut.
    private func progressive(_ jumps: Jumps, _ part: Tensor, _ roles: Roles) throws -> Tensor {
        let middle = try jumps.s + part * (jumps.t - jumps.s), first = jumps.to(middle)
        let before = try roles.target(first)
        let after = try roles.target(jumps.from(first.end(before), middle))
        let share = try part.alongside(jumps.x)
        return try roles.student(jumps) - (share * before + (1 - share) * after)
    }
}
