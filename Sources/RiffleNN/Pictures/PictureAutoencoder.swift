import RiffleTensor

/// What an encoder makes of pictures: the means of latents, and the logarithms of their variances where the latents are
/// drawn.
package struct Posterior {
    /// [n, height, width, latents], as the decoder takes them: neither shifted nor scaled.
    package let mean: Tensor
    /// Shaped as the means; nil where latents are certain.
    package let logVariance: Tensor?

    /// mean + exp(log-variance / 2) noise.
    package func draw() throws -> Tensor {
        guard let logVariance else { return mean }
        return try mean + (logVariance * 0.5).exp() * Tensor.randn(mean.shape).cast(mean.dtype)
    }
}

/// A network that makes latents of pictures, a fraction of their size, and pictures of latents.
///
/// Names of parameters are those of diffusers, so that published files load by name. `encode` and `decode` are for
/// latents as other networks learn them, (z - shift) scaling; `posterior` and `pictures` are the two halves themselves,
/// of which training takes the gradients.
package class PictureAutoencoder: Module {
    /// How matrix products are computed, see `Network.precision`.
    package var precision = Precision.float32
    /// What latents are multiplied by, so that their deviation is about 1.
    package var scaling: Double
    /// What is taken off latents before, so that their mean is about 0.
    package var shift: Double

    init(scaling: Double, shift: Double) { (self.scaling, self.shift) = (scaling, shift) }

    package var imageChannels: Int { 0 }
    package var latentChannels: Int { 0 }
    /// How many pixels along a side make one position of latents.
    package var factor: Int { 1 }

    /// What the encoder gives for pictures that have been checked, in the precision that the thread has.
    func encoded(_ pictures: Tensor) throws -> Tensor { throw RiffleError(kind, "it has no encoder") }

    /// The posterior that numbers of `encoded` stand for.
    func posterior(of encoded: Tensor) throws -> Posterior { throw RiffleError(kind, "it has no encoder") }

    /// What the decoder gives for latents that have been checked, neither shifted nor scaled.
    func decoded(_ latents: Tensor) throws -> Tensor { throw RiffleError(kind, "it has no decoder") }

    package final override var settings: String { precision == .bfloat16 ? "bf16" : "" }
    package final override func takeSettings(of twin: Module) {
        guard let twin = twin as? PictureAutoencoder else { return }
        (precision, scaling, shift) = (twin.precision, twin.scaling, twin.shift)
    }

    // MARK: - With gradients

    /// The posterior of pictures [n, height, width, channels] from -1 to 1.
    /// - Throws: `RiffleError` where they have other sizes or channels than the encoder takes.
    package final func posterior(_ pictures: Tensor) throws -> Posterior {
        try check(pictures: pictures)
        return try multiplying(in: precision) { try posterior(of: named("encoder") { try encoded(pictures) }) }
    }

    /// The pictures of latents [n, height, width, latents] that are neither shifted nor scaled.
    package final func pictures(_ latents: Tensor) throws -> Tensor {
        try check(latents: latents)
        return try multiplying(in: precision) { try named("decoder") { try decoded(latents) } }
    }

    /// Pictures through both halves: of a draw of the posterior while training, of its means elsewhere.
    package final func reconstruct(_ pictures: Tensor) throws -> (pictures: Tensor, posterior: Posterior) {
        let posterior = try posterior(pictures)
        return (try self.pictures(isTraining ? posterior.draw() : posterior.mean), posterior)
    }

    package final override func forward(_ inputs: [Tensor]) throws -> Tensor { try reconstruct(inputs[0]).pictures }

    // MARK: - Without

    /// Latents of pictures. Unless the pictures take gradients, nothing is recorded, and few pictures are encoded at a
    /// time.
    /// - Parameters:
    ///   - pictures: [n, height, width, channels] from -1 to 1; the sides are multiples of `factor`.
    ///   - drawn: whether latents are drawn from the posterior, of which they are the means otherwise.
    ///   - tile: the side in latents of the tiles that pictures are encoded by, a multiple of 4; nil for all at once.
    /// - Returns: [n, height / factor, width / factor, latents], shifted and scaled.
    package final func encode(_ pictures: Tensor, drawn: Bool = false, tile: Int? = nil) throws -> Tensor {
        try check(pictures: pictures)
        let tiling = try tile.map { try Tiling(side: $0, scale: .down(factor)) }
        let pixels = pictures.shape[1] * pictures.shape[2]
        let encoded = try someAtATime(pictures, pixels: pixels) { some in
            try named("encoder") { try tiling.map { try $0(some, self.encoded) } ?? self.encoded(some) }
        }
        let posterior = try posterior(of: encoded)
        return try (drawn ? posterior.draw() : posterior.mean).affine(scaling, -shift * scaling)
    }

    /// Pictures of latents. Unless the latents take gradients, nothing is recorded, and few pictures are decoded at a
    /// time.
    /// - Parameters:
    ///   - latents: [n, height, width, latents] as `encode` gives them.
    ///   - tile: as of `encode`.
    /// - Returns: [n, factor height, factor width, channels], about from -1 to 1 and not clamped.
    package final func decode(_ latents: Tensor, tile: Int? = nil) throws -> Tensor {
        try check(latents: latents)
        let tiling = try tile.map { try Tiling(side: $0, scale: .up(factor)) }
        let pixels = latents.shape[1] * latents.shape[2] * factor * factor
        return try someAtATime(latents, pixels: pixels) { some in
            let z = try some.affine(1 / scaling, shift)
            return try named("decoder") { try tiling.map { try $0(z, self.decoded) } ?? self.decoded(z) }
        }
    }

    /// How many pictures are encoded or decoded at a time: as many as have the pixels of one of 512 x 512.
    /// - Parameter pixels: of one picture.
    package static func atATime(pixels: Int) -> Int { max(1, 512 * 512 / max(1, pixels)) }

    private func someAtATime(_ batch: Tensor, pixels: Int, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
        try multiplying(in: precision) {
            if batch.needsGradient { return try body(batch) }
            return try withoutGradient {
                let n = batch.shape[0], some = Self.atATime(pixels: pixels)
                let parts = try stride(from: 0, to: n, by: some).map { start in
                    try body(batch.sliced(0, start..<min(start + some, n)))
                }
                return parts.count == 1 ? parts[0] : try Tensor.cat(parts)
            }
        }
    }

    // MARK: - Checks

    private func check(pictures x: Tensor) throws {
        guard x.rank == 4, x.shape[3] == imageChannels, x.dtype.isFloating, x.count > 0 else {
            throw RiffleError(
                kind, "pictures must be floats [n, height, width, \(imageChannels)] (pictures \(x.dtype) \(x.shape))")
        }
        guard x.shape[1] % factor == 0, x.shape[2] % factor == 0 else {
            throw RiffleError(
                kind, "height and width of pictures must be multiples of \(factor) (pictures \(x.shape))")
        }
    }

    private func check(latents z: Tensor) throws {
        guard z.rank == 4, z.shape[3] == latentChannels, z.dtype.isFloating, z.count > 0 else {
            throw RiffleError(
                kind,
                "latents must be floats [n, height, width, \(latentChannels)], as this decoder takes them (latents "
                    + "\(z.dtype) \(z.shape))")
        }
    }
}

/// An autoencoder that its configuration describes, so that copies are made from it.
package class ConfiguredAutoencoder<Configuration: AutoencoderConfiguration>: PictureAutoencoder {
    package let configuration: Configuration

    /// - Throws: `RiffleError` that names a setting that is not possible.
    package required init(_ configuration: Configuration) throws {
        self.configuration = configuration
        super.init(scaling: configuration.scaling, shift: configuration.shift)
    }

    package final override var imageChannels: Int { configuration.imageChannels }
    package final override var latentChannels: Int { configuration.latents }
    package final override var factor: Int { configuration.factor }
    package final override func blank() throws -> Module { try Self(configuration) }
}

/// What all configurations of autoencoders have.
package protocol AutoencoderConfiguration: Sendable {
    var imageChannels: Int { get set }
    var latents: Int { get set }
    var scaling: Double { get set }
    var shift: Double { get set }
    var factor: Int { get }
}
