import RiffleTensor

/// A small autoencoder whose latents are those of a larger one, for previews (TAESD, Bohan 2023), with function and
/// names of diffusers' AutoencoderTiny.
package final class TinyAutoencoder: ConfiguredAutoencoder<TinyAutoencoder.Configuration> {
    package struct Configuration: AutoencoderConfiguration {
        /// Of all levels, "encoder_block_out_channels" and "decoder_block_out_channels".
        package var channels = 64
        /// Blocks of each level, "num_encoder_blocks"; every level but the first halves the picture.
        package var encoderBlocks = [1, 3, 3, 3]
        /// The same of the decoder, "num_decoder_blocks"; every level but the last doubles it.
        package var decoderBlocks = [3, 3, 3, 1]
        /// "latent_channels".
        package var latents = 4
        /// "in_channels" and "out_channels".
        package var imageChannels = 3
        /// "scaling_factor".
        package var scaling = 1.0
        /// "shift_factor".
        package var shift = 0.0

        package init() {}

        package var factor: Int { 1 << max(0, encoderBlocks.count - 1) }

        func checked() throws -> Configuration {
            guard (1...16).contains(encoderBlocks.count), decoderBlocks.count == encoderBlocks.count else {
                throw RiffleError(
                    "tiny_autoencoder",
                    "encoder and decoder have the same number of levels, 1 to 16, got \(encoderBlocks.count) and "
                        + "\(decoderBlocks.count)")
            }
            return self
        }
    }

    private let encoder: Sequential
    private let decoder: Sequential

    package required init(_ configuration: Configuration) throws {
        let c = try configuration.checked(), width = c.channels
        var down: [Module] = []
        for (index, blocks) in c.encoderBlocks.enumerated() {
            down.append(
                try index == 0 ? Conv2d(c.imageChannels, width) : Conv2d(width, width, stride: 2, bias: false))
            down += try (0..<blocks).map { _ in try TinyBlock(width) }
        }
        var up: [Module] = [try Conv2d(c.latents, width), Operation(.relu)]
        for (index, blocks) in c.decoderBlocks.enumerated() {
            let isLast = index + 1 == c.decoderBlocks.count
            up += try (0..<blocks).map { _ in try TinyBlock(width) }
            if !isLast { up.append(Operation(.upsample, [.integer(2)])) }
            up.append(try Conv2d(width, isLast ? c.imageChannels : width, bias: isLast))
        }
        encoder = Sequential(down + [try Conv2d(width, c.latents)])
        decoder = Sequential(up)
        try super.init(c)
    }

    package override var kind: String { "tiny_autoencoder" }
    package override var summary: String {
        let c = configuration
        return "\(c.imageChannels) channels, 1 / \(factor) of the side, \(c.latents) latents, width \(c.channels)"
    }
    package override var children: [(name: String, module: Module)] {
        [("encoder.layers", encoder), ("decoder.layers", decoder)]
    }

    override func encoded(_ pictures: Tensor) throws -> Tensor { try encoder(pictures.affine(0.5, 0.5)) }
    override func posterior(of encoded: Tensor) throws -> Posterior { Posterior(mean: encoded, logVariance: nil) }
    override func decoded(_ latents: Tensor) throws -> Tensor {
        try decoder((latents / 3).tanh() * 3).affine(2, -1)
    }
}

/// relu(x + conv(relu(conv(relu(conv(x)))))).
private final class TinyBlock: Module {
    private let convolutions: [Conv2d]

    init(_ width: Int) throws { convolutions = try (0..<3).map { _ in try Conv2d(width, width) } }

    override var kind: String { "residual" }
    override var children: [(name: String, module: Module)] {
        // Activations take the numbers between.
        convolutions.enumerated().map { ("conv.\(2 * $0.offset)", $0.element) }
    }
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        let x = inputs[0]
        let h = try convolutions[2](convolutions[1](convolutions[0](x).relu()).relu())
        return try (x + h).relu()
    }
}

extension TinyAutoencoder {
    static let form = AutoencoderForm(
        "tiny_autoencoder", TinyAutoencoder.self, Configuration(),
        [
            Option("channels", \.channels, .integer(1...65536), "of all levels"),
            Option(
                "encoder_blocks", \.encoderBlocks, .list(.integer(0...1000)),
                "residual blocks of each level, of which all but the first halve the picture; { 1, 3, 3, 3 }"),
            Option(
                "decoder_blocks", \.decoderBlocks, .list(.integer(0...1000)),
                "the same on the way back; { 3, 3, 3, 1 }"),
            Option("latents", \.latents, .integer(1...65536), "channels of latents"),
            Option("image_channels", \.imageChannels, .integer(1...65536), "channels of pictures"),
            Option("scaling", \.scaling, .positive, "what latents are multiplied by"),
            Option("shift", \.shift, .number, "what is taken off latents before"),
        ],
        Doc(
            "TAESD, a small autoencoder for previews of a larger one's latents, with diffusers' names in files.",
            shapes: "x [n, height, width, 3] -> as x; latents [n, height / 8, width / 8, latents]",
            example: """
                > local tiny = riffle.nn.tiny_autoencoder { channels = 8 }
                > return tiny:decode(riffle.zeros(1, 2, 3, 4)):shape()
                [1, 16, 24, 3]
                """,
            source: "Bohan 2023, github.com/madebyollin/taesd"))
}
