import RiffleIO
import RiffleNN
import RiffleTensor
import RiffleText

/// A pipeline of Stable Diffusion 3.5's form with random numbers, a few hundred kB large, to try scripts with: pictures
/// of 32 x 32 pixels, no T5. Its pictures show nothing.
enum TinyPipeline {
    private static let width = 48, projection = 8, table = 32

    /// Writes it as diffusers would; whole or not at all, over an older pipeline. The numbers are the same each time.
    static func write(to target: String) throws {
        var random = RandomSource(seed: 3)
        try WholeFolder.write(target) { folder in
            try JSON.write(.table(index), to: "\(folder)/model_index.json")
            try config(scheduler, "\(folder)/scheduler", "scheduler_config.json")
            for (number, width) in [16, 24].enumerated() {
                let end = number == 0 ? "" : "_2"
                try WholeFolder.makeFolder("\(folder)/tokenizer\(end)")
                try ByteVocabulary.write(to: "\(folder)/tokenizer\(end)", padsWithEnd: number == 0)
                try part(
                    "\(folder)/text_encoder\(end)", encoder(width, number == 0 ? "quick_gelu" : "gelu"),
                    .transformers, CLIPText.Configuration.init, CLIPText.init, &random)
            }
            try part(
                "\(folder)/transformer", transformer, .diffusers, MMDiT.Configuration.init, MMDiT.init, &random)
            let autoencoder = try autoencoder()
            try config(autoencoder.config, "\(folder)/vae", "config.json")
            try write(autoencoder, .diffusers, to: "\(folder)/vae", &random)
        }
    }

    private static func config(_ value: Value, _ folder: String, _ name: String) throws {
        try WholeFolder.makeFolder(folder)
        try JSON.write(value, to: "\(folder)/\(name)")
    }

    /// A part that is made as its configuration says.
    private static func part<Configuration>(
        _ folder: String, _ settings: [String: Value], _ library: WeightsLibrary,
        _ configured: (inout ConfigTable) throws -> Configuration, _ make: (Configuration) throws -> some Module,
        _ random: inout RandomSource
    ) throws {
        try config(.table(settings), folder, "config.json")
        var table = try ConfigTable(.table(settings), named: "\(folder)/config.json")
        try write(make(configured(&table)), library, to: folder, &random)
    }

    /// Writes a network whose matrices and kernels are drawn, so that values stay about 1; the rest is as it begins.
    private static func write(
        _ network: some Module, _ library: WeightsLibrary, to folder: String, _ random: inout RandomSource
    ) throws {
        for named in network.parameters where named.parameter.value.rank > 1 {
            let shape = named.parameter.value.shape
            try named.parameter.assign(random.normal(shape) * (1 / Double(shape.count / shape[0]).squareRoot()))
        }
        try library.write(network, to: folder)
    }

    // MARK: - Settings

    private static func classes(_ library: String, _ name: String) -> Value {
        .list([.string(library), .string(name)])
    }

    private static var index: [String: Value] {
        let none = Value.list([.none, .none]), encoder = classes("transformers", "CLIPTextModelWithProjection")
        let tokenizer = classes("transformers", "CLIPTokenizer")
        return [
            "_class_name": .string(StableDiffusion3.pipelineClass),
            "scheduler": classes("diffusers", "FlowMatchEulerDiscreteScheduler"), "tokenizer": tokenizer,
            "tokenizer_2": tokenizer, "tokenizer_3": none, "text_encoder": encoder, "text_encoder_2": encoder,
            "text_encoder_3": none, "transformer": classes("diffusers", "SD3Transformer2DModel"),
            "vae": classes("diffusers", "AutoencoderKL"), "feature_extractor": none, "image_encoder": none,
        ]
    }

    private static var scheduler: Value {
        .table([
            "_class_name": .string("FlowMatchEulerDiscreteScheduler"), "num_train_timesteps": .integer(1000),
            "shift": .number(3),
        ])
    }

    private static var transformer: [String: Value] {
        [
            "_class_name": .string("SD3Transformer2DModel"), "sample_size": .integer(16), "in_channels": .integer(4),
            "out_channels": .integer(4), "patch_size": .integer(2), "num_layers": .integer(2),
            "num_attention_heads": .integer(2), "attention_head_dim": .integer(16),
            "caption_projection_dim": .integer(32), "joint_attention_dim": .integer(width),
            "pooled_projection_dim": .integer(2 * projection), "pos_embed_max_size": .integer(table),
            "qk_norm": .string("rms_norm"), "dual_attention_layers": .list([.integer(0)]),
        ]
    }

    private static func encoder(_ width: Int, _ activation: String) -> [String: Value] {
        [
            "architectures": .list([.string("CLIPTextModelWithProjection")]), "model_type": .string("clip_text_model"),
            "vocab_size": .integer(ByteVocabulary.size), "hidden_size": .integer(width),
            "num_hidden_layers": .integer(2), "num_attention_heads": .integer(2),
            "intermediate_size": .integer(2 * width),
            "max_position_embeddings": .integer(77), "projection_dim": .integer(projection),
            "hidden_act": .string(activation), "bos_token_id": .integer(ByteVocabulary.size - 2),
            "eos_token_id": .integer(ByteVocabulary.size - 1), "pad_token_id": .integer(1),
        ]
    }

    private static func autoencoder() throws -> KLAutoencoder {
        var c = KLAutoencoder.Configuration()
        (c.channels, c.layers, c.groups, c.latents) = ([16, 16], 1, 4, 4)
        (c.scaling, c.shift, c.quantConvolutions) = (1.5305, 0.0609, false)
        return try KLAutoencoder(c)
    }
}
