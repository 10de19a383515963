import RiffleNN
import RiffleTensor

/// Knowledge distillation on pairs (Luhman and Luhman 2101.02388; the last stage of InstaFlow, 2309.06380): a generator
/// regresses on what its teacher made of the same noise.
///
///     L = E |g(z) - x|^2,  x the end of the teacher's path from z
///
/// The pairs come from `flow.ode`, or from a file of pairs.
package struct KDLoss {
    package var options = LossOptions()
    package var generation = Generation()

    package init() {}

    /// - Parameters:
    ///   - noise: z [n, ...].
    ///   - data: the teacher's samples, of the same shape.
    package func callAsFunction(
        _ generator: Network, _ noise: Tensor, _ data: Tensor, _ condition: Condition? = nil
    ) throws -> Loss {
        let n = try FlowBatch.count(noise, "kd", named: "z")
        guard noise.shape == data.shape else {
            throw RiffleError("kd", "z and x are pairs and must have one shape (z \(noise.shape), x \(data.shape))")
        }
        let made = try generation.trained(generator, noise, options.path, condition)
        let jumps = Jumps(
            x: noise, s: try .full([n], generation.start, noise.dtype), t: try .ones([n], noise.dtype),
            condition: condition)
        var terms = Terms(options)
        try terms.add("kd", made - data, jumps)
        return try terms.loss("kd")
    }
}

extension KDLoss: LossWithOptions {
    static let method = LossMethod(
        "kd", KDLoss.init,
        given: [
            .generator, .generatorNoise, Argument("x", .tensor, "the teacher's samples of this noise [n, ...]"),
            .labels,
        ],
        Generation.options.of(\.generation), shared: [LossOptions.route] + LossOptions.measure,
        Doc(
            "Knowledge distillation on pairs: a generator's samples against the teacher's of the same noise.",
            formula: "L = E |g(z) - x|^2",
            example: LossMethod.example("kd(teacher:copy(), z, (riffle.flow.ode(teacher, z, { steps = 4 })))"),
            source: "Luhman and Luhman 2021, 2101.02388; Liu et al. 2023, 2309.06380",
            parts: [Doc.Part("kd", "the whole loss")])
    ) { loss, arguments in
        try loss(
            arguments.object("generator"), arguments.tensor("z"), arguments.tensor("x"), arguments.condition("labels"))
    }
}
