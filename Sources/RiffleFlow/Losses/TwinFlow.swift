import RiffleNN
import RiffleTensor

/// TwinFlow (Cheng et al. 2512.05150): a flow map that corrects its one jump by itself. At the times 2 - r, beyond the
/// data, the student is its own online network: u(x, 2 - r, 2 - r) is the velocity at r of the flow of its own samples.
///
///     base           |u(x_s, s, t) - sg (u - clamp (g, -1, 1))|^2,  g = ((t - s) u - h v - (t - s - h) U*) / h
///     adversarial    |u(x_r, 2 - r, 2 - r) - (X - e)|^2,  x_r = (1 - r) e + r X,  X = sg z + u(z, 0, 1)
///     rectification  |u(z, 0, 1) - sg (u - clamp (u(x_r, 2 - r, 2 - r) - v_r(x_r), -1, 1))|^2
///
/// U* is the target's average velocity from x_s + h v at s + h to t, by `order` equal jumps (the authors' RCGM): the
/// base is AlphaFlow with steps of one length h, and goes to MeanFlow as h goes to 0. v is the path's velocity, and v_r
/// the student's own, u(x, r, r); both are the teacher's where one is given. The authors have noise at time 1 and
/// write -r for the times of their second branch.
package struct TwinFlowLoss {
    package var options = LossOptions()
    /// h, the length of the step along v.
    package var step = 0.01
    /// The target's jumps over the rest of the way.
    package var order = 2
    /// The part of the batch that jumps from noise to data, whose samples are corrected.
    package var oneStep = 0.25
    /// The part of the batch where t = s.
    package var diagonal = 0.25
    package var adversarialWeight = 1.0
    package var rectificationWeight = 0.5

    package init() { options.adaptivePower = 0.5 }

    /// - Parameters:
    ///   - target: gives U*; the student itself where nil.
    ///   - data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let n = try FlowBatch.count(data, "twinflow"), roles = try Roles(student, teacher: teacher, target: target)
        let first = try FlowBatch.part(oneStep, of: n)
        let batch = try FlowBatch(
            data, condition, options, roles, operation: "twinflow", times: times(n, data.dtype, oneStep: first))
        let jumps = batch.jumps, u = try roles.student(jumps), now = u.detach()
        var terms = Terms(options)
        try terms.add("base", u - (now - tangent(batch, now, roles)), jumps)
        if first > 0, adversarialWeight > 0 || rectificationWeight > 0 {
            try correct(u.sliced(0, 0..<first), jumps.rows(0..<first), roles, &terms)
        }
        return try terms.loss("twinflow")
    }

    /// Times of which the first are 0 and 1, and the last are equal.
    private func times(_ n: Int, _ dtype: DType, oneStep first: Int) throws -> (s: Tensor, t: Tensor) {
        let (s, t) = try options.times.pairs(n, dtype)
        let last = n - min(n - first, try FlowBatch.part(diagonal, of: n))
        func rows(_ range: Range<Int>) throws -> Tensor {
            try Tensor((0..<n).map { range.contains($0) ? 1.0 : 0.0 }, [n]).cast(dtype)
        }
        let (jumping, resting) = (try rows(0..<first), try rows(last..<n))
        let start = try s * (1 - jumping)
        return (start, try t + jumping * (1 - t) + resting * (s - t))
    }

    /// The clamped g.
    private func tangent(_ batch: FlowBatch, _ u: Tensor, _ roles: Roles) throws -> Tensor {
        let jumps = batch.jumps, v = try roles.velocity(batch)
        // A jump of no length takes a step of almost none, so that it learns v.
        let span = try (jumps.t - jumps.s).maximum(.scalar(1e-6, jumps.s.dtype))
        let h = try span.minimum(.scalar(step, span.dtype)), over = try h.alongside(u)
        let after = try jumps.from(jumps.x + over * v, (jumps.s + h).minimum(jumps.t))
        let rest = try end(after, roles) - after.x
        return try ((span / h).alongside(u) * u - v - rest / over).clamp(-1, 1)
    }

    /// Where the target's equal jumps lead.
    private func end(_ jumps: Jumps, _ roles: Roles) throws -> Tensor {
        let part = try (jumps.t - jumps.s) / Double(order)
        var (x, s) = (jumps.x, jumps.s)
        for index in 1...order {
            let jump = try jumps.from(x, s, to: index == order ? jumps.t : s + part)
            (x, s) = (try jump.end(roles.target(jump)), jump.t)
        }
        return x
    }

    /// Adds the terms of one jump from noise, whose average velocity is u.
    private func correct(_ u: Tensor, _ whole: Jumps, _ roles: Roles, _ terms: inout Terms) throws {
        let now = u.detach(), made = try whole.end(now)
        let r = try Tensor.rand([whole.count], made.dtype)
        var options = LossOptions()
        options.path = self.options.path
        let batch = try FlowBatch(made, whole.condition, options, roles, operation: "twinflow", times: (r, r))
        let twin = try batch.jumps.from(batch.jumps.x, 2 - r, to: 2 - r), own = try roles.student(twin)
        try terms.add("adversarial", own - batch.velocity, batch.jumps, weight: adversarialWeight)
        if rectificationWeight > 0 {
            let x = batch.jumps.x
            let v = try roles.hasTeacher ? roles.instant(x, r, whole.condition) : roles.held(batch.jumps)
            let push = try (own.detach() - v).clamp(-1, 1)
            try terms.add("rectification", u - (now - push), whole, weight: rectificationWeight)
        }
    }
}

extension TwinFlowLoss: LossFromData {
    static let method = LossMethod.fromData(
        "twinflow", TwinFlowLoss.init,
        [
            Option("step", \.step, .fraction(1e-4...1), "h: the length of the step along v"),
            Option("order", \.order, .integer(1...64), "jumps of the target over the rest of the way"),
            Option(
                "one_step", \.oneStep, .fraction(0...1),
                "the part of the batch that jumps from noise to data, whose samples are corrected"),
            Option("diagonal", \.diagonal, .fraction(0...1), .diagonal),
            Option("adversarial_weight", \.adversarialWeight, .nonNegative),
            Option("rectification_weight", \.rectificationWeight, .nonNegative),
        ],
        Doc(
            "TwinFlow: a flow map that learns the flow of its own samples at times above 1, and corrects them by it.",
            formula: """
                L = E |u - sg (u - g)|^2 + E |u(x_r, 2 - r, 2 - r) - (X - e)|^2 \
                + E |u(z, 0, 1) - sg (u - u(x_r, 2 - r, 2 - r) + v_r(x_r))|^2
                """,
            source: "Cheng et al. 2025, 2512.05150",
            parts: [
                Doc.Part("base", "the squared size of the clamped g"),
                Doc.Part("adversarial", "the velocity of the student's own samples, at times above 1"),
                Doc.Part("rectification", "the squared size of the correction of one jump"),
            ]))
}
