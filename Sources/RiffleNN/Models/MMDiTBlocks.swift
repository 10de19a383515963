import RiffleTensor

/// A block over two streams, image and text, which have weights of their own and meet in attention (Esser et al. 2024).
///
/// In each stream: x + gate attention(norm(x)), then x + gate feed-forward(norm(x)). In a dual block the image also
/// attends to itself alone in between. The last block reads the text and does not change it.
final class JointBlock: Module {
    private enum Text {
        case updated(Modulation, FeedForward)
        case read(AdaptiveNorm)
    }

    private let modulation: Modulation
    private let attention: JointAttention
    private let own: AttentionStream?
    private let feedForward: FeedForward
    private let text: Text

    init(heads: Int, headChannels: Int, queryKeyNorm: Bool, dual: Bool, last: Bool) throws {
        let width = heads * headChannels
        func layers() throws -> FeedForward {
            try FeedForward(width, 4 * width, width, .gelu, names: ["net.0.proj", "net.2"], start: .xavier)
        }
        modulation = try Modulation(width, branches: dual ? 3 : 2)
        attention = try JointAttention(heads: heads, headChannels: headChannels, normalised: queryKeyNorm, last: last)
        own = dual ? try AttentionStream(heads: heads, headChannels: headChannels, normalised: queryKeyNorm) : nil
        feedForward = try layers()
        text =
            last
            ? .read(try AdaptiveNorm(width, scaleFirst: true))
            : .updated(try Modulation(width, branches: 2), try layers())
    }

    override var kind: String { "joint_block" }
    override var children: [(name: String, module: Module)] {
        let image: [(name: String, module: Module)] = [
            ("norm1.linear", modulation), ("attn", attention), ("ff", feedForward),
        ]
        let between: [(name: String, module: Module)] = own.map { [("attn2", $0)] } ?? []
        return switch text {
        case .updated(let modulation, let feedForward):
            image + between + [("norm1_context.linear", modulation), ("ff_context", feedForward)]
        case .read(let norm): image + between + [("norm1_context.linear", norm)]
        }
    }

    /// x [n, tokens, width], context [n, length, width], conditioning [n, width] after SiLU -> both streams; the image
    /// alone from the last block.
    func callAsFunction(_ x: Tensor, _ context: Tensor, _ conditioning: Tensor) throws -> [Tensor] {
        let branches = try modulation(conditioning)
        switch text {
        case .updated(let modulation, let feedForward):
            let parts = try modulation(conditioning)
            let (across, within) = (parts[0], parts[1])
            let mixed = try attention(branches[0].input(x), across.input(context))
            let h = try context + across.gate * mixed.context
            return [try image(x, mixed.x, branches), try h + within.gate * feedForward(within.input(h))]
        case .read(let norm):
            let mixed = try attention.image(branches[0].input(x), reading: norm(context, conditioning))
            return [try image(x, mixed, branches)]
        }
    }

    /// The image's stream after joint attention. Its branches are joint attention, feed-forward, attention to itself.
    private func image(_ x: Tensor, _ mixed: Tensor, _ branches: [Modulation.Branch]) throws -> Tensor {
        var h = try x + branches[0].gate * mixed
        if let own { h = try h + branches[2].gate * own(branches[2].input(x)) }
        return try h + branches[1].gate * feedForward(branches[1].input(h))
    }
}

/// Attention of image and text together: each stream has its own projections, and every position attends to all.
final class JointAttention: Module {
    private let image: AttentionStream
    private let text: AttentionStream

    /// - Parameter last: whether the text has no output.
    init(heads: Int, headChannels: Int, normalised: Bool, last: Bool) throws {
        image = try AttentionStream(heads: heads, headChannels: headChannels, normalised: normalised)
        text = try AttentionStream(
            heads: heads, headChannels: headChannels, normalised: normalised, names: .text, returns: !last)
    }

    override var kind: String { "joint_attention" }
    override var children: [(name: String, module: Module)] { image.children + text.children }

    /// x [n, tokens, width], context [n, length, width] -> both, in their shapes.
    func callAsFunction(_ x: Tensor, _ context: Tensor) throws -> (x: Tensor, context: Tensor) {
        let queries = try Tensor.cat([image.queries(x), text.queries(context)], 1)
        let mixed = try attended(queries, x, context).split([x.shape[1], context.shape[1]], 1)
        return (try image.output(mixed[0]), try text.output(mixed[1]))
    }

    /// The image's part alone, for which the text needs no queries.
    func image(_ x: Tensor, reading context: Tensor) throws -> Tensor {
        try image.output(attended(image.queries(x), x, context))
    }

    private func attended(_ queries: Tensor, _ x: Tensor, _ context: Tensor) throws -> Tensor {
        try Tensor.attention(
            queries, .cat([image.keys(x), text.keys(context)], 1), .cat([image.values(x), text.values(context)], 1))
    }
}

/// One stream's projections into attention and out of it; called by itself, attention of the stream to itself.
final class AttentionStream: Module {
    /// How files name the layers.
    struct Names {
        var queries = "to_q"
        var keys = "to_k"
        var values = "to_v"
        var output = "to_out.0"
        var queryNorm = "norm_q"
        var keyNorm = "norm_k"

        static let text = Names(
            queries: "add_q_proj", keys: "add_k_proj", values: "add_v_proj", output: "to_add_out",
            queryNorm: "norm_added_q",
            keyNorm: "norm_added_k")
    }

    private let toQueries: Linear
    private let toKeys: Linear
    private let toValues: Linear
    private let toOutput: Linear?
    private let queryNorm: RMSNorm?
    private let keyNorm: RMSNorm?
    private let heads: Int
    private let headChannels: Int
    private let names: Names

    /// - Parameters:
    ///   - normalised: whether each head's queries and keys are divided by their root mean square.
    ///   - returns: whether there is a layer for the output.
    init(heads: Int, headChannels: Int, normalised: Bool, names: Names = Names(), returns: Bool = true) throws {
        let width = heads * headChannels
        func layer() throws -> Linear { try Linear(width, width, start: .xavier) }
        self.heads = heads
        self.headChannels = headChannels
        self.names = names
        toQueries = try layer()
        toKeys = try layer()
        toValues = try layer()
        toOutput = returns ? try layer() : nil
        queryNorm = normalised ? try RMSNorm(headChannels) : nil
        keyNorm = normalised ? try RMSNorm(headChannels) : nil
    }

    override var kind: String { "attention" }
    override var summary: String { "\(heads * headChannels) with \(heads) heads" }
    override var children: [(name: String, module: Module)] {
        let layers: [(String, Module?)] = [
            (names.queries, toQueries), (names.keys, toKeys), (names.values, toValues), (names.output, toOutput),
            (names.queryNorm, queryNorm), (names.keyNorm, keyNorm),
        ]
        return layers.compactMap { name, layer in layer.map { (name, $0) } }
    }

    /// x [n, positions, width] -> the same shape.
    func callAsFunction(_ x: Tensor) throws -> Tensor { try output(Tensor.attention(queries(x), keys(x), values(x))) }

    /// x [n, positions, width] -> [n, positions, heads, head channels], as `keys` and `values`.
    func queries(_ x: Tensor) throws -> Tensor { try split(x, toQueries, queryNorm) }
    func keys(_ x: Tensor) throws -> Tensor { try split(x, toKeys, keyNorm) }
    func values(_ x: Tensor) throws -> Tensor { try split(x, toValues, nil) }

    /// The result of attention [n, positions, heads, head channels] -> [n, positions, width].
    func output(_ mixed: Tensor) throws -> Tensor {
        let joined = try mixed.reshaped(to: [mixed.shape[0], mixed.shape[1], heads * headChannels])
        return try toOutput?(joined) ?? joined
    }

    private func split(_ x: Tensor, _ layer: Linear, _ norm: RMSNorm?) throws -> Tensor {
        let y = try layer(x).reshaped(to: [x.shape[0], x.shape[1], heads, headChannels])
        return try norm?(y) ?? y
    }
}
