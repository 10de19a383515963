import RiffleTensor

/// Turns texts into rows of token numbers for a text encoder, and back.
///
/// Published vocabularies count tokens from 0, and so do subclasses. Index tensors of Riffle count from 1: `encode`
/// adds 1 and `decode` takes it off, so that row k of an embedding's table belongs to token k of the tensor, and no
/// weight is turned around when it is loaded.
package class Tokenizer {
    /// How many tokens a row has, those that begin and end it among them.
    package let length: Int

    /// - Throws: `RiffleError` where a row has no space for a token between its ends.
    init(length: Int) throws {
        guard (3...Tokenizer.longest).contains(length) else {
            throw RiffleError("tokenizer", "length must be from 3 to \(Tokenizer.longest), got \(length)")
        }
        self.length = length
    }

    package static let longest = 65_536

    /// The word that messages and descriptions use.
    package var kind: String { "tokenizer" }
    /// How many tokens the vocabulary has: the rows that an encoder's table needs.
    package var size: Int { 0 }
    /// The token before every text, if any, the one behind it, and the one that fills rows up, from 0.
    var ends: (begin: Int?, end: Int, pad: Int) { (nil, 0, 0) }
    /// What the padding is called in descriptions.
    var padding: String { "" }

    /// The tokens of a text of UTF-8, however many, from 0 and without the ends.
    func tokens(of text: String) throws -> [Int] { [] }

    /// The text that tokens of the vocabulary stand for, from 0; ends, padding and their like stand for none.
    func text(of tokens: [Int]) -> String { "" }
}

/// Texts as token numbers.
package struct EncodedTexts {
    /// Tokens [n, length] int32, from 1.
    package let ids: Tensor
    /// How many tokens each text takes with its ends, however many a row has: more than `length` where it was cut.
    package let lengths: [Int]
    /// What is left of each text that is too long, as its tokens spell it; nil for those that fit.
    package let cuts: [String?]
}

extension Tokenizer {
    /// Rows of tokens of texts: begin, tokens, end, and padding. Texts that are too long lose what lies behind.
    /// - Throws: `RiffleError` that says which text is not UTF-8.
    package func encode(_ texts: [String]) throws -> EncodedTexts {
        let (begin, end, pad) = ends
        let space = length - (begin == nil ? 1 : 2)
        try Memory.check(4 * texts.count * length)
        var rows: [Int32] = [], lengths: [Int] = [], cuts: [String?] = []
        rows.reserveCapacity(texts.count * length)
        for (index, text) in texts.enumerated() {
            guard text.isUnicode else {
                throw RiffleError("encode", "text \(index + 1) is not UTF-8: '\(text.repaired.prefix(60))'")
            }
            let tokens = try tokens(of: text), kept = Array(tokens.prefix(space))
            let row = (begin.map { [$0] } ?? []) + kept + [end]
            rows += row.map { Int32($0 + 1) } + Array(repeating: Int32(pad + 1), count: length - row.count)
            lengths.append(row.count + tokens.count - kept.count)
            cuts.append(tokens.count > kept.count ? self.text(of: kept) : nil)
        }
        return EncodedTexts(ids: try Tensor(rows, [texts.count, length]), lengths: lengths, cuts: cuts)
    }

    /// The texts of rows of tokens [n, length], or of one row.
    /// - Throws: `RiffleError` where the numbers are no tokens of this vocabulary.
    package func decode(_ ids: Tensor) throws -> [String] {
        guard ids.dtype == .int32, (1...2).contains(ids.rank) else {
            throw RiffleError("decode", "tokens must be int32 [n, length] or [length] (ids \(ids.dtype) \(ids.shape))")
        }
        let tokens = try ids.doubles().map { Int($0) - 1 }
        if let odd = tokens.first(where: { !(0..<size).contains($0) }) {
            throw RiffleError("decode", "tokens of this \(kind) are from 1 to \(size), got \(odd + 1)")
        }
        let row = ids.shape.last
        return (0..<(ids.rank == 2 ? ids.shape[0] : 1)).map { text(of: Array(tokens[$0 * row..<($0 + 1) * row])) }
    }
}

extension Tokenizer: CustomStringConvertible {
    package var description: String { "\(kind), \(size) tokens, rows of \(length), padded with \(padding)" }
}
