import RiffleFlow
import RiffleNN
import RiffleTensor

/// The losses of two-timed students, `flow.loss`: called alike, as loss(student, teacher, x, { target = ..., labels = ... }).
enum LossLibrary {
    private typealias Shared = LossArguments
    private typealias Part = Doc.Part

    static let functions: [Function] = lagrangian + eulerian + progressive + consistency

    // MARK: - Matched at a jump's end

    private static let lagrangian: [Function] = [
        distillation(
            "lfmd", target: Shared.unusedTarget, [
                Argument("gradient", .choice(LossGradient.allCases.map(\.rawValue)), "full also goes through the teacher's input", default: .string("semi")),
                Argument("initial_weight", .nonNegative, "of |u(x, s, s) - v_s(x)|^2", default: .number(0)), initialFraction,
            ],
            Doc("Lagrangian flow map distillation, with the exact derivative in t.", formula: "L = E |d/dt phi(t) - v_t(phi(t))|^2, phi(t) = x_s + (t - s) u(x_s, s, t)", source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
                parts: [Shared.initialPart, Part("terminal", "the end of a jump against the teacher")])
        ) { arguments, options, networks in
            var loss = LFMDLoss()
            loss.options = options
            loss.gradient = LossGradient(rawValue: arguments.string("gradient")) ?? .semi
            (loss.initialWeight, loss.initialFraction) = (arguments.number("initial_weight"), arguments.number("initial_fraction"))
            return try loss(networks.student, networks.teacher!, networks.data, networks.condition)
        },
        distillation(
            "itvm", [
                Argument("terminal", .choice(ITVMLoss.Terminal.allCases.map(\.rawValue)), "the form of the terminal term", default: .string("lagged_quotient")),
                Argument("last_step", .choice(["euler", "midpoint", "heun"]), "how the teacher goes the last part", default: .string("heun")),
                Argument("offset", .positive, "the length of the last part", default: .number(0.1)),
                Argument("relative", .boolean, "whether the offset is a part of t - s", default: .boolean(false)),
                Argument("initial_weight", .nonNegative, default: .number(1)),
                Argument("terminal_weight", .nonNegative, default: .number(1)), initialFraction,
            ],
            Doc("Initial/terminal velocity matching: both ends of a jump, no derivative.", formula: "L = E |u(x_s, s, s) - v_s(x_s)|^2 + E |(phi(t) - phi(t')) / (t - t') - w|^2 (lagged_quotient)", source: "Khungurn et al. 2025, 2505.01169; the forms of the terminal term are explained in docs/methods.md",
                parts: [Shared.initialPart, Part("terminal", "the terminal term")])
        ) { arguments, options, networks in
            var loss = ITVMLoss()
            loss.options = options
            loss.terminal = ITVMLoss.Terminal(rawValue: arguments.string("terminal")) ?? .laggedQuotient
            loss.lastStep = FixedStepMethod(rawValue: arguments.string("last_step")) ?? .heun
            (loss.offset, loss.isOffsetRelative) = (arguments.number("offset"), arguments.boolean("relative"))
            (loss.initialWeight, loss.terminalWeight) = (arguments.number("initial_weight"), arguments.number("terminal_weight"))
            guard loss.initialWeight + loss.terminalWeight > 0 else { throw RiffleError("itvm", "initial_weight and terminal_weight are both zero") }
            guard !loss.isOffsetRelative || loss.offset <= 1 else { throw RiffleError("itvm", "a relative offset is at most 1, got \(riffleFormat(loss.offset))") }
            loss.initialFraction = arguments.number("initial_fraction")
            return try loss(networks.student, networks.teacher!, networks.data, target: networks.target, networks.condition)
        },
        selfDistillation(
            "lsd", target: Shared.standingTarget, [], Doc("Lagrangian self-distillation: the velocity on the diagonal, its own answer at a jump's end.", formula: "L = E |u(x, s, s) - v|^2 + E |d/dt X(t) - sg u(X(t), t, t)|^2", source: "Boffi, Albergo and Vanden-Eijnden 2025, 2505.18825",
                parts: [Shared.velocityPart, Part("lsd", "the end of a jump against its own velocity")])
        ) { _ in .lagrangian },
        fromData(
            "tvm", target: Shared.standingTarget, times: "gap", [Argument("velocity_weight", .nonNegative, default: .number(1))],
            Doc("Terminal velocity matching: the derivative at a jump's end against the target's velocity.", formula: "L = E |d/dt X(t) - sg u*(X(t), t, t)|^2 + E |u(x, r, r) - v|^2", source: "Zhou et al. 2025, 2511.19797, eq. 9 and 12",
                parts: [Part("terminal", "the end of a jump against the target's velocity"), Shared.velocityPart])
        ) { arguments, options, networks in
            var loss = TVMLoss()
            (loss.options, loss.velocityWeight) = (options, arguments.number("velocity_weight"))
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        },
        Function(
            "flow.loss.fmm", [
                Shared.student, Shared.data, Shared.labels, Argument("invertibility_weight", .nonNegative, default: .number(1)),
            ] + Shared.shared(),
            Doc("Flow map matching from data alone, by jumps forward and backward. Returns the loss and its parts.", formula: "L = E |d/dt X_{s,t}(X_{t,s}(x_t)) - (x1 - x0)|^2 + E |X_{s,t}(X_{t,s}(x_t)) - x_t|^2", example: "> riffle.flow.loss.fmm(riffle.nn.mlp { width = 32 }:two_timed(), riffle.randn(8, 2)):shape()\n[]", source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
                parts: [Part("velocity", "the end of a jump against x1 - x0"), Part("invertibility", "the way back and forth")])
        ) { arguments in
            var loss = FMMLoss()
            (loss.options, loss.invertibilityWeight) = (try Shared.options(arguments), arguments.number("invertibility_weight"))
            return Shared.values(try loss(arguments.object("student"), arguments.tensor("x"), Shared.condition(arguments)))
        },
    ]

    // MARK: - Matched at a jump's start

    private static let eulerian: [Function] = [
        distillation(
            "efmd", target: Shared.unusedTarget, [
                Argument("gradient", .choice(LossGradient.allCases.map(\.rawValue)), "semi holds the transport constant", default: .string("full"))
            ],
            Doc("Eulerian flow map distillation: where a jump starts does not matter along the flow.", formula: "L = E |d/ds X + (v . grad) X|^2", source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
                parts: [Part("eulerian", "how the end moves with the start")])
        ) { arguments, options, networks in
            var loss = EFMDLoss()
            (loss.options, loss.gradient) = (options, LossGradient(rawValue: arguments.string("gradient")) ?? .full)
            return try loss(networks.student, networks.teacher!, networks.data, networks.condition)
        },
        selfDistillation(
            "esd", [], Doc("Eulerian self-distillation: the velocity on the diagonal, carried by the start of a jump.", formula: "L = E |u(x, s, s) - v|^2 + E |d/ds X + sg (u(x, s, s) . grad) X|^2", source: "Boffi, Albergo and Vanden-Eijnden 2025, 2505.18825",
                parts: [Shared.velocityPart, Part("esd", "how the end moves with the start")])
        ) { _ in .eulerian },
        meanFlow("meanflow", improved: false, Doc("MeanFlow: an average velocity by its identity with the instantaneous one.", formula: "L = E |u - sg (v + (t - s) D u)|^2, D along v", source: "Geng et al. 2025, 2505.13447, eq. 11",
                parts: [Shared.velocityPart, Part("meanflow", "the identity on the rest")])),
        meanFlow("imf", improved: true, Doc("Improved mean flows: the velocity that an average velocity implies.", formula: "L = E |u - (t - s) sg D u - v|^2, D along sg u(x, s, s)", source: "Geng et al. 2025, 2512.02012",
                parts: [Shared.velocityPart, Part("imf", "the identity on the rest")])),
        fromData(
            "alphaflow", [Argument("alpha", .fraction(1e-4...1), "1 is trajectory flow matching, towards 0 MeanFlow"), Shared.diagonal(0.25)],
            Doc("AlphaFlow: from trajectory flow matching over shortcuts to MeanFlow, by alpha.", formula: "L = E |u - sg (alpha v + (1 - alpha) u(x_m, m, t))|^2 / alpha, m = s + alpha (t - s)", source: "AlphaFlow, 2510.20771",
                parts: [Shared.velocityPart, Part("alphaflow", "the rest, divided by alpha^2")]), example: ", { alpha = 0.5 }"
        ) { arguments, options, networks in
            var loss = AlphaFlowLoss(alpha: arguments.number("alpha"))
            (loss.options, loss.diagonal) = (options, arguments.number("diagonal"))
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        },
        tangent(
            "ayf", [Argument("form", .choice(AYFLoss.Form.allCases.map(\.rawValue)), "which end moves", default: .string("eulerian"))],
            Doc("Align Your Flow: the student follows the normalised tangent of its own map.", formula: "L = E |u - sg (u* + g / (|g| + c))|^2, g = v - u* + r (t - s) D u* (eulerian)", source: "Sabour, Fidler and Kreis 2025, 2506.14603",
                parts: [Part("ayf", "the whole loss")])
        ) { arguments in
            var loss = AYFLoss()
            loss.form = AYFLoss.Form(rawValue: arguments.string("form")) ?? .eulerian
            return loss
        },
        tangent(
            "scm", student: Shared.steppingStudent, [], Doc("A continuous-time consistency model, with normalised tangents. The student may take one time.", formula: "L = E |u - sg (u* + g / (|g| + c))|^2, g = v - u* + r (1 - s) D u*, every jump to 1", source: "Lu and Song 2024, 2410.11081",
                parts: [Part("scm", "the whole loss")])
        ) { _ in AYFLoss.consistency },
    ]

    // MARK: - One jump for several

    private static let progressive: [Function] = [
        distillation(
            "pfmm", target: Shared.unusedTarget, [
                Argument("reach", .fraction(1e-6...1), "the longest jump", default: .number(1)),
                Argument("steps", .integer(1...1000), "of the teacher for one of the student", default: .integer(2)),
                Argument("method", .choice(FixedStepMethod.allCases.map(\.rawValue)), "how a velocity is followed; a two-timed teacher jumps", default: .string("heun")),
            ],
            Doc("Progressive flow map matching: one jump for several of the teacher's.", formula: "L = E |X_{s,t}(x_s) - X^_{m,t}(X^_{s,m}(x_s))|^2 / (t - s)^2, t - s <= reach", source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
                parts: [Part("progressive", "the whole loss")])
        ) { arguments, options, networks in
            var loss = PFMMLoss()
            (loss.options, loss.reach, loss.steps) = (options, arguments.number("reach"), arguments.integer("steps"))
            loss.method = FixedStepMethod(rawValue: arguments.string("method")) ?? .heun
            return try loss(networks.student, networks.teacher!, networks.data, networks.condition)
        },
        loss(
            "progressive", student: Shared.steppingStudent, teacher: Shared.teacher, target: Shared.unusedTarget, [Argument("steps", .integer(1...1_000_000), "the student's, from noise to data")],
            shared: Shared.path + Shared.measure(),
            Doc("Progressive distillation: one step for two of the teacher's. The student may take one time.", formula: "L = E |u(x, s, s + h) - (u'(x, s, s + h/2) + u'(x', s + h/2, s + h)) / 2|^2, h = 1 / steps", source: "Salimans and Ho 2022, 2202.00512",
                parts: [Part("progressive", "the whole loss")]), example: ", { steps = 8 }"
        ) { arguments, options, networks in
            var loss = ProgressiveLoss(steps: arguments.integer("steps"))
            loss.options = options
            return try loss(networks.student, networks.teacher!, networks.data, networks.condition)
        },
        selfDistillation(
            "psd", [Argument("cut", .choice(["middle", "uniform"]), "where a jump is cut in two: PSD-M or PSD-U", default: .string("middle"))],
            Doc("Progressive self-distillation: the velocity on the diagonal, one jump for two.", formula: "L = E |u(x, s, s) - v|^2 + E |u(x, s, t) - sg ((m - s) u(x, s, m) + (t - m) u(X(m), m, t)) / (t - s)|^2", source: "Boffi, Albergo and Vanden-Eijnden 2025, 2505.18825",
                parts: [Shared.velocityPart, Part("psd", "one jump against two")])
        ) { $0.string("cut") == "uniform" ? .uniform : .middle },
        fromData(
            "shortcut", [
                Argument("bootstrap", .fraction(0...1), "the part of the batch that learns jumps", default: .number(0.125)),
                Argument("depth", .integer(1...30), "the shortest half is 2^-depth", default: .integer(7)),
            ],
            Doc("Shortcut models, and with a teacher their distillation: a jump equals two of half its length.", formula: "L = E |u(x, s, s) - v|^2 + E |u(x, s, s + 2d) - sg (u*(x, s, s + d) + u*(x', s + d, s + 2d)) / 2|^2", source: "Frans et al. 2024, 2410.12557; with a teacher 2512.02636",
                parts: [Shared.velocityPart, Part("shortcut", "one jump against two")])
        ) { arguments, options, networks in
            var loss = ShortcutLoss()
            (loss.options, loss.bootstrap, loss.depth) = (options, arguments.number("bootstrap"), arguments.integer("depth"))
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        },
    ]

    // MARK: - Consistency

    private static let consistency: [Function] = [
        fromData(
            "consistency", student: Shared.steppingStudent, [
                Argument("steps", .integer(1...1_000_000), "equal ones, from each to the next; 32 where no stage is given", default: .none),
                Argument("stage", .integer(0...20), "of easy consistency tuning's schedule instead, on the linear path", default: .none),
                Argument("method", .choice(FixedStepMethod.allCases.map(\.rawValue)), "how the teacher is followed", default: .string("heun")),
            ],
            Doc("Consistency models: points of one trajectory lead to the same data. The student may take one time.", formula: "L = E |f(x_s, s) - sg f*(x_r, r)|^2, f(x, s) = x + (1 - s) u(x, s, 1), s < r", source: "Song et al. 2023, 2303.01469; Geng et al. 2024, 2406.14548",
                parts: [Part("consistency", "the whole loss")])
        ) { arguments, options, networks in
            guard !(arguments.has("steps") && arguments.has("stage")) else { throw RiffleError("consistency", "give steps or stage, not both") }
            var loss = ConsistencyLoss()
            loss.options = options
            loss.schedule = arguments.optionalInteger("stage").map { .ect(stage: $0) } ?? .even(arguments.optionalInteger("steps") ?? 32)
            loss.method = FixedStepMethod(rawValue: arguments.string("method")) ?? .heun
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        },
        fromData(
            "consistency_fm", student: Shared.steppingStudent, [
                Argument("segments", .integer(1...1000), "of time", default: .integer(2)),
                Argument("gap", .fraction(1e-6...1), "from one point to the next", default: .number(1e-3)),
                Argument("velocity_weight", .nonNegative, default: .number(1e-5)),
                Argument("boundary", .fraction(0...1), "from where on a segment's end is known; without a teacher", default: .number(0.9)),
            ],
            Doc("Consistency flow matching: straight lines to the ends of segments. The student may take one time.", formula: "L = E |f(x_s, s) - sg f*(x_r, r)|^2 + a |v(x_s, s) - sg v*(x_r, r)|^2, f(x, s) = x + (T - s) v(x, s)", source: "Yang et al. 2024, 2407.02398",
                parts: [Part("consistency", "where both points lead"), Part("velocity", "the velocities at both points")])
        ) { arguments, options, networks in
            var loss = ConsistencyFMLoss()
            (loss.options, loss.segments, loss.gap) = (options, arguments.integer("segments"), arguments.number("gap"))
            (loss.velocityWeight, loss.boundary) = (arguments.number("velocity_weight"), arguments.number("boundary"))
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        },
    ]

    // MARK: - Families

    /// What a loss is given.
    private struct Networks {
        let student: Network
        let teacher: Network?
        let data: Tensor
        let target: Network?
        let condition: Condition?
    }

    private typealias Body = @Sendable (Arguments, LossOptions, Networks) throws -> Loss

    private static let initialFraction = Argument("initial_fraction", .fraction(0...1), "the part of the batch that the initial term takes", default: .number(0.25))

    private static func loss(
        _ name: String, student: Argument = Shared.student, teacher: Argument, target: Argument, _ own: [Argument], shared: [Argument], _ doc: Doc,
        example: String, _ body: @escaping Body
    ) -> Function {
        let call = "> local teacher = riffle.nn.mlp { width = 32 }; return riffle.flow.loss.\(name)(teacher:two_timed(), teacher, riffle.randn(8, 2)\(example)):shape()\n[]"
        let doc = Doc("\(doc.summary) Returns the loss and its parts.", formula: doc.formula, example: call, source: doc.source, parts: doc.parts)
        return Function("flow.loss.\(name)", [student, teacher, Shared.data, target, Shared.labels] + own + shared, doc) { arguments in
            let networks = Networks(
                student: arguments.object("student"), teacher: arguments.optionalObject("teacher"), data: arguments.tensor("x"),
                target: arguments.optionalObject("target"), condition: Shared.condition(arguments))
            return Shared.values(try body(arguments, try Shared.options(arguments), networks))
        }
    }

    /// A loss that needs a teacher.
    private static func distillation(
        _ name: String, target: Argument = Shared.target, _ own: [Argument], _ doc: Doc, example: String = "", _ body: @escaping Body
    ) -> Function {
        loss(name, teacher: Shared.teacher, target: target, own, shared: Shared.shared(), doc, example: example, body)
    }

    /// A loss that learns from data alone where it has no teacher.
    private static func fromData(
        _ name: String, student: Argument = Shared.student, target: Argument = Shared.target, times: String = "uniform", adaptive: Double = 0,
        _ own: [Argument], _ doc: Doc, example: String = "", _ body: @escaping Body
    ) -> Function {
        loss(
            name, student: student, teacher: Shared.optionalTeacher, target: target, own, shared: Shared.shared(times: times, adaptive: adaptive),
            doc, example: example, body)
    }

    private static func selfDistillation(
        _ name: String, target: Argument = Shared.target, _ own: [Argument], _ doc: Doc, form: @escaping @Sendable (Arguments) -> SelfDistillationLoss.Form
    ) -> Function {
        fromData(name, target: target, own + [Shared.diagonal(0.75)], doc) { arguments, options, networks in
            var loss = SelfDistillationLoss(form(arguments))
            (loss.options, loss.diagonal) = (options, arguments.number("diagonal"))
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        }
    }

    private static func meanFlow(_ name: String, improved: Bool, _ doc: Doc) -> Function {
        fromData(name, adaptive: 0.75, [Shared.diagonal(0.25)], doc) { arguments, options, networks in
            var loss = MeanFlowLoss()
            (loss.options, loss.diagonal, loss.isImproved) = (options, arguments.number("diagonal"), improved)
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        }
    }

    private static func tangent(
        _ name: String, student: Argument = Shared.student, _ own: [Argument], _ doc: Doc, make: @escaping @Sendable (Arguments) -> AYFLoss
    ) -> Function {
        let arguments = own + [
            Argument("warmup", .fraction(0...1), "r: how much of the tangent's derivative counts", default: .number(1)),
            Argument("normaliser", .nonNegative, "c; nothing is normalised where it is 0", default: .number(0.1)),
        ]
        return fromData(name, student: student, arguments, doc) { arguments, options, networks in
            var loss = make(arguments)
            (loss.options, loss.warmup) = (options, arguments.number("warmup"))
            loss.normaliser = arguments.number("normaliser") > 0 ? arguments.number("normaliser") : nil
            return try loss(networks.student, networks.teacher, networks.data, target: networks.target, networks.condition)
        }
    }
}
