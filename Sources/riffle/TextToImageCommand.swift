import ArgumentParser
import RiffleIO
import RiffleLua
import RiffleNN
import RifflePipelines
import RiffleTensor

/// Makes pictures of a text.
struct TextToImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle txt2img", abstract: "Makes pictures of a text.",
        usage: "riffle txt2img FOLDER \"a red car\" --steps 28 --guidance 7 --out car.png",
        discussion: """
            FOLDER is Stable Diffusion 3 or 3.5 as diffusers has it, or a generator that was distilled from it; a \
            folder of sd3:save says that it is one, and another is one with --start. Several pictures of --count get \
            numbers behind their names, and the seed and a picture's number decide its noise.
            """)

    @ArgumentParser.Argument(help: "A folder with model_index.json.") var folder: String
    @ArgumentParser.Argument(help: "What the picture shows.") var prompt: String
    @OptionGroup var sampling: SamplingOptions
    @ArgumentParser.Option(parsing: .unconditional, help: "How many pictures.") var count = 1
    @ArgumentParser.Option(name: [.short, .long], help: "The picture, which ends in .png.") var out = "picture.png"

    func validate() throws {
        guard (1...100_000).contains(count) else {
            throw ValidationError("--count is a whole number from 1 to 100000, got \(count)")
        }
    }

    func run() throws {
        let paths = (1...count).map(path)
        // Before the work: the names fit, and the folder can be written to.
        try FileEnding.check(out, of: "pictures", [.png])
        try AtomicFile.Draft(paths[0]).discard()
        let model = try sampling.model(folder), sampler = try sampling.sampler(model)
        for remark in try model.remarks(on: [prompt]) { Console.error("\(remark)\n") }
        let texts = try model.encode([prompt] + (sampler.isGuided ? [sampling.negative ?? ""] : []))
        let text = try texts.rows(0..<1), none = sampler.isGuided ? try texts.rows(1..<2) : nil
        for (number, path) in paths.enumerated() {
            let progress = Progress(label: path, total: sampler.steps)
            defer { Progress.finishVisible() }
            let picture = try sampler.picture(text, none: none, number: number, visit: progress.advance)
            try ImageGrid.save(picture, to: path, padding: 0)
            progress.finish()
        }
        Console.output("\(count == 1 ? paths[0] : "\(paths[0]) to \(paths[count - 1])"): \(sampler)\n")
    }

    /// Where a picture goes, by its number from 1.
    private func path(_ number: Int) -> String {
        guard count > 1 else { return out }
        let stem = out.lowercased().hasSuffix(".png") ? String(out.dropLast(4)) : out
        return "\(stem)-\(number)\(out.dropFirst(stem.count))"
    }
}
