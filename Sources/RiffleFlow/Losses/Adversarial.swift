import RiffleNN
import RiffleTensor

/// What discriminators and those who deceive them minimise, of a discriminator's numbers D.
package enum AdversarialForm: String, Sendable, CaseIterable {
    /// log(1 + exp(-D)) of data, log(1 + exp(D)) of made samples, log(1 + exp(-D)) for the generator (Goodfellow et al.
    /// 2014, not saturating).
    case softplus
    /// max(0, 1 - D) of data, max(0, 1 + D) of made samples, -D for the generator.
    case hinge

    func real(_ d: Tensor) throws -> Tensor { self == .softplus ? try (-d).softplus() : try (1 - d).relu() }
    func made(_ d: Tensor) throws -> Tensor { self == .softplus ? try d.softplus() : try (1 + d).relu() }
    func deceiving(_ d: Tensor) throws -> Tensor { self == .softplus ? try (-d).softplus() : try -d }
}

/// A generator's loss against a discriminator that looks at noised samples: of DMD2 (Yin et al. 2405.14867) beside
/// `DMDLoss`, of LADD (Sauer et al. 2403.12015) alone, of SiDA (Zhou et al. 2410.14919) beside `FGMLoss`.
///
///     L = E f(D(x_t, t)),  x_t = (1 - t) e + t g(z),  f of `AdversarialForm`
package struct AdversarialLoss {
    package var options = LossOptions()
    package var generation = Generation()
    package var form = AdversarialForm.softplus

    package init() {}

    /// - Parameter noise: z [n, ...].
    package func callAsFunction(
        _ generator: Network, _ discriminator: Discriminator, _ noise: Tensor, _ condition: Condition? = nil
    ) throws -> Loss {
        _ = try FlowBatch.count(noise, "adversarial", named: "z")
        try checkApart([("generator", generator), ("discriminator's network", discriminator.network)])
        let data = try generation.trained(generator, noise, options.path, condition)
        let jumps = try discriminator.jumps(data, condition, options, "adversarial")
        let d = try passing(through: discriminator.network, as: "discriminator") { _ in
            try discriminator.evaluating { try discriminator.frozen { try discriminator.judge(jumps) } }
        }
        var terms = Terms(options)
        try terms.add("adversarial", losses: form.deceiving(d).mean([1]), jumps)
        return try terms.loss("adversarial")
    }
}

/// The loss of a discriminator, which learns between the generator's steps.
///
///     L = E f(D(x*_t, t)) + E f(D(x_t, t)) + r1 E |D(x*_t, t) - D(x*_t + s e, t)|^2
///
/// x* are data and x the generator's samples, constants. The last term approximates R1's penalty without a second
/// derivative (Lin et al. 2501.08316, section 3.3).
package struct DiscriminatorLoss {
    package var options = LossOptions()
    package var generation = Generation()
    package var form = AdversarialForm.softplus
    /// The weight of the penalty.
    package var r1 = 0.0
    /// s of the penalty.
    package var r1Noise = 0.1

    package init() {}

    /// - Parameters:
    ///   - noise: z [n, ...].
    ///   - data: [m, ...].
    ///   - dataCondition: that of the data; the generator's where nil.
    package func callAsFunction(
        _ discriminator: Discriminator, _ generator: Network, _ noise: Tensor, _ data: Tensor,
        _ condition: Condition? = nil, dataCondition: Condition? = nil
    ) throws -> Loss {
        _ = try (FlowBatch.count(noise, "discriminator", named: "z"), FlowBatch.count(data, "discriminator"))
        guard noise.shape.removing(0) == data.shape.removing(0) else {
            throw RiffleError("discriminator", "z and x hold samples of one shape (z \(noise.shape), x \(data.shape))")
        }
        try checkApart([("generator", generator), ("discriminator's network", discriminator.network)])
        let samples = try withoutGradient { try generation.trained(generator, noise, options.path, condition) }
        var terms = Terms(options)
        let made = try discriminator.jumps(samples, condition, options, "discriminator")
        let real = try discriminator.jumps(data, dataCondition ?? condition, options, "discriminator")
        try learning(discriminator) {
            try terms.add("made", losses: form.made(discriminator.judge(made)).mean([1]), made)
            let d = try discriminator.judge(real)
            try terms.add("real", losses: form.real(d).mean([1]), real)
            guard r1 > 0 else { return }
            let near = real.from(try real.x + Tensor.randn(real.x.shape, real.x.dtype) * r1Noise, real.s)
            try terms.add("r1", losses: (d - discriminator.judge(near)).square().mean([1]), real, weight: r1)
        }
        return try terms.loss("discriminator")
    }

    /// Runs `body` with the discriminator's network frozen and without dropout, unless it learns with the heads.
    private func learning(_ discriminator: Discriminator, _ body: () throws -> Void) throws {
        try acting(as: "discriminator") {
            if discriminator.trainsNetwork { return try body() }
            try discriminator.network.evaluating { try discriminator.network.frozen(body) }
        }
    }
}

extension Discriminator {
    /// Samples on the path at times of their own, from fresh noise.
    fileprivate func jumps(
        _ samples: Tensor, _ condition: Condition?, _ options: LossOptions, _ operation: String
    ) throws -> Jumps {
        let t = try options.times.sample(samples.shape[0], samples.dtype)
        return try FlowBatch(
            samples, condition, options, for: [("discriminator", network)], operation: operation, times: (t, t)
        ).jumps
    }

    /// The discriminator's numbers at points, [n, k].
    func judge(_ jumps: Jumps) throws -> Tensor {
        // The same time twice is a jump of no length.
        try self(jumps.x, Array(repeating: jumps.s, count: network.times), jumps.condition)
    }
}

extension AdversarialLoss: LossWithOptions {
    static let method = LossMethod(
        "adversarial", AdversarialLoss.init,
        given: [.generator, .discriminator, .generatorNoise, .labels],
        [Option("form", \.form, "what is taken of the discriminator's numbers")] + Generation.options.of(\.generation),
        shared: LossOptions.timing + LossOptions.onGeneratedPath + [LossOptions.weighing],
        Doc(
            "A generator's loss against a discriminator: of DMD2 beside dmd, of LADD alone, of SiDA beside fgm.",
            formula: "L = E softplus(-D(x_t, t)) or E -D(x_t, t), x_t = (1 - t) e + t g(z)",
            example: LossMethod.example("adversarial(teacher:copy(), riffle.nn.discriminator(teacher), z)"),
            source: "Yin et al. 2024, 2405.14867; Sauer et al. 2024, 2403.12015; Zhou et al. 2024, 2410.14919",
            parts: [Doc.Part("adversarial", "the whole loss")])
    ) { loss, arguments in
        try loss(
            arguments.object("generator"), arguments.object("discriminator"), arguments.tensor("z"),
            arguments.condition("labels"))
    }
}

extension DiscriminatorLoss: LossWithOptions {
    static let method = LossMethod(
        "discriminator", DiscriminatorLoss.init,
        given: [
            .discriminator, .generator, .generatorNoise, .data, .labels,
            Argument("x_labels", .tensors, "labels of the data; those of z when not given", default: .none),
        ],
        [
            Option("form", \.form, "what is taken of the discriminator's numbers"),
            Option("r1", \.r1, .fraction(0...1e6), "the weight of the approximate R1 penalty; 100 to 1000 are usual"),
            Option("r1_noise", \.r1Noise, .fraction(1e-6...10), "the noise by which the penalty changes data"),
        ] + Generation.options.of(\.generation),
        shared: LossOptions.timing + LossOptions.onGeneratedPath + [LossOptions.weighing],
        Doc(
            "The loss of a discriminator, which learns between the generator's steps.",
            formula: "L = E f(D(x*_t)) + E f(D(x_t)) + r1 E |D(x*_t) - D(x*_t + r1_noise e)|^2",
            example: LossMethod.example(
                "discriminator(riffle.nn.discriminator(teacher), teacher:copy(), z, riffle.randn(8, 2))"),
            source: "Sauer et al. 2024, 2403.12015; r1: Lin et al. 2025, 2501.08316",
            parts: [
                Doc.Part("made", "on made samples"), Doc.Part("real", "on data"),
                Doc.Part("r1", "the penalty before its weight, where r1 is above 0"),
            ])
    ) { loss, arguments in
        try loss(
            arguments.object("discriminator"), arguments.object("generator"), arguments.tensor("z"),
            arguments.tensor("x"), arguments.condition("labels"), dataCondition: arguments.condition("x_labels"))
    }
}

extension Argument {
    static let discriminator = Argument("discriminator", .object("discriminator"), "what nn.discriminator returns")
}
