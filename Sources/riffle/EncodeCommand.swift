import ArgumentParser
import RiffleData
import RiffleIO
import RiffleLua
import RifflePipelines
import RiffleTensor

/// Encodes prompts once, into a file that trainings read.
struct EncodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle encode",
        abstract: "Writes what a text-to-image model's encoders make of prompts to a file for trainings.",
        usage: "riffle encode FOLDER PROMPTS --out OUT.safetensors",
        discussion: """
            FOLDER is Stable Diffusion 3 or 3.5 as diffusers has it. PROMPTS is a text, a prompt a line, or a .jsonl \
            of tables with "prompt". The empty text is encoded beside them, for guidance. The file appears whole or \
            not at all, and riffle.data.prompts opens it.
            """)

    @ArgumentParser.Argument(help: "A folder with model_index.json.") var folder: String
    @ArgumentParser.Argument(help: "A file of prompts.") var prompts: String
    @ArgumentParser.Option(name: [.short, .long], help: "The file that is written, of safetensors.") var out: String
    @ArgumentParser.Option(parsing: .unconditional, help: "Prompts at a time, for which encoders are read anew.")
    var batch = StableDiffusion3.usualTexts

    func validate() throws {
        guard (1...100_000).contains(batch) else {
            throw ValidationError("--batch is a whole number from 1 to 100000, got \(batch)")
        }
    }

    func run() throws {
        let list = try PromptList(prompts).prompts
        let model = try StableDiffusion3(folder: folder)
        for remark in try model.remarks(on: list) { Console.error("\(remark)\n") }
        let progress = Progress(label: "prompts", total: list.count)
        defer { Progress.finishVisible() }
        try model.encode(list, to: out, batch: batch, visit: progress.advance)
        progress.finish()
        Console.output("\(try PromptFile(out))\n")
    }
}
