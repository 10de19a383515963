import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleData

/// Prompts in texts, and in files of what encoders make of them.
@Suite struct PromptFileTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// Values that the texts' bytes decide.
    private static func encode(_ texts: [String]) throws -> PromptFile.Encoded {
        let sums = texts.map { text in text.utf8.reduce(Float(text.utf8.count)) { $0 / 3 + Float($1) } }
        let rows = try Tensor(sums, [texts.count, 1])
        return (try rows.reshaped(to: [texts.count, 1, 1]).expanded(to: [texts.count, 3, 2]).sin(), try rows.cos())
    }

    private static let texts = ["a red car", "two 🙂 cats", "ein\n\"Hund\"", "x", "猫"]

    @Test(arguments: [1, 2, 5, 6, 100]) func holdsWhatWasEncoded(size: Int) throws {
        let path = scratch("prompts.safetensors")
        var sizes: [Int] = [], done: [Int] = []
        try PromptFile.write(Self.texts, to: path, batch: size, visit: { done.append($0) }) {
            sizes.append($0.count)
            return try Self.encode($0)
        }
        #expect(sizes.reduce(0, +) == 6 && sizes.allSatisfy { $0 <= size } && done.last == 5)
        let file = try PromptFile(path), none = try Self.encode([""])
        #expect(try file.prompts == Self.texts && file.none.tokens.doubles() == none.tokens.doubles())
        #expect(try file.none.summary.doubles() == none.summary.doubles())
        // Batches go on where others stopped, in an order of the epoch's own.
        let whole = try Batches(file, size: 2, shuffle: true, repeats: true, seed: 3)
        for _ in 0..<3 { _ = try whole.next() }
        let rest = try Batches(file, size: 2, shuffle: true, repeats: true, seed: 3)
        try rest.resuming(from: whole.saved())()
        let batch = try #require(try whole.next()?.batch), same = try #require(try rest.next()?.batch)
        let captions = try #require(batch.captions), wanted = try Self.encode(captions)
        #expect(captions == same.captions && batch.x.shape == [2, 0])
        #expect(try batch.text?.tokens.doubles() == wanted.tokens.doubles())
        #expect(try same.text?.summary.doubles() == wanted.summary.doubles())
        #expect(scratch.names == ["prompts.safetensors"])
    }

    @Test func appearsWholeOrNotAtAll() throws {
        let path = try scratch.file("old", [1, 2, 3])
        let found = message {
            try PromptFile.write(Self.texts, to: path, batch: 4) {
                guard $0.contains("") else { throw RiffleError("encode", "it stopped") }
                return try Self.encode($0)
            }
        }
        #expect(try found == "encode: it stopped" && contents(path) == [1, 2, 3] && scratch.names == ["old"])
        for (texts, says) in [([], "at least one"), (["a", " "], "prompt 2 is empty")] as [([String], String)] {
            #expect(message { try PromptFile.write(texts, to: path, batch: 1, encode: Self.encode) }.contains(says))
        }
    }

    static let damages: [(String, Shape?, String)] = [
        ("tokens", [2, 3, 2], "do not fit"), ("none_summary", [1, 5], "do not fit"), ("summary", [3], "rank 2"),
        ("none_tokens", nil, "no tensor none_tokens"),
        ("", nil, "expected 3 texts as prompts in its metadata, found 2"),
    ]

    @Test(arguments: damages) func filesThatDoNotFitAreNamed(_ name: String, _ shape: Shape?, _ says: String) throws {
        let path = scratch("damaged.safetensors")
        let shapes: [String: Shape?] = [
            "tokens": [3, 3, 2], "summary": [3, 1], "none_tokens": [1, 3, 2], "none_summary": [1, 1],
        ].merging(name.isEmpty ? [:] : [name: shape]) { $1 }
        let tensors = try shapes.compactMap { name, shape in try shape.map { (name, try Tensor.zeros($0)) } }
        let texts = name.isEmpty ? "[\"a\", \"b\"]" : "[\"a\", \"b\", \"c\"]"
        try SafeTensors.write(tensors, metadata: ["prompts": texts], to: path)
        let found = message { _ = try PromptFile(path) }
        #expect(found.contains(path) && found.contains(says), "\(found)")
    }

    /// Damaged files are read or refused by an error that names them.
    @Test func damagedFilesAreReadOrRefused() throws {
        let path = scratch("prompts.safetensors"), seed = UInt64.random(in: 0...UInt64.max)
        try PromptFile.write(Self.texts, to: path, batch: 3, encode: Self.encode)
        let list = try scratch.file(
            "list.jsonl", Array("{\"tag\": 1, \"prompt\": \"a 🙂\"}\n{\"prompt\": \"b\"}\n".utf8))
        let files = try (prompts: contents(path), list: contents(list))
        var random = Seeded(state: seed), refused = 0
        for number in 0..<300 {
            do {
                if number % 2 == 0 {
                    let file = try PromptFile(scratch.file("damaged.safetensors", damaged(files.prompts, &random)))
                    _ = try file.batch([Draw(file.count - 1), Draw(0)])
                } else {
                    _ = try PromptList(scratch.file("damaged.jsonl", damaged(files.list, &random)))
                }
            } catch let error as RiffleError {
                refused += 1
                #expect(error.message.contains("damaged."), "\(error), seed \(seed)")
            }
        }
        #expect(refused > 100, "seed \(seed)")
    }

    static let lists: [(name: String, text: String, prompts: [String]?, says: String)] = [
        ("a.txt", "\u{FEFF}a red car\r\n two 🙂\n\n\n", ["a red car", " two 🙂"], ""),
        ("a.txt", "{\"prompt\": 1}", ["{\"prompt\": 1}"], ""),
        ("a.JSONL", "{\"tag\": 1, \"prompt\": \"a\\nb\"}\n", ["a\nb"], ""), ("a.txt", "\n\n", nil, "has no prompts"),
        ("a.txt", "", nil, "has no prompts"), ("a.txt", "a\n \t\nb", nil, "line 2 is empty"),
        ("a.txt", "a\0b", nil, "line 1 has a zero byte"),
        ("a.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"", nil, "not JSON"),
        ("a.jsonl", "{\"prompt\": \"a\"}\n[1]", nil, "line 2: expected a table with \"prompt\""),
        ("a.jsonl", "{\"prompt\": \" \"}", nil, "line 1: its prompt is empty"),
    ]

    @Test(arguments: lists) func listsAreRead(_ name: String, _ text: String, _ prompts: [String]?, _ says: String)
        throws
    {
        let path = try scratch.file(name, Array(text.utf8))
        guard let prompts else {
            let found = message { _ = try PromptList(path) }
            #expect(found.contains(says) && found.contains(path), "\(found)")
            return
        }
        #expect(try PromptList(path).prompts == prompts)
    }

    @Test func bytesThatAreNoTextAreNamed() throws {
        let path = try scratch.file("a.txt", [0x61, 0x0A, 0xFF, 0xFE])
        #expect(message { _ = try PromptList(path) } == "'\(path)': line 2 is not UTF-8")
    }
}
