import RiffleTensor

/// The network of experiments in few dimensions: linear layers with SiLU, times added to the first.
///
///     h = input(x) + time_embed(s) [+ span_embed(t - s)];  h = hidden_i(silu(h));  v = output(silu(h))
public final class MLP: Network {
    public struct Configuration: Sendable {
        public var dim = 2
        public var width = 256
        /// Hidden layers.
        public var depth = 4
        /// Largest frequency of the time embedding, in rad.
        public var frequency = 30.0
        public var conditioning: Conditioning = .none
        public var times = 1

        public init(dim: Int = 2, width: Int = 256, depth: Int = 4, frequency: Double = 30, conditioning: Conditioning = .none, times: Int = 1) {
            (self.dim, self.width, self.depth) = (dim, width, depth)
            (self.frequency, self.conditioning, self.times) = (frequency, conditioning, times)
        }
    }

    private static let features = 64
    public let configuration: Configuration
    private let head: EmbeddingHead
    private let input: Linear
    private let hidden: [Linear]
    private let output: Linear

    public init(_ configuration: Configuration) throws {
        let c = configuration
        self.configuration = c
        head = try EmbeddingHead(times: c.times, features: MLP.features, width: c.width, largest: c.frequency, c.conditioning)
        input = try Linear(c.dim, c.width)
        hidden = try (0..<c.depth).map { _ in try Linear(c.width, c.width) }
        output = try Linear(c.width, c.dim)
    }

    public override var kind: String { "mlp" }
    public override var summary: String {
        "\(configuration.dim) dimensions, width \(configuration.width), depth \(configuration.depth)" + conditioning.summary + (times == 2 ? ", two times" : "")
    }
    public override var times: Int { configuration.times }
    public override var conditioning: Conditioning { configuration.conditioning }
    public override var sampleShape: Shape? { [configuration.dim] }

    public override var children: [(name: String, module: Module)] {
        head.children + [("input", input)] + hidden.enumerated().map { ("hidden.\($0)", $1) } + [("output", output)]
    }

    public override func blank() throws -> Module { try MLP(configuration) }

    public override func twoTimed() throws -> Network {
        var two = configuration
        two.times = 2
        return try MLP(two).taking(self)
    }

    public override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        var h = try named("input") { try input(x) } + head(times, condition)
        for layer in hidden { h = try layer(h.silu()) }
        return try output(h.silu())
    }
}

extension Network {
    /// This network with the parameters and buffers of another wherever the names agree.
    func taking(_ other: Network) throws -> Network {
        let values = Dictionary(other.entries.map { ($0.name, $0.parameter) }, uniquingKeysWith: { first, _ in first })
        for named in entries { try values[named.name].map { try named.parameter.assign($0.value) } }
        isTraining = true
        precision = other.precision
        return self
    }
}
