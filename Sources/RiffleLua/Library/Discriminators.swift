import RiffleFlow
import RiffleNN
import RiffleTensor

/// Inner values of networks, and the discriminators that look at them.
enum DiscriminatorLibrary {
    static let functions: [Function] = [
        Function(
            "network:features",
            [
                Argument("net", .object("network")),
                Argument("names", .list(.string), "blocks, by their names in files, such as { \"middle_block\" }"),
            ],
            Doc(
                "What gives the values of a network's blocks: features(x, t), one tensor for each name.",
                shapes: "x [n, ...], t [n] (, labels [n]) -> [n, height, width, channels], or [n, width] of an MLP",
                example:
                    """
                    > local net = riffle.nn.mlp { width = 32 }
                    > net:features({ "hidden.1" })(riffle.randn(4, 2), 0.5):shape()
                    [4, 32]
                    """)
        ) { [.object(try NetworkFeatures($0.object(0), at: $0.strings("names")))] },
        Function(
            "nn.discriminator",
            [
                Argument("net", .object("network"), "a teacher, or a network that learns beside the heads"),
                Argument(
                    "at", .list(.string), "its blocks, a head each; the middle one when not given", default: .none),
                Argument(
                    "width", .integer(8...65_536), "of the heads' inner layer, a multiple of 8",
                    default: .integer(64)),
                Argument(
                    "trains_net", .boolean, "whether flow.loss.discriminator has gradients of the network, too",
                    default: .boolean(false)),
            ],
            Doc(
                "Heads on a network's inner values that tell data from made samples; its parameters are the heads'.",
                shapes: "x [n, ...], t [n] (, labels [n]) -> [n, k], a number a head and position, above 0 for data",
                example:
                    """
                    > local critic = riffle.nn.discriminator(riffle.nn.mlp { width = 32 })
                    > return critic(riffle.randn(4, 2), riffle.rand(4)):shape(), critic:count()
                    [4, 1]\t2177
                    """,
                source: "Sauer et al. 2024, 2403.12015; Yin et al. 2024, 2405.14867")
        ) { arguments in
            let network: Network = arguments.object("net")
            let middle = network.blockNames.isEmpty ? [] : [network.blockNames[network.blockNames.count / 2]]
            return [
                .object(
                    try Discriminator(
                        network, at: arguments.has("at") ? arguments.strings("at") : middle,
                        width: arguments.integer("width"), trainsNetwork: arguments.boolean("trains_net")))
            ]
        },
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "network_features", NetworkFeatures.self,
            Doc("Gives values of a network's blocks: features(x, t), or features(x, s, t) of a network of two times."),
            call: { features, inputs in
                let network = features.network
                let (x, times, condition) = try network.parts(of: NetworkLibrary.tensors(network, inputs))
                return try network.innerValues(at: features.names, x, times, condition).map(Value.tensor)
            }, describe: { "values of \($0.names.joined(separator: ", ")) of \($0.network.description)" }),
        ObjectClass(
            "discriminator", Discriminator.self,
            Doc("Heads that tell data from made samples: critic(x, t) of points on the path."), extends: "module",
            describe: { $0.description }),
    ]
}

/// A network with the blocks whose values are wanted.
private final class NetworkFeatures {
    let network: Network
    let names: [String]

    init(_ network: Network, at names: [String]) throws {
        try network.checkBlocks(names)
        (self.network, self.names) = (network, names)
    }
}
