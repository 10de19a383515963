import RiffleNN
import RiffleTensor

/// Flow generator matching (Huang et al. 2410.19310): a one-step generator g whose own flow is that of the teacher,
/// learned without data. An online network v learns the generator's flow in turns with the generator, see
/// `FGMOnlineLoss`.
///
///     x1 = g(z), x_t = a e + b x1 with e independent of z, c = a' e + b' x1
///     L1 = E |v*(x_t) - v(x_t)|^2,  L2 = E 2 <v*(x_t) - v(x_t), v(x_t) - c>,
///     L = l1Weight L1 + L2       (eq. 4.11, 4.12)
///
/// v* is the teacher. The parameters of v and v* are frozen, and gradients pass through their inputs into the
/// generator. With weight 1 the gradients are those of E |v* - v_g|^2 for the generator's true flow v_g; weight 0 is
/// the setting of the paper's large text-to-image run. Weight 2 - 2 a is twice SiD's loss for its alpha a: SiD's 1.2
/// is -0.4. `ratio` is beta / alpha of RealUID (2509.22459, eq. 12), whose L has c times that ratio.
package struct FGMLoss {
    package var options = LossOptions()
    package var generation = Generation()
    package var l1Weight = 1.0
    package var ratio = 1.0
    /// Whether a sample's loss is divided by the mean of |c - v*|, a constant (SiD, 2404.04057).
    package var isNormalised = false

    package init() {}

    /// - Parameter noise: z [n, ...].
    package func callAsFunction(
        _ generator: Network, _ online: Network, _ teacher: Network, _ noise: Tensor, _ condition: Condition? = nil
    ) throws -> Loss {
        _ = try FlowBatch.count(noise, "fgm", named: "z")
        try checkClasses([("generator", generator), ("teacher", teacher), ("online network", online)])
        try checkApart([("generator", generator), ("teacher", teacher), ("online network", online)])
        if options.weight is LearnedWeight {
            throw RiffleError("fgm", "a learned weight needs a loss that is never negative; give a function")
        }
        let data = try generation.trained(generator, noise, options.path, condition)
        let t = try options.times.sample(noise.shape[0], noise.dtype)
        let batch = try FlowBatch(
            data, condition, options, for: [("teacher", teacher), ("online", online)], operation: "fgm", times: (t, t))
        let jumps = batch.jumps
        let teacherVelocity = try passing(through: teacher, as: "teacher") {
            try $0.velocity(jumps.x, t, jumps.condition)
        }
        let onlineVelocity = try passing(through: online, as: "online") {
            try $0.velocity(jumps.x, t, jumps.condition)
        }
        let known = ratio == 1 ? batch.velocity : try batch.velocity * ratio
        let gap = try teacherVelocity - onlineVelocity
        var l1 = try sampleMean(gap.square())
        var l2 = try sampleMean(gap * (onlineVelocity - known)) * 2
        if isNormalised {
            let size = try sampleMean((batch.velocity - teacherVelocity).detach().abs()) + 1e-6
            l1 = try l1 / size
            l2 = try l2 / size
        }
        var terms = Terms(options)
        try terms.add("l1", losses: l1, jumps, weight: l1Weight)
        try terms.add("l2", losses: l2, jumps)
        return try terms.loss("fgm")
    }
}

/// The loss of `FGMLoss`'s online network, which learns between the generator's steps: flow matching on generated data,
/// and with alpha below 1 on real data, too (RealUID, 2509.22459).
///
///     L = alpha E |v(x_t) - (beta / alpha) c|^2 + (1 - alpha) E |v(x*_t) - ((1 - beta) / (1 - alpha)) c*|^2
package struct FGMOnlineLoss {
    package var options = LossOptions()
    package var generation = Generation()
    /// The share of generated data.
    package var alpha = 1.0
    /// beta of RealUID, which is near alpha; alpha itself where nil.
    package var beta: Double?

    package init() {}

    /// - Parameters:
    ///   - noise: z [n, ...]; the generator's samples for it are constants.
    ///   - data: real x1 [m, ...], for alpha below 1.
    package func callAsFunction(
        _ generator: Network, _ online: Network, _ noise: Tensor, data: Tensor? = nil, _ condition: Condition? = nil,
        dataCondition: Condition? = nil
    ) throws -> Loss {
        _ = try FlowBatch.count(noise, "fgm_online", named: "z")
        try checkClasses([("generator", generator), ("online network", online)])
        try checkApart([("generator", generator), ("online network", online)])
        guard (alpha == 1) == (data == nil) else {
            throw RiffleError(
                "fgm_online",
                alpha < 1 ? "alpha below 1 needs real data, x" : "x, real data, counts for nothing with alpha 1")
        }
        let made = try withoutGradient { try generation.trained(generator, noise, options.path, condition) }
        let beta = beta ?? alpha
        var terms = Terms(options)
        func add(_ name: String, _ x: Tensor, _ condition: Condition?, weight: Double, factor: Double) throws {
            let t = try options.times.sample(x.shape[0], x.dtype)
            let batch = try FlowBatch(
                x, condition, options, for: [("online", online)], operation: "fgm_online", times: (t, t))
            let velocity = try acting(as: "online") { try online.velocity(batch.jumps.x, t, batch.jumps.condition) }
            try terms.add(name, velocity - batch.velocity * factor, batch.jumps, weight: weight)
        }
        try add("generated", made, condition, weight: alpha, factor: beta / alpha)
        if let data, alpha < 1 {
            try add("real", data, dataCondition ?? condition, weight: 1 - alpha, factor: (1 - beta) / (1 - alpha))
        }
        return try terms.loss("fgm_online")
    }
}

extension FGMLoss: LossWithOptions {
    static let method = LossMethod(
        "fgm", FGMLoss.init, given: [.generator, .online, .teacher, .generatorNoise, .labels],
        [
            Option(
                "l1_weight", \.l1Weight, .fraction(-1...1e6),
                "the weight of L1: 1 is exact, 0 the setting of the paper's large run, 2 - 2 alpha is SiD's"),
            Option("ratio", \.ratio, .fraction(0.5...2), "beta / alpha of RealUID, which is near 1"),
            Option(
                "normalise", \.isNormalised, .boolean,
                "whether each sample's loss is divided by the mean of |c - v*| (SiD)"),
        ] + Generation.options.of(\.generation),
        shared: LossOptions.timing + LossOptions.onGeneratedPath + [LossOptions.weighing],
        Doc(
            "Flow generator matching, data-free: the generator's loss.",
            formula: "L = l1_weight E |v* - v|^2 + E 2 <v* - v, v - c>, at x_t = (1 - t) e + t g(z), c = g(z) - e",
            example: LossMethod.example("fgm(teacher:copy(), teacher:copy(), teacher, z)"),
            source: "Huang et al. 2024, 2410.19310, eq. 4.11 and 4.12; ratio: RealUID, 2509.22459",
            parts: [Doc.Part("l1", "|v* - v|^2, where l1_weight is not 0"), Doc.Part("l2", "2 <v* - v, v - c>")])
    ) { loss, arguments in
        try loss(
            arguments.object("generator"), arguments.object("online"), arguments.object("teacher"),
            arguments.tensor("z"), arguments.condition("labels"))
    }
}

extension FGMOnlineLoss: LossWithOptions {
    static let method = LossMethod(
        "fgm_online", FGMOnlineLoss.init,
        given: [
            .generator, .online, .generatorNoise, .labels,
            Argument("x", .tensor, "real data, for alpha below 1", default: .none),
            Argument("x_labels", .tensors, "labels of the real data; those of z when not given", default: .none),
        ],
        [
            Option("alpha", \.alpha, .fraction(0.01...1), "the share of generated data (RealUID)"),
            Option("beta", \.beta, .fraction(0...1), "of RealUID, near alpha; alpha when not given"),
        ] + Generation.options.of(\.generation),
        shared: LossOptions.timing + LossOptions.onGeneratedPath + LossOptions.measure,
        Doc(
            "The loss of the online network, which learns between the generator's steps.",
            formula:
                "L = alpha E |v(x_t) - (beta / alpha) c|^2 + (1 - alpha) E |v(x*_t) - ((1 - beta) / (1 - alpha)) c*|^2",
            example: LossMethod.example("fgm_online(teacher:copy(), teacher:copy(), z)"),
            source: "Huang et al. 2024, 2410.19310; alpha and beta: RealUID, 2509.22459",
            parts: [
                Doc.Part("generated", "on generated data"), Doc.Part("real", "on real data, where alpha is below 1"),
            ])
    ) { loss, arguments in
        try loss(
            arguments.object("generator"), arguments.object("online"), arguments.tensor("z"),
            data: arguments.optionalTensor("x"), arguments.condition("labels"),
            dataCondition: arguments.condition("x_labels"))
    }
}
