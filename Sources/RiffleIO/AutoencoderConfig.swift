import RiffleNN
import RiffleTensor

/// What diffusers' config.json says of an autoencoder.
extension PictureAutoencoder {
    private static let sizes = 1...65536

    /// An autoencoder as diffusers' config.json describes it. It has no numbers until a file is loaded.
    /// - Parameter path: the file that errors name.
    /// - Throws: `RiffleError` for a class of diffusers that is none of these, and for settings that are not known.
    package static func described(by config: Value, named path: String) throws -> PictureAutoencoder {
        var table = try ConfigTable(config, named: path)
        let name = try table.word("_class_name")
        let make: (inout ConfigTable) throws -> PictureAutoencoder =
            switch name {
            case KLAutoencoder.className: KLAutoencoder.described
            case TinyAutoencoder.className: TinyAutoencoder.described
            default:
                throw table.error(
                    "its _class_name is \(name ?? "missing"); autoencoders are \(KLAutoencoder.className) and "
                        + TinyAutoencoder.className)
            }
        return try withoutNumbers { try make(&table) }
    }

    /// The autoencoder in a folder as diffusers writes it: config.json, and the weights beside it.
    /// - Throws: `RiffleError` that names what is missing, not known, or does not fit.
    package static func open(folder: String) throws -> PictureAutoencoder {
        let (config, path) = try ConfigTable.config(in: folder)
        let autoencoder = try described(by: config, named: path)
        try autoencoder.load(from: WeightsLibrary.diffusers.file(in: folder))
        return autoencoder
    }

    /// The autoencoder of a file that `save` wrote; nil for files of other things.
    package static func open(file path: String) throws -> PictureAutoencoder? {
        let file = try InputFile(path)
        guard try FileKind(file) == .safetensors, let text = try SafeTensors(file).metadata[configKey] else {
            return nil
        }
        let autoencoder = try described(by: JSON.value(Array(text.utf8), named: path), named: path)
        try autoencoder.load(from: path)
        return autoencoder
    }

    /// The key of the configuration in the metadata of our files.
    static let configKey = "config"

    /// As diffusers writes it.
    package var config: Value {
        var table: [String: Value] = [
            "in_channels": .integer(imageChannels), "out_channels": .integer(imageChannels),
            "latent_channels": .integer(latentChannels), "scaling_factor": .number(scaling),
            "shift_factor": .number(shift),
        ]
        switch self {
        case let kl as KLAutoencoder: table.merge(kl.ownConfig) { $1 }
        case let tiny as TinyAutoencoder: table.merge(tiny.ownConfig) { $1 }
        default: break
        }
        return .table(table)
    }

    /// What both kinds have.
    fileprivate static func read(_ table: inout ConfigTable, into c: inout some AutoencoderConfiguration) throws {
        c.imageChannels = try table.integer("in_channels", sizes, usual: 3)
        let outputs = try table.integer("out_channels", sizes, usual: 3)
        guard outputs == c.imageChannels else {
            throw table.error("in_channels \(c.imageChannels) and out_channels \(outputs) differ")
        }
        c.latents = try table.integer("latent_channels", sizes, usual: 4)
        c.scaling = try table.number("scaling_factor", above: 0, usual: c.scaling)
        c.shift = try table.number("shift_factor", usual: 0)
    }
}

extension KLAutoencoder {
    fileprivate static let className = "AutoencoderKL"
    private static let down = "DownEncoderBlock2D"
    private static let up = "UpDecoderBlock2D"

    fileprivate static func described(_ table: inout ConfigTable) throws -> PictureAutoencoder {
        var c = Configuration()
        try read(&table, into: &c)
        c.channels = try table.integers("block_out_channels", 1...65536, usual: [64])
        c.layers = try table.integer("layers_per_block", 1...64, usual: 1)
        c.groups = try table.integer("norm_num_groups", 1...65536, usual: 32)
        c.attention = try table.boolean("mid_block_add_attention", usual: true)
        c.quantConvolutions = try table.boolean("use_quant_conv", usual: true)
        guard try table.boolean("use_post_quant_conv", usual: true) == c.quantConvolutions else {
            throw table.error("use_quant_conv and use_post_quant_conv differ; both or none are known here")
        }
        try table.expect("down_block_types", .list(c.channels.map { _ in .string(down) }))
        try table.expect("up_block_types", .list(c.channels.map { _ in .string(up) }))
        try table.expect("act_fn", .string("silu"), .string("swish"))
        table.pass(over: "sample_size", "force_upcast")
        try table.checkRest()
        do { return try KLAutoencoder(c) } catch let error as RiffleError { throw table.error(error.message) }
    }

    fileprivate var ownConfig: [String: Value] {
        let c = configuration
        return [
            "_class_name": .string(Self.className), "block_out_channels": .list(c.channels.map(Value.integer)),
            "layers_per_block": .integer(c.layers), "norm_num_groups": .integer(c.groups),
            "mid_block_add_attention": .boolean(c.attention), "use_quant_conv": .boolean(c.quantConvolutions),
            "use_post_quant_conv": .boolean(c.quantConvolutions), "act_fn": .string("silu"),
            "down_block_types": .list(c.channels.map { _ in .string(Self.down) }),
            "up_block_types": .list(c.channels.map { _ in .string(Self.up) }),
        ]
    }
}

extension TinyAutoencoder {
    fileprivate static let className = "AutoencoderTiny"

    fileprivate static func described(_ table: inout ConfigTable) throws -> PictureAutoencoder {
        var c = Configuration()
        try read(&table, into: &c)
        c.encoderBlocks = try table.integers("num_encoder_blocks", 0...1000, usual: c.encoderBlocks)
        c.decoderBlocks = try table.integers("num_decoder_blocks", 0...1000, usual: c.decoderBlocks)
        let usual = Array(repeating: c.channels, count: c.encoderBlocks.count)
        let widths = try table.integers("encoder_block_out_channels", 1...65536, usual: usual)
        c.channels = widths[0]
        let same = Value.list(c.encoderBlocks.map { _ in .integer(c.channels) })
        for key in ["encoder_block_out_channels", "decoder_block_out_channels"] { try table.expect(key, same) }
        try table.expect("act_fn", .string("relu"))
        try table.expect("upsample_fn", .string("nearest"))
        try table.expect("upsampling_scaling_factor", .integer(2))
        // The last two are of latents that are kept as bytes.
        table.pass(over: "block_out_channels", "force_upcast", "latent_magnitude", "latent_shift")
        try table.checkRest()
        do { return try TinyAutoencoder(c) } catch let error as RiffleError { throw table.error(error.message) }
    }

    fileprivate var ownConfig: [String: Value] {
        let c = configuration
        func widths(_ blocks: [Int]) -> Value { .list(blocks.map { _ in .integer(c.channels) }) }
        return [
            "_class_name": .string(Self.className), "num_encoder_blocks": .list(c.encoderBlocks.map(Value.integer)),
            "num_decoder_blocks": .list(c.decoderBlocks.map(Value.integer)), "act_fn": .string("relu"),
            "encoder_block_out_channels": widths(c.encoderBlocks),
            "decoder_block_out_channels": widths(c.decoderBlocks), "upsample_fn": .string("nearest"),
            "upsampling_scaling_factor": .integer(2),
        ]
    }
}
