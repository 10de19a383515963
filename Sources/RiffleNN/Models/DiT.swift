import RiffleTensor

/// The diffusion transformer (Peebles and Xie 2023) with adaLN-zero, with the published checkpoints' names in files.
///
/// Images are [n, height, width, channels]. DiT's checkpoints predict noise; SiT's, of the same form (Ma et al. 2024),
/// predict our velocity, with `frequency` 1 and `learnedSigma`. `span_embedder` is ours: the second time.
package final class DiT: ConfiguredNetwork<DiT.Configuration> {
    /// The published sizes.
    package enum Size: String, CaseIterable, Sendable {
        case small = "S", base = "B", large = "L", extraLarge = "XL"

        var sizes: (width: Int, depth: Int, heads: Int) {
            switch self {
            case .small: (384, 12, 6)
            case .base: (768, 12, 12)
            case .large: (1024, 24, 16)
            case .extraLarge: (1152, 28, 16)
            }
        }
    }

    package struct Configuration: LabelledConfiguration {
        /// [height, width, channels].
        package var image: Shape
        /// Pixels along the side of a patch.
        package var patch = 2
        /// Decides width, depth and heads where they are nil.
        package var size: Size
        package var width: Int?
        /// Blocks.
        package var depth: Int?
        package var heads: Int?
        /// Width of a block's hidden layer, in units of `width`.
        package var ratio = 4
        /// Whether the last layer has outputs for the variances that diffusion learns, too. The network drops them.
        package var learnedSigma = false
        package var labels = ClassLabels(hasNull: true)
        /// Largest frequency of the time embedding, in rad.
        package var frequency = 1000.0
        package var times = 1
        /// How many of the last blocks see the end of jumps, where there are two times, and the others their start.
        /// Where 0, all see the start and an embedding of the span.
        package var decoupled = 0

        package init(image: Shape, size: Size = .small) {
            self.image = image
            self.size = size
        }

        package var sampleShape: Shape { image }
        package var sizes: (width: Int, depth: Int, heads: Int) {
            (width ?? size.sizes.width, depth ?? size.sizes.depth, heads ?? size.sizes.heads)
        }

        /// - Throws: `RiffleError` that names a setting that is not possible.
        func checked() throws -> Configuration {
            guard image.rank == 3, image.sizes.allSatisfy({ $0 > 0 }) else {
                throw RiffleError("dit", "image must be { height, width, channels }, got \(image)")
            }
            guard patch > 0, image[0] % patch == 0, image[1] % patch == 0 else {
                throw RiffleError("dit", "patches of \(patch) x \(patch) pixels do not fill the image \(image)")
            }
            let (width, depth, heads) = sizes
            guard width > 0, width % 4 == 0 else {
                throw RiffleError("dit", "width must be a multiple of 4, got \(width)")
            }
            guard heads > 0, width % heads == 0 else {
                throw RiffleError("dit", "a width of \(width) does not make \(heads) equal heads")
            }
            guard depth > 0, ratio > 0 else {
                throw RiffleError("dit", "depth and ratio must be positive, got \(depth) and \(ratio)")
            }
            guard (0...depth).contains(decoupled) else {
                throw RiffleError("dit", "decoupled blocks are 0 to all \(depth), got \(decoupled)")
            }
            return self
        }

        package mutating func decouple(_ blocks: Int) { decoupled = blocks }
    }

    private static let features = 256
    private let patches: PatchEmbedding
    private let head: EmbeddingHead
    private let blocks: [DiTBlock]
    private let last: FinalLayer

    package required init(_ configuration: Configuration) throws {
        let c = try configuration.checked()
        let (width, depth, heads) = c.sizes
        patches = try PatchEmbedding(
            image: c.image, patch: c.patch, width: width,
            names: .init(patches: "x_embedder.proj", positions: "pos_embed"))
        head = try EmbeddingHead(
            times: c.decoupled > 0 ? 1 : c.times, features: DiT.features, width: width, largest: c.frequency,
            c.conditioning,
            names: .init(time: "t_embedder.mlp", span: "span_embedder.mlp", condition: "y_embedder.embedding_table"),
            start: .normal(0.02))
        blocks = try (0..<depth).map { _ in try DiTBlock(width, heads: heads, ratio: c.ratio) }
        last = try FinalLayer(width, c.patch * c.patch * c.image[2] * (c.learnedSigma ? 2 : 1))
        try super.init(c)
    }

    package override class var hasBlocks: Bool { true }
    package override var blockNames: [String] { blocks.indices.map { "blocks.\($0)" } }
    package override func map(ofBlock value: Tensor) throws -> Tensor { try patches.map(value) }
    package override var kind: String { "dit" }
    package override var sizes: String {
        let (width, depth, _) = configuration.sizes
        return "\(configuration.image), patch \(configuration.patch), width \(width), depth \(depth)"
    }

    package override var children: [(name: String, module: Module)] {
        patches.children + head.children + [("blocks", ModuleList(blocks)), ("final_layer", last)]
    }
    package override var ownBuffers: [NamedParameter] { patches.buffers }

    package override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let (start, end) = try head.ofBlocks(times, condition)
        var h = try named("x_embedder") { try patches.tokens(x) }
        for (index, part) in blocks.enumerated() {
            let conditioning = index < blocks.count - configuration.decoupled ? start : end
            h = try block("blocks.\(index)", part, h, conditioning) { [try part($0[0], $0[1])] }[0]
        }
        return try named("final_layer") { try patches.images(last(h, end), like: x) }
    }
}

extension DiT {
    static let form = NetworkForm(
        labelled: "dit", DiT.self, Configuration(image: []),
        [
            Option("image", \.image, .list(.integer(1...65536)), .imageSizes, isRequired: true),
            Option("patch", \.patch, .integer(1...65536), .patchSide),
            Option("size", \.size, "width, depth and heads by the published name"),
            Option("width", \.width, .integer(4...65536), "instead of the width that size gives"),
            Option("depth", \.depth, .integer(1...1000), "blocks, instead of the number that size gives"),
            Option("heads", \.heads, .integer(1...1024), "heads of attention, instead of the number that size gives"),
            Option(
                "learned_sigma", \.learnedSigma, .boolean,
                "whether the last layer also has outputs for diffusion's variances, which are dropped"),
            Option("frequency", \.frequency, .positive, .largestFrequency),
            Option("decoupled", \.decoupled, .integer(0...1000), .decoupledBlocks),
        ],
        Doc(
            "A velocity network for images: the diffusion transformer, with the published checkpoints' names in files.",
            shapes: "x [n, height, width, channels], t [n] (, labels [n]) -> as x",
            example: """
                > riffle.nn.dit { image = { 8, 8, 3 }, width = 32, depth = 2, heads = 4 }:count()
                50028
                """,
            source: "Peebles and Xie 2023; Ma et al. 2024 (SiT: learned_sigma = true, frequency = 1)"))
}

/// x + gate attention(norm(x)), then x + gate mlp(norm(x)); the conditioning decides gates and norms.
private final class DiTBlock: Module {
    private let attention: SelfAttention
    private let mlp: FeedForward
    private let modulation: Modulation

    init(_ width: Int, heads: Int, ratio: Int) throws {
        attention = try SelfAttention(width, heads: heads, start: .xavier)
        mlp = try FeedForward(width, ratio * width, width, .gelu, names: ["fc1", "fc2"], start: .xavier)
        modulation = try Modulation(width, branches: 2)
    }

    override var kind: String { "block" }
    override var children: [(name: String, module: Module)] {
        [("attn", attention), ("mlp", mlp), ("adaLN_modulation.1", modulation)]
    }

    /// x [n, tokens, width], conditioning [n, width] after SiLU -> as x.
    func callAsFunction(_ x: Tensor, _ conditioning: Tensor) throws -> Tensor {
        let branches = try modulation(conditioning)
        let (across, within) = (branches[0], branches[1])
        let h = try x + across.gate * attention(across.input(x))
        return try h + within.gate * mlp(within.input(h))
    }
}

/// The layer from tokens to the numbers of their patches, which are zeros at first.
private final class FinalLayer: Module {
    private let norm: AdaptiveNorm
    private let linear: Linear

    init(_ width: Int, _ outputs: Int) throws {
        norm = try AdaptiveNorm(width)
        linear = try Linear(width, outputs, start: .zero)
    }

    override var kind: String { "final_layer" }
    override var summary: String { linear.summary }
    override var children: [(name: String, module: Module)] { [("linear", linear), ("adaLN_modulation.1", norm)] }

    /// x [n, tokens, width], conditioning [n, width] after SiLU -> [n, tokens, outputs].
    func callAsFunction(_ x: Tensor, _ conditioning: Tensor) throws -> Tensor { try linear(norm(x, conditioning)) }
}
