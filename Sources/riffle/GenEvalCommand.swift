import ArgumentParser
import RiffleData
import RiffleLua
import RifflePipelines
import RiffleTensor

/// Makes the pictures that GenEval's published evaluator reads, and the table of what it found.
struct GenEvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle geneval",
        abstract: "Makes pictures for GenEval's published evaluator, and the table of what that found.",
        usage: """
            riffle geneval PROMPTS.jsonl OUT --model FOLDER
            riffle geneval --results results.jsonl
            """,
        discussion: """
            PROMPTS.jsonl is GenEval's evaluation_metadata.jsonl. OUT gets a folder for each prompt with \
            metadata.jsonl and samples; what is there is kept, so that stopped work goes on. Riffle has no detector: \
            the score is that of GenEval's own evaluate_images.py, whose results.jsonl --results takes.
            """)

    @ArgumentParser.Argument(help: "GenEval's prompts.") var prompts: String?
    @ArgumentParser.Argument(help: "The folder of pictures.") var out: String?
    @ArgumentParser.Option(help: "Stable Diffusion 3 or 3.5, or a generator, as txt2img takes it.") var model: String?
    @ArgumentParser.Option(parsing: .unconditional, help: "Pictures of each prompt.")
    var samples = GenEvalFolder.usualSamples
    @OptionGroup var sampling: SamplingOptions
    @ArgumentParser.Option(help: "What the evaluator found; prints its table.") var results: String?

    func validate() throws {
        guard (1...GenEvalFolder.mostSamples).contains(samples) else {
            throw ValidationError("--samples is a whole number from 1 to \(GenEvalFolder.mostSamples), got \(samples)")
        }
        let making = [prompts, out, model]
        guard making.allSatisfy({ ($0 == nil) == (results != nil) }) else {
            throw ValidationError("PROMPTS.jsonl, OUT and --model make pictures, --results alone prints a table")
        }
    }

    func run() throws {
        if let results { return try show(results) }
        guard let prompts, let out, let model else { return }
        let list = try PromptList(prompts), folder = try GenEvalFolder(list, in: out, samples: samples)
        let pipeline = try sampling.model(model), sampler = try sampling.sampler(pipeline)
        for remark in try pipeline.remarks(on: list.prompts) { Console.error("\(remark)\n") }
        let progress = Progress(label: "pictures", total: folder.count, done: folder.count - folder.missing.count)
        defer { Progress.finishVisible() }
        try folder.make(pipeline, sampler, negative: sampling.negative, visit: progress.advance)
        progress.finish()
        let prompted = "\(list.prompts.count) prompt\(list.prompts.count == 1 ? "" : "s")"
        Console.output("\(folder.count) pictures of \(prompted) in \(out): \(sampler)\n")
    }

    private func show(_ path: String) throws {
        let found = try GenEvalResults(path)
        if !found.missing.isEmpty {
            Console.error("no pictures of \(found.missing.joined(separator: ", ")): this is no GenEval score\n")
        }
        Console.output("\(found)\n")
    }
}
