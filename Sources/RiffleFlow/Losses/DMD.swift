import RiffleNN
import RiffleTensor

/// Distribution matching distillation's gradient (Yin et al. 2311.18828): the difference of two predictions of data for
/// the generator's noised samples, the online network's and the teacher's, is the gradient of its samples.
///
///     L = |x1 - sg (x1 - w (d(x_t) - d*(x_t)))|^2 / 2,  d = x_t + (1 - t) v(x_t),  w = 1 / mean |x1 - d*(x_t)|
///
/// On the linear path; t is usually drawn between 0.02 and 0.98. The online network learns by `FGMOnlineLoss`.
package struct DMDLoss {
    package var options = LossOptions()
    package var generation = Generation()

    package init() { (options.times.from, options.times.to) = (0.02, 0.98) }

    /// - Parameter noise: z [n, ...].
    package func callAsFunction(
        _ generator: Network, _ online: Network, _ teacher: Network, _ noise: Tensor, _ condition: Condition? = nil
    ) throws -> Loss {
        _ = try FlowBatch.count(noise, "dmd", named: "z")
        try checkClasses([("generator", generator), ("teacher", teacher), ("online network", online)])
        guard options.path == .linear else {
            throw RiffleError("dmd", "the path must be linear, got \(options.path.rawValue)")
        }
        let data = try generation.trained(generator, noise, options.path, condition)
        let made = data.detach()
        let t = try options.times.sample(noise.shape[0], noise.dtype)
        let batch = try FlowBatch(
            made, condition, options, for: [("teacher", teacher), ("online", online)], operation: "dmd", times: (t, t))
        let jumps = batch.jumps
        let teacherVelocity = try constant("teacher", teacher) { try $0.velocity(jumps.x, t, jumps.condition) }
        let onlineVelocity = try constant("online", online) { try $0.velocity(jumps.x, t, jumps.condition) }
        let left = try (1 - t).alongside(made)
        let teacherData = try jumps.x + left * teacherVelocity
        let size = try sampleMean((made - teacherData).abs()).maximum(.scalar(1e-6, made.dtype)).alongside(made)
        let wanted = try made - left * (onlineVelocity - teacherVelocity) / size
        var terms = Terms(options)
        try terms.add("dmd", data - wanted, jumps, weight: 0.5)
        return try terms.loss("dmd")
    }
}

extension DMDLoss: LossWithOptions {
    static let method = LossMethod(
        "dmd", DMDLoss.init, given: [.generator, .online, .teacher, .generatorNoise, .labels],
        Generation.options.of(\.generation),
        shared: LossOptions.timing + [LossOptions.labelDropout] + LossOptions.measure,
        Doc(
            "Distribution matching distillation's gradient, for the generator.",
            formula: "L = |g - sg (g - (d - d*) / mean |g - d*|)|^2 / 2, d = x_t + (1 - t) v(x_t)",
            example: LossMethod.example("dmd(teacher:copy(), teacher:copy(), teacher, z)"),
            source: "Yin et al. 2023, 2311.18828",
            parts: [Doc.Part("dmd", "twice the loss: the gradient of the generated data, squared")])
    ) { loss, arguments in
        try loss(
            arguments.object("generator"), arguments.object("online"), arguments.object("teacher"),
            arguments.tensor("z"), arguments.condition("labels"))
    }
}
