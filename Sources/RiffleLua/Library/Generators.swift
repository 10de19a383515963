import RiffleFlow
import RiffleNN
import RiffleTensor

/// One-step generators: their losses, and what they make.
enum GeneratorLibrary {
    private typealias Shared = LossArguments
    private static let generator = Argument("generator", .object("network"), "z + v(z, 0), or with two times z + u(z, 0, 1)")
    private static let online = Argument("online", .object("network"), "a velocity, that of the generator's own flow")
    /// The noise that generated data are mixed with is independent of them.
    private static let generatedPath = [Shared.route, Shared.labelDropout]
    private static let networks = "> local teacher = riffle.nn.mlp { width = 32 }; local z = riffle.randn(8, 2)\n"

    static let functions: [Function] = [
        Function(
            "flow.loss.fgm", [
                generator, online, Shared.teacher, Shared.noise, Shared.labels,
                Argument("l1_weight", .nonNegative, "1 is exact; 0 is the setting of the paper's large run", default: .number(1)),
                Argument("ratio", .fraction(0.5...2), "beta / alpha of RealUID, which is near 1", default: .number(1)),
                Argument("normalise", .boolean, "whether each sample's loss is divided by the mean of |c - v*| (SiD)", default: .boolean(false)),
            ] + Shared.timing() + generatedPath + [Shared.weight],
            Doc("Flow generator matching, data-free: the generator's loss. Returns the loss and its parts.", formula: "L = l1_weight E |v* - v|^2 + E 2 <v* - v, v - c>, at x_t = (1 - t) e + t g(z), c = g(z) - e", example: networks + "> riffle.flow.loss.fgm(teacher:copy(), teacher:copy(), teacher, z):shape()\n[]", source: "Huang et al. 2024, 2410.19310, eq. 4.11 and 4.12; ratio: RealUID, 2509.22459",
                parts: [Doc.Part("l1", "|v* - v|^2, where l1_weight is above 0"), Doc.Part("l2", "2 <v* - v, v - c>")])
        ) { arguments in
            var loss = FGMLoss()
            (loss.options, loss.l1Weight) = (try Shared.options(arguments), arguments.number("l1_weight"))
            (loss.ratio, loss.isNormalised) = (arguments.number("ratio"), arguments.boolean("normalise"))
            return Shared.values(try loss(
                arguments.object("generator"), arguments.object("online"), arguments.object("teacher"), arguments.tensor("z"), Shared.condition(arguments)))
        },
        Function(
            "flow.loss.fgm_online", [
                generator, online, Shared.noise, Shared.labels,
                Argument("x", .tensor, "real data, for alpha below 1", default: .none),
                Argument("x_labels", .tensors, "labels of the real data; those of z when not given", default: .none),
                Argument("alpha", .fraction(0.01...1), "the share of generated data (RealUID)", default: .number(1)),
                Argument("beta", .fraction(0...1), "near alpha; alpha when not given", default: .none),
            ] + Shared.timing() + generatedPath + Shared.measure(),
            Doc("What the online network learns between the generator's steps. Returns the loss and its parts.", formula: "L = alpha E |v(x_t) - (beta / alpha) c|^2 + (1 - alpha) E |v(x*_t) - ((1 - beta) / (1 - alpha)) c*|^2", example: networks + "> riffle.flow.loss.fgm_online(teacher:copy(), teacher:copy(), z):shape()\n[]", source: "Huang et al. 2024, 2410.19310; alpha and beta: RealUID, 2509.22459",
                parts: [Doc.Part("generated", "on generated data"), Doc.Part("real", "on real data, where alpha is below 1")])
        ) { arguments in
            var loss = FGMOnlineLoss()
            (loss.options, loss.alpha) = (try Shared.options(arguments), arguments.number("alpha"))
            loss.beta = arguments.optionalNumber("beta")
            return Shared.values(try loss(
                arguments.object("generator"), arguments.object("online"), arguments.tensor("z"), data: arguments.optionalTensor("x"),
                Shared.condition(arguments), dataCondition: Shared.condition(arguments, "x_labels")))
        },
        Function(
            "flow.loss.dmd", [generator, online, Shared.teacher, Shared.noise, Shared.labels] + Shared.timing() + [Shared.labelDropout] + Shared.measure(),
            Doc("Distribution matching distillation's gradient, for the generator. Returns the loss and its parts.", formula: "L = |g - sg (g - (d - d*) / mean |g - d*|)|^2 / 2, d = x_t + (1 - t) v(x_t)", example: networks + "> riffle.flow.loss.dmd(teacher:copy(), teacher:copy(), teacher, z):shape()\n[]", source: "Yin et al. 2023, 2311.18828",
                parts: [Doc.Part("dmd", "twice the loss: what moves the generated data, squared")])
        ) { arguments in
            var loss = DMDLoss()
            loss.options = try Shared.options(arguments)
            return Shared.values(try loss(
                arguments.object("generator"), arguments.object("online"), arguments.object("teacher"), arguments.tensor("z"), Shared.condition(arguments)))
        },
        Function(
            "flow.consistency", [
                Argument("net", .object("network"), "a consistency model, of one time or two"), Argument("x", .tensor, "noise [n, ...]"),
                Argument("steps", .integer(1...1_000_000), "evaluations, at equal times from 0", default: .none),
                Argument("times", .list(.number), "where jumps begin instead, rising from 0", default: .none),
                Argument("path", .choice(Path.allCases.map(\.rawValue)), default: .string("linear")), Shared.labels,
            ],
            Doc("Samples a consistency model: jumps to the data, each from the last one's with fresh noise. Returns x and { nfe, times }.", example: "> riffle.flow.consistency(riffle.nn.mlp { width = 32 }, riffle.randn(4, 2), { steps = 2 }):shape()\n[4, 2]", source: "Song et al. 2023, 2303.01469, algorithm 1")
        ) { arguments in
            let starts = try SolverArguments.grid(arguments, "flow.consistency")
            let (x, report) = try Sampler.consistency(
                arguments.object("net"), arguments.tensor("x"), along: arguments.has("steps") ? Array(starts.dropLast()) : starts,
                Path(rawValue: arguments.string("path")) ?? .linear, Shared.condition(arguments))
            return [.tensor(x), .table(report.fields)]
        },
        Function(
            "flow.generate", [Argument("net", .object("network"), "of one time or two"), Argument("z", .tensor, "noise [n, ...]"), Shared.labels],
            Doc("Samples by one evaluation, without gradients: z + v(z, 0), or with two times z + u(z, 0, 1).", example: "> riffle.flow.generate(riffle.nn.mlp { width = 32 }, riffle.randn(4, 2)):shape()\n[4, 2]")
        ) { [.tensor(try Sampler.generate($0.object("net"), $0.tensor("z"), Shared.condition($0)))] },
    ]
}
