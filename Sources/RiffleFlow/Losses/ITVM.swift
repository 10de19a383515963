import RiffleNN
import RiffleTensor

/// Initial/terminal velocity matching (Khungurn et al. 2505.01169): a two-timed student matched to its teacher at both
/// ends of a jump, without a derivative.
///
///     L = initialWeight E |u(x, s, s) - v_s(x)|^2 + terminalWeight E (terminal term)
///
/// Only the paper's abstract is public, so that the terminal term comes in several forms. The table has
/// t' = max(s, t - offset) and phi(t) = x + (t - s) u(x, s, t). What stands in sg takes no gradient, and `target` is an
/// average of the student, or the student itself:
///
/// | terminal | term |
/// | --- | --- |
/// | laggedQuotient | \|(phi(t) - phi(t')) / (t - t') - sg w\|^2, w the teacher's average from target phi(t') |
/// | lagged | \|u(x, s, t) - sg (target phi(t') + (t - t') w - x) / (t - s)\|^2, w likewise |
/// | segmentQuotient | as laggedQuotient, w = target u(target phi(t'), t', t) |
/// | segment | \|phi(t) - sg (p + (t - t') target u(p, t', t))\|^2, p = phi(t') |
/// | tangent | \|u(x, s, t) - sg (v_t(target phi(t)) - (t - s) (target u(x, s, t) - u(x, s, t')) / (t - t'))\|^2 |
package struct ITVMLoss {
    package enum Terminal: String, Sendable, CaseIterable {
        case laggedQuotient = "lagged_quotient"
        case lagged
        case segmentQuotient = "segment_quotient"
        case segment
        case tangent
    }

    /// How the teacher's average velocity over the last part is found: by a solver's step from the target's phi(t'), or
    /// by the implicit midpoint rule, one evaluation in the middle between the target's phi(t') and phi(t).
    package enum LastStep: String, Sendable, CaseIterable {
        case euler, midpoint, heun, rk4
        case implicitMidpoint = "implicit_midpoint"

        fileprivate var solver: FixedStepMethod? { FixedStepMethod(rawValue: rawValue) }
    }

    /// What the offset is a part of: the path's time, the jump t - s, or the rest 1 - t, of which it is at least 0.005.
    package enum OffsetBase: String, Sendable, CaseIterable { case path, jump, rest }

    package var options = LossOptions()
    package var terminal: Terminal = .laggedQuotient
    package var lastStep: LastStep = .heun
    /// t - t' as a part of `offsetBase`.
    package var offset = 0.1
    package var offsetBase: OffsetBase = .path
    package var initialWeight = 1.0
    package var terminalWeight = 1.0
    /// The part of the batch that the initial term takes.
    package var initialFraction = 0.25

    package init() {}

    /// - Parameters:
    ///   - target: what the student looks up to, usually its average with decay 0.99; the student itself when nil,
    ///   which saves an evaluation in the quotient forms.
    ///   - data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        guard initialWeight + terminalWeight > 0 else {
            throw RiffleError("itvm", "initial_weight and terminal_weight are both zero")
        }
        guard offsetBase == .path || offset <= 1 else {
            throw RiffleError(
                "itvm",
                "an offset that is a part of the \(offsetBase.rawValue) is at most 1, got \(riffleFormat(offset))")
        }
        let roles = try Roles(student, teacher: teacher, target: target)
        let batch = try FlowBatch(data, condition, options, roles, operation: "itvm")
        let parts = try JumpParts(batch.jumps, offset: offset, of: offsetBase)
        let start = initialWeight > 0 ? try batch.leading(initialFraction) : nil
        let needsEarlier = terminal == .laggedQuotient || terminal == .segmentQuotient || terminal == .segment

        // All jumps of the student are evaluated in one call.
        var jumps = GatheredJumps()
        jumps.add(batch.jumps)
        if needsEarlier { jumps.add(parts.first) }
        if let start { jumps.add(start.jumps.starts) }
        let velocities = try jumps.evaluate(roles.student)

        var terms = Terms(options)
        if let start, let u = velocities.last {
            try terms.add("initial", u - roles.velocity(start), start.jumps.starts, weight: initialWeight)
        }
        let residual = try self.residual(
            batch.jumps, parts, roles, u: velocities[0], earlier: needsEarlier ? velocities[1] : nil)
        try terms.add("terminal", residual, batch.jumps, weight: terminalWeight)
        return try terms.loss("itvm")
    }

    /// The terminal term before it is squared, [n, ...]. `u` is u(x, s, t), `earlier` is u(x, s, t').
    private func residual(_ jumps: Jumps, _ parts: JumpParts, _ roles: Roles, u: Tensor, earlier: Tensor?) throws
        -> Tensor
    {
        let (before, last, whole) = (parts.before, parts.last, parts.whole)
        func rest(from velocity: Tensor) throws -> Jumps {
            try jumps.from(jumps.x + before * velocity.detach(), parts.first.t)
        }
        // The teacher's average velocity over the last part, which begins where `velocity` leads.
        func crossing(from velocity: Tensor) throws -> Tensor {
            if let solver = lastStep.solver { return try roles.teacherAverage(rest(from: velocity), solver) }
            let end = try roles.studentIsTarget ? u.detach() : roles.target(jumps)
            let middle = try jumps.x + (before * velocity.detach() + whole * end) / 2
            return try roles.instant(middle, (parts.first.t + jumps.t) / 2, jumps.condition)
        }
        switch terminal {
        case .laggedQuotient, .segmentQuotient:
            let velocity = try roles.studentIsTarget ? earlier ?? u : roles.target(parts.first)
            let wanted = try terminal == .laggedQuotient ? crossing(from: velocity) : roles.target(rest(from: velocity))
            // x cancels in phi(t) - phi(t'), so that the quotient is computed from velocities and short spans lose no
            // digits.
            return try u * (whole / last) - (earlier ?? u) * (before / last) - wanted
        case .lagged:
            let velocity = try roles.target(parts.first)
            return try u - (velocity * before + crossing(from: velocity) * last) / whole
        case .segment:
            let velocity = (earlier ?? u).detach()
            return try u * whole - (velocity * before + roles.target(rest(from: velocity)) * last)
        case .tangent:
            let now = try roles.target(jumps)
            let then = try roles.target(parts.first)
            let arrival = try roles.instant(jumps.x + whole * now, jumps.t, jumps.condition)
            return try u - (arrival - whole * (now - then) / last)
        }
    }
}

/// Jumps from s to t, cut at the time t' where their last part begins.
private struct JumpParts {
    /// The jumps from s to t'.
    let first: Jumps
    /// t' - s, shaped to broadcast with x, as the others.
    let before: Tensor
    /// t - t', at least the shortest span.
    let last: Tensor
    /// t - s, always the sum of the other two.
    let whole: Tensor

    /// The shortest span: shorter ones count as this long, so that ratios of spans stay finite.
    private static let shortest = 1e-5

    /// The least part of the rest, so that jumps to the data have a last part, too.
    private static let leastRest = 0.005

    init(_ jumps: Jumps, offset: Double, of base: ITVMLoss.OffsetBase) throws {
        let span = try jumps.t - jumps.s
        let middle =
            switch base {
            case .path: try (jumps.t - offset).maximum(jumps.s)
            case .jump: try jumps.t - span * offset
            case .rest: try (jumps.t - ((1 - jumps.t) * offset + Self.leastRest)).maximum(jumps.s)
            }
        first = jumps.to(middle)
        last = try (jumps.t - middle).clamp(Self.shortest, .infinity).alongside(jumps.x)
        whole = try span.alongside(jumps.x).maximum(last)
        before = try whole - last
    }
}

extension ITVMLoss: LossWithOptions {
    static let method = LossMethod.withTeacher(
        "itvm", ITVMLoss.init,
        [
            Option("terminal", \.terminal, "the form of the terminal term"),
            Option("last_step", \.lastStep, "how the teacher crosses the last part"),
            Option("offset", \.offset, .positive, "the length of the last part"),
            Option(
                "offset_of", \.offsetBase,
                "what the offset is a part of: the path from 0 to 1, the jump, or the rest from t to 1"),
            Option("initial_weight", \.initialWeight, .nonNegative),
            Option("terminal_weight", \.terminalWeight, .nonNegative),
            Option("initial_fraction", \.initialFraction, .fraction(0...1), .initialFraction),
        ],
        Doc(
            "Initial/terminal velocity matching: both ends of a jump, no derivative.",
            formula: "L = E |u(x_s, s, s) - v_s(x_s)|^2 + E |(phi(t) - phi(t')) / (t - t') - w|^2 (lagged_quotient)",
            source: "Khungurn et al. 2025, 2505.01169; the forms of the terminal term are explained in docs/methods.md",
            parts: [.initial, Doc.Part("terminal", "the terminal term")])
    ) { loss, given, teacher in
        try loss(given.student, teacher, given.data, target: given.target, given.condition)
    }
}
