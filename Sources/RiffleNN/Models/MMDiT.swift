import RiffleTensor

/// The multimodal diffusion transformer of Stable Diffusion 3 (Esser et al. 2024): image and text as two streams of
/// tokens. Function and names in files are those of diffusers' SD3Transformer2DModel; the comments below give its names
/// of settings in quotes.
///
/// Samples are [n, height, width, channels], in practice latents; they are conditioned on a text. `span_embedder` is
/// ours: the second time.
package final class MMDiT: ConfiguredNetwork<MMDiT.Configuration> {
    package struct Configuration: NetworkConfiguration {
        /// [height, width, channels]; "in_channels" and "out_channels" are the same for a velocity.
        package var image: Shape
        /// Whether images of other sizes are taken, too, as far as the table of positions reaches.
        package var anySize = false
        /// Pixels along the side of a patch, "patch_size".
        package var patch = 2
        /// Blocks, "num_layers".
        package var depth = 12
        /// "num_attention_heads"; as many as there are blocks where nil. The width, and "caption_projection_dim", is
        /// heads x headChannels.
        package var heads: Int?
        /// "attention_head_dim".
        package var headChannels = 64
        /// Width of a text's tokens, "joint_attention_dim".
        package var tokenWidth = 4096
        /// Width of a text's summary, "pooled_projection_dim".
        package var summaryWidth = 2048
        /// Whether each head's queries and keys are divided by their root mean square, "qk_norm".
        package var queryKeyNorm = false
        /// Indices from 0 of the blocks where the image also attends to itself alone, "dual_attention_layers".
        package var dualBlocks: Set<Int> = []
        /// The same indices from 1, in order.
        var dualLayers: [Int] {
            get { dualBlocks.map { $0 + 1 }.sorted() }
            set { dualBlocks = Set(newValue.map { $0 - 1 }) }
        }
        /// Rows and columns of the table of positions, "pos_embed_max_size"; as many as the image's patches where nil.
        /// An image takes its positions from the middle of the table.
        package var tableSize: Int?
        /// Side of the images for which a new table is scaled, "sample_size"; the image's where nil. Files hold the
        /// table itself.
        package var sampleSize: Int?
        /// Largest frequency of the time embedding, in rad.
        package var frequency = 1000.0
        /// Whether the weights are those of a network that counts time from data, as Stable Diffusion 3 does. Its
        /// layers then get 1 - t (the timestep / 1000 there), and their result, noise - data, is negated to become our
        /// velocity, data - noise.
        package var timeOfNoise = true
        package var times = 1
        /// How many of the last blocks see the end of jumps, see `DiT.Configuration`.
        package var decoupled = 0

        package init(image: Shape) { self.image = image }

        var headCount: Int { heads ?? depth }
        var width: Int { headCount * headChannels }
        /// Rows and columns of the table of positions.
        var table: Int { tableSize ?? max(image[0], image[1]) / patch }
        /// The distance between neighbours of the table, which spans as many patches as an image of the sample size
        /// has.
        var spacing: Double { Double((sampleSize ?? max(image[0], image[1])) / patch) / Double(table) }
        package var sampleShape: Shape { image }
        package var conditioning: Conditioning { .text(tokens: tokenWidth, summary: summaryWidth) }

        /// - Throws: `RiffleError` that names a setting that is not possible.
        func checked() throws -> Configuration {
            guard image.rank == 3, image.sizes.allSatisfy({ $0 > 0 }) else {
                throw RiffleError("mmdit", "image must be { height, width, channels }, got \(image)")
            }
            guard patch > 0, image[0] % patch == 0, image[1] % patch == 0 else {
                throw RiffleError("mmdit", "patches of \(patch) x \(patch) pixels do not fill the image \(image)")
            }
            guard max(image[0], image[1]) / patch <= table else {
                throw RiffleError(
                    "mmdit", "the image \(image) has more than \(table) patches along a side; raise max_size")
            }
            if let sampleSize, sampleSize < patch {
                throw RiffleError("mmdit", "sample_size must be at least the side of a patch, got \(sampleSize)")
            }
            guard headCount > 0, headChannels > 0, width % 4 == 0 else {
                throw RiffleError(
                    "mmdit", "\(headCount) heads of \(headChannels) channels do not make a width in multiples of 4")
            }
            guard depth > 0, dualBlocks.allSatisfy((0..<depth).contains) else {
                throw RiffleError("mmdit", "dual layers must be among the \(depth) blocks, got \(dualLayers)")
            }
            guard (0...depth).contains(decoupled) else {
                throw RiffleError("mmdit", "decoupled blocks are 0 to all \(depth), got \(decoupled)")
            }
            return self
        }

        package mutating func decouple(_ blocks: Int) { decoupled = blocks }
    }

    private static let features = 256
    private let patches: PatchEmbedding
    private let head: EmbeddingHead
    private let words: Linear
    private let blocks: [JointBlock]
    private let norm: AdaptiveNorm
    private let last: Linear

    package required init(_ configuration: Configuration) throws {
        let c = try configuration.checked()
        patches = try PatchEmbedding(
            image: c.image, patch: c.patch, width: c.width,
            names: .init(patches: "pos_embed.proj", positions: "pos_embed.pos_embed"), table: c.table,
            spacing: c.spacing)
        head = try EmbeddingHead(
            times: c.decoupled > 0 ? 1 : c.times, features: MMDiT.features, width: c.width, largest: c.frequency,
            c.conditioning,
            names: MMDiT.headNames, start: .normal(0.02), timeOfNoise: c.timeOfNoise)
        words = try Linear(c.tokenWidth, c.width, start: .xavier)
        blocks = try (0..<c.depth).map { index in
            try JointBlock(
                heads: c.headCount, headChannels: c.headChannels, queryKeyNorm: c.queryKeyNorm,
                dual: c.dualBlocks.contains(index),
                last: index == c.depth - 1)
        }
        norm = try AdaptiveNorm(c.width, scaleFirst: true)
        last = try Linear(c.width, c.patch * c.patch * c.image[2], start: .zero)
        try super.init(c)
    }

    private static let headNames = EmbeddingHead.Names(
        time: "time_text_embed.timestep_embedder", span: "time_text_embed.span_embedder",
        condition: "time_text_embed.text_embedder",
        layers: ["linear_1", "linear_2"])

    package override class var hasBlocks: Bool { true }
    package override var blockNames: [String] { blocks.indices.map { "transformer_blocks.\($0)" } }
    package override func map(ofBlock value: Tensor) throws -> Tensor { try patches.map(value) }
    package override var kind: String { "mmdit" }
    package override var sizes: String {
        let c = configuration, others = c.anySize ? " and other sizes" : ""
        return "\(c.image)\(others), patch \(c.patch), \(c.headCount) heads of \(c.headChannels), depth \(c.depth)"
    }

    package override var sampleShape: Shape? { configuration.anySize ? nil : configuration.image }

    /// Checks a batch where images may have any size.
    private func check(_ x: Tensor) throws {
        let c = configuration, side = c.patch * c.table
        let isTaken =
            x.rank == 4 && x.shape[3] == c.image[2]
            && x.shape.sizes[1...2].allSatisfy { $0 > 0 && $0 % c.patch == 0 && $0 <= side }
        guard isTaken else {
            throw RiffleError(
                kind,
                "a batch must be [n, height, width, \(c.image[2])], sides in multiples of \(c.patch) up to \(side) "
                    + "(x \(x.shape))")
        }
    }

    package override var children: [(name: String, module: Module)] {
        patches.children + head.children
            + [
                ("context_embedder", words), ("transformer_blocks", ModuleList(blocks)), ("norm_out.linear", norm),
                ("proj_out", last),
            ]
    }
    package override var ownBuffers: [NamedParameter] { patches.buffers }

    package override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        if configuration.anySize { try check(x) }
        let (start, end) = try head.ofBlocks(times, condition)
        guard let text = condition?.tensors.first else { throw RiffleError("mmdit", "a text is needed") }
        var h = try named("pos_embed") { try patches.tokens(x) }
        var context = try named("context_embedder") { try words(text) }
        for (index, part) in blocks.enumerated() {
            let conditioning = index < blocks.count - configuration.decoupled ? start : end
            let streams = try block("transformer_blocks.\(index)", part, h, context, conditioning) {
                try part($0[0], $0[1], $0[2])
            }
            h = streams[0]
            if streams.count > 1 { context = streams[1] }
        }
        let images = try named("proj_out") { try patches.images(last(norm(h, end)), like: x) }
        return configuration.timeOfNoise ? try -images : images
    }
}

extension MMDiT {
    static let form = NetworkForm(
        "mmdit", MMDiT.self, Configuration(image: []),
        [
            Option(
                "image", \.image, .list(.integer(1...65536)),
                "{ height, width, channels }, in practice of latents (in_channels = out_channels)", isRequired: true),
            Option(
                "any_size", \.anySize, .boolean,
                "whether images of other sizes are taken, too, as far as the table of positions reaches"),
            Option("patch", \.patch, .integer(1...65536), "pixels along the side of a patch (patch_size)"),
            Option("depth", \.depth, .integer(1...1000), "blocks (num_layers)"),
            Option(
                "heads", \.heads, .integer(1...1024),
                "heads of attention; as many as there are blocks when not given (num_attention_heads)"),
            Option(
                "head_channels", \.headChannels, .integer(1...65536),
                "channels of a head; heads x head_channels is the width (attention_head_dim)"),
            Option("tokens", \.tokenWidth, .integer(1...1_000_000), "width of a text's tokens (joint_attention_dim)"),
            Option(
                "summary", \.summaryWidth, .integer(1...1_000_000),
                "width of a text's summary (pooled_projection_dim)"),
            Option(
                "qk_norm", \.queryKeyNorm, .boolean,
                "whether each head's queries and keys are normalised (qk_norm = \"rms_norm\")"),
            Option(
                "dual_layers", \.dualLayers, .list(.integer(1...1000)),
                "blocks, from 1, whose image also attends to itself alone (dual_attention_layers, from 0)"),
            Option(
                "max_size", \.tableSize, .integer(1...65536),
                "side of the table of positions, in patches; the image's when not given (pos_embed_max_size)"),
            Option(
                "sample_size", \.sampleSize, .integer(1...65536),
                "side of the images that a new table is scaled for; the image's when not given"),
            Option("frequency", \.frequency, .positive, .largestFrequency),
            Option(
                "time_of_noise", \.timeOfNoise, .boolean,
                "whether the weights count time from data and predict noise - data, as published ones do"),
            Option("decoupled", \.decoupled, .integer(0...1000), .decoupledBlocks),
        ],
        Doc(
            "A velocity network for images and text: diffusers' SD3 transformer, with its names in files. Its names of "
                + "settings are in parentheses.",
            shapes: "x [n, height, width, channels], t [n], tokens [n, length, tokens], summary [n, summary] -> as x",
            example: """
                > local sizes = { depth = 2, heads = 2, head_channels = 8, tokens = 6, summary = 5 }
                > sizes.image = { 4, 4, 2 }
                > local net = riffle.nn.mmdit(sizes)
                > net(riffle.ones(1, 4, 4, 2), riffle.zeros(1), riffle.ones(1, 3, 6), riffle.ones(1, 5)):shape()
                [1, 4, 4, 2]
                """,
            source: "Esser et al. 2024"))
}
