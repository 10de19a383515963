import ArgumentParser
import RifflePipelines
import RiffleTensor

/// What commands that make pictures of texts have in common.
struct SamplingOptions: ParsableArguments {
    @ArgumentParser.Option(parsing: .unconditional, help: "Evaluations; 28 when not given, 1 of a generator.")
    var steps: Int?
    @ArgumentParser.Option(
        parsing: .unconditional,
        help: "How far pictures are led to the text; 7 when not given, and 1, which is none, for one step.")
    var guidance: Double?
    @ArgumentParser.Option(help: "What guidance leads away from; the empty text when not given.")
    var negative: String?
    @ArgumentParser.Option(
        parsing: .unconditional,
        help: "The time at which a generator takes its noise; what the folder says when not given."
    )
    var start: Double?
    @ArgumentParser.Option(
        parsing: .unconditional,
        help: "By which times lie nearer to the noise; what the scheduler says when not given.")
    var shift: Double?
    @ArgumentParser.Option(help: "The side in pixels, or HEIGHTxWIDTH; what the model was trained for when not given.")
    var size: String?
    @ArgumentParser.Option(help: "How weights are kept: \(Storage.all); bfloat16 takes half the memory.")
    var storage = Storage.float32
    @ArgumentParser.Option(parsing: .unconditional, help: "What decides the noise, with a picture's number.")
    var seed = 0

    func validate() throws {
        guard seed >= 0 else { throw ValidationError("--seed is 0 or more, got \(seed)") }
        _ = try size.map(PackCommand.size)
    }

    /// How the network and the encoders are kept in memory.
    enum Storage: String, CaseIterable, ExpressibleByArgument {
        case float32, bfloat16

        static let all = allCases.map(\.rawValue).joined(separator: " or ")
        var dtype: DType { self == .float32 ? .float32 : .bfloat16 }
    }

    func model(_ folder: String) throws -> StableDiffusion3 {
        try StableDiffusion3(folder: folder, storage: storage.dtype)
    }

    /// - Throws: `RiffleError` that names what this model cannot do.
    func sampler(_ model: StableDiffusion3) throws -> TextToImage {
        var options = TextToImage.Options()
        (options.steps, options.guidance, options.start, options.shift) = (steps, guidance, start, shift)
        options.size = try size.map(PackCommand.size).map { ($0.height, $0.width) }
        options.seed = UInt64(seed)
        let sampler = try TextToImage(model, options)
        guard negative == nil || sampler.isGuided else {
            throw ValidationError("--negative counts for nothing without --guidance above 1")
        }
        return sampler
    }
}
