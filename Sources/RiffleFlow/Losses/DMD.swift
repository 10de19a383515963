import RiffleNN
import RiffleTensor

/// Distribution matching distillation's gradient (Yin et al. 2311.18828): the difference of two predictions of data for
/// the generator's noised samples, the online network's and the teacher's, is the gradient of its samples.
///
///     L = |x1 - sg (x1 - w (d(x_t) - d*(x_t)))|^2 / 2,  d = x_t + (1 - t) v(x_t),  w = 1 / mean |x1 - d*(x_t)|
///
/// On the linear path; t is usually drawn between 0.02 and 0.98. The online network learns by `FGMOnlineLoss`.
///
/// With a discriminator the gradient is that of another divergence than reverse KL (f-distill, Xu et al. 2502.15681): a
/// sample's is weighed by h(r) over the batch's mean of it, r = exp of the discriminator's mean number, which is the
/// ratio of data to made samples at x_t.
package struct DMDLoss {
    package enum Divergence: String, Sendable, CaseIterable {
        case reverseKL = "reverse_kl"
        case forwardKL = "forward_kl"
        case jensenShannon = "jensen_shannon"
        case softenedReverseKL = "softened_reverse_kl"
        case neyman, hellinger, jeffreys

        /// h of the ratio r = p / q of data to made samples: f''(1 / r) / r^2 of the divergence E_p f(q / p).
        func weight(_ r: Tensor) throws -> Tensor {
            switch self {
            case .reverseKL: try .ones(r.shape, r.dtype)
            case .forwardKL: r
            case .jensenShannon: try r / (r + 1)
            case .softenedReverseKL: try (r + 1).pow(-1)
            case .neyman: try r.pow(-1)
            case .hellinger: try r.sqrt()
            case .jeffreys: try r + 1
            }
        }
    }

    package var options = LossOptions()
    package var generation = Generation()
    package var divergence = Divergence.reverseKL

    package init() { (options.times.from, options.times.to) = (0.02, 0.98) }

    /// - Parameters:
    ///   - noise: z [n, ...].
    ///   - discriminator: whose numbers are logarithms of ratios, as softplus makes them; for other divergences than
    ///     reverse KL.
    package func callAsFunction(
        _ generator: Network, _ online: Network, _ teacher: Network, _ noise: Tensor, _ condition: Condition? = nil,
        discriminator: Discriminator? = nil
    ) throws -> Loss {
        guard (divergence == .reverseKL) == (discriminator == nil) else {
            throw RiffleError(
                "dmd",
                discriminator == nil
                    ? "divergence '\(divergence.rawValue)' needs a discriminator, which knows ratios of data to samples"
                    : "a discriminator counts for nothing with divergence 'reverse_kl'")
        }
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
        let scale = try discriminator.map { try weights($0, jumps) }
        var terms = Terms(options)
        try terms.add("dmd", data - wanted, jumps, weight: 0.5, scale: scale)
        return try terms.loss("dmd")
    }

    /// h(r) over its mean, [n], of ratios within 0.01 and 100.
    private func weights(_ discriminator: Discriminator, _ jumps: Jumps) throws -> Tensor {
        let logits = try constant("discriminator", discriminator.network) { _ in
            try discriminator.evaluating { try discriminator.judge(jumps).mean([1]) }
        }
        let h = try divergence.weight(logits.clamp(-4.6, 4.6).exp())
        return try h / h.mean()
    }
}

extension DMDLoss: LossWithOptions {
    static let method = LossMethod(
        "dmd", DMDLoss.init,
        given: [
            .generator, .online, .teacher, .generatorNoise, .labels,
            Argument(
                "discriminator", .object("discriminator"), "for divergences that weigh by its ratio of data to samples",
                default: .none),
        ],
        [
            Option(
                "divergence", \.divergence,
                "whose gradient is followed; all but reverse_kl need a discriminator that learns by softplus")
        ] + Generation.options.of(\.generation),
        shared: LossOptions.timing + [LossOptions.labelDropout] + LossOptions.measure,
        Doc(
            "Distribution matching distillation's gradient, for the generator.",
            formula: "L = |g - sg (g - (d - d*) / mean |g - d*|)|^2 / 2, d = x_t + (1 - t) v(x_t)",
            example: LossMethod.example("dmd(teacher:copy(), teacher:copy(), teacher, z)"),
            source: "Yin et al. 2023, 2311.18828; divergence: Xu et al. 2025, 2502.15681",
            parts: [Doc.Part("dmd", "twice the loss: the gradient of the generated data, squared")])
    ) { loss, arguments in
        try loss(
            arguments.object("generator"), arguments.object("online"), arguments.object("teacher"),
            arguments.tensor("z"), arguments.condition("labels"),
            discriminator: arguments.optionalObject("discriminator"))
    }
}
