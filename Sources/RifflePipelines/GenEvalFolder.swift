import Foundation
import RiffleData
import RiffleIO
import RiffleNN
import RiffleTensor

/// Pictures of GenEval's prompts (Ghosh et al. 2310.11513) in the folders that the published evaluator reads:
/// `00000/metadata.jsonl`, a line of the prompts, and `00000/samples/00000.png`, for each prompt in their order.
///
/// Pictures that are there are kept, so that stopped work goes on. The noise of a picture depends on the seed, the
/// prompt's number and its own.
package struct GenEvalFolder {
    private let prompts: [String]
    /// The tables that the prompts come in, as they are written.
    private let lines: [String]
    private let folder: String
    private let samples: Int

    package static let usualSamples = 4
    /// The most pictures of a prompt.
    package static let mostSamples = 1 << 16

    /// - Throws: `RiffleError` where a prompt is none of GenEval's, or the folder holds pictures of others.
    package init(_ list: PromptList, in folder: String, samples: Int = usualSamples) throws {
        guard let lines = list.tables else {
            throw RiffleError("", "'\(list.path)' is no .jsonl; GenEval's prompts are tables of JSON, one a line")
        }
        for (index, line) in lines.enumerated() {
            guard case .table(let table) = try JSON.value(Array(line.utf8), named: list.path),
                case .string? = table["tag"]
            else {
                throw RiffleError("", "'\(list.path)': line \(index + 1) has no \"tag\", which says the prompt's task")
            }
        }
        (prompts, self.lines, self.folder, self.samples) = (list.prompts, lines, folder, samples)
        for (index, line) in lines.enumerated() where fileExists(metadata(index)) {
            let file = try InputFile(metadata(index))
            guard try file.bytes(file.size, at: 0) == Array("\(line)\n".utf8) else {
                throw file.error("it is of another prompt; choose another folder")
            }
            // The evaluator reads all that it finds.
            guard !fileExists(picture(index, samples)) else {
                throw RiffleError("", "'\(folder)' has more than \(samples) pictures of a prompt")
            }
        }
    }

    /// How many pictures there will be.
    package var count: Int { prompts.count * samples }

    /// The pictures that are not there.
    package var missing: [(prompt: Int, sample: Int)] {
        prompts.indices.flatMap { prompt in
            (0..<samples).filter { !fileExists(picture(prompt, $0)) }.map { (prompt, $0) }
        }
    }

    /// Makes the pictures that are missing. Prompts are encoded into a file of the folder first.
    /// - Parameters:
    ///   - negative: what guidance leads away from; the empty text where nil.
    ///   - visit: gets how many pictures are there.
    /// - Throws: `RiffleError` where the folder has pictures of another network or other settings, or cannot be
    ///   written.
    package func make(
        _ model: StableDiffusion3, _ sampler: TextToImage, negative: String?, visit: (Int) -> Void = { _ in }
    ) throws {
        let missing = missing
        let settings = [
            "sampling": "\(sampler)", "negative": negative ?? "",
            "storage": "\(model.storage)",
        ]
        try compare(settings)
        visit(count - missing.count)
        guard !missing.isEmpty else { return }
        try makeFolders(folder)
        let encoded = try encoded(by: model)
        let none = sampler.isGuided ? try none(negative, encoded, model) : nil
        try note(settings.merging(hashes(model)) { $1 })
        for (done, (prompt, sample)) in missing.enumerated() {
            try Interrupt.check()
            try makeFolders("\(folder)/\(GenEvalFolder.name(prompt))/samples")
            if sample == 0 || !fileExists(metadata(prompt)) {
                try AtomicFile.write("\(lines[prompt])\n".utf8, to: metadata(prompt))
            }
            let (tokens, summary) = try encoded.encoded([prompt])
            let picture = try sampler.picture(
                Condition([tokens, summary]), none: none, number: prompt * GenEvalFolder.mostSamples + sample)
            try ImageGrid.save(picture, to: self.picture(prompt, sample), padding: 0)
            visit(count - missing.count + done + 1)
        }
    }

    // MARK: - Parts

    /// What tells models apart. The encoders' values are in the folder from the first call on.
    private func hashes(_ model: StableDiffusion3) throws -> [String: String] {
        try ["network": model.network().sha256(), "autoencoder": model.autoencoder().sha256()]
    }

    private func encoded(by model: StableDiffusion3) throws -> PromptFile {
        let path = "\(folder)/prompts.safetensors"
        if let file = try? PromptFile(path), file.prompts == prompts { return file }
        try model.encode(prompts, to: path)
        return try PromptFile(path)
    }

    private func none(_ negative: String?, _ encoded: PromptFile, _ model: StableDiffusion3) throws -> Condition {
        if let negative { return try model.encode([negative]) }
        return Condition([encoded.none.tokens, encoded.none.summary])
    }

    private var notes: String { "\(folder)/geneval.json" }

    /// Notes what the pictures are of, where nothing is noted.
    private func note(_ settings: [String: String]) throws {
        try compare(settings)
        if !fileExists(notes) { try JSON.write(.table(settings.mapValues(Value.string)), to: notes) }
    }

    /// - Throws: `RiffleError` where something else is noted.
    private func compare(_ settings: [String: String]) throws {
        guard fileExists(notes) else { return }
        guard case .table(let noted) = try JSON.read(notes) else {
            throw RiffleError("", "'\(notes)': expected a table of settings")
        }
        for (key, value) in settings.sorted(by: { $0.key < $1.key }) {
            let old = if case .string(let text)? = noted[key] { text } else { "missing" }
            guard old == value else {
                throw RiffleError(
                    "", "'\(folder)' has pictures of other settings: \(key) was '\(old)', and is '\(value)'")
            }
        }
    }

    private static func name(_ number: Int) -> String { String(format: "%05d", number) }
    private func metadata(_ prompt: Int) -> String { "\(folder)/\(GenEvalFolder.name(prompt))/metadata.jsonl" }
    private func picture(_ prompt: Int, _ sample: Int) -> String {
        "\(folder)/\(GenEvalFolder.name(prompt))/samples/\(GenEvalFolder.name(sample)).png"
    }
}
