import RiffleIO
import RiffleNN
import RiffleRuns
import RiffleTensor

/// Whole networks, and what every module can do.
enum NetworkLibrary {
    private static let module = Argument("module", .object("module"))
    static let functions: [Function] =
        NetworkForm.all.map { form in
            Function("nn.\(form.name)", form.arguments, form.doc) { [.object(try form($0))] }
        } + [
            Function(
                "nn.load",
                [
                    Argument(
                        "path", .string,
                        "written by net:save, that of an average too, a run's checkpoint, or diffusers' folder of an "
                            + "autoencoder"),
                    Argument(
                        "entry", .string, "the tracked network or average of a checkpoint, such as 'net'",
                        default: .none),
                ],
                Doc(
                    "Makes a network from its file alone, with form, options and numbers as they are there.",
                    example:
                        """
                        > local path = os.tmpname(); riffle.nn.mlp { width = 32, depth = 2 }:two_timed():save(path)
                        > local net = riffle.nn.load(path); os.remove(path); return net:times(), net:count()
                        2\t8546
                        """)
            ) { arguments in
                let path = arguments.string("path")
                if let autoencoder = try AutoencoderLibrary.open(path) { return [.object(autoencoder)] }
                let file = try NetworkFile(path)
                return [.object(try file.network(arguments.optionalString("entry")))]
            },
            Function(
                "nn.feature_network", [Argument("name", .choice(FeatureNetwork.published.map(\.title)))],
                Doc(
                    "A published classifier of pictures, with random weights before net:load(path). "
                        + "metrics.features(net) makes features of pictures by it.",
                    shapes: "x [n, height, width, 3], scaled as its authors did -> logits [n, classes]",
                    example: "> riffle.nn.feature_network(\"squeezenet1.1\"):count()\n1235496")
            ) { arguments in
                let form = FeatureNetwork.published.first { $0.title == arguments.string(0) } ?? Inception.self
                return [.object(try form.init(start: .fanIn))]
            },
            Function(
                "nn.classifier",
                [
                    Argument("classes", .integer(2...65_536), "labels, which count from 1"),
                    Argument(
                        "size", .integer(16...1024), "the side of the pictures that it is trained on",
                        default: .integer(32)),
                    Argument(
                        "channels", .integer(8...1024), "of the first level, a multiple of 8", default: .integer(32)),
                ],
                Doc(
                    "A small classifier to train, whose file metrics.features and metrics.perceptual take.",
                    shapes: "x [n, height, width, 3] from -1 to 1 -> logits [n, classes]",
                    example: "> riffle.nn.classifier(10)(riffle.zeros(2, 32, 32, 3)):shape()\n[2, 10]")
            ) {
                [
                    .object(
                        try Classifier(
                            classes: $0.integer("classes"), side: $0.integer("size"), channels: $0.integer("channels")))
                ]
            },
            Function(
                "network:two_timed",
                [
                    Argument("net", .object("network")),
                    Argument(
                        "decoupled", .integer(0...1000),
                        "how many of the last blocks of a DiT or MM-DiT see t, by the embedding that is there, and the "
                            + "others s", default: .none),
                ],
                Doc(
                    "A student of this network: a copy that takes a second time and equals it at first.",
                    formula: "u(x, s, t) = v(x, s) at first; u(x, s, s) = v(x, s) where decoupled",
                    example: "> riffle.nn.mlp { width = 32 }:two_timed():times()\n2",
                    source: "decoupled: Lee et al. 2025, 2510.24474")
            ) {
                let decoupled = $0.optionalInteger("decoupled")
                return [.object(try $0.object(0, as: Network.self).twoTimed(decoupled: decoupled))]
            },
            Function(
                "network:times", [Argument("net", .object("network"))],
                Doc(
                    "1 for a velocity v(x, t), 2 for an average velocity u(x, s, t).",
                    example: "> riffle.nn.mlp { width = 32 }:times()\n1")
            ) { [.integer($0.object(0, as: Network.self).times)] },
            Function(
                "module:parameters", [module],
                Doc(
                    "Every parameter under its full name.",
                    example: "> riffle.nn.linear(2, 3):parameters()[\"weight\"]:shape()\n[3, 2]")
            ) {
                let named = $0.object(0, as: Module.self).parameters
                return [
                    .table(
                        Dictionary(
                            named.map { ($0.name, Value.object($0.parameter)) }, uniquingKeysWith: { first, _ in first }
                        ))
                ]
            },
            Function(
                "module:copy",
                [
                    module,
                    Argument("frozen", .boolean, "whether the copy takes no gradients", default: .boolean(false)),
                ],
                Doc("A copy with parameters of its own.", example: "> riffle.nn.linear(2, 3):copy():count()\n9")
            ) { [.object(try $0.object(0, as: Module.self).copied(trainable: !$0.boolean(1)))] },
            Function(
                "module:train", [module],
                Doc("Turns dropout on, and returns the module.", example: "> riffle.nn.linear(2, 3):train():count()\n9")
            ) {
                $0.object(0, as: Module.self).isTraining = true
                return [$0[0]]
            },
            Function(
                "module:eval", [module],
                Doc("Turns dropout off, and returns the module.", example: "> riffle.nn.linear(2, 3):eval():count()\n9")
            ) {
                $0.object(0, as: Module.self).isTraining = false
                return [$0[0]]
            },
            Function(
                "module:save", [module, Argument("path", .string)],
                Doc(
                    "Writes every parameter and buffer to a safetensors file, whole or not at all, and what "
                        + "riffle.nn.load needs.",
                    example: "> riffle.nn.linear(2, 3):save(os.tmpname())")
            ) {
                try $0.object(0, as: Module.self).save(to: $0.string(1))
                return []
            },
            Function(
                "module:load",
                [
                    module, Argument("path", .string, "a file that data.load reads"),
                    Argument(
                        "strict", .boolean,
                        "whether every name has to be there, and no other", default: .boolean(true)),
                ] + TensorFileLibrary.part,
                Doc(
                    "Reads weights from a file, all or none. Returns the module, missing and unexpected names.",
                    example:
                        """
                        > local path = os.tmpname(); riffle.nn.linear(2, 3):save(path)
                        > return riffle.nn.linear(2, 3):load(path):count()
                        9
                        """
                )
            ) { arguments in
                let module = arguments.object(0, as: Module.self)
                let names = try module.load(
                    from: arguments.string(1), part: arguments.part, strict: arguments.boolean(2))
                return [
                    .object(module), .list(names.missing.map(Value.string)), .list(names.unexpected.map(Value.string)),
                ]
            },
        ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "network", Network.self,
            Doc("A network over samples and times, [n] or a number for all: net(x, t), or net(x, s, t) with two."),
            extends: "module",
            properties: [
                Property(
                    "recompute", .boolean,
                    "Whether training keeps the inputs of blocks alone, see nn.mmdit; copies take it over.",
                    get: { .boolean($0.recomputes) }, set: { try recompute($0, $1.boolean(0)) })
            ],
            call: { try call($0, $1) }, index: { try part(of: $0, $1) },
            convert: { if case .object(let function as LuaFunction) = $0 { LuaVelocity(function) } else { nil } },
            describe: { $0.description }),
        ObjectClass(
            "loss_weight", LossWeight.self, Doc("What weighs losses by the times s and t of their jumps."),
            extends: "module",
            convert: { if case .object(let function as LuaFunction) = $0 { LuaWeight(function) } else { nil } },
            describe: { $0.description }),
        ObjectClass(
            "module", Module.self,
            Doc("A part of a network, or a whole one: parameters, parts and a function, net(x, t)."),
            methods: [
                Method(
                    "count", [],
                    Doc("How many numbers the parameters hold.", example: "> riffle.nn.linear(2, 3):count()\n9")
                ) { module, _ in
                    [.integer(module.count)]
                }
            ],
            call: { try call($0, $1) }, index: { try part(of: $0, $1) }, describe: { $0.description }),
    ]

    private static func recompute(_ network: Network, _ recomputes: Bool) throws {
        guard type(of: network).hasBlocks else {
            throw RiffleError("", "a \(network.kind) has no blocks that could be computed again")
        }
        network.recomputes = recomputes
    }

    /// The tensors that inputs are, in which a number is a time of all samples, and a list of tensors, such as a
    /// text's, stands for as many inputs.
    static func tensors(_ module: Module, _ inputs: [Value]) throws -> [Tensor] {
        let inputs = inputs.flatMap { input in
            guard case .list(let items) = input, items.allSatisfy({ Arguments([$0]).optionalTensor(0) != nil }) else {
                return [input]
            }
            return items
        }
        let sample = inputs.first.flatMap { Arguments([$0]).optionalTensor(0) }
        return try inputs.enumerated().map { index, input -> Tensor in
            if let tensor = Arguments([input]).optionalTensor(0) { return tensor }
            let isTime = index >= 1 && index <= module.times
            if isTime, let sample, sample.dtype.isFloating, let n = sample.shape.sizes.first,
                let t = Arguments([input]).optionalNumber(0)
            {
                return try .full([n], t, sample.dtype)
            }
            throw RiffleError(
                module.kind,
                "argument \(index + 1) must be a tensor\(isTime ? " or a number" : ""), got \(input.described)")
        }
    }

    private static func call(_ module: Module, _ inputs: [Value]) throws -> [Value] {
        let tensors = try tensors(module, inputs)
        guard module.arity.contains(tensors.count) else {
            throw RiffleError(module.kind, "one tensor is needed, got \(tensors.count)")
        }
        return [.tensor(try module.forward(tensors))]
    }

    static func part(of module: Module, _ key: Value) throws -> Value? {
        guard case .string(let name) = key else { return nil }
        if let module = module as? LuaModule { return module.part(name) }
        if let child = module.children.first(where: { $0.name == name }) { return .object(child.module) }
        return (module.ownParameters + module.ownBuffers).first { $0.name == name }.map { .object($0.parameter) }
    }
}
