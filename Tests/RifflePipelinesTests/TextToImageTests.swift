import Foundation
import RiffleFlow
import RiffleIO
import RiffleNN
import RiffleTensor
import TestSupport
import Testing

@testable import RifflePipelines

/// Pictures of texts, and generators in folders.
@Suite struct TextToImageTests {
    private let scratch: Scratch
    private let model: StableDiffusion3

    init() throws {
        scratch = try Scratch()
        model = try StableDiffusion3(folder: fixture("sd3"))
    }

    private func options(_ change: (inout TextToImage.Options) -> Void = { _ in }) -> TextToImage.Options {
        var options = TextToImage.Options()
        (options.size, options.seed) = ((16, 24), 4)
        change(&options)
        return options
    }

    /// The noise of a picture, as a sampler of samples by number draws it.
    private func noise(_ number: Int) throws -> Tensor {
        var random = RandomSource(seed: 4, samplesBefore: number)
        return try random.normal([1, 8, 12, 4])
    }

    /// The solver along shifted times with guidance, and each picture's noise by its number.
    @Test func solvesWithGuidance() throws {
        let sampler = try TextToImage(model, options { ($0.steps, $0.guidance, $0.shift) = (3, 4, 2) })
        let texts = try model.encode(["a red car", "blue"]), text = try texts.rows(0..<1), none = try texts.rows(1..<2)
        var visited: [Int] = []
        let pictures = try (0..<2).map {
            try sampler.picture(text, none: none, number: $0, visit: { visited.append($0) })
        }
        #expect(visited == [0, 1, 2, 3, 3, 0, 1, 2, 3, 3])
        let guided = try GuidedNetwork(model.network(), scale: 4, none: none)
        for (number, picture) in pictures.enumerated() {
            let grid = shiftedGrid(steps: 3, shift: 2)
            let latents = try Sampler.ode(guided, noise(number), along: grid, .euler, text).x
            #expect(try picture.doubles() == model.decode(latents).doubles() && picture.shape == [1, 16, 24, 3])
        }
        #expect(try pictures[0].doubles() != pictures[1].doubles())
        #expect("\(sampler)" == "16 x 24, 3 steps, shift 2, guidance 4, seed 4")
    }

    /// A generator's pictures from its start on; one step of the solver is that from time 0.
    @Test(arguments: [nil, 0, 0.25]) func oneStepIsAGenerators(start: Double?) throws {
        let sampler = try TextToImage(model, options { ($0.steps, $0.start) = (1, start) })
        #expect(!sampler.isGuided && sampler.start == start)
        let text = try model.encode(["a red car"])
        let latents = try Sampler.generate(
            model.network(), noise(2), Generation(start: start ?? 0), .linear, text)
        #expect(
            try sampler.picture(text, none: nil, number: 2).doubles() == model.decode(latents).doubles())
    }

    @Test func usualSettingsAreTheFolders() throws {
        let usual = try TextToImage(model, TextToImage.Options())
        #expect("\(usual)" == "32 x 32, 28 steps, shift 3, guidance 7, seed 0")
        try model.save(to: scratch("generator"), start: 0.25)
        let saved = try StableDiffusion3(folder: scratch("generator"))
        #expect(saved.start == 0.25 && "\(saved)".contains("a generator of it, from time 0.25"))
        #expect(try "\(TextToImage(saved, options())) " == "16 x 24, 1 step, from time 0.25, no guidance, seed 4 ")
        // What is saved again stays a generator.
        try saved.save(to: scratch("again"))
        #expect(try StableDiffusion3(folder: scratch("again")).start == 0.25)
    }

    static let mistakes: [(change: @Sendable (inout TextToImage.Options) -> Void, says: String)] = [
        ({ $0.steps = 0 }, "steps must be from 1 to 1000, got 0"), ({ $0.guidance = .nan }, "guidance must be"),
        ({ $0.guidance = 0.5 }, "got 0.5"), ({ $0.start = 1 }, "start must be from 0 to 0.999, got 1"),
        ({ $0.start = .nan }, "start must be"), ({ $0.shift = 0 }, "shift must be a number above 0"),
        ({ ($0.shift, $0.start) = (3, 0) }, "counts for nothing"), ({ $0.size = (16, 18) }, "multiple of 4"),
    ]

    @Test(arguments: mistakes.indices) func mistakesAreNamed(index: Int) throws {
        let (change, says) = Self.mistakes[index]
        let found = message { _ = try TextToImage(model, options(change)) }
        #expect(found.contains(says), "\(found)")
    }

    // MARK: - Networks in folders

    /// A trained copy is written with its adapters merged, and a network of another form refused.
    @Test func otherNetworksAreSaved() throws {
        let adapted = try model.network().adapted(rank: 2)
        try withoutGradient {
            for (index, named) in adapted.parameters.enumerated() where named.parameter.isTrainable {
                let value = named.parameter.value
                try named.parameter.assign(.full(value.shape, 0.01 * Double(index % 7)))
            }
        }
        try model.save(to: scratch("adapted"), network: adapted)
        let saved = try StableDiffusion3(folder: scratch("adapted")), text = try model.encode(["two"])
        let inputs = [try noise(0), try .full([1], 0.5)] + text.tensors
        let wanted = try adapted.forward(inputs)
        #expect(try (saved.network().forward(inputs) - wanted).abs().max().item() < 1e-5)
        #expect(try (model.network().forward(inputs) - wanted).abs().max().item() > 1e-3)
        #expect(saved.start == nil)
        var form = MMDiT.Configuration(image: [4, 4, 2])
        form.depth = 1
        for other in [try model.network().twoTimed(decoupled: nil), try MMDiT(form)] as [Network] {
            let found = message { try model.save(to: scratch("other"), network: other) }
            #expect(found.contains("the folder's network is riffle.nn.mmdit"), "\(found)")
        }
        #expect(scratch.names == ["adapted"])
    }

    @Test(arguments: [
        ("{\"start\": 1.5}", "is 1.5, which is no time before the data"), ("3", "expected a table"),
        ("{\"stop\": 2}", "the setting stop = 2 is not known"),
    ]) func generatorsThatAreNotKnownAreNamed(_ text: String, _ says: String) throws {
        let path = scratch("damaged")
        try model.save(to: path, start: 0.5)
        let index = "\(path)/model_index.json"
        guard case .table(var table) = try JSON.read(index) else { return }
        table["_generator"] = try JSON.value(Array(text.utf8), named: "test")
        try JSON.write(.table(table), to: index)
        let found = message { _ = try StableDiffusion3(folder: path) }
        #expect(found.contains(says) && found.contains(index), "\(found)")
    }

    /// The random pipeline is the same each time, and its network gives velocities of about 1.
    @Test func tinyPipelinesAreWholeOnes() throws {
        let tiny = try StableDiffusion3.tiny(folder: scratch("tiny/"))
        var random = RandomSource(seed: 9)
        let text = try tiny.encode(["a red car 🙂"]), x = try random.normal([1, 16, 16, 4])
        let velocity = try tiny.network().velocity(x, .full([1], 0.3), text)
        let deviation = try velocity.square().mean().item().squareRoot()
        #expect((0.3...3).contains(deviation), "\(deviation)")
        #expect(try tiny.cuts(["red", String(repeating: "x", count: 80)])[1] == String(repeating: "x", count: 75))
        let again = try StableDiffusion3.tiny(folder: scratch("tiny"))
        #expect(try again.network().sha256() == tiny.network().sha256() && scratch.names == ["tiny"])
    }
}
