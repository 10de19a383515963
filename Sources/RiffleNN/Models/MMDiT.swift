import RiffleTensor

/// The multimodal diffusion transformer of Stable Diffusion 3 (Esser et al. 2024): image and text as two streams of
/// tokens. It has the function and the names in files of diffusers' SD3Transformer2DModel, whose settings are in quotes.
///
/// Samples are [n, height, width, channels], in practice latents; they are conditioned on a text. `span_embedder` is ours:
/// the second time.
public final class MMDiT: Network {
    public struct Configuration: Sendable {
        /// [height, width, channels]; "in_channels" and "out_channels" are the same for a velocity.
        public var image: Shape
        /// Pixels along the side of a patch, "patch_size".
        public var patch = 2
        /// Blocks, "num_layers".
        public var depth = 12
        /// "num_attention_heads". The width, and "caption_projection_dim", is heads x headChannels.
        public var heads = 12
        /// "attention_head_dim".
        public var headChannels = 64
        /// Of a text's tokens, "joint_attention_dim".
        public var tokenWidth = 4096
        /// Of a text's summary, "pooled_projection_dim".
        public var summaryWidth = 2048
        /// Whether each head's queries and keys are divided by their root mean square, "qk_norm".
        public var queryKeyNorm = false
        /// Places from 0 of the blocks where the image also attends to itself alone, "dual_attention_layers".
        public var dualBlocks: Set<Int> = []
        /// Rows and columns of the table of positions, from whose middle an image takes its own, "pos_embed_max_size";
        /// as many as the image has where nil.
        public var tableSize: Int?
        /// Side of the images that the table starts scaled for, "sample_size"; the image's where nil. Files bring their own.
        public var sampleSize: Int?
        /// Largest frequency of the time embedding, in rad.
        public var frequency = 1000.0
        /// Whether the weights are those of a network that counts time from data, as Stable Diffusion 3 does: it is told
        /// 1 - t (its timestep / 1000), and what it answers, noise - data, is turned into our velocity, data - noise.
        public var timeOfNoise = true
        public var times = 1

        public init(image: Shape) { self.image = image }

        var width: Int { heads * headChannels }
        /// Rows and columns of the table of positions.
        var table: Int { tableSize ?? max(image[0], image[1]) / patch }
        /// The step between places of the table, which spans as many patches as an image of the sample size has.
        var spacing: Double { Double((sampleSize ?? max(image[0], image[1])) / patch) / Double(table) }
        var conditioning: Conditioning { .text(tokens: tokenWidth, summary: summaryWidth) }

        /// - Throws: `RiffleError` that names the setting that cannot be.
        func checked() throws -> Configuration {
            guard image.rank == 3, image.sizes.allSatisfy({ $0 > 0 }) else {
                throw RiffleError("mmdit", "image must be { height, width, channels }, got \(image)")
            }
            guard patch > 0, image[0] % patch == 0, image[1] % patch == 0 else {
                throw RiffleError("mmdit", "patches of \(patch) x \(patch) pixels do not fill the image \(image)")
            }
            guard max(image[0], image[1]) / patch <= table else {
                throw RiffleError("mmdit", "the image \(image) has more than \(table) patches along a side; raise max_size")
            }
            if let sampleSize, sampleSize < patch {
                throw RiffleError("mmdit", "sample_size must be at least the side of a patch, got \(sampleSize)")
            }
            guard heads > 0, headChannels > 0, width % 4 == 0 else {
                throw RiffleError("mmdit", "\(heads) heads of \(headChannels) channels do not make a width in multiples of 4")
            }
            guard depth > 0, dualBlocks.allSatisfy((0..<depth).contains) else {
                throw RiffleError("mmdit", "dual layers must be among the \(depth) blocks, got \(dualBlocks.map { $0 + 1 }.sorted())")
            }
            return self
        }
    }

    private static let features = 256
    public let configuration: Configuration
    private let grid: PatchGrid
    private let patches: Conv2d
    private let positions: Parameter
    private let head: EmbeddingHead
    private let words: Linear
    private let blocks: [JointBlock]
    private let norm: AdaptiveNorm
    private let last: Linear

    public init(_ configuration: Configuration) throws {
        let c = try configuration.checked()
        self.configuration = c
        grid = PatchGrid(image: c.image, patch: c.patch)
        patches = try Conv2d(c.image[2], c.width, kernel: c.patch, stride: c.patch, padding: 0, start: .xavier)
        positions = try .positions(rows: c.table, columns: c.table, width: c.width, spacing: c.spacing)
        head = try EmbeddingHead(
            times: c.times, features: MMDiT.features, width: c.width, largest: c.frequency, c.conditioning, names: MMDiT.headNames,
            start: .normal(0.02), timeOfNoise: c.timeOfNoise)
        words = try Linear(c.tokenWidth, c.width, start: .xavier)
        blocks = try (0..<c.depth).map { place in
            try JointBlock(
                heads: c.heads, headChannels: c.headChannels, queryKeyNorm: c.queryKeyNorm, dual: c.dualBlocks.contains(place),
                last: place == c.depth - 1)
        }
        norm = try AdaptiveNorm(c.width, scaleFirst: true)
        last = try Linear(c.width, c.patch * c.patch * c.image[2], start: .zero)
    }

    private static let headNames = EmbeddingHead.Names(
        time: "time_text_embed.timestep_embedder", span: "time_text_embed.span_embedder", condition: "time_text_embed.text_embedder",
        layers: ["linear_1", "linear_2"])

    public override var kind: String { "mmdit" }
    public override var summary: String {
        "\(configuration.image), patch \(configuration.patch), \(configuration.heads) heads of \(configuration.headChannels), "
            + "depth \(configuration.depth)" + conditioning.summary + (times == 2 ? ", two times" : "")
    }
    public override var times: Int { configuration.times }
    public override var conditioning: Conditioning { configuration.conditioning }
    public override var sampleShape: Shape? { configuration.image }

    public override var children: [(name: String, module: Module)] {
        [("pos_embed.proj", patches)] + head.children
            + [("context_embedder", words), ("transformer_blocks", ModuleList(blocks)), ("norm_out.linear", norm), ("proj_out", last)]
    }
    public override var ownBuffers: [NamedParameter] { [NamedParameter("pos_embed.pos_embed", positions)] }

    public override func blank() throws -> Module { try MMDiT(configuration) }

    public override func twoTimed() throws -> Network {
        var two = configuration
        two.times = 2
        return try MMDiT(two).taking(self)
    }

    public override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let told = try head(times, condition).silu()
        guard let text = condition?.tensors.first else { throw RiffleError("mmdit", "a text is needed") }
        var h = try named("pos_embed") { try grid.tokens(patches(x)) + middle() }
        var context = try named("context_embedder") { try words(text) }
        for (place, block) in blocks.enumerated() {
            (h, context) = try named("transformer_blocks.\(place)") { try block(h, context, told) }
        }
        let images = try named("proj_out") { try grid.images(last(norm(h, told))) }
        return configuration.timeOfNoise ? try -images : images
    }

    /// The positions of the image's patches, from the middle of the table: [1, rows x columns, width].
    private func middle() throws -> Tensor {
        let size = configuration.table, width = configuration.width
        let (top, left) = ((size - grid.rows) / 2, (size - grid.columns) / 2)
        return try positions.tensor.reshaped(to: [size, size, width])
            .sliced(0, top..<(top + grid.rows)).sliced(1, left..<(left + grid.columns))
            .reshaped(to: [1, grid.rows * grid.columns, width])
    }
}
