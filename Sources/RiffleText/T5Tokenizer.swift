import RiffleTensor

/// The tokenizer of T5 (Raffel et al. 2020): pieces of words by a unigram model, as sentencepiece makes them.
///
/// Characters go through the model's table; a text is cut at white space, and each word begins with U+2581. Between
/// `</s>`, `<extra_id_0>` and their like, which are found as they are written, texts are taken one by one, as
/// transformers' T5Tokenizer does.
package final class T5Tokenizer: Tokenizer {
    private let vocabulary: T5Vocabulary
    private let special: SpecialTokens

    init(_ vocabulary: T5Vocabulary, length: Int) throws {
        self.vocabulary = vocabulary
        special = SpecialTokens(vocabulary.special)
        try super.init(length: length)
    }

    package override var kind: String { "t5 tokenizer" }
    package override var size: Int { vocabulary.texts.count }
    override var ends: (begin: Int?, end: Int, pad: Int) { (nil, vocabulary.end, vocabulary.pad) }
    override var padding: String { "'\(T5Vocabulary.padName)'" }

    override func tokens(of text: String) -> [Int] {
        special.parts(of: text).flatMap { part -> [Int] in
            switch part {
            case .token(let number): [number]
            case .text(let text): words(of: text).flatMap(vocabulary.unigram.encode)
            }
        }
    }

    override func text(of tokens: [Int]) -> String {
        let shown = tokens.filter { !special.numbers.contains($0) && $0 != vocabulary.unknown }
        let bytes = shown.flatMap { vocabulary.bytes[$0].map { [$0] } ?? Array(vocabulary.texts[$0].utf8) }
        let text = String(decoding: bytes, as: UTF8.self).replacing(Self.space, with: " ")
        return text.hasPrefix(" ") ? String(text.dropFirst()) : text
    }

    // MARK: - Words

    /// What stands for a space in pieces.
    private static let space = "\u{2581}"

    /// The words of a text in bytes, each with the sign of a space before it, which begins a word in texts, too.
    private func words(of text: String) -> [[UInt8]] {
        let mapped = String(decoding: vocabulary.characters?(Array(text.utf8)) ?? Array(text.utf8), as: UTF8.self)
        let sign = Array(Self.space.utf8)
        var words: [[UInt8]] = [], isInside = false
        for scalar in mapped.unicodeScalars {
            if scalar.properties.isWhitespace {
                isInside = false
                continue
            }
            let isSign = scalar == "\u{2581}"
            if isSign || !isInside { words.append(sign) }
            if !isSign { words[words.count - 1] += Array(String(scalar).utf8) }
            isInside = true
        }
        return words
    }
}
