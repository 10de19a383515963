import Foundation
import RiffleIO
import RiffleTensor

/// T5's pieces, scores and table of characters, from spiece.model or tokenizer.json.
struct T5Vocabulary {
    let unigram: Unigram
    let characters: CharacterMap?
    /// Pieces by number.
    let texts: [String]
    /// The bytes that pieces of single bytes stand for, by number.
    let bytes: [Int: UInt8]
    let unknown: Int
    let end: Int
    let pad: Int
    /// What is found in texts as it is written.
    let special: [String: Int]

    static let padName = "<pad>"
    private static let endName = "</s>"
    private static let extraIDs = 100
    private static let largest = 64 << 20
    private static let files = "a spiece.model of T5, a tokenizer.json, or a folder with one of them"

    /// - Parameter path: a folder or a file.
    /// - Throws: `RiffleError` that names the file and says what is wrong with it.
    init(path: String) throws {
        var path = path
        if try isFolder(path) {
            let inside = ["spiece.model", "tokenizer.json"].map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }
            guard let found = inside.first(where: fileExists) else {
                throw RiffleError(
                    "", "the folder '\(path)' has neither spiece.model nor tokenizer.json, expected \(Self.files)")
            }
            path = found
        }
        let file = try InputFile(path)
        guard file.size > 0, file.size <= Self.largest else {
            throw file.error("expected \(Self.files), found \(file.size) bytes")
        }
        switch try FileKind(file) {
        case .index: try self.init(UnigramContents(json: file), file)
        case nil: try self.init(UnigramContents(model: file), file)
        case let kind?: throw file.error("it is no vocabulary of T5 but \(kind.description); expected \(Self.files)")
        }
    }

    private init(_ contents: UnigramContents, _ file: InputFile) throws {
        var contents = contents
        contents.addExtraIDs(Self.extraIDs)
        texts = contents.pieces.map(\.text)
        let numbers = Dictionary(texts.enumerated().map { ($1, $0) }) { first, _ in first }
        guard let unknown = contents.unknown, texts.indices.contains(unknown) else {
            throw file.error("its model has no piece for what is unknown")
        }
        guard let end = numbers[Self.endName], let pad = numbers[Self.padName] else {
            throw file.error(
                "a vocabulary of T5 has \(Self.endName) and \(Self.padName), found \(texts.count) pieces without "
                    + (numbers[Self.endName] == nil ? Self.endName : Self.padName))
        }
        (self.unknown, self.end, self.pad) = (unknown, end, pad)
        bytes = contents.bytes
        special = contents.special
        (characters, unigram) = try file.naming {
            (
                try contents.characters.isEmpty ? nil : CharacterMap(contents.characters),
                try contents.unigram(unknown: unknown)
            )
        }
    }
}

/// What files of unigram models hold.
private struct UnigramContents {
    enum Role { case usual, unknown, special, byte, unused }

    struct Piece {
        let text: String
        let score: Double
        let role: Role
    }

    var pieces: [Piece] = []
    var unknown: Int?
    var characters: [UInt8] = []
    var special: [String: Int] = [:]
    var spellsBytes = false

    /// The bytes of pieces such as `<0x0A>`, by number.
    var bytes: [Int: UInt8] {
        Dictionary(
            uniqueKeysWithValues: pieces.enumerated().compactMap { number, piece in
                piece.role == .byte ? UInt8(piece.text.dropFirst(3).dropLast(), radix: 16).map { (number, $0) } : nil
            })
    }

    /// Adds T5's sentinels where they are not there: the tokenizer counts them, and the model file leaves them out.
    mutating func addExtraIDs(_ count: Int) {
        guard !pieces.contains(where: { $0.text.hasPrefix("<extra_id_") }) else { return }
        for number in (0..<count).reversed() {
            special["<extra_id_\(number)>"] = pieces.count
            pieces.append(Piece(text: "<extra_id_\(number)>", score: 0, role: .special))
        }
    }

    func unigram(unknown: Int) throws -> Unigram {
        let byTheirByte = Dictionary(bytes.map { ($1, $0) }) { first, _ in first }
        let byteTokens = (0...255).compactMap { byTheirByte[UInt8($0)] }
        guard !spellsBytes || byteTokens.count == 256 else {
            throw RiffleError("", "its model spells unknown characters by bytes, and has \(byteTokens.count) of 256")
        }
        let usual = pieces.enumerated().filter { $0.element.role == .usual }
        return try Unigram(
            usual.map { .init(bytes: Array($1.text.utf8), score: $1.score, number: Int32($0)) },
            lowest: usual.map(\.element.score).min() ?? 0, unknown: unknown, byteTokens: spellsBytes ? byteTokens : nil)
    }

    // MARK: - tokenizer.json

    init(json file: InputFile) throws {
        guard case .table(let root) = try JSON.read(file, limit: 16 << 20) else { throw file.error("expected a table") }
        let model = try TokenizerJSON.model(root["model"], type: "Unigram", file)
        guard case .list(let list)? = model["vocab"] else { throw file.error("its model has no list of pieces") }
        special = try TokenizerJSON.added(root, file)
        unknown = Arguments([model["unk_id"] ?? .none]).optionalInteger(0)
        if case .boolean(let spells)? = model["byte_fallback"] { spellsBytes = spells }
        pieces = try list.enumerated().map { number, item in
            guard case .list(let parts) = item, parts.count == 2, case .string(let text) = parts[0],
                let score = Arguments(parts).optionalNumber(1)
            else { throw file.error("piece \(number + 1) of its model is no text with a score") }
            let isByte = spellsBytes && text.utf8.count == 6 && text.hasPrefix("<0x")
            let isSpecial = special[text] != nil
            return Piece(
                text: text, score: score,
                role: number == unknown ? .unknown : isByte ? .byte : isSpecial ? .special : .usual)
        }
        for (text, number) in special.sorted(by: { $0.value < $1.value }) {
            // Tokens may follow the model's pieces.
            if number == pieces.count { pieces.append(Piece(text: text, score: 0, role: .special)) }
            guard pieces.indices.contains(number), pieces[number].text == text else {
                throw file.error("its added token '\(text)' has the number \(number), which is not free")
            }
        }
        try readCharacters(root["normalizer"] ?? .none, file)
    }

    /// The table of characters, which may be one normaliser among several.
    private mutating func readCharacters(_ value: Value, _ file: InputFile) throws {
        guard case .table(let normalizer) = value else { return }
        if case .list(let parts)? = normalizer["normalizers"] {
            for case .table(let part) in parts where part["normalizers"] == nil {
                try readCharacters(.table(part), file)
            }
        }
        guard case .string(let text)? = normalizer["precompiled_charsmap"] else { return }
        guard let data = Data(base64Encoded: text) else {
            throw file.error("its table of characters (precompiled_charsmap) is not base64")
        }
        characters = [UInt8](data)
    }

    // MARK: - spiece.model

    init(model file: InputFile) throws {
        let whole = try file.bytes(file.size)
        var message = ProtobufReader(whole, file)
        while let (field, content) = try message.next() {
            guard case .bytes(let range) = content else { continue }
            switch field {
            case 1: try addPiece(message.message(range), file)
            case 2: try readTraining(message.message(range), file)
            case 3: try readNormalizer(message.message(range), file)
            default: continue
            }
        }
        guard !pieces.isEmpty else { throw file.error("it is no sentencepiece model: it has no pieces") }
    }

    /// A piece: text (1), score (2), type (3).
    private mutating func addPiece(_ message: ProtobufReader, _ file: InputFile) throws {
        var message = message, text: String?, score = Float(0), type: UInt64 = 1
        while let (field, content) = try message.next() {
            switch (field, content) {
            case (1, .bytes(let range)): text = String(validating: message.bytes(range), as: UTF8.self)
            case (2, .float(let number)): score = number
            case (3, .integer(let number)): type = number
            default: continue
            }
        }
        let roles: [UInt64: Role] = [1: .usual, 2: .unknown, 3: .special, 4: .special, 5: .unused, 6: .byte]
        guard let text, !text.isEmpty, score.isFinite, let role = roles[type] else {
            throw file.error("piece \(pieces.count + 1) of its model is no text with a score and a known type")
        }
        if role == .unknown { unknown = pieces.count }
        if role == .unknown || role == .special { special[text] = pieces.count }
        pieces.append(Piece(text: text, score: Double(score), role: role))
    }

    /// How the model was trained: its kind (3) and whether it spells by bytes (35).
    private mutating func readTraining(_ message: ProtobufReader, _ file: InputFile) throws {
        var message = message
        while let (field, content) = try message.next() {
            guard case .integer(let number) = content else { continue }
            if field == 3, number != 1 {
                let kind = [2: "BPE", 3: "word", 4: "character"][Int(clamping: number)] ?? "other"
                throw file.error("a sentencepiece model of T5 is a unigram model, found a \(kind) model")
            }
            if field == 35 { spellsBytes = number != 0 }
        }
    }

    /// What is done to texts: the table of characters (2), and three settings that T5 has.
    private mutating func readNormalizer(_ message: ProtobufReader, _ file: InputFile) throws {
        var message = message
        let settings: [UInt64: String] = [
            3: "add_dummy_prefix", 4: "remove_extra_whitespaces", 5: "escape_whitespaces",
        ]
        while let (field, content) = try message.next() {
            switch content {
            case .bytes(let range) where field == 2: characters = Array(message.bytes(range))
            case .integer(0):
                if let name = settings[field] { throw file.error("a model of T5 has \(name), which this one has not") }
            default: continue
            }
        }
    }
}

extension T5Tokenizer {
    /// - Parameter path: a folder or a file.
    /// - Throws: `RiffleError` that names the file and says what is wrong with it.
    package convenience init(path: String, length: Int = 256) throws {
        try self.init(T5Vocabulary(path: path), length: length)
    }
}
