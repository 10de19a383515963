import Foundation
import RiffleTensor

/// The tokenizer of CLIP (Radford et al. 2021): byte pairs of lower-case words, as transformers' CLIPTokenizer gives
/// them.
///
/// Letters with marks are composed (NFC), letters become lower-case one by one, and a text is cut into words: a
/// contraction such as 's, letters, a single digit, or anything else; white space ends words and is dropped.
package final class CLIPTokenizer: Tokenizer {
    private let pairs: BytePairs
    private let special: SpecialTokens
    private let numbers: (begin: Int, end: Int, pad: Int)
    private let pad: String

    /// - Parameters:
    ///   - vocabulary: as a file has it.
    ///   - pad: the piece that fills rows up; the file's own choice where nil.
    /// - Throws: `RiffleError` where there is no such piece.
    init(_ vocabulary: CLIPVocabulary, pad: String?, length: Int) throws {
        pairs = vocabulary.pairs
        self.pad = pad ?? vocabulary.pad
        guard let number = vocabulary.numbers[self.pad] else {
            throw RiffleError("clip_tokenizer", "the vocabulary has no piece '\(self.pad)' to pad with")
        }
        numbers = (vocabulary.begin, vocabulary.end, number)
        var special = vocabulary.special
        special[self.pad] = number
        self.special = SpecialTokens(special)
        try super.init(length: length)
    }

    package override var kind: String { "clip tokenizer" }
    package override var size: Int { pairs.pieces.count }
    override var ends: (begin: Int?, end: Int, pad: Int) { numbers }
    override var padding: String { "'\(pad)'" }

    override func tokens(of text: String) -> [Int] {
        special.parts(of: text).flatMap { part -> [Int] in
            switch part {
            case .token(let number): [number]
            case .text(let text): Self.words(of: text).flatMap { pairs.encode(Array($0.utf8)) }
            }
        }
    }

    override func text(of tokens: [Int]) -> String {
        var bytes: [UInt8] = []
        for token in tokens where !special.numbers.contains(token) {
            let piece = pairs.pieces[token]
            let endsWord = piece.hasSuffix(BytePairs.wordEnd)
            bytes += ByteLetters.bytes(of: endsWord ? String(piece.dropLast(BytePairs.wordEnd.count)) : piece)
            if endsWord { bytes.append(UInt8(ascii: " ")) }
        }
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: ["\u{20}"])
    }

    // MARK: - Words

    private static let contractions = ["s", "t", "re", "ve", "m", "ll", "d"].map { Array("'\($0)".unicodeScalars) }

    private static let endings = ["<|startoftext|>", "<|endoftext|>"].map { Array($0.unicodeScalars) }

    private enum Kind { case letter, digit, space, other }

    static func words(of text: String) -> [String] {
        let lower = text.precomposedStringWithCanonicalMapping.unicodeScalars
            .flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
        let kinds = lower.map(kind)
        var words: [String] = [], start = 0
        func append(_ range: Range<Int>) {
            var word = String.UnicodeScalarView()
            word.append(contentsOf: lower[range])
            words.append(String(word))
        }
        while start < lower.count {
            // An end that was written in capitals is none, and yet three words by itself.
            if let end = endings.first(where: { lower[start...].starts(with: $0) }) {
                for range in [0..<2, 2..<end.count - 2, end.count - 2..<end.count] {
                    append(start + range.lowerBound..<start + range.upperBound)
                }
                start += end.count
                continue
            }
            let end = self.end(of: start, lower, kinds)
            if kinds[start] != .space { append(start..<end) }
            start = end
        }
        return words
    }

    /// Where the word that begins at `start` ends.
    private static func end(of start: Int, _ text: [Unicode.Scalar], _ kinds: [Kind]) -> Int {
        if text[start] == "'", let found = contractions.first(where: { text[start...].starts(with: $0) }) {
            return start + found.count
        }
        guard kinds[start] != .digit else { return start + 1 }
        return kinds[start...].firstIndex { $0 != kinds[start] } ?? kinds.count
    }

    private static func kind(_ scalar: Unicode.Scalar) -> Kind {
        if scalar.properties.isWhitespace { return .space }
        return switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: .letter
        case .decimalNumber, .letterNumber, .otherNumber: .digit
        default: .other
        }
    }
}
