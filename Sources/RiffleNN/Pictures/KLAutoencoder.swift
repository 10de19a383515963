import RiffleTensor

/// The autoencoder of latent diffusion (Rombach et al. 2022), with function and names of diffusers' AutoencoderKL: that
/// of Stable Diffusion 1 and XL with 4 latents, that of Stable Diffusion 3 and FLUX with 16.
package final class KLAutoencoder: ConfiguredAutoencoder<KLAutoencoder.Configuration> {
    package struct Configuration: AutoencoderConfiguration {
        /// Of each level, "block_out_channels"; every level but the last halves the picture.
        package var channels = [128, 256, 512, 512]
        /// Residual blocks of a level of the encoder, one fewer than the decoder has, "layers_per_block".
        package var layers = 2
        /// "latent_channels".
        package var latents = 4
        /// Of norms, "norm_num_groups".
        package var groups = 32
        /// "in_channels" and "out_channels".
        package var imageChannels = 3
        /// Whether convolutions of one pixel stand around the latents, "use_quant_conv" and "use_post_quant_conv".
        package var quantConvolutions = true
        /// Whether the middles of encoder and decoder have attention, "mid_block_add_attention".
        package var attention = true
        /// "scaling_factor".
        package var scaling = 0.18215
        /// "shift_factor".
        package var shift = 0.0

        package init() {}

        package var factor: Int { 1 << max(0, channels.count - 1) }

        func checked() throws -> Configuration {
            guard (1...16).contains(channels.count) else {
                throw RiffleError("autoencoder", "it has 1 to 16 levels, channels lists \(channels.count)")
            }
            return self
        }
    }

    private let encoder: PictureHalf
    private let decoder: PictureHalf
    private let afterEncoder: Conv2d?
    private let beforeDecoder: Conv2d?

    package required init(_ configuration: Configuration) throws {
        let c = try configuration.checked()
        encoder = try PictureHalf(encoder: c)
        decoder = try PictureHalf(decoder: c)
        afterEncoder = c.quantConvolutions ? try Conv2d(2 * c.latents, 2 * c.latents, kernel: 1) : nil
        beforeDecoder = c.quantConvolutions ? try Conv2d(c.latents, c.latents, kernel: 1) : nil
        try super.init(c)
    }

    package override var kind: String { "autoencoder" }
    package override var summary: String {
        let c = configuration
        return "\(c.imageChannels) channels, 1 / \(factor) of the side, \(c.latents) latents, widths "
            + "\(Shape(c.channels)) x \(c.layers)"
    }
    package override var children: [(name: String, module: Module)] {
        [("encoder", encoder), ("decoder", decoder)] + (afterEncoder.map { [("quant_conv", $0)] } ?? [])
            + (beforeDecoder.map { [("post_quant_conv", $0)] } ?? [])
    }

    override func encoded(_ pictures: Tensor) throws -> Tensor {
        let h = try encoder(pictures)
        return try afterEncoder.map { try $0(h) } ?? h
    }

    override func posterior(of encoded: Tensor) throws -> Posterior {
        let parts = try encoded.split([latentChannels, latentChannels], 3)
        return Posterior(mean: parts[0], logVariance: try parts[1].clamp(-30, 20))
    }

    override func decoded(_ latents: Tensor) throws -> Tensor {
        try decoder(beforeDecoder.map { try $0(latents) } ?? latents)
    }
}

extension KLAutoencoder {
    static let form = AutoencoderForm(
        "autoencoder", KLAutoencoder.self, Configuration(),
        [
            Option(
                "channels", \.channels, .list(.integer(1...65536)),
                "of each level, of which all but the last halve the picture; { 128, 256, 512, 512 }"),
            Option("layers", \.layers, .integer(1...64), "residual blocks of a level; the decoder has one more"),
            Option("latents", \.latents, .integer(1...65536), "channels of latents"),
            Option("groups", \.groups, .integer(1...65536), "of channels in norms"),
            Option("image_channels", \.imageChannels, .integer(1...65536), "channels of pictures"),
            Option(
                "quant", \.quantConvolutions, .boolean,
                "whether convolutions of one pixel stand around the latents: in SD 1 and XL, not in SD 3 and FLUX"),
            Option("attention", \.attention, .boolean, "whether the middles have it"),
            Option("scaling", \.scaling, .positive, .latentScaling),
            Option("shift", \.shift, .number, .latentShift),
        ],
        Doc(
            "AutoencoderKL, with diffusers' names in files: net(x) gives what both halves make of pictures, mean and "
                + "log-variance.",
            formula: "encode: (mean - shift) scaling; net(x): decoder(mean + exp(log-variance / 2) noise), after "
                + "net:eval() decoder(mean)",
            shapes: "x [n, height, width, 3] -> as x, then [n, height / 8, width / 8, latents] twice, of four levels",
            example: """
                > local net = riffle.nn.autoencoder { channels = { 32, 32 }, layers = 1 }
                > local y, mean, log_variance = net(riffle.zeros(1, 8, 8, 3))
                > return y:shape(), mean:shape(), log_variance:shape()
                [1, 8, 8, 3]\t[1, 4, 4, 4]\t[1, 4, 4, 4]
                """,
            source: "Rombach et al. 2022, 2112.10752; Esser et al. 2024, 2403.03206"))
}

extension String {
    static let latentScaling = "what latents are multiplied by: 0.18215 of SD 1, 0.13025 of XL, 1.5305 of SD 3"
    static let latentShift = "what is taken off latents before: 0.0609 of SD 3, 0.1159 of FLUX"
}
