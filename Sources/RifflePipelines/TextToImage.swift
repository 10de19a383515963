import RiffleFlow
import RiffleNN
import RiffleTensor

/// How a model of the family of Stable Diffusion 3 makes pictures of texts: by a solver along its velocity, or where it
/// is a generator by jumps, see `Generation`.
///
/// Noise depends on the seed and the picture's number alone, so that a picture of a seed is the same one whatever is
/// made beside it.
package struct TextToImage {
    /// What is asked for; nil is what is usual.
    package struct Options {
        /// Evaluations, each of them twice the work with guidance: 28 of a solver, 1 of a generator.
        package var steps: Int?
        /// 7 for a solver of several steps; 1 is none.
        package var guidance: Double?
        /// The time at which a generator takes its noise; the folder's where nil. Without either the model is none.
        package var start: Double?
        /// By which a solver's times lie nearer to the noise; the scheduler's where nil.
        package var shift: Double?
        /// In pixels; what the transformer was trained for where nil.
        package var size: (height: Int, width: Int)?
        package var seed: UInt64 = 0

        package init() {}
    }

    private let model: StableDiffusion3
    package let steps: Int
    package let guidance: Double
    /// Nil where a solver makes the pictures.
    package let start: Double?
    package let shift: Double
    package let seed: UInt64
    private let shape: Shape

    package static let usualSteps = 28
    package static let usualGuidance = 7.0

    /// - Throws: `RiffleError` that names what is not possible.
    package init(_ model: StableDiffusion3, _ options: Options) throws {
        self.model = model
        start = options.start ?? model.start
        steps = options.steps ?? (start == nil ? Self.usualSteps : 1)
        guidance = options.guidance ?? (start == nil && steps > 1 ? Self.usualGuidance : 1)
        shift = options.shift ?? model.shift
        seed = options.seed
        let side = model.usualSize, size = options.size ?? (side, side)
        shape = try model.latents(1, height: size.height, width: size.width)
        guard (1...1000).contains(steps) else { throw RiffleError("", "steps must be from 1 to 1000, got \(steps)") }
        guard guidance.isFinite, guidance >= 1 else {
            throw RiffleError("", "guidance must be a number from 1, which is none, got \(riffleFormat(guidance))")
        }
        guard start.map(Generation.starts.contains) ?? true else {
            let most = riffleFormat(Generation.starts.upperBound)
            throw RiffleError("", "start must be from 0 to \(most), got \(riffleFormat(start ?? 0))")
        }
        guard shift.isFinite, shift > 0 else {
            throw RiffleError("", "shift must be a number above 0, got \(riffleFormat(shift))")
        }
        guard start == nil || options.shift == nil else {
            throw RiffleError("", "shift is for a solver's steps, and counts for nothing in a generator's")
        }
    }

    package var isGuided: Bool { guidance > 1 }

    /// A picture [1, height, width, 3] from -1 to 1.
    /// - Parameters:
    ///   - none: what guidance leads away from.
    ///   - number: of the picture, from 0.
    ///   - visit: gets how many steps are done.
    package func picture(
        _ text: Condition, none: Condition?, number: Int, visit: (Int) -> Void = { _ in }
    ) throws -> Tensor {
        let random = Context.current.random
        defer { Context.current.random = random }
        Context.current.random = RandomSource(seed: seed, samplesBefore: number)
        let noise = try Tensor.randn(shape), own = try model.network()
        let network = isGuided ? try GuidedNetwork(own, scale: guidance, none: none) : own
        let latents =
            if let start {
                try Sampler.generate(network, noise, Generation(start: start, steps: steps), .linear, text)
            } else {
                try solved(network, noise, text, visit)
            }
        visit(steps)
        guard latents.nonfiniteCount == 0 else {
            throw RiffleError("", "the latents are not finite after \(self)")
        }
        return try model.decode(latents)
    }

    private func solved(_ network: Network, _ noise: Tensor, _ text: Condition, _ visit: (Int) -> Void) throws -> Tensor
    {
        var done = -1
        return try Sampler.ode(network, noise, along: shiftedGrid(steps: steps, shift: shift), .euler, text) { _ in
            done += 1
            visit(done)
        }.x
    }
}

extension TextToImage: CustomStringConvertible {
    /// The settings in words.
    package var description: String {
        let height = shape[1] * model.decoder.form.factor, width = shape[2] * model.decoder.form.factor
        let way = start.map { "from time \(riffleFormat($0))" } ?? "shift \(riffleFormat(shift))"
        return "\(height) x \(width), \(steps) step\(steps == 1 ? "" : "s"), \(way), "
            + "\(isGuided ? "guidance \(riffleFormat(guidance))" : "no guidance"), seed \(seed)"
    }
}
