import RiffleIO
import RiffleNN
import RiffleTensor

/// What the config.json of each part of Stable Diffusion 3 says. A setting that is not known here is an error, as
/// passing over it would give wrong pictures.
private let sizes = 1...1_000_000

extension ConfigTable {
    /// Settings of transformers' encoders that change neither values nor names.
    fileprivate mutating func passOverTraining() {
        pass(
            over: "architectures", "dtype", "torch_dtype", "transformers_version", "initializer_factor",
            "initializer_range", "bos_token_id", "pad_token_id", "use_cache", "tie_word_embeddings", "is_decoder")
    }

    /// - Throws: `RiffleError` where the file describes a network of another kind.
    fileprivate mutating func expectKind(_ key: String, _ wanted: String) throws {
        let kind = try word(key)
        guard kind == wanted else { throw error("its \(key) is \(kind ?? "missing"); \(wanted) is read here") }
    }
}

extension MMDiT.Configuration {
    /// - Parameter table: diffusers' settings of an SD3Transformer2DModel: of Stable Diffusion 3, and of 3.5.
    init(_ table: inout ConfigTable) throws {
        try table.expectKind("_class_name", "SD3Transformer2DModel")
        let side = try table.integer("sample_size", sizes, usual: 128)
        let channels = try table.integer("in_channels", 1...65536, usual: 16)
        self.init(image: [side, side, channels])
        anySize = true
        patch = try table.integer("patch_size", 1...256, usual: 2)
        depth = try table.integer("num_layers", 1...1000, usual: 18)
        let heads = try table.integer("num_attention_heads", 1...1024, usual: 18)
        self.heads = heads
        headChannels = try table.integer("attention_head_dim", 1...65536, usual: 64)
        tokenWidth = try table.integer("joint_attention_dim", sizes, usual: 4096)
        summaryWidth = try table.integer("pooled_projection_dim", sizes, usual: 2048)
        tableSize = try table.integer("pos_embed_max_size", 1...65536, usual: 96)
        dualBlocks = Set(try table.integers("dual_attention_layers", 0...999, usual: [], orNone: true))
        try table.expect("qk_norm", .string("rms_norm"))
        queryKeyNorm = try table.word("qk_norm") != nil
        try table.expect("out_channels", .integer(channels))
        try table.expect("caption_projection_dim", .integer(heads * headChannels))
        try table.checkRest()
    }
}

extension CLIPText.Configuration {
    /// - Parameter table: transformers' settings of a CLIPTextModelWithProjection.
    init(_ table: inout ConfigTable) throws {
        self.init()
        try table.expectKind("model_type", "clip_text_model")
        vocabulary = try table.integer("vocab_size", 2...10_000_000, usual: 49_408)
        width = try table.integer("hidden_size", 1...65536, usual: 512)
        depth = try table.integer("num_hidden_layers", 1...1000, usual: 12)
        heads = try table.integer("num_attention_heads", 1...1024, usual: 8)
        length = try table.integer("max_position_embeddings", 1...65536, usual: 77)
        feedForward = try table.integer("intermediate_size", sizes, usual: 2048)
        projection = try table.integer("projection_dim", 1...65536, usual: 512)
        // Older folders have 2, which is no token's number: transformers takes the largest token then.
        let end = try table.integer("eos_token_id", 0...10_000_000, usual: 49_407)
        endToken = end == 2 ? nil : end + 1
        let name = try table.word("hidden_act") ?? "quick_gelu"
        guard let known = CLIPText.Activation(rawValue: name) else {
            throw table.error("hidden_act is \(name); known here is quick_gelu or gelu")
        }
        activation = known
        try table.expect("layer_norm_eps", .number(1e-5))
        table.passOverTraining()
        table.pass(over: "attention_dropout", "dropout", "model_type")
        try table.checkRest()
    }
}

extension T5Encoder.Configuration {
    /// - Parameter table: transformers' settings of a T5EncoderModel.
    init(_ table: inout ConfigTable) throws {
        self.init()
        try table.expectKind("model_type", "t5")
        vocabulary = try table.integer("vocab_size", 2...10_000_000, usual: 32_128)
        width = try table.integer("d_model", 1...65536, usual: 512)
        depth = try table.integer("num_layers", 1...1000, usual: 6)
        heads = try table.integer("num_heads", 1...1024, usual: 8)
        headWidth = try table.integer("d_kv", 1...65536, usual: 64)
        feedForward = try table.integer("d_ff", sizes, usual: 2048)
        try table.expectKind("feed_forward_proj", "gated-gelu")
        try table.expect("dense_act_fn", .string("gelu_new"))
        try table.expect("is_gated_act", .boolean(true))
        try table.expect("relative_attention_num_buckets", .integer(32))
        try table.expect("relative_attention_max_distance", .integer(128))
        try table.expect("layer_norm_epsilon", .number(1e-6))
        table.passOverTraining()
        table.pass(
            over: "classifier_dropout", "dropout_rate", "decoder_start_token_id", "eos_token_id", "is_encoder_decoder",
            "num_decoder_layers", "output_past", "scale_decoder_outputs", "n_positions", "task_specific_params")
        try table.checkRest()
    }
}

/// The shift of a FlowMatchEulerDiscreteScheduler, by which times lie nearer to the noise.
func shift(ofScheduler folder: String) throws -> Double {
    let path = "\(folder)/scheduler_config.json"
    guard fileExists(path) else { throw RiffleError("", "'\(folder)' has no scheduler_config.json") }
    var table = try ConfigTable(JSON.read(path), named: path)
    try table.expectKind("_class_name", "FlowMatchEulerDiscreteScheduler")
    try table.expect("num_train_timesteps", .integer(1000))
    // Of dynamic shifting, which is not used.
    table.pass(
        over: "base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift", "time_shift_type")
    let shift = try table.number("shift", above: 0, usual: 1)
    try table.checkRest()
    return shift
}
