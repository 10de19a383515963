import RiffleNN
import RiffleTensor

/// AlphaFlow (2510.20771): from trajectory flow matching (alpha 1) over shortcuts to MeanFlow (alpha towards 0).
///
///     L = E |u(x_s, s, t) - sg (alpha v + (1 - alpha) u(x_m, m, t))|^2 / alpha,  m = s + alpha (t - s),
///     x_m = x_s + (m - s) v
package struct AlphaFlowLoss {
    package var options = LossOptions()
    package var alpha: Double
    /// The part of the batch where t = s.
    package var diagonal = 0.25

    package init(alpha: Double) { self.alpha = alpha }

    /// - Parameters:
    ///   - target: gives u(x_m, m, t); the student itself where nil.
    ///   - data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let roles = try Roles(student, teacher: teacher, target: target)
        let batch = try FlowBatch(data, condition, options, roles, operation: "alphaflow")
        let (first, rest) = try batch.split(diagonal)
        var terms = Terms(options)
        try terms.addVelocity(first, roles)
        if let rest {
            let v = try roles.velocity(rest)
            let jumps = rest.jumps
            let middle = try jumps.s + (jumps.t - jumps.s) * alpha
            let later = try roles.target(jumps.from(jumps.to(middle).end(v), middle))
            let wanted = try v * alpha + later * (1 - alpha)
            // The division by alpha keeps the residual's size as alpha goes to 0, which an adaptive weight needs.
            try terms.add("alphaflow", (roles.student(jumps) - wanted) / alpha, jumps, weight: rest.share * alpha)
        }
        return try terms.loss("alphaflow")
    }
}

extension AlphaFlowLoss: LossFromData {
    static let method = LossMethod.fromData(
        "alphaflow", { AlphaFlowLoss(alpha: 1) },
        [
            Option(
                "alpha", \.alpha, .fraction(1e-4...1), "1 is trajectory flow matching, towards 0 MeanFlow",
                isRequired: true),
            Option("diagonal", \.diagonal, .fraction(0...1), .diagonal),
        ],
        Doc(
            "AlphaFlow: from trajectory flow matching over shortcuts to MeanFlow, by alpha.",
            formula: "L = E |u - sg (alpha v + (1 - alpha) u(x_m, m, t))|^2 / alpha, m = s + alpha (t - s)",
            example: ", { alpha = 0.5 }", source: "AlphaFlow, 2510.20771",
            parts: [.velocity, Doc.Part("alphaflow", "the rest, divided by alpha^2")])
    )
}
