import RiffleNN
import RiffleTensor

/// Flow map matching from data alone, by the two directions of the map (Boffi, Albergo and Vanden-Eijnden 2406.07507).
///
///     L = E |d/dt X_{s,t}(X_{t,s}(x_t)) - (a' x0 + b' x1)|^2 + E |X_{s,t}(X_{t,s}(x_t)) - x_t|^2
///
/// The student learns to jump forward and backward; s and t are drawn without order. All terms take gradients.
package struct FMMLoss {
    package var options = LossOptions()
    /// The weight of the second term, by which the two directions become inverse to one another.
    package var invertibilityWeight = 1.0

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(_ student: Network, _ data: Tensor, _ condition: Condition? = nil) throws -> Loss {
        let n = try FlowBatch.count(data, "fmm")
        let roles = try Roles(student)
        let s = try options.times.sample(n, data.dtype)
        let t = try options.times.sample(n, data.dtype)
        let batch = try FlowBatch(data, condition, options, roles, operation: "fmm", times: (t, t))
        let back = batch.jumps.to(s)
        let forth = try back.from(back.end(roles.student(back)), s, to: t)
        let (u, du) = try roles.alongEnd(forth)
        var terms = Terms(options)
        try terms.add("velocity", u + forth.span() * du - batch.velocity, forth)
        if invertibilityWeight > 0 {
            try terms.add("invertibility", forth.end(u) - batch.jumps.x, forth, weight: invertibilityWeight)
        }
        return try terms.loss("fmm")
    }
}

extension FMMLoss: LossWithOptions {
    static let method = LossMethod(
        "fmm", FMMLoss.init, given: [.student, .data, .labels],
        [Option("invertibility_weight", \.invertibilityWeight, .nonNegative)], shared: LossOptions.all,
        Doc(
            "Flow map matching from data alone, by jumps forward and backward.",
            formula: "L = E |d/dt X_{s,t}(X_{t,s}(x_t)) - (x1 - x0)|^2 + E |X_{s,t}(X_{t,s}(x_t)) - x_t|^2",
            example: """
                > riffle.flow.loss.fmm(riffle.nn.mlp { width = 32 }:two_timed(), riffle.randn(8, 2)):shape()
                []
                """,
            source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
            parts: [
                Doc.Part("velocity", "the end of a jump against x1 - x0"),
                Doc.Part("invertibility", "a jump back and forth against its start"),
            ])
    ) { loss, arguments in
        try loss(arguments.object("student"), arguments.tensor("x"), arguments.condition("labels"))
    }
}
