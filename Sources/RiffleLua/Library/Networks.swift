import RiffleIO
import RiffleNN
import RiffleTensor

/// Whole networks, and what every module can do.
enum NetworkLibrary {
    private static let module = Argument("module", .object("module"))
    private static let precision = Argument(
        "precision", .choice(Precision.allCases.map(\.rawValue)),
        "of products: bf16 rounds their factors where the processor has matrix tiles (AMX), which is faster, and is float32 elsewhere; sums and parameters stay float32",
        default: .string(Precision.float32.rawValue))
    private static func labels(nullClass: Bool = false) -> [Argument] {
        [
            Argument("classes", .integer(1...1_000_000), "how many labels choose from", default: .none),
            Argument("null_class", .boolean, "whether one more label, classes + 1, stands for none", default: .boolean(nullClass)),
        ]
    }

    static let functions: [Function] = [
        Function(
            "nn.mlp", [
                Argument("dim", .integer(1...100_000), "of a sample", default: .integer(2)),
                Argument("width", .integer(1...100_000), "of the hidden layers", default: .integer(256)),
                Argument("depth", .integer(1...1000), "hidden layers", default: .integer(4)),
                Argument("frequency", .positive, "the largest of the time embedding, in rad", default: .number(30)),
            ] + labels() + [precision],
            Doc("A velocity network for points: linear layers with SiLU, the time added to the first.", shapes: "x [n, dim], t [n] (, labels [n]) -> [n, dim]", example: "> riffle.nn.mlp { dim = 2, width = 64 }:count()\n25282")
        ) { arguments in
            made(try MLP(.init(
                dim: arguments.integer("dim"), width: arguments.integer("width"), depth: arguments.integer("depth"),
                frequency: arguments.number("frequency"), conditioning: try conditioning(arguments))), arguments)
        },
        Function(
            "nn.unet", [
                Argument("image", .list(.integer(1...65536)), "{ height, width, channels }"),
                Argument("channels", .integer(32...65536), "of the first level, a multiple of 32", default: .integer(128)),
                Argument("multipliers", .list(.integer(1...1024)), "the width of each level in units of channels; { 1, 2, 2, 2 }", default: .none),
                Argument("blocks", .integer(1...64), "residual blocks a level", default: .integer(2)),
                Argument(
                    "attention", .list(.integer(1...65536)),
                    "image widths at which it acts besides the middle, each that of a level; torchcfm's when not given: where the "
                        + "image is as many times smaller as 16 goes whole into its width, so at 16 of 32 and 28 of 28",
                    default: .none),
                Argument("heads", .integer(1...1024), "of attention, instead of head_channels", default: .none),
                Argument("head_channels", .integer(1...65536), "channels of a head, all of them where there are fewer; 64 when neither it nor heads is given", default: .none),
                Argument("dropout", .fraction(0...0.999), default: .number(0)),
                Argument("scale_shift", .boolean, "whether the time scales and shifts the second norm", default: .boolean(false)),
                Argument("residual_resampling", .boolean, "whether residual blocks halve and double the image", default: .boolean(false)),
                Argument("frequency", .positive, "the largest of the time embedding, in rad", default: .number(1)),
            ] + labels() + [precision],
            Doc("A velocity network for images: guided diffusion's U-Net as torchcfm has it, with the same names in files.", shapes: "x [n, height, width, channels], t [n] (, labels [n]) -> as x", example: "> riffle.nn.unet { image = { 8, 8, 3 }, channels = 32, multipliers = { 1 }, blocks = 1, attention = {} }:count()\n163331", source: "Dhariwal and Nichol 2021; Tong et al. 2023")
        ) { made(try UNet(unet($0)), $0) },
        Function(
            "nn.dit", [
                Argument("image", .list(.integer(1...65536)), "{ height, width, channels }"),
                Argument("patch", .integer(1...65536), "pixels along the side of a patch", default: .integer(2)),
                Argument("size", .choice(DiT.Size.allCases.map(\.rawValue)), "width, depth and heads by the published name", default: .string("S")),
                Argument("width", .integer(4...65536), "instead of the size's", default: .none),
                Argument("depth", .integer(1...1000), "blocks, instead of the size's", default: .none),
                Argument("heads", .integer(1...1024), "of attention, instead of the size's", default: .none),
                Argument("learned_sigma", .boolean, "whether the last layer also has diffusion's variances, which are dropped", default: .boolean(false)),
                Argument("frequency", .positive, "the largest of the time embedding, in rad", default: .number(1000)),
            ] + labels(nullClass: true) + [precision],
            Doc("A velocity network for images: the diffusion transformer, with the published checkpoints' names in files.", shapes: "x [n, height, width, channels], t [n] (, labels [n]) -> as x", example: "> riffle.nn.dit { image = { 8, 8, 3 }, width = 32, depth = 2, heads = 4 }:count()\n50028", source: "Peebles and Xie 2023; Ma et al. 2024 (SiT: learned_sigma = true, frequency = 1)")
        ) { made(try DiT(dit($0)), $0) },
        Function(
            "nn.mmdit", [
                Argument("image", .list(.integer(1...65536)), "{ height, width, channels }, in practice of latents (in_channels = out_channels)"),
                Argument("patch", .integer(1...65536), "pixels along the side of a patch (patch_size)", default: .integer(2)),
                Argument("depth", .integer(1...1000), "blocks (num_layers)", default: .integer(12)),
                Argument("heads", .integer(1...1024), "of attention; as many as blocks when not given (num_attention_heads)", default: .none),
                Argument("head_channels", .integer(1...65536), "channels of a head; heads x head_channels is the width (attention_head_dim)", default: .integer(64)),
                Argument("tokens", .integer(1...1_000_000), "width of a text's tokens (joint_attention_dim)", default: .integer(4096)),
                Argument("summary", .integer(1...1_000_000), "width of a text's summary (pooled_projection_dim)", default: .integer(2048)),
                Argument("qk_norm", .boolean, "whether each head's queries and keys are normalised (qk_norm = \"rms_norm\")", default: .boolean(false)),
                Argument("dual_layers", .list(.integer(1...1000)), "blocks, from 1, whose image also attends to itself alone (dual_attention_layers, from 0)", default: .none),
                Argument("max_size", .integer(1...65536), "side of the table of positions, in patches; the image's when not given (pos_embed_max_size)", default: .none),
                Argument("sample_size", .integer(1...65536), "side of the images that a new table is scaled for; the image's when not given", default: .none),
                Argument("frequency", .positive, "the largest of the time embedding, in rad", default: .number(1000)),
                Argument("time_of_noise", .boolean, "whether the weights count time from data and predict noise - data, as published ones do", default: .boolean(true)),
                precision,
            ],
            Doc("A velocity network for images and text: diffusers' SD3 transformer, with its names in files (and here in parentheses).", shapes: "x [n, height, width, channels], t [n], tokens [n, length, tokens], summary [n, summary] -> as x", example: "> local net = riffle.nn.mmdit { image = { 4, 4, 2 }, depth = 2, heads = 2, head_channels = 8, tokens = 6, summary = 5 }\n> net(riffle.ones(1, 4, 4, 2), riffle.zeros(1), riffle.ones(1, 3, 6), riffle.ones(1, 5)):shape()\n[1, 4, 4, 2]", source: "Esser et al. 2024")
        ) { made(try MMDiT(mmdit($0)), $0) },
        Function(
            "network:two_timed", [Argument("net", .object("network"))],
            Doc("A student of this network: a copy that takes a second time and equals it at first.", formula: "u(x, s, t) = v(x, s) at first", example: "> riffle.nn.mlp { width = 32 }:two_timed():times()\n2")
        ) { [.object(try $0.object(0, as: Network.self).twoTimed())] },
        Function(
            "network:times", [Argument("net", .object("network"))],
            Doc("1 for a velocity v(x, t), 2 for an average velocity u(x, s, t).", example: "> riffle.nn.mlp { width = 32 }:times()\n1")
        ) { [.integer($0.object(0, as: Network.self).times)] },
        Function("module:parameters", [module], Doc("Every parameter under its full name.", example: "> riffle.nn.linear(2, 3):parameters()[\"weight\"]:shape()\n[3, 2]")) {
            let named = $0.object(0, as: Module.self).parameters
            return [.table(Dictionary(named.map { ($0.name, Value.object($0.parameter)) }, uniquingKeysWith: { first, _ in first }))]
        },
        Function(
            "module:copy", [module, Argument("frozen", .boolean, "whether the copy takes no gradients", default: .boolean(false))],
            Doc("A copy with parameters of its own.", example: "> riffle.nn.linear(2, 3):copy():count()\n9")
        ) { [.object(try $0.object(0, as: Module.self).copied(trainable: !$0.boolean(1)))] },
        Function("module:train", [module], Doc("Turns dropout on, and returns the module.", example: "> riffle.nn.linear(2, 3):train():count()\n9")) {
            $0.object(0, as: Module.self).isTraining = true
            return [$0[0]]
        },
        Function("module:eval", [module], Doc("Turns dropout off, and returns the module.", example: "> riffle.nn.linear(2, 3):eval():count()\n9")) {
            $0.object(0, as: Module.self).isTraining = false
            return [$0[0]]
        },
        Function(
            "module:save", [module, Argument("path", .string)],
            Doc("Writes every parameter and buffer, and an average's updates, to a safetensors file, whole or not at all.", example: "> riffle.nn.linear(2, 3):save(os.tmpname())")
        ) {
            try $0.object(0, as: Module.self).save(to: $0.string(1))
            return []
        },
        Function(
            "module:load", [
                module, Argument("path", .string), Argument("strict", .boolean, "whether every name has to be there, and no other", default: .boolean(true)),
            ],
            Doc("Reads a safetensors file, all or nothing. Returns the module, missing and unexpected names.", example: "> local path = os.tmpname(); riffle.nn.linear(2, 3):save(path); return riffle.nn.linear(2, 3):load(path):count()\n9")
        ) { arguments in
            let module = arguments.object(0, as: Module.self)
            let names = try module.load(from: arguments.string(1), strict: arguments.boolean(2))
            return [.object(module), .list(names.missing.map(Value.string)), .list(names.unexpected.map(Value.string))]
        },
    ]

    /// A new network with what all of them have.
    private static func made(_ network: Network, _ arguments: Arguments) -> [Value] {
        network.precision = Precision(rawValue: arguments.string("precision")) ?? .float32
        return [.object(network)]
    }

    private static func unet(_ arguments: Arguments) throws -> UNet.Configuration {
        guard !(arguments.has("heads") && arguments.has("head_channels")) else {
            throw RiffleError("", "heads and head_channels both tell how attention is divided; give one of them")
        }
        var c = UNet.Configuration(image: arguments.shape("image"))
        c.channels = arguments.integer("channels")
        if arguments.has("multipliers") { c.multipliers = arguments.integers("multipliers") }
        c.blocks = arguments.integer("blocks")
        if arguments.has("attention") { c.attention = arguments.integers("attention") }
        c.heads = arguments.optionalInteger("heads") ?? c.heads
        c.headChannels = arguments.optionalInteger("head_channels") ?? (arguments.has("heads") ? nil : c.headChannels)
        c.dropout = arguments.number("dropout")
        c.scaleShift = arguments.boolean("scale_shift")
        c.residualResampling = arguments.boolean("residual_resampling")
        c.conditioning = try conditioning(arguments)
        c.frequency = arguments.number("frequency")
        return c
    }

    private static func dit(_ arguments: Arguments) throws -> DiT.Configuration {
        var c = DiT.Configuration(image: arguments.shape("image"), size: DiT.Size(rawValue: arguments.string("size")) ?? .small)
        c.patch = arguments.integer("patch")
        c.width = arguments.optionalInteger("width") ?? c.width
        c.depth = arguments.optionalInteger("depth") ?? c.depth
        c.heads = arguments.optionalInteger("heads") ?? c.heads
        c.conditioning = try conditioning(arguments, none: true)
        c.learnedSigma = arguments.boolean("learned_sigma")
        c.frequency = arguments.number("frequency")
        return c
    }

    private static func mmdit(_ arguments: Arguments) -> MMDiT.Configuration {
        var c = MMDiT.Configuration(image: arguments.shape("image"))
        c.patch = arguments.integer("patch")
        c.depth = arguments.integer("depth")
        c.heads = arguments.optionalInteger("heads") ?? c.depth
        c.headChannels = arguments.integer("head_channels")
        (c.tokenWidth, c.summaryWidth) = (arguments.integer("tokens"), arguments.integer("summary"))
        c.queryKeyNorm = arguments.boolean("qk_norm")
        c.dualBlocks = Set(arguments.integers("dual_layers").map { $0 - 1 })
        c.tableSize = arguments.optionalInteger("max_size")
        c.sampleSize = arguments.optionalInteger("sample_size")
        c.frequency = arguments.number("frequency")
        c.timeOfNoise = arguments.boolean("time_of_noise")
        return c
    }

    /// - Parameter always: whether a label for none is there unless it is declined.
    private static func conditioning(_ arguments: Arguments, none always: Bool = false) throws -> Conditioning {
        if !always, arguments.boolean("null_class"), !arguments.has("classes") { throw RiffleError("", "null_class is one more label beside those of classes = ..., which were not given") }
        return arguments.optionalInteger("classes").map { .classes($0, hasNull: arguments.boolean("null_class")) } ?? .none
    }

    static let classes: [ObjectClass] = [
        ObjectClass(
            "network", Network.self, Doc("A network over samples and times, [n] or a number for all: net(x, t), or net(x, s, t) with two."), extends: "module",
            call: { try call($0, $1) }, index: { try part(of: $0, $1) },
            convert: { if case .object(let function as LuaFunction) = $0 { LuaVelocity(function) } else { nil } },
            describe: { $0.description }),
        ObjectClass(
            "loss_weight", LossWeight.self, Doc("What weighs losses by the times s and t of their jumps."), extends: "module",
            convert: { if case .object(let function as LuaFunction) = $0 { LuaWeight(function) } else { nil } }, describe: { $0.description }),
        ObjectClass(
            "module", Module.self, Doc("A part of a network, or a whole one: parameters, parts and a function, net(x, t)."),
            methods: [
                Method("count", [], Doc("How many numbers the parameters hold.", example: "> riffle.nn.linear(2, 3):count()\n9")) { module, _ in
                    [.integer(module.count)]
                }
            ],
            call: { try call($0, $1) }, index: { try part(of: $0, $1) }, describe: { $0.description }),
    ]

    private static func call(_ module: Module, _ inputs: [Value]) throws -> [Value] {
        let times = (module as? Network)?.times ?? 0, sample = inputs.first.flatMap { Arguments([$0]).optionalTensor(0) }
        let tensors = try inputs.enumerated().map { place, input -> Tensor in
            if let tensor = Arguments([input]).optionalTensor(0) { return tensor }
            // A number is a time of all samples.
            let isTime = (1...max(times, 1)).contains(place) && times > 0
            if isTime, let sample, sample.dtype.isFloating, let n = sample.shape.sizes.first, let t = Arguments([input]).optionalNumber(0) {
                return try .full([n], t, sample.dtype)
            }
            throw RiffleError(module.kind, "argument \(place + 1) must be a tensor\(isTime ? " or a number" : ""), got \(input.described)")
        }
        guard module.arity.contains(tensors.count) else { throw RiffleError(module.kind, "one tensor is needed, got \(tensors.count)") }
        return [.tensor(try module.forward(tensors))]
    }

    private static func part(of module: Module, _ key: Value) throws -> Value? {
        guard case .string(let name) = key else { return nil }
        if let module = module as? LuaModule { return module.part(name) }
        if let child = module.children.first(where: { $0.name == name }) { return .object(child.module) }
        return (module.ownParameters + module.ownBuffers).first { $0.name == name }.map { .object($0.parameter) }
    }
}
