import RiffleIO
import RiffleNN
import RiffleTensor

/// Adapters of low rank on networks.
enum AdapterLibrary {
    private static let network = Argument("net", .object("network"))

    static let functions: [Function] = [
        Function(
            "network:lora",
            [
                network,
                Argument(
                    "rank", .integer(1...65536), "of each change; needed where no file is given", default: .none),
                Argument("alpha", .positive, "the factor's numerator; the rank when not given", default: .none),
                Argument(
                    "match", .list(.string),
                    "linear layers and convolutions whose full names contain one of these texts; all whose weight can "
                        + "have the rank when not given", default: .none),
                Argument(
                    "train", .list(.string),
                    "parameters whose full names contain one of these texts are trained whole, and saved too",
                    default: .none),
                Argument(
                    "from", .string,
                    "a file of adapters, PEFT's or diffusers', or a folder of PEFT's, instead of rank, alpha, match "
                        + "and train",
                    default: .none),
            ] + TensorFileLibrary.part,
            Doc(
                "A copy with adapters, which alone take gradients and which net:save writes; memory is shared with the "
                    + "base.",
                formula: "y = W x + alpha / rank B A x, with B = 0 at first",
                example: """
                    > local base = riffle.nn.mlp { width = 32, depth = 2 }
                    > local net = base:lora { rank = 4, alpha = 8, match = { "hidden" } }
                    > net:count() - base:count()
                    512
                    """,
                source: "Hu et al. 2021, 2106.09685")
        ) { [.object(try adapted($0.object("net"), $0))] },
        Function(
            "network:merge_lora",
            [
                network,
                Argument("scale", .finite, "of the changes; -1 takes merged ones out again", default: .number(1)),
            ],
            Doc(
                "A network without adapters, whose weights, float32, have the adapters' changes in them.",
                formula: "W <- W + scale alpha / rank B A",
                example: """
                    > local base = riffle.nn.mlp { width = 32, depth = 2 }
                    > base:lora({ rank = 4 }):merge_lora():count() == base:count()
                    true
                    """)
        ) { [.object(try $0.object("net", as: Network.self).merged(scale: $0.number("scale")))] },
    ]

    private static func adapted(_ network: Network, _ arguments: Arguments) throws -> Network {
        if let path = arguments.optionalString("from") {
            if let other = ["rank", "alpha", "match", "train"].first(where: arguments.has) {
                throw RiffleError("lora", "the file says what \(other) is; give from or \(other), one of the two")
            }
            return try network.adapted(from: path, part: arguments.part)
        }
        guard let rank = arguments.optionalInteger("rank") else {
            throw RiffleError("lora", "give a rank, or from = path of a file of adapters")
        }
        return try network.adapted(
            rank: rank, alpha: arguments.optionalNumber("alpha"),
            match: arguments.has("match") ? arguments.strings("match") : nil, train: arguments.strings("train"))
    }
}
