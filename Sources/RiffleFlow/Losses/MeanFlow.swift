import RiffleNN
import RiffleTensor

/// Mean flows: an average velocity from the instantaneous one by their identity, u = v + (t - s) D u, where D is the
/// derivative along the flow at the start, (v, 1) in x and s.
///
/// | form | loss |
/// | --- | --- |
/// | plain (Geng et al. 2505.13447, eq. 11) | E \|u(x_s, s, t) - sg (v + (t - s) D u)\|^2, D along v |
/// | improved (iMF, 2512.02012) | E \|u(x_s, s, t) - (t - s) sg D u - v\|^2, D along sg u(x_s, s, s) |
///
/// v is the path's velocity, or the teacher's where a teacher is given. On the first part of the batch t = s, which is
/// flow matching.
package struct MeanFlowLoss {
    package var options = LossOptions()
    package var isImproved = false
    /// The part of the batch where t = s.
    package var diagonal = 0.25

    package init() { options.adaptivePower = 0.75 }

    /// - Parameters:
    ///   - target: the network that is differentiated; the student itself where nil.
    ///   - data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let name = isImproved ? "imf" : "meanflow"
        let roles = try Roles(student, teacher: teacher, target: target)
        let batch = try FlowBatch(data, condition, options, roles, operation: name)
        let (first, rest) = try batch.split(diagonal)
        var terms = Terms(options)
        try terms.addVelocity(first, roles)
        if let rest {
            let v = try roles.velocity(rest)
            let jumps = rest.jumps
            let along = isImproved ? try roles.target(jumps.starts) : v
            let (u, _, du) = try roles.alongStartStopped(jumps, at: along)
            try terms.add(name, u - jumps.span() * du - v, jumps, weight: rest.share)
        }
        return try terms.loss(name)
    }
}

extension MeanFlowLoss: LossFromData {
    static let methods = [
        method(
            "meanflow", isImproved: false,
            Doc(
                "MeanFlow: an average velocity by its identity with the instantaneous one.",
                formula: "L = E |u - sg (v + (t - s) D u)|^2, D along v",
                source: "Geng et al. 2025, 2505.13447, eq. 11",
                parts: [.velocity, Doc.Part("meanflow", "the identity on the rest")])),
        method(
            "imf", isImproved: true,
            Doc(
                "Improved mean flows: the velocity that an average velocity implies.",
                formula: "L = E |u - (t - s) sg D u - v|^2, D along sg u(x, s, s)",
                source: "Geng et al. 2025, 2512.02012",
                parts: [.velocity, Doc.Part("imf", "the identity on the rest")])),
    ]

    private static func method(_ name: String, isImproved: Bool, _ doc: Doc) -> LossMethod {
        @Sendable func usual() -> MeanFlowLoss {
            var loss = MeanFlowLoss()
            loss.isImproved = isImproved
            return loss
        }
        let options = [Option<Self>("diagonal", \.diagonal, .fraction(0...1), .diagonal)]
        return .fromData(name, usual, options, doc)
    }
}
