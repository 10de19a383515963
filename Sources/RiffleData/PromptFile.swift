import RiffleIO
import RiffleTensor

/// Prompts with what the encoders of a text-to-image model make of them, in a file that training reads.
///
/// A safetensors file of `tokens` [n, length, width] and `summary` [n, width], of `none_tokens` and `none_summary`,
/// which are those of the empty text, and in the metadata `prompts`, the texts as a list of JSON. Opening reads the
/// header and the empty text's, and a batch the rows that it needs.
package final class PromptFile: SampleSet {
    /// Tokens [n, length, width] and summaries [n, width] of texts.
    package typealias Encoded = (tokens: Tensor, summary: Tensor)

    package let prompts: [String]
    /// What stands for no text.
    package let none: Encoded
    package let path: String
    private let tokens: StoredTensor, summary: StoredTensor

    private static let key = "prompts"

    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package init(_ path: String) throws {
        let file = try SafeTensors(path)
        func part(_ name: String, rank: Int) throws -> StoredTensor {
            guard let tensor = file[name] else {
                throw file.error("expected prompts, as riffle encode writes them; it has no tensor \(name)")
            }
            guard [.f32, .f16, .bf16].contains(tensor.type), tensor.shape.rank == rank, tensor.shape.count > 0 else {
                throw file.error(
                    "expected floats of rank \(rank) as \(name), found \(tensor.type.word) \(tensor.shape)")
            }
            return tensor
        }
        tokens = try part("tokens", rank: 3)
        summary = try part("summary", rank: 2)
        let none = (tokens: try part("none_tokens", rank: 3), summary: try part("none_summary", rank: 2))
        let count = tokens.shape[0]
        guard summary.shape[0] == count, none.tokens.shape == tokens.shape.replacing(0, with: 1),
            none.summary.shape == summary.shape.replacing(0, with: 1)
        else {
            throw file.error(
                "its tensors do not fit: tokens \(tokens.shape), summary \(summary.shape), none_tokens "
                    + "\(none.tokens.shape), none_summary \(none.summary.shape)")
        }
        prompts = try Self.prompts(file, count)
        self.none = (try none.tokens.tensor(), try none.summary.tensor())
        self.path = path
    }

    private static func prompts(_ file: SafeTensors, _ count: Int) throws -> [String] {
        let bytes = Array((file.metadata[key] ?? "").utf8)
        guard case .list(let items)? = try? JSON.value(bytes, named: file.path, limit: bytes.count) else {
            throw file.error("expected a list of texts as \(key) in its metadata")
        }
        let texts = items.compactMap { if case .string(let text) = $0 { text } else { nil } }
        guard texts.count == items.count, texts.count == count else {
            throw file.error("expected \(count) texts as \(key) in its metadata, found \(texts.count)")
        }
        return texts
    }

    package var count: Int { prompts.count }

    /// What the encoders made of some of the prompts, by their numbers from 0.
    package func encoded(_ numbers: [Int]) throws -> Encoded { (try tokens.rows(numbers), try summary.rows(numbers)) }

    /// Texts without samples.
    package func batch(_ draws: [Draw]) throws -> Batch {
        let numbers = draws.map(\.number)
        return Batch(
            x: try .zeros([numbers.count, 0]), text: try encoded(numbers), captions: numbers.map { prompts[$0] })
    }

    // MARK: - Writing

    /// Encodes prompts, and the empty text before them, a few at a time; the file appears whole or not at all.
    /// - Parameters:
    ///   - size: texts that are encoded at a time.
    ///   - encode: makes tokens and summaries of texts, of the same sizes each time.
    ///   - visit: gets how many prompts are done.
    /// - Throws: `RiffleError` where there is no prompt, one is not UTF-8 or empty, or the file cannot be written.
    package static func write(
        _ prompts: [String], to path: String, batch size: Int, visit: (Int) -> Void = { _ in },
        encode: ([String]) throws -> Encoded
    ) throws {
        try FileEnding.check(path, of: "prompts", [.safetensors])
        guard !prompts.isEmpty else { throw RiffleError("", "at least one prompt is needed") }
        if let index = prompts.firstIndex(where: { !$0.isUnicode || $0.allSatisfy(\.isWhitespace) }) {
            let what = prompts[index].isUnicode ? "empty" : "not UTF-8"
            throw RiffleError("", "prompt \(index + 1) is \(what)")
        }
        let texts = [""] + prompts
        // Before the encoders work: the file can be made.
        let file = try AtomicFile.Draft(path)
        var ranges: (tokens: Int, summary: Int)?
        for start in stride(from: 0, to: texts.count, by: size) {
            try Interrupt.check()
            let part = Array(texts[start..<min(start + size, texts.count)])
            let (tokens, summary) = try encode(part)
            let begin = try ranges ?? begin(file, path, prompts, tokens, summary)
            ranges = begin
            try write(tokens, to: file, at: begin.tokens, row: start)
            try write(summary, to: file, at: begin.summary, row: start)
            visit(min(start + size, texts.count) - 1)
        }
        try file.commit()
    }

    /// Writes the header. The empty text's row lies before those of the prompts.
    /// - Returns: where the rows of tokens and of summaries begin.
    private static func begin(
        _ file: AtomicFile.Draft, _ path: String, _ prompts: [String], _ tokens: Tensor, _ summary: Tensor
    ) throws -> (tokens: Int, summary: Int) {
        let parts = [("tokens", tokens), ("summary", summary)].flatMap { name, tensor in
            [("none_\(name)", 1), (name, prompts.count)].map { title, rows in
                (name: title, type: ElementType.f32, shape: tensor.shape.replacing(0, with: rows))
            }
        }
        for part in parts { try part.shape.checked("") }
        let texts = try JSON.text(.list(prompts.map(Value.string)))
        let (header, ranges) = try SafeTensors.header(
            parts, metadata: ["riffle": "prompts", key: texts], path)
        try file.reserve(ranges[ranges.count - 1].upperBound)
        try header.withUnsafeBytes { try file.write($0, at: 0) }
        return (ranges[0].lowerBound, ranges[2].lowerBound)
    }

    private static func write(_ rows: Tensor, to file: AtomicFile.Draft, at start: Int, row: Int) throws {
        let rows = try rows.converted(to: .float32), size = rows.count / max(1, rows.shape[0]) * 4
        try withExtendedLifetime(rows) {
            try file.write(
                UnsafeRawBufferPointer(start: rows.pointer, count: rows.count * 4), at: start + row * size)
        }
    }
}

extension PromptFile: CustomStringConvertible {
    package var description: String {
        let shapes = [tokens, summary].map { "\($0.shape.removing(0))" }.joined(separator: " and ")
        return "\(count) prompt\(count == 1 ? "" : "s") as tokens and summaries of \(shapes), from \(path)"
    }
}
