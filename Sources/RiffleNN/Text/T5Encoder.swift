import Glibc
import RiffleTensor

/// T5's encoder in its second version (Raffel et al. 2020, with gated GELU), with function and names of transformers'
/// T5EncoderModel.
///
/// Every position attends to all; scores are not scaled, and get a number that the distance of the two positions
/// chooses, the same in all layers.
package final class T5Encoder: ConfiguredEncoder<T5Encoder.Configuration> {
    /// The sizes where nobody gives others are those of T5 1.1 small.
    package struct Configuration: Sendable {
        /// "vocab_size".
        package var vocabulary = 32_128
        /// "d_model".
        package var width = 512
        /// Layers, "num_layers".
        package var depth = 8
        /// "num_heads".
        package var heads = 6
        /// "d_kv".
        package var headWidth = 64
        /// Width of a layer's inside, "d_ff".
        package var feedForward = 1024

        package init() {}
    }

    private let words: Embedding
    private let blocks: [T5Block]
    private let distances: Embedding
    private let norm: RMSNorm

    package required init(_ configuration: Configuration) throws {
        let c = configuration
        words = try Embedding(c.vocabulary, c.width)
        blocks = try (0..<c.depth).map { _ in try T5Block(c) }
        distances = try Embedding(Distance.buckets, c.heads, start: .narrow(c.width))
        norm = try RMSNorm(c.width)
        try super.init(c)
    }

    package override var kind: String { "t5_encoder" }
    package override var summary: String {
        let c = configuration
        return "\(c.vocabulary) tokens, width \(c.width), depth \(c.depth), \(c.heads) heads of \(c.headWidth)"
    }
    package override var children: [(name: String, module: Module)] {
        [(Self.wordsName, words), (Self.distancesName, distances)]
            + blocks.enumerated().map { (Self.blockName($0), $1) } + [(Self.normName, norm)]
    }
    private static let wordsName = "shared"
    private static let distancesName = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"
    private static let normName = "encoder.final_layer_norm"
    private static func blockName(_ index: Int) -> String { "encoder.block.\(index)" }
    // The same table under its second name.
    package override var namesWithoutUse: Set<String> { ["encoder.embed_tokens.weight"] }

    package override var vocabulary: Int { configuration.vocabulary }
    package override var tokenWidth: Int { configuration.width }

    override func encode(_ ids: Tensor) throws -> TextValues {
        let bias = try distances.between(ids.shape[1])
        let h = try blocks.enumerated().reduce(words(ids)) { h, block in
            try named(Self.blockName(block.offset)) { try block.element(h, bias) }
        }
        return TextValues(tokens: try norm(h), summary: nil)
    }
}

// MARK: - A layer at a time

extension T5Encoder {
    /// The values of texts from weights that are read a layer at a time and let go again: T5-XXL takes 19 GB as a
    /// whole, and a layer of it 0.8. The result is that of an encoder with these weights, without a gradient.
    /// - Parameters:
    ///   - ids: tokens [n, length] int32 from 1.
    ///   - storage: how the weights are kept while they are there, float32 or bfloat16.
    ///   - shapes: of the weights, in the layout of files, by name.
    ///   - tensor: reads one of them.
    /// - Returns: [n, length, width].
    /// - Throws: `RiffleError` where names or shapes are not those of such an encoder, before anything is read.
    package static func values(
        _ ids: Tensor, _ configuration: Configuration, precision: Precision = .float32, storage: DType = .float32,
        shapes: [String: Shape], tensor: (String) throws -> Tensor
    ) throws -> Tensor {
        func part<Part: Module>(_ name: String, _ make: () throws -> Part) throws -> Part {
            let part = try withoutNumbers(make)
            try part.store(as: storage)
            for entry in part.entries { try entry.parameter.assign(entry.value(in: tensor("\(name).\(entry.name)"))) }
            return part
        }
        let c = configuration, form = try withoutNumbers { try T5Encoder(c) }
        try form.check(ids)
        try form.checkNames(shapes, strict: true)
        return try withoutGradient {
            try multiplying(in: precision) {
                var h = try part(wordsName) { try Embedding(c.vocabulary, c.width) }(ids)
                let bias = try part(distancesName) { try Embedding(Distance.buckets, c.heads) }
                    .between(ids.shape[1])
                for index in 0..<c.depth { h = try part(blockName(index)) { try T5Block(c) }(h, bias) }
                return try part(normName) { try RMSNorm(c.width) }(h)
            }
        }
    }
}

extension T5Encoder {
    /// The most numbers that `values` holds of the weights at a time: those of the words' table, or of a layer.
    package static func largestPart(of shapes: [String: Shape]) -> Int {
        func numbers(_ part: String) -> Int {
            shapes.reduce(0) { $0 + ($1.key.hasPrefix(part + ".") ? $1.value.count : 0) }
        }
        return max(numbers(wordsName), numbers(blockName(0)))
    }
}

extension Embedding {
    /// What is added to the scores of each head, by the distances of positions: [heads, length, length].
    fileprivate func between(_ length: Int) throws -> Tensor { try self(Distance.rows(length)).permuted([2, 0, 1]) }
}

/// What the distance of two positions counts as: half of the numbers for each direction, of which half are exact, and
/// the others grow by equal factors up to a distance of 128.
private enum Distance {
    static let buckets = 32
    private static let farthest: Float = 128

    /// Numbers of rows, from 1, for each query and key: [length, length].
    static func rows(_ length: Int) throws -> Tensor {
        let rows = (0..<length).flatMap { query in (0..<length).map { Int32(bucket($0 - query) + 1) } }
        return try Tensor(rows, [length, length])
    }

    /// - Parameter distance: the key's position less the query's.
    private static func bucket(_ distance: Int) -> Int {
        let half = buckets / 2, exact = half / 2, steps = abs(distance)
        let start = distance > 0 ? half : 0
        if steps < exact { return start + steps }
        // In float32, as PyTorch computes it.
        let growth = log(Float(steps) / Float(exact)) / log(farthest / Float(exact)) * Float(half - exact)
        return start + min(exact + Int(growth), half - 1)
    }
}

/// x + attention(norm(x)), then x + wo(gelu(wi_0(norm(x))) wi_1(norm(x))).
private final class T5Block: Module {
    private let firstNorm: RMSNorm
    private let attention: TextAttention
    private let secondNorm: RMSNorm
    private let gate: Linear
    private let inner: Linear
    private let outer: Linear

    init(_ c: T5Encoder.Configuration) throws {
        firstNorm = try RMSNorm(c.width)
        // Scores are not scaled, so the queries start as small as the scale would make them.
        attention = try TextAttention(
            width: c.width, heads: c.heads, headWidth: c.headWidth, scale: 1, bias: false, names: ("q", "k", "v", "o"),
            start: .narrow(c.width), queries: .narrow(c.width * c.headWidth), output: .narrow(c.heads * c.headWidth))
        secondNorm = try RMSNorm(c.width)
        gate = try Linear(c.width, c.feedForward, bias: false, start: .narrow(c.width))
        inner = try Linear(c.width, c.feedForward, bias: false, start: .narrow(c.width))
        outer = try Linear(c.feedForward, c.width, bias: false, start: .narrow(c.feedForward))
    }

    override var kind: String { "block" }
    override var children: [(name: String, module: Module)] {
        [
            ("layer.0.layer_norm", firstNorm), ("layer.0.SelfAttention", attention), ("layer.1.layer_norm", secondNorm),
            ("layer.1.DenseReluDense.wi_0", gate), ("layer.1.DenseReluDense.wi_1", inner),
            ("layer.1.DenseReluDense.wo", outer),
        ]
    }

    func callAsFunction(_ x: Tensor, _ bias: Tensor) throws -> Tensor {
        let h = try x + attention(firstNorm(x), bias)
        let y = try secondNorm(h)
        return try h + outer(gate(y).gelu() * inner(y))
    }
}

extension Start {
    /// Normal with deviation 1 / sqrt(size).
    fileprivate static func narrow(_ size: Int) -> Start { .normal(1 / Double(size).squareRoot()) }
}

extension T5Encoder {
    static let form = TextEncoderForm(
        "t5_encoder", T5Encoder.self, Configuration(),
        [
            Option("vocabulary", \.vocabulary, .integer(2...10_000_000), "tokens, at least a tokenizer's (vocab_size)"),
            Option("width", \.width, .integer(1...65536), "of a token's values (d_model)"),
            Option("depth", \.depth, .integer(1...1000), "layers (num_layers)"),
            Option("heads", \.heads, .integer(1...1024), "heads of attention (num_heads)"),
            Option("head_width", \.headWidth, .integer(1...65536), "width of a head (d_kv)"),
            Option("feed_forward", \.feedForward, .integer(1...1_000_000), "width of a layer's inside (d_ff)"),
        ],
        Doc(
            "T5's encoder with gated GELU: encoder(ids) gives the tokens' values. Names are transformers'; the usual "
                + "sizes are those of T5 1.1 small.",
            shapes: "ids [n, length] int32 from 1 -> tokens [n, length, width]",
            example: """
                > local sizes = { vocabulary = 100, width = 16, depth = 2, heads = 2, feed_forward = 32 }
                > riffle.nn.t5_encoder(sizes)(riffle.ones(2, 5, { dtype = "int32" })):shape()
                [2, 5, 16]
                """,
            source: "Raffel et al. 2020, 1910.10683"))
}
