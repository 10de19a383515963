import RiffleTensor

/// The network of experiments in few dimensions: linear layers with SiLU, times added to the first.
///
///     h = input(x) + time_embed(s) [+ span_embed(t - s)];  h = hidden_i(silu(h));  v = output(silu(h))
package final class MLP: ConfiguredNetwork<MLP.Configuration> {
    package struct Configuration: LabelledConfiguration {
        package var dim = 2
        package var width = 256
        /// Hidden layers.
        package var depth = 4
        /// Largest frequency of the time embedding, in rad.
        package var frequency = 30.0
        package var labels = ClassLabels()
        package var times = 1

        package var sampleShape: Shape { [dim] }
    }

    private static let features = 64
    private let head: EmbeddingHead
    private let input: Linear
    private let hidden: [Linear]
    private let output: Linear

    package required init(_ configuration: Configuration) throws {
        let c = configuration
        head = try EmbeddingHead(
            times: c.times, features: MLP.features, width: c.width, largest: c.frequency, c.conditioning)
        input = try Linear(c.dim, c.width)
        hidden = try (0..<c.depth).map { _ in try Linear(c.width, c.width) }
        output = try Linear(c.width, c.dim)
        try super.init(c)
    }

    package override var kind: String { "mlp" }
    package override var sizes: String {
        "\(configuration.dim) dimensions, width \(configuration.width), depth \(configuration.depth)"
    }

    package override var children: [(name: String, module: Module)] {
        head.children + [("input", input)] + hidden.enumerated().map { ("hidden.\($0)", $1) } + [("output", output)]
    }

    package override var blockNames: [String] { hidden.indices.map { "hidden.\($0)" } }

    package override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        var h = try named("input") { try input(x) } + head(times, condition)
        for (index, layer) in hidden.enumerated() {
            h = try layer(h.silu())
            try recorder?.take("hidden.\(index)", h)
        }
        return try output(h.silu())
    }
}

extension MLP {
    static let form = NetworkForm(
        labelled: "mlp", MLP.self, Configuration(),
        [
            Option("dim", \.dim, .integer(1...100_000), "the numbers of a sample"),
            Option("width", \.width, .integer(1...100_000), "the width of the hidden layers"),
            Option("depth", \.depth, .integer(1...1000), "hidden layers"),
            Option("frequency", \.frequency, .positive, .largestFrequency),
        ],
        Doc(
            "A velocity network for points: linear layers with SiLU, the time added to the first.",
            shapes: "x [n, dim], t [n] (, labels [n]) -> [n, dim]",
            example: """
                > riffle.nn.mlp { dim = 2, width = 64 }:count()
                25282
                """))
}
