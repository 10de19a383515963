import RiffleIO
import RiffleTensor

/// CLIP's pieces and merges, from the files that they are published in.
struct CLIPVocabulary {
    /// Pieces by their text, from 0.
    let numbers: [String: Int]
    let pairs: BytePairs
    let begin: Int
    let end: Int
    /// The piece that fills rows up.
    private(set) var pad: String
    /// What is found in texts as it is written.
    private(set) var special: [String: Int]

    private static let largestText = 16 << 20
    private static let files =
        "a folder with tokenizer.json or with vocab.json and merges.txt, such a tokenizer.json, or open_clip's "
        + "bpe_simple_vocab_16e6.txt.gz"

    /// - Parameter path: a folder or a file.
    /// - Throws: `RiffleError` that names the file and says what is wrong with it.
    init(path: String) throws {
        if try isFolder(path) {
            try self.init(folder: path)
            return
        }
        let file = try InputFile(path)
        switch try FileKind(file) {
        case .gzip: try self.init(openCLIP: Gzip.contents(file, limit: Self.largestText), file)
        case .index: try self.init(json: file)
        case nil where try file.bytes(min(file.size, 200)).contains(UInt8(ascii: "#")):
            try self.init(openCLIP: file.bytes(file.size), file)
        case let kind:
            throw file.error("it is no vocabulary of CLIP but \(kind?.description ?? "of unknown form"); \(Self.files)")
        }
    }

    private init(folder: String) throws {
        func inside(_ name: String) -> String { folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)" }
        if fileExists(inside("tokenizer.json")) {
            try self.init(json: InputFile(inside("tokenizer.json")))
        } else {
            for name in ["vocab.json", "merges.txt"] where !fileExists(inside(name)) {
                throw RiffleError("", "the folder '\(folder)' has no \(name), expected \(Self.files)")
            }
            try self.init(json: InputFile(inside("vocab.json")))
        }
        if fileExists(inside("tokenizer_config.json")) { try take(config: inside("tokenizer_config.json")) }
    }

    /// The choice of a padding, a text or a table with it.
    private mutating func take(config path: String) throws {
        guard case .table(let config) = try JSON.read(path) else {
            throw RiffleError("", "'\(path)': expected a table of settings")
        }
        switch config["pad_token"] {
        case .string(let piece): pad = piece
        case .table(let token):
            if case .string(let piece)? = token["content"] { pad = piece }
        default: return
        }
        guard numbers[pad] != nil else {
            throw RiffleError("", "'\(path)': its pad_token '\(pad)' is no piece of the vocabulary")
        }
    }

    /// A tokenizer.json, or a vocab.json with merges.txt beside it.
    private init(json file: InputFile) throws {
        guard case .table(let root) = try JSON.read(file, limit: Self.largestText) else {
            throw file.error("expected a table")
        }
        // A vocabulary may have the piece "model", as CLIP's has.
        guard case .table? = root["model"] else {
            let folder = file.path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(file.path[...$0]) } ?? "./"
            guard fileExists(folder + "merges.txt") else {
                throw file.error("a vocabulary of pieces needs merges.txt beside it; expected \(Self.files)")
            }
            let merges = try InputFile(folder + "merges.txt")
            try self.init(
                Self.vocabulary(.table(root), file), file, Self.merges(in: merges.bytes(merges.size), merges), merges)
            return
        }
        let model = try TokenizerJSON.model(root["model"], type: "BPE", file)
        var numbers = try Self.vocabulary(model["vocab"] ?? .none, file)
        guard case .list(let list)? = model["merges"] else { throw file.error("its model has no list of merges") }
        let pairs = try list.enumerated().map { index, item in
            guard let pair = Self.pair(item) else { throw file.error("merge \(index + 1) is no pair of pieces") }
            return pair
        }
        let added = try TokenizerJSON.added(root, file)
        numbers.merge(added) { first, _ in first }
        try self.init(numbers, file, pairs, file)
        special.merge(added) { first, _ in first }
    }

    /// The list of merges of open_clip, from which its vocabulary follows: bytes, bytes that end words, what merges
    /// make, and the two ends.
    private init(openCLIP bytes: [UInt8], _ file: InputFile) throws {
        let names = (begin: "<start_of_text>", end: "<end_of_text>")
        // The published list is longer than the vocabulary.
        let pairs = try Self.merges(in: bytes, file, most: 49_152 - 256 - 2)
        let letters = ByteLetters.order.map { String(ByteLetters.letter(of: $0)) }
        let pieces =
            letters + letters.map { $0 + BytePairs.wordEnd } + pairs.map { $0.0 + $0.1 } + [names.begin, names.end]
        let numbers = Dictionary(zip(pieces, 0...)) { _, later in later }
        try self.init(numbers, file, pairs, file, ends: names)
    }

    private init(
        _ numbers: [String: Int], _ file: InputFile, _ merges: [(String, String)], _ mergesFile: InputFile,
        ends: (begin: String, end: String) = ("<|startoftext|>", "<|endoftext|>")
    ) throws {
        guard let begin = numbers[ends.begin], let end = numbers[ends.end] else {
            throw file.error(
                "a vocabulary of CLIP has \(ends.begin) and \(ends.end), found \(numbers.count) pieces without "
                    + (numbers[ends.begin] == nil ? ends.begin : ends.end))
        }
        (self.numbers, self.begin, self.end) = (numbers, begin, end)
        var pairs = try file.naming { try BytePairs(numbers, unknown: end) }
        try mergesFile.naming { try pairs.add(merges, of: numbers) }
        self.pairs = pairs
        try Self.check(pairs, of: file, merges.count, mergesFile)
        pad = ends.end
        special = [ends.begin: begin, ends.end: end]
    }

    /// Holds the merges to the vocabulary: they make all pieces but letters and those in pointed brackets.
    private static func check(
        _ pairs: BytePairs, of file: InputFile, _ merges: Int, _ mergesFile: InputFile
    ) throws {
        func isLetter(_ piece: String) -> Bool {
            (piece.hasSuffix(BytePairs.wordEnd) ? piece.dropLast(BytePairs.wordEnd.count) : piece[...]).count <= 1
        }
        guard let piece = pairs.unmerged.filter({ !$0.hasPrefix("<") && !isLetter($0) }).min() else { return }
        throw mergesFile.error(
            "no merge makes the piece '\(piece)' of '\(file.path)'; the \(merges) merges are cut short or of another "
                + "vocabulary")
    }

    // MARK: - Parts of files

    private static func vocabulary(_ value: Value, _ file: InputFile) throws -> [String: Int] {
        guard case .table(let table) = value else { throw file.error("expected a table of numbers by piece") }
        return try Dictionary(
            uniqueKeysWithValues: table.map { piece, value in
                guard case .integer(let number) = value else {
                    throw file.error("a vocabulary has a whole number for each piece, and '\(piece)' has none")
                }
                return (piece, number)
            })
    }

    /// The merges of lines, behind a first line that says which version they are of.
    private static func merges(in text: [UInt8], _ file: InputFile, most: Int = .max) throws -> [(String, String)] {
        var merges: [(String, String)] = [], rest = text[...], number = 0
        while !rest.isEmpty, merges.count < most {
            var line = rest.prefix { $0 != UInt8(ascii: "\n") }
            rest = rest.dropFirst(line.count + 1)
            number += 1
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            let isVersion = number == 1 && String(decoding: line, as: UTF8.self).contains("#version")
            if line.isEmpty || isVersion { continue }
            guard let pair = pair(line) else {
                let found = String(decoding: line.prefix(40), as: UTF8.self)
                throw file.error("line \(number) is no pair of pieces with a space between: '\(found)'")
            }
            merges.append(pair)
        }
        return merges
    }

    private static func pair(_ line: some Collection<UInt8>) -> (String, String)? {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
            let left = String(validating: parts[0], as: UTF8.self),
            let right = String(validating: parts[1], as: UTF8.self)
        else { return nil }
        return (left, right)
    }

    /// A pair as a list of two, or with a space between.
    private static func pair(_ value: Value) -> (String, String)? {
        if case .string(let text) = value { return pair(text.utf8) }
        guard case .list(let items) = value, items.count == 2, case .string(let left) = items[0],
            case .string(let right) = items[1]
        else { return nil }
        return (left, right)
    }
}

extension CLIPTokenizer {
    /// - Parameters:
    ///   - path: a folder or a file.
    ///   - pad: the piece that fills rows up; the folder's own choice where nil.
    /// - Throws: `RiffleError` that names the file and says what is wrong with it.
    package convenience init(path: String, pad: String? = nil, length: Int = 77) throws {
        let vocabulary = try CLIPVocabulary(path: path)
        try self.init(vocabulary, pad: pad, length: length)
    }
}
