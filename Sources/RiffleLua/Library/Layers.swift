import RiffleNN
import RiffleTensor

/// Layers: the parts that networks written in Lua are made of.
enum LayerLibrary {
    private static let size: ArgumentType = .integer(1...1_000_000)
    private static let bias = Argument("bias", .boolean, "whether a bias is added", default: .boolean(true))

    private static let convolution = [
        Argument("inputs", size), Argument("outputs", size), Argument("kernel", .sides(1...64), default: .integer(3)),
        Argument("stride", .sides(1...64), default: .integer(1)),
        Argument("padding", .sides(0...64), "half the kernel when not given", default: .none),
    ]
    private static let groups = Argument(
        "groups", size, "parts of the channels that do not mix", default: .integer(1))

    static let functions: [Function] = [
        layer(
            "linear", [Argument("inputs", size), Argument("outputs", size), bias],
            Doc(
                "A linear layer, over the last dimension.", formula: "y = x weight^T + bias",
                shapes: "x [..., inputs] -> [..., outputs]; weight [outputs, inputs]",
                example: "> riffle.nn.linear(3, 2)(riffle.ones(5, 3)):shape()\n[5, 2]")
        ) { try Linear($0.integer("inputs"), $0.integer("outputs"), bias: $0.boolean("bias")) },
        layer(
            "conv2d", convolution + [bias, groups],
            Doc(
                "A convolution of images with zero padding.",
                shapes: "x [n, height, width, inputs] -> [n, height', width', outputs]",
                example: "> riffle.nn.conv2d(3, 8)(riffle.ones(1, 4, 4, 3)):shape()\n[1, 4, 4, 8]")
        ) { try conv2d($0, bias: $0.boolean("bias")) },
        layer(
            "conv_norm",
            convolution + [
                groups, Argument("eps", .positive, "of the norm", default: .number(1e-5)),
                Argument("activation", usual: ConvNorm.Activation.relu),
            ],
            Doc(
                "A convolution without bias, a batch_norm whose numbers go into its weight, and an activation.",
                shapes: "x [n, height, width, inputs] -> [n, height', width', outputs]",
                example:
                    """
                    > riffle.nn.conv_norm(3, 8, { stride = 2, activation = "relu6" })(riffle.ones(1, 4, 4, 3)):shape()
                    [1, 2, 2, 8]
                    """
            )
        ) {
            try ConvNorm(conv2d($0, bias: false), eps: $0.number("eps"), activation: $0.choice("activation"))
        },
        layer(
            "batch_norm", [Argument("channels", size), Argument("eps", .positive, default: .number(1e-5))],
            Doc(
                "Normalises channels by a file's mean and variance, constants while training, then scales and shifts.",
                example: "> riffle.nn.batch_norm(2, { eps = 3 })(riffle.ones(2))\ntensor float32 [2]: 0.5 0.5",
                source: "Ioffe and Szegedy 2015")
        ) { try BatchNorm($0.integer("channels"), eps: $0.number("eps")) },
        pool(.maxPool, "> riffle.nn.max_pool(3, { stride = 2 })(riffle.ones(1, 7, 7, 4)):shape()\n[1, 3, 3, 4]"),
        pool(.avgPool, "> riffle.nn.avg_pool(2)(riffle.ones(1, 4, 4, 3)):shape()\n[1, 2, 2, 3]"),
        layer(
            "group_norm",
            [
                Argument("channels", size), Argument("groups", size, default: .integer(32)),
                Argument("eps", .positive, default: .number(1e-5)),
            ],
            Doc(
                "Normalises groups of channels, then scales and shifts.",
                example: "> riffle.nn.group_norm(32)(riffle.ones(1, 2, 2, 32)):shape()\n[1, 2, 2, 32]",
                source: "Wu and He 2018")
        ) { try GroupNorm($0.integer("channels"), groups: $0.integer("groups"), eps: $0.number("eps")) },
        layer(
            "layer_norm",
            [
                Argument("width", size), Argument("eps", .positive, default: .number(1e-5)),
                Argument("affine", .boolean, "whether it scales and shifts", default: .boolean(true)),
            ],
            Doc(
                "Normalises the last dimension, then scales and shifts.",
                example: "> riffle.nn.layer_norm(2)(riffle.tensor { 1, 3 })\ntensor float32 [2]: -0.999995 0.999995",
                source: "Ba, Kiros and Hinton 2016")
        ) { try LayerNorm($0.integer("width"), eps: $0.number("eps"), affine: $0.boolean("affine")) },
        layer(
            "rms_norm", [Argument("width", size), Argument("eps", .positive, default: .number(1e-6))],
            Doc(
                "Divides by the root mean square of the last dimension, then scales.",
                example: "> riffle.nn.rms_norm(2)(riffle.tensor { 3, 3 })\ntensor float32 [2]: 1 1",
                source: "Zhang and Sennrich 2019")
        ) { try RMSNorm($0.integer("width"), eps: $0.number("eps")) },
        layer(
            "loss_weight", [],
            Doc(
                "A learned weight of losses by their times, option weight of every loss; trained with the student.",
                formula: "exp(-w(s, t)) loss + w(s, t)", example: "> riffle.nn.loss_weight():count()\n129",
                source: "Karras et al. 2024, 2312.02696; Boffi et al. 2025, 2505.18825")
        ) { _ in try LearnedWeight() },
        layer(
            "embedding", [Argument("count", size), Argument("width", size)],
            Doc(
                "A table of rows that numbers from 1 look up.", shapes: "index [...] int32 -> [..., width]",
                example: "> riffle.nn.embedding(10, 4)(riffle.tensor({ 1, 10 }, \"int32\")):shape()\n[2, 4]")
        ) { try Embedding($0.integer(0), $0.integer(1)) },
        layer(
            "time_embedding",
            [
                Argument("width", size),
                Argument("features", .integer(2...65536), "cosines and sines", default: .integer(64)),
                Argument("frequency", .positive, "the largest one, in rad", default: .number(30)),
                Argument("zero", .boolean, "whether it starts without effect", default: .boolean(false)),
            ],
            Doc(
                "Cosines and sines of a time through two linear layers.", shapes: "t [n] -> [n, width]",
                example: "> riffle.nn.time_embedding(16)(riffle.zeros(3)):shape()\n[3, 16]")
        ) {
            try TimeEmbedding(
                features: $0.integer("features"), width: $0.integer("width"), largest: $0.number("frequency"),
                zero: $0.boolean("zero"))
        },
        layer(
            "attention", [Argument("width", size), Argument("heads", size, default: .integer(1))],
            Doc(
                "Self-attention with several heads.", shapes: "x [n, positions, width] -> the same",
                example: "> riffle.nn.attention(8, 2)(riffle.ones(1, 5, 8)):shape()\n[1, 5, 8]",
                source: "Vaswani et al. 2017")
        ) { try SelfAttention($0.integer("width"), heads: $0.integer("heads")) },
        layer(
            "dropout", [Argument("probability", .fraction(0...0.999))],
            Doc(
                "Zeroes elements at random while training.",
                example:
                    "> local d = riffle.nn.dropout(0.5); d:eval(); return d(riffle.ones(2))\ntensor float32 [2]: 1 1")
        ) { Dropout($0.number(0)) },
        layer(
            "activation", [Argument("name", .choice(activations.map(\.name).sorted()))],
            Doc(
                "An activation as a module.",
                example: "> riffle.nn.activation(\"relu\")(riffle.tensor { -1, 2 })\ntensor float32 [2]: 0 2")
        ) { arguments in
            // The argument's type lets no other name through.
            Operation(activations.first { $0.name == arguments.string(0) }!)
        },
        layer(
            "sequential", [Argument("modules", .list(.object("module")))],
            Doc(
                "Modules applied one after another.",
                example:
                    """
                    > local nn = riffle.nn
                    > local net = nn.sequential { nn.linear(2, 8), nn.activation("silu"), nn.linear(8, 1) }
                    > net(riffle.ones(3, 2)):shape()
                    [3, 1]
                    """
            )
        ) { arguments in Sequential(arguments.list(0).compactMap { Arguments([$0]).optionalObject(0, as: Module.self) })
        },
    ]

    private static let activations: [Op] = [.silu, .gelu, .geluErf, .relu, .tanh, .sigmoid, .softplus]

    private static func conv2d(_ arguments: Arguments, bias: Bool) throws -> Conv2d {
        try Conv2d(
            arguments.integer("inputs"), arguments.integer("outputs"), kernel: arguments.sides("kernel"),
            stride: arguments.sides("stride"), padding: arguments.optionalSides("padding"),
            groups: arguments.integer("groups"), bias: bias)
    }

    /// An operation on windows of pixels as a module, with the operation's own options.
    private static func pool(_ op: Op, _ example: String) -> Function {
        var doc = op.doc
        doc.example = example
        return layer(op.name, Array(op.arguments.dropFirst()), doc) { Operation(op, $0.values) }
    }

    private static func layer(
        _ name: String, _ arguments: [Argument], _ doc: Doc, make: @escaping @Sendable (Arguments) throws -> Module
    ) -> Function {
        Function("nn.\(name)", arguments, doc) { [.object(try make($0))] }
    }
}
