import Foundation
import RiffleIO
import RiffleTensor
import RiffleText
import TestSupport
import Testing

/// Vocabularies from every file that they are published in, and what is said of files that are none.
@Suite struct VocabularyTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// open_clip's list of merges gives the pieces that CLIP's own files list.
    @Test func openCLIPsFileIsTheSameVocabulary() throws {
        let (own, other) = (
            try CLIPTokenizer(path: fixture("text/clip")),
            try CLIPTokenizer(path: fixture("text/bpe_simple_vocab.txt.gz"))
        )
        let texts = ["", "A photo, of an astronaut RIDING a horse", "détaillé 12 !!!", "\u{1F984}"]
        let ids = try own.encode(texts)
        #expect(own.size == other.size)
        #expect(try other.encode(texts).ids.doubles() == ids.ids.doubles())
        #expect(try other.decode(ids.ids) == own.decode(ids.ids))
    }

    /// Numbers count from 1; a text that is too long loses its end alone, and its length and what is left are known.
    @Test func longTextsAreCut() throws {
        let words = try ByteTokenizer(length: 6)
        let encoded = try words.encode(["abcd", "abcde", ""])
        let (end, pad) = (259.0, 257.0)
        #expect(
            try encoded.ids.doubles()
                == [258, 98, 99, 100, 101, end, 258, 98, 99, 100, 101, end, 258, end, pad, pad, pad, pad])
        #expect(encoded.lengths == [6, 7, 2])
        #expect(encoded.cuts == [nil, "abcd", nil])
        let clip = try CLIPTokenizer(path: fixture("text/pairs"), length: 5)
        let cut = try clip.encode(["red horse beach square", "a"])
        #expect(cut.lengths[0] > 5 && cut.cuts[1] == nil)
        #expect(try "red horse beach square".hasPrefix(#require(cut.cuts[0])))
        #expect(try cut.ids.doubles()[4] == Double(clip.size) && cut.ids.doubles().last == 1)
    }

    /// Words in any case and order are the same vocabulary, and one that is not in it is named.
    @Test func wordsAreTokens() throws {
        let words = try WordTokenizer(texts: ["a red ring", "two  RINGS"], length: 6)
        let ids = try words.encode(["A ring", "two red rings"])
        #expect(words.size == 8)
        #expect(try ids.ids.doubles() == [7, 1, 3, 8, 6, 6, 7, 5, 2, 4, 8, 6])
        #expect(try words.decode(ids.ids) == ["a ring", "two red rings"])
        #expect(
            try WordTokenizer(texts: ["ring rings", "two a red"], length: 6).encode(["A ring"]).ids.doubles()
                == Array(ids.ids.doubles().prefix(6)))
        #expect(
            message { _ = try words.encode(["a ring", "a rung"]) }
                == "encode: the vocabulary of 5 words has no word 'rung'")
        #expect(message { _ = try WordTokenizer(texts: [" "], length: 6) }.contains("have no words"))
    }

    @Test func mistakesAreNamed() throws {
        let words = try ByteTokenizer(length: 8)
        #expect(
            message { _ = try words.encode(["a", ([0x61, 0xFF] as [UInt8]).withUnsafeBytes { String(bytes: $0) }]) }
                .hasPrefix("encode: text 2 is not UTF-8: 'a"))
        #expect(
            message { _ = try words.decode(.zeros([1, 3], .int32)) }
                == "decode: tokens of this byte tokenizer are from 1 to 259, got 0")
        #expect(message { _ = try words.decode(.ones([3])) }.contains("(ids float32 [3])"))
        #expect(message { _ = try ByteTokenizer(length: 2) }.contains("length must be from 3 to 65536, got 2"))
        #expect(
            message { _ = try CLIPTokenizer(path: fixture("text/pairs"), pad: "?!?") }
                == "clip_tokenizer: the vocabulary has no piece '?!?' to pad with")
    }

    /// A file or folder that is no vocabulary, and a part of what is said.
    struct Bad: Sendable, CustomTestStringConvertible {
        let name: String
        let files: [String: String]
        let path: String
        let says: String
        var testDescription: String { name }
    }

    private static let vocabulary = #"{"model": 0, "b": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}"#

    static let badCLIP = [
        Bad(name: "empty folder", files: [:], path: "", says: "has no vocab.json, expected a folder with"),
        Bad(name: "no merges", files: ["vocab.json": vocabulary], path: "", says: "has no merges.txt"),
        Bad(
            name: "merges cut short", files: ["vocab.json": vocabulary, "merges.txt": "#version: 0.2\n"], path: "",
            says: "merges.txt': no merge makes the piece 'model' of"),
        Bad(
            name: "unknown piece", files: ["vocab.json": vocabulary, "merges.txt": "#version: 0.2\nmodel b\n"],
            path: "",
            says: "merges.txt': merge 1 joins 'model' and 'b', and there is no piece 'modelb'"),
        Bad(
            name: "no pair", files: ["vocab.json": vocabulary, "merges.txt": "#version: 0.2\n\na b c\n"], path: "",
            says: "merges.txt': line 3 is no pair of pieces with a space between: 'a b c'"),
        Bad(
            name: "no ends", files: ["vocab.json": "{\"a\": 0}", "merges.txt": ""], path: "",
            says: "has <|startoftext|> and <|endoftext|>, found 1 pieces without <|startoftext|>"),
        Bad(
            name: "same number", files: ["vocab.json": vocabulary.replacing("1", with: "0"), "merges.txt": ""],
            path: "", says: "its pieces 'b' and 'model' have the same number, 0"),
        Bad(
            name: "other padding",
            files: [
                "vocab.json": vocabulary.replacing("model", with: "m"), "merges.txt": "",
                "tokenizer_config.json": #"{"pad_token": "!"}"#,
            ],
            path: "", says: "its pad_token '!' is no piece of the vocabulary"),
        Bad(
            name: "unigram model", files: ["tokenizer.json": #"{"model": {"type": "Unigram"}}"#], path: "",
            says: "expected a model of type BPE, found one of type Unigram"),
        Bad(name: "plain text", files: ["a.txt": "some words"], path: "a.txt", says: "it is no vocabulary of CLIP"),
        Bad(name: "no file", files: [:], path: "a.json", says: "cannot read"),
    ]

    static let badT5 = [
        Bad(name: "empty folder", files: [:], path: "", says: "has neither spiece.model nor tokenizer.json"),
        Bad(name: "no protobuf", files: ["spiece.model": "\u{7F}\u{7F}"], path: "", says: "makes no sense at byte"),
        Bad(name: "no pieces", files: ["spiece.model": "\u{8}\u{1}"], path: "", says: "it has no pieces"),
        Bad(
            name: "BPE model", files: ["a.json": #"{"model": {"type": "BPE"}}"#], path: "a.json",
            says: "expected a model of type Unigram, found one of type BPE"),
        Bad(
            name: "sentencepiece's BPE", files: ["spiece.model": "\u{A}\u{3}\u{A}\u{1}a\u{12}\u{2}\u{18}\u{2}"],
            path: "", says: "of T5 is a unigram model, found a BPE model"),
        Bad(
            name: "no end", files: ["a.json": #"{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0]]}}"#],
            path: "a.json", says: "has </s> and <pad>, found 101 pieces without </s>"),
        Bad(name: "empty", files: ["spiece.model": ""], path: "", says: "expected a spiece.model of T5"),
    ]

    private func said(of bad: Bad, _ read: (String) throws -> Void) throws -> String {
        for (name, text) in bad.files { _ = try scratch.file(name, Array(text.utf8)) }
        return message { try read(bad.path.isEmpty ? scratch.path : scratch(bad.path)) }
    }

    @Test(arguments: badCLIP) func whatIsNoVocabularyOfCLIP(_ bad: Bad) throws {
        let said = try said(of: bad) { _ = try CLIPTokenizer(path: $0) }
        #expect(said.contains(bad.says) && said.contains(scratch.path), "\(said)")
    }

    @Test(arguments: badT5) func whatIsNoVocabularyOfT5(_ bad: Bad) throws {
        let said = try said(of: bad) { _ = try T5Tokenizer(path: $0) }
        #expect(said.contains(bad.says) && said.contains(scratch.path), "\(said)")
    }

    /// Damaged files are read or refused, by an error that names the file.
    @Test(arguments: ["clip/tokenizer.json", "bpe_simple_vocab.txt.gz", "t5/spiece.model", "t5-json/tokenizer.json"])
    func damagedFilesAreReadOrRefused(name: String) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(state: seed)
        let whole = try contents(fixture("text/\(name)"))
        for number in 0..<60 {
            let path = try scratch.file("hostile", damaged(whole, &random))
            do {
                let tokenizer: Tokenizer =
                    try name.contains("t5") ? T5Tokenizer(path: path) : CLIPTokenizer(path: path)
                _ = try tokenizer.encode(["a photo of a h\u{F6}rse, \u{FF11}2"])
            } catch let error as RiffleError {
                #expect(error.description.contains("hostile"), "seed \(seed), case \(number): \(error)")
            }
        }
    }
}
