import RiffleIO
import RiffleNN
import RiffleTensor
import RiffleText

/// A text-to-image model of the family of Stable Diffusion 3 (Esser et al. 2024), in a folder as diffusers'
/// StableDiffusion3Pipeline writes it.
///
/// Opening reads configurations, vocabularies and the headers of weights, and holds each part to the others; numbers
/// are read when they are needed. Encoders leave memory after each use; the network and the autoencoder stay.
///
/// Where `storage` is bfloat16 the network and the encoders are kept so, in half the memory, and stand still; adapters
/// can be trained on the network. The autoencoder, a small part, is always float32.
package final class StableDiffusion3 {
    package let folder: String
    /// How the network and the encoders are kept in memory, one of `storages`.
    package let storage: DType
    /// By which times lie nearer to the noise, 1 for none.
    package let shift: Double
    /// The time at which a one-step generator takes its noise, where the folder says that its network is one.
    package let start: Double?
    /// The folders inside that the pipeline lists.
    let parts: [String]
    let tokenizers: [CLIPTokenizer]
    let encoders: [StoredPart<CLIPText>]
    /// T5, which published folders may do without.
    let long: (tokenizer: T5Tokenizer, encoder: StoredPart<T5Encoder>)?
    let transformer: StoredPart<MMDiT>
    let decoder: StoredPart<PictureAutoencoder>
    var loadedNetwork: MMDiT?
    private var loadedAutoencoder: PictureAutoencoder?

    /// How the network and the encoders can be kept.
    package static let storages: [DType] = [.float32, .bfloat16]

    /// diffusers' name.
    static let pipelineClass = "StableDiffusion3Pipeline"

    /// Tokens that T5 is given, "max_sequence_length".
    static let longLength = 256

    /// - Throws: `RiffleError` that names the file, and what is missing, not known, or does not fit.
    package init(folder path: String, storage: DType = .float32) throws {
        let folder = Self.withoutSlash(path)
        let index = try PipelineIndex(folder: folder, pipeline: Self.pipelineClass)
        try index.checkParts([
            "scheduler", "tokenizer", "tokenizer_2", "tokenizer_3", "text_encoder", "text_encoder_2",
            "text_encoder_3", "transformer", "vae",
        ])
        self.folder = folder
        self.storage = storage
        parts = index.parts
        start = index.start
        shift = try RifflePipelines.shift(
            ofScheduler: index.folder(of: "scheduler", "FlowMatchEulerDiscreteScheduler"))
        encoders = try ["text_encoder", "text_encoder_2"].map {
            try StoredPart(
                index.folder(of: $0, "CLIPTextModelWithProjection"), of: .transformers, in: storage,
                CLIPText.Configuration.init, CLIPText.init)
        }
        tokenizers = try zip(["tokenizer", "tokenizer_2"], encoders).map { part, encoder in
            let folder = try index.folder(of: part, "CLIPTokenizer", "CLIPTokenizerFast")
            let tokenizer = try CLIPTokenizer(path: folder, length: encoder.form.configuration.length)
            try Self.check(tokenizer, folder, encoder, spare: 0)
            return tokenizer
        }
        long = try Self.long(index, storage)
        transformer = try StoredPart(
            index.folder(of: "transformer", "SD3Transformer2DModel"), of: .diffusers, in: storage,
            MMDiT.Configuration.init, MMDiT.init)
        decoder = try StoredPart(
            index.folder(of: "vae", "AutoencoderKL", "AutoencoderTiny"), of: .diffusers,
            PictureAutoencoder.described)
        try checkWidths()
    }

    /// Writes a random pipeline to a folder, and opens it.
    package static func tiny(folder path: String) throws -> StableDiffusion3 {
        try TinyPipeline.write(to: withoutSlash(path))
        return try StableDiffusion3(folder: path)
    }

    static func withoutSlash(_ path: String) -> String {
        path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    private static func long(_ index: PipelineIndex, _ storage: DType) throws -> (T5Tokenizer, StoredPart<T5Encoder>)? {
        guard index.has("text_encoder_3") else { return nil }
        let encoder = try StoredPart(
            index.folder(of: "text_encoder_3", "T5EncoderModel"), of: .transformers, in: storage,
            T5Encoder.Configuration.init, T5Encoder.init)
        let folder = try index.folder(of: "tokenizer_3", "T5Tokenizer", "T5TokenizerFast")
        let tokenizer = try T5Tokenizer(path: folder, length: longLength)
        // Tables of T5 have a multiple of 128 rows.
        try check(tokenizer, folder, encoder, spare: 127)
        return (tokenizer, encoder)
    }

    /// - Parameter spare: how many rows of the encoder's table may belong to no token.
    private static func check(
        _ tokenizer: Tokenizer, _ folder: String, _ encoder: StoredPart<some TextEncoder>, spare: Int
    ) throws {
        let rows = encoder.form.vocabulary
        guard (tokenizer.size...tokenizer.size + spare).contains(rows) else {
            throw RiffleError(
                "",
                "the vocabulary in '\(folder)' has \(tokenizer.size) tokens, and the encoder in '\(encoder.weights)' "
                    + "knows \(rows)")
        }
    }

    /// Makes sure that what one part gives is what another one takes.
    private func checkWidths() throws {
        let c = transformer.form.configuration
        let words = encoders.map(\.form.tokenWidth).reduce(0, +)
        let summary = encoders.map { $0.form.summaryWidth ?? 0 }.reduce(0, +)
        func expect(_ isRight: Bool, _ message: String) throws {
            if !isRight { throw RiffleError("", "the parts in '\(folder)' do not fit: \(message)") }
        }
        try expect(
            summary == c.summaryWidth,
            "the encoders' summaries are \(summary) wide, pooled_projection_dim is \(c.summaryWidth)")
        try expect(
            words <= c.tokenWidth, "the encoders' tokens are \(words) wide, joint_attention_dim is \(c.tokenWidth)")
        if let width = long?.encoder.form.tokenWidth {
            try expect(width == c.tokenWidth, "T5's tokens are \(width) wide, joint_attention_dim is \(c.tokenWidth)")
        }
        let latents = decoder.form.latentChannels
        try expect(
            latents == c.image[2], "the autoencoder has latents of \(latents) channels, the transformer \(c.image[2])")
    }

    // MARK: - Parts

    /// The velocity, read at first use.
    package func network() throws -> MMDiT { try kept(&loadedNetwork, transformer, "the network") }

    /// Read at first use.
    package func autoencoder() throws -> PictureAutoencoder { try kept(&loadedAutoencoder, decoder, "the autoencoder") }

    private func kept<Part>(_ loaded: inout Part?, _ stored: StoredPart<Part>, _ title: String) throws -> Part {
        if let loaded { return loaded }
        try require(stored.bytes, for: title)
        let part = try stored.loaded()
        loaded = part
        return part
    }
}

extension StableDiffusion3: CustomStringConvertible {
    package var description: String {
        let names = ["text_encoder", "text_encoder_2"]
        let kind = start.map { "a generator of it, from time \(riffleFormat($0))" } ?? "shift \(riffleFormat(shift))"
        var lines = ["stable diffusion 3 in '\(folder)', \(kind)"]
        lines += zip(names, encoders).map { "\($0): \($1.line)" }
        lines.append("text_encoder_3: " + (long.map { "\($0.encoder.line), read a layer at a time" } ?? "none, zeros"))
        lines += ["transformer: \(transformer.line)", "vae: \(decoder.line)"]
        lines.append("needs, beside activations: \(needs(in: storage))")
        return lines.joined(separator: "\n  ")
    }
}
