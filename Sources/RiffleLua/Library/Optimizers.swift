import RiffleIO
import RiffleNN
import RiffleRuns
import RiffleTensor

/// Optimizers, averages and schedules.
enum OptimizerLibrary {
    private static let parameters = Argument("parameters", .any, "a module, or a list of parameters")
    private static let step = Argument("step", .integer(0...Int.max), "counted from 1")
    private static let peak = Argument("peak", .nonNegative)

    static let functions: [Function] = [
        Function(
            "optim.adamw", [parameters] + AdamW.Settings.options.arguments(of: .usual),
            Doc(
                "AdamW: Adam with decoupled weight decay.",
                example: "> riffle.optim.adamw(riffle.nn.linear(2, 1), { lr = 1e-2 }).lr\n0.01",
                source: "Loshchilov and Hutter 2019")
        ) { arguments in
            let settings = AdamW.Settings.options.read(arguments, into: .usual)
            return [.object(try named(read(arguments[named: "parameters"])) { try AdamW($0, settings) })]
        },
        Function(
            "optim.sgd", [parameters] + SGD.Settings.options.arguments(of: .usual),
            Doc(
                "Stochastic gradient descent with momentum.",
                example: "> riffle.optim.sgd(riffle.nn.linear(2, 1), { lr = 0.1, momentum = 0.9 }).lr\n0.1")
        ) { arguments in
            let settings = SGD.Settings.options.read(arguments, into: .usual)
            return [.object(try named(read(arguments[named: "parameters"])) { try SGD($0, settings) })]
        },
        Function(
            "optim.ema",
            [
                Argument("net", .object("module")),
                Argument(
                    "decay", .fraction(0...0.9999999), "how much of the average stays at an update", default: .none),
                Argument("half_life", .positive, "the same in updates; give one of the two", default: .none),
                Argument(
                    "warmup", .boolean, "whether early updates forget faster: min(decay, (1 + n) / (10 + n))",
                    default: .boolean(true)),
            ],
            Doc(
                "An exponential moving average of a network, in a frozen copy, `model`, whose files keep the updates "
                    + "done.",
                example:
                    """
                    > local net, path = riffle.nn.linear(2, 1), os.tmpname()
                    > local average = riffle.optim.ema(net, { decay = 0.99 })
                    > average:update()
                    > average.model:save(path)
                    > local later = riffle.optim.ema(net, { decay = 0.99 })
                    > later.model:load(path)
                    > os.remove(path)
                    > later.updates
                    1
                    """
            )
        ) { arguments in
            guard arguments.has("decay") != arguments.has("half_life") else {
                throw RiffleError("optim.ema", "give decay or half_life, one of the two")
            }
            let decay = try arguments.optionalNumber("decay") ?? EMA.decay(halfLife: arguments.number("half_life"))
            return [.object(try EMA(arguments.object("net"), decay: decay, warmup: arguments.boolean("warmup")))]
        },
        Function(
            "optim.power_ema",
            [
                Argument("net", .object("module")),
                Argument(
                    "lengths", .list(.positive), "relative to the steps so far, up to 0.2886; { 0.05, 0.10 }",
                    default: .none),
            ],
            Doc(
                "Power-function averages of a network, from which averages of any length are made after training.",
                formula: "average <- beta average + (1 - beta) net, beta = (1 - 1/t)^(gamma + 1)",
                example:
                    """
                    > local average = riffle.optim.power_ema(riffle.nn.linear(2, 1))
                    > average:update()
                    > average.steps, average.lengths, #average.models
                    1\t[0.05, 0.1]\t2
                    """,
                source: "Karras et al. 2024, EDM2, 2312.02696")
        ) { arguments in
            let lengths = arguments.numbers("lengths")
            return [
                .object(
                    arguments.has("lengths")
                        ? try PowerEMA(arguments.object("net"), lengths: lengths)
                        : try PowerEMA(arguments.object("net")))
            ]
        },
        Function(
            "optim.reconstruct_ema",
            [
                Argument("net", .object("module"), "what is set to the average"),
                Argument("snapshots", .list(.string), "files of average:snapshot"),
                Argument("length", .positive, "of the average wanted, up to 0.2886"),
                Argument(
                    "step", .integer(1...Int.max),
                    "where it ends; at the last snapshot when not given", default: .none),
            ],
            Doc(
                "Sets a network to a power-function average of any length. Returns it and { error, weights } of the "
                    + "fit.",
                example:
                    """
                    > local net, prefix = riffle.nn.linear(2, 1), os.tmpname()
                    > local average = riffle.optim.power_ema(net)
                    > average:update()
                    > local files = average:snapshot(prefix)
                    > local _, fit = riffle.optim.reconstruct_ema(net, { snapshots = files, length = 0.07 })
                    > for _, file in ipairs { prefix, table.unpack(files) } do os.remove(file) end
                    > #files, #fit.weights
                    2\t2
                    """,
                source: "Karras et al. 2024, EDM2, section 3.2")
        ) { arguments in
            let paths = arguments.strings("snapshots"),
                net = arguments.object("net", as: Module.self)
            let mixture = try PowerEMA.reconstruct(
                net, snapshots: paths, length: arguments.number("length"), step: arguments.optionalInteger("step"))
            return [
                .object(net),
                .table(["error": .number(mixture.error), "weights": .list(mixture.weights.map(Value.number))]),
            ]
        },
        Function(
            "optim.cosine",
            [
                step, peak, Argument("total", .integer(1...Int.max), "steps"),
                Argument("warmup", .integer(0...Int.max), "steps", default: .integer(0)),
                Argument("floor", .nonNegative, "the rate at the end", default: .number(0)),
            ],
            Doc(
                "A learning rate that rises to its peak in a line, then falls along half a cosine.",
                example: "> riffle.optim.cosine(100, { peak = 1, total = 100 })\n0.0")
        ) { arguments in
            [
                .number(
                    Schedule.cosine(
                        arguments.integer("step"), peak: arguments.number("peak"), warmup: arguments.integer("warmup"),
                        total: arguments.integer("total"),
                        floor: arguments.number("floor")))
            ]
        },
        Function(
            "optim.warmup", [step, peak, Argument("steps", .integer(0...Int.max))],
            Doc(
                "A learning rate that rises to its peak in a line and stays.",
                example: "> riffle.optim.warmup(5, { peak = 1, steps = 10 })\n0.5")
        ) { [.number(Schedule.warmup($0.integer("step"), peak: $0.number("peak"), steps: $0.integer("steps")))] },
    ]

    /// The parameters of a module without the bases under adapters, or those of a list, with the names that they go by.
    private static func read(_ value: Value) throws -> [NamedParameter] {
        if case .object(let module as Module) = value { return module.learnedParameters }
        // By name, as net:parameters() gives them.
        var items = value.list.enumerated().map { ("\($0 + 1)", $1) }
        if case .table(let table) = value { items = table.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
        let found = items.map { name, item in
            let arguments = Arguments([item])
            return arguments.optionalObject(0, as: Module.self).map(\.learnedParameters)
                ?? arguments.optionalObject(0, as: Parameter.self).map { [NamedParameter(name, $0)] }
        }
        let known = found.compactMap { $0 }
        guard known.count == found.count, !known.isEmpty else {
            let got = known.count == found.count ? value.described : "\(value.described) with something else in it"
            throw RiffleError(
                "", "argument 1 'parameters' must be a module, a parameter, or a list of them, got \(got)")
        }
        return known.flatMap { $0 }
    }

    /// An optimizer that names its parameters in messages.
    private static func named<Made: Optimizer>(_ parameters: [NamedParameter], _ make: ([Parameter]) throws -> Made)
        throws -> Made
    {
        let optimizer = try make(parameters.map(\.parameter))
        let names = Dictionary(
            parameters.map { (ObjectIdentifier($0.parameter), $0.name) }, uniquingKeysWith: { first, _ in first })
        optimizer.names = optimizer.parameters.map { names[ObjectIdentifier($0)] ?? "" }
        return optimizer
    }

    /// A step. In a run that survives numbers that went wrong, such a step changes nothing and returns NaN.
    private static func step(_ optimizer: Optimizer, _ loss: Tensor?, _ parts: Value) throws -> [Value] {
        func report(_ loss: Value, _ norm: Double) -> [Value] {
            [.table(["grad_norm": .number(norm), "loss": loss, "parts": parts])]
        }
        do {
            let made = try optimizer.step(loss)
            if let loss = made.loss { Progress.note(loss: loss) }
            return report(made.loss.map(Value.number) ?? .none, made.gradientNorm)
        } catch let error as RiffleError where error.kind == .notFinite && survives(error) {
            optimizer.clearGradients()
            return report(.number(.nan), .nan)
        }
    }

    /// A part of a step. In a run that survives numbers that went wrong, the whole step is then given up.
    private static func accumulate(_ optimizer: Optimizer, _ loss: Tensor, weight: Double) throws -> Double {
        do { return try optimizer.accumulate(loss, weight: weight) } catch let error as RiffleError
            where error.kind == .notFinite && survives(error)
        {
            optimizer.giveUpStep()
            return .nan
        }
    }

    private static func survives(_ error: RiffleError) -> Bool {
        OpenRuns.looping?.survives(Run.BadStep(error.message, parts: LossLibrary.lastParts)) ?? false
    }

    static let classes: [ObjectClass] = [
        ObjectClass(
            "optimizer", Optimizer.self, Doc("Changes parameters against their gradients."),
            methods: [
                Method(
                    "step",
                    [
                        Argument("loss", .tensor, "differentiated first, where given", default: .none),
                        Argument(
                            "parts", .unread, "what a loss returns second, which the result holds unread",
                            default: .none),
                    ],
                    Doc(
                        "Differentiates the loss, clips, updates every parameter and clears gradients. Returns loss, "
                            + "grad_norm and parts.",
                        example:
                            """
                            > local w = riffle.parameter(riffle.tensor { 1 })
                            > return riffle.optim.sgd({ w }, { lr = 0.1 }):step((w * w):sum()).grad_norm
                            2.0
                            """
                    )
                ) { try step($0, $1.optionalTensor("loss"), $1[named: "parts"]) },
                Method(
                    "accumulate",
                    [
                        Argument("loss", .tensor, "of a part of a batch"),
                        Argument("weight", .positive, "the part's share of the batch, such as 1 / 4"),
                    ],
                    Doc(
                        "Adds a loss's weighted gradients, for a step over parts of a batch. Returns the loss's "
                            + "number.",
                        example:
                            """
                            > local w = riffle.parameter(riffle.tensor { 1 })
                            > local opt = riffle.optim.sgd({ w }, { lr = 0.1 })
                            > for i = 1, 4 do opt:accumulate((w * i):sum(), 1 / 4) end
                            > return opt:step().loss
                            2.5
                            """
                    )
                ) { [.number(try accumulate($0, $1.tensor(0), weight: $1.number(1)))] },
                Method("zero_grad", [], Doc("Clears the gradients of all parameters.")) { optimizer, _ in
                    optimizer.clearGradients()
                    return []
                },
            ],
            properties: [
                Property(
                    "lr", .nonNegative, "The learning rate.", get: { .number($0.learningRate) },
                    set: { try $0.set(learningRate: $1.number(0)) }),
                Property("steps", .integer(0...Int.max), "Steps done.", get: { .integer($0.steps) }),
            ],
            describe: {
                "optimizer of \($0.parameters.count) parameters, lr \(riffleFormat($0.learningRate)), \($0.steps) "
                    + "steps done"
            }),
        ObjectClass(
            "ema", EMA.self, Doc("An average of a network over its training."),
            methods: [
                Method("update", [], Doc("Updates the average with the network as it is now.")) { average, _ in
                    try average.update()
                    return []
                }
            ],
            properties: [
                Property("model", .object("module"), "The averaged network, frozen.", get: { .object($0.model) }),
                Property("decay", .number, "How much of the average stays at an update.", get: { .number($0.decay) }),
                Property(
                    "updates", .integer(UpdateCount.range), "Updates done; files of the model keep the number.",
                    get: { .integer($0.updates) }, set: { $0.updates = $1.integer(0) }),
            ],
            describe: { "ema with decay \(riffleFormat($0.decay)), \($0.updates) updates done" }),
        ObjectClass(
            "power_ema", PowerEMA.self,
            Doc("Power-function averages of a network over its training, a frozen copy for each length."),
            methods: [
                Method("update", [], Doc("Updates every average with the network as it is now.")) { average, _ in
                    try average.update()
                    return []
                },
                Method(
                    "model", [Argument("i", .integer(1...1_000_000), "which of the lengths", default: .integer(1))],
                    Doc(
                        "The averaged network of a length, frozen.",
                        example: "> riffle.optim.power_ema(riffle.nn.linear(2, 1)):model(2):count()\n3")
                ) { average, arguments in
                    let (models, index) = (average.models, arguments.integer("i"))
                    guard index <= models.count else {
                        throw RiffleError("", "there are \(models.count) averages, got \(index)")
                    }
                    return [.object(models[index - 1])]
                },
                Method(
                    "snapshot", [Argument("prefix", .string, "of the files' names, such as runs/a")],
                    Doc(
                        "Writes each average to <prefix>-<step>-<length>.safetensors, whole or not at all. Returns the "
                            + "paths."
                    )
                ) { [.list(try $0.snapshot($1.string("prefix")).map(Value.string))] },
            ],
            properties: [
                Property(
                    "models", .list(.object("module")), "The averaged networks, frozen.",
                    get: { .list($0.models.map(Value.object)) }),
                Property(
                    "lengths", .list(.number), "Relative to the steps so far.",
                    get: { .list($0.lengths.map(Value.number)) }),
                Property(
                    "steps", .integer(UpdateCount.range), "Updates done; files of the models keep the number.",
                    get: { .integer($0.steps) }, set: { $0.steps = $1.integer(0) }),
            ],
            describe: {
                "power_ema of lengths \($0.lengths.map(riffleFormat).joined(separator: ", ")), \($0.steps) updates done"
            }),
    ]
}
