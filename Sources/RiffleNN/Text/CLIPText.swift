import RiffleTensor

/// CLIP's text encoder (Radford et al. 2021), with function and names of transformers' CLIPTextModel, and of
/// CLIPTextModelWithProjection where it has a projection.
///
/// Each position attends to itself and to those before it. The tokens' values are those before the last layer, which
/// Stable Diffusion XL and 3 take; the summary is that of all layers at the token that ends the text, projected.
package final class CLIPText: ConfiguredEncoder<CLIPText.Configuration> {
    package enum Activation: String, CaseIterable, Sendable {
        /// x sigmoid(1.702 x), which OpenAI's weights were trained with.
        case quickGELU = "quick_gelu"
        case gelu

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            switch self {
            case .quickGELU: try x * (x * 1.702).sigmoid()
            case .gelu: try Op.geluErf(x)
            }
        }
    }

    package struct Configuration: Sendable {
        /// "vocab_size".
        package var vocabulary = 49_408
        /// "hidden_size".
        package var width = 768
        /// Layers, "num_hidden_layers".
        package var depth = 12
        /// "num_attention_heads".
        package var heads = 12
        /// The most tokens of a text, "max_position_embeddings".
        package var length = 77
        /// Width of a layer's inside, "intermediate_size"; four times the width where nil.
        package var feedForward: Int?
        /// "hidden_act".
        package var activation = Activation.quickGELU
        /// Width of the projected summary, "projection_dim"; the summary is not projected where nil.
        package var projection: Int?
        /// The token that ends a text, from 1, "eos_token_id" + 1; the largest of each text where nil, which it is in
        /// CLIP's own vocabulary.
        package var endToken: Int?

        package init() {}

        func checked() throws -> Configuration {
            guard heads > 0, width % heads == 0 else {
                throw RiffleError("clip_text", "a width of \(width) does not make \(heads) equal heads")
            }
            if let endToken, endToken > vocabulary {
                throw RiffleError("clip_text", "the end token \(endToken) is beyond the vocabulary of \(vocabulary)")
            }
            return self
        }
    }

    private let words: Embedding
    private let positions: Embedding
    private let layers: ModuleList<CLIPLayer>
    private let norm: LayerNorm
    private let projection: Linear?

    package required init(_ configuration: Configuration) throws {
        let c = try configuration.checked()
        words = try Embedding(c.vocabulary, c.width, start: .normal(0.02))
        positions = try Embedding(c.length, c.width, start: .normal(0.01))
        layers = ModuleList(try (0..<c.depth).map { _ in try CLIPLayer(c) })
        norm = try LayerNorm(c.width)
        projection = try c.projection.map { try Linear(c.width, $0, bias: false, start: .xavier) }
        try super.init(c)
    }

    package override var kind: String { "clip_text" }
    package override var summary: String {
        let c = configuration
        return "\(c.vocabulary) tokens, texts of \(c.length), width \(c.width), depth \(c.depth), \(c.heads) heads, "
            + c.activation.rawValue + (c.projection.map { ", summary of \($0)" } ?? "")
    }
    package override var children: [(name: String, module: Module)] {
        [
            ("text_model.embeddings.token_embedding", words), ("text_model.embeddings.position_embedding", positions),
            ("text_model.encoder.layers", layers), ("text_model.final_layer_norm", norm),
        ] + (projection.map { [("text_projection", $0)] } ?? [])
    }
    package override var namesWithoutUse: Set<String> { ["text_model.embeddings.position_ids"] }

    package override var vocabulary: Int { configuration.vocabulary }
    package override var longest: Int? { configuration.length }
    package override var tokenWidth: Int { configuration.width }
    package override var summaryWidth: Int? { configuration.projection ?? configuration.width }

    override func encode(_ ids: Tensor) throws -> TextValues {
        let length = ids.shape[1]
        let positions = try positions.weight.tensor.sliced(0, 0..<length)
        let mask = try CLIPText.mask(length)
        var before = try words(ids) + positions, h = before
        for (index, layer) in layers.modules.enumerated() {
            before = h
            h = try named("text_model.encoder.layers.\(index)") { try layer(h, mask) }
        }
        let last = try norm(rowsAtEnd(h, ids))
        return TextValues(tokens: before, summary: try projection.map { try $0(last) } ?? last)
    }

    /// What is added to scores, [length, length]: a position attends to no later one.
    private static func mask(_ length: Int) throws -> Tensor {
        // Not infinity, whose difference from itself is no number.
        let scores = (0..<length * length).map { $0 % length > $0 / length ? -1e30 as Float : 0 }
        return try Tensor(scores, [length, length])
    }

    /// The values [n, length, width] at the token that ends each text, [n, width].
    private func rowsAtEnd(_ values: Tensor, _ ids: Tensor) throws -> Tensor {
        let length = ids.shape[1], tokens = try ids.doubles()
        let rows = (0..<ids.shape[0]).map { row -> Int32 in
            let text = tokens[row * length..<(row + 1) * length]
            let end = configuration.endToken.map(Double.init) ?? text.max()
            // As transformers, the first token where a text has no end.
            return Int32((text.firstIndex { $0 == end } ?? text.startIndex) + 1)
        }
        return try values.reshaped(to: [values.shape[0] * length, values.shape[2]]).take(Tensor(rows, [rows.count]))
    }
}

/// x + attention(norm(x)), then x + fc2(activation(fc1(norm(x)))).
private final class CLIPLayer: Module {
    private let firstNorm: LayerNorm
    private let attention: TextAttention
    private let secondNorm: LayerNorm
    private let inner: Linear
    private let outer: Linear
    private let activation: CLIPText.Activation

    init(_ c: CLIPText.Configuration) throws {
        let headWidth = c.width / c.heads
        firstNorm = try LayerNorm(c.width)
        attention = try TextAttention(
            width: c.width, heads: c.heads, headWidth: headWidth, scale: 1 / Double(headWidth).squareRoot(), bias: true,
            names: ("q_proj", "k_proj", "v_proj", "out_proj"), start: .xavier)
        secondNorm = try LayerNorm(c.width)
        inner = try Linear(c.width, c.feedForward ?? 4 * c.width, start: .xavier)
        outer = try Linear(c.feedForward ?? 4 * c.width, c.width, start: .xavier)
        activation = c.activation
    }

    override var kind: String { "layer" }
    override var children: [(name: String, module: Module)] {
        [
            ("layer_norm1", firstNorm), ("self_attn", attention), ("layer_norm2", secondNorm), ("mlp.fc1", inner),
            ("mlp.fc2", outer),
        ]
    }

    func callAsFunction(_ x: Tensor, _ mask: Tensor) throws -> Tensor {
        let h = try x + attention(firstNorm(x), mask)
        return try h + outer(activation(inner(secondNorm(h))))
    }
}

extension CLIPText {
    static let form = TextEncoderForm(
        "clip_text", CLIPText.self, Configuration(),
        [
            Option(
                "vocabulary", \.vocabulary, .integer(2...10_000_000), "tokens, the size of a tokenizer (vocab_size)"),
            Option("width", \.width, .integer(1...65536), "of a token's values (hidden_size)"),
            Option("depth", \.depth, .integer(1...1000), "layers (num_hidden_layers)"),
            Option("heads", \.heads, .integer(1...1024), "heads of attention (num_attention_heads)"),
            Option("length", \.length, .integer(1...65536), "the most tokens of a text (max_position_embeddings)"),
            Option(
                "feed_forward", \.feedForward, .integer(1...1_000_000),
                "width of a layer's inside; four times the width when not given (intermediate_size)"),
            Option("activation", \.activation, "inside of layers (hidden_act)"),
            Option(
                "projection", \.projection, .integer(1...65536),
                "width of the projected summary; it is not projected when not given (projection_dim)"),
            Option(
                "end_token", \.endToken, .integer(1...10_000_000),
                "the token, from 1, whose value is the summary; the largest of a text when not given (eos_token_id)"),
        ],
        Doc(
            "CLIP's text encoder: encoder(ids) gives tokens' values before the last layer, and the summary. Names are "
                + "transformers'.",
            shapes: "ids [n, length] int32 from 1 -> tokens [n, length, width], summary [n, projection or width]",
            example: """
                > local words = riffle.text.bytes { length = 16 }
                > local sizes = { vocabulary = words.size, width = 32, depth = 2, heads = 4, length = 16 }
                > local tokens, summary = riffle.nn.clip_text(sizes)(words:encode { "a red car", "" })
                > return tokens:shape(), summary:shape()
                [2, 16, 32]\t[2, 32]
                """,
            source: "Radford et al. 2021, 2103.00020"))
}
