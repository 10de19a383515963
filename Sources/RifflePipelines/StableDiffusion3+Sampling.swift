import RiffleData
import RiffleIO
import RiffleNN
import RiffleTensor
import RiffleText

/// From texts to what the network takes, and from what it gives to pictures.
extension StableDiffusion3 {
    /// What the network is conditioned on: tokens [n, length, width] and summaries [n, width].
    ///
    /// The tokens are those of both CLIPs side by side, filled up with zeros to the width of T5's, which follow them;
    /// zeros stand for T5 where the folder has none, as in diffusers. Each encoder is read, used and let go.
    /// - Throws: `RiffleError` where there is no text, or memory does not suffice.
    package func encode(_ texts: [String]) throws -> Condition {
        guard !texts.isEmpty else { throw RiffleError("encode", "at least one text is needed") }
        try require(encodingBytes(in: storage), for: "encoding texts")
        return try withoutGradient {
            let values = try zip(tokenizers, encoders).map { tokenizer, encoder in
                try encoder.loaded()(tokenizer.encode(texts).ids)
            }
            let width = transformer.form.configuration.tokenWidth
            let words = try Tensor.cat(values.map(\.tokens), 2)
            let short = try words.padded(2, before: 0, after: width - words.shape[2])
            return Condition([
                try .cat([short, longTokens(texts, width)], 1), try .cat(values.compactMap(\.summary), 1),
            ])
        }
    }

    /// T5's tokens [n, length, width].
    private func longTokens(_ texts: [String], _ width: Int) throws -> Tensor {
        guard let (tokenizer, encoder) = long else { return try .zeros([texts.count, Self.longLength, width]) }
        let file = try TensorFile(encoder.weights)
        return try T5Encoder.values(
            tokenizer.encode(texts).ids, encoder.form.configuration, storage: storage, shapes: encoder.shapes
        ) { try file.tensor(named: $0, as: storage) }
    }

    /// Writes what the encoders make of prompts to a `PromptFile`.
    /// - Parameters:
    ///   - size: texts at a time, for which the encoders are read anew.
    ///   - visit: gets how many prompts are done.
    package func encode(
        _ prompts: [String], to path: String, batch size: Int = usualTexts, visit: (Int) -> Void = { _ in }
    ) throws {
        try PromptFile.write(prompts, to: path, batch: size, visit: visit) {
            let tensors = try encode($0).tensors
            return (tensors[0], tensors[1])
        }
    }

    /// Texts that are encoded at a time: reading T5-XXL takes a small part of the time then, and its values 1 GB.
    package static let usualTexts = 16

    /// What CLIP takes of each text that is too long for it; nil for those that fit.
    package func cuts(_ texts: [String]) throws -> [String?] { try tokenizers[0].encode(texts).cuts }

    /// A sentence for each text that an encoder does not take whole, with its number and where it is cut.
    package func remarks(on texts: [String]) throws -> [String] {
        let short = try cuts(texts), long = try long?.tokenizer.encode(texts).cuts ?? texts.map { _ in nil }
        return texts.indices.compactMap { index in
            func end(_ text: String) -> String { "'\(text.count > 40 ? "..." : "")\(text.suffix(40))'" }
            guard let cut = short[index] else { return nil }
            let all = long[index].map { ", and T5 of \(Self.longLength), which end with \(end($0))" } ?? ""
            return "prompt \(index + 1) is cut: CLIP takes \(tokenizers[0].length) tokens of it, which end with "
                + "\(end(cut))\(all)"
        }
    }

    /// The side in pixels of the pictures that the network was trained for.
    package var usualSize: Int { transformer.form.configuration.image[0] * decoder.form.factor }

    /// The shape of the latents of n pictures.
    /// - Parameters:
    ///   - height: in pixels, as the width.
    /// - Throws: `RiffleError` where the autoencoder and the patches do not divide a side, or it is too long.
    package func latents(_ n: Int, height: Int, width: Int) throws -> Shape {
        let c = transformer.form.configuration, factor = decoder.form.factor
        let step = factor * c.patch, most = step * (c.tableSize ?? 1)
        for (side, pixels) in [("height", height), ("width", width)]
        where pixels < step || pixels % step != 0 || pixels > most {
            throw RiffleError(
                "latents", "\(side) must be a multiple of \(step) up to \(most) pixels, got \(pixels)")
        }
        return [n, height / factor, width / factor, c.image[2]]
    }

    /// Pictures [n, height, width, 3] from -1 to 1 of latents.
    /// - Parameter tile: see `PictureAutoencoder.decode`.
    package func decode(_ latents: Tensor, tile: Int? = nil) throws -> Tensor {
        try autoencoder().decode(latents, tile: tile).clamp(-1, 1)
    }
}
