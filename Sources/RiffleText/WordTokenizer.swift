import RiffleTensor

/// Whole words as tokens: a vocabulary of the words of some texts, for encoders that train from nothing on few words.
///
/// Words are what white space parts, and differ by their letters alone, not by case. They are numbered in the order of
/// the alphabet, so that the same words have the same numbers however the texts are ordered. The padding, the
/// beginning and the end follow; the end has the largest number of all, as in `ByteTokenizer`.
package final class WordTokenizer: Tokenizer {
    private let words: [String]
    private let numbers: [String: Int]

    /// - Parameter texts: their words are the vocabulary.
    /// - Throws: `RiffleError` where they have no words, or a row is too short or too long.
    package init(texts: [String], length: Int) throws {
        words = Set(texts.flatMap(WordTokenizer.words)).sorted()
        guard !words.isEmpty else {
            throw RiffleError("tokenizer", "the texts have no words to make a vocabulary of")
        }
        numbers = Dictionary(uniqueKeysWithValues: words.enumerated().map { ($1, $0) })
        try super.init(length: length)
    }

    package override var kind: String { "word tokenizer" }
    package override var size: Int { words.count + 3 }
    override var ends: (begin: Int?, end: Int, pad: Int) { (words.count + 1, words.count + 2, words.count) }
    override var padding: String { "a token of its own" }

    private static func words(of text: String) -> [String] {
        text.split(whereSeparator: \.isWhitespace).map { $0.lowercased() }
    }

    /// - Throws: `RiffleError` that names a word which the vocabulary does not have.
    override func tokens(of text: String) throws -> [Int] {
        try WordTokenizer.words(of: text).map { word in
            guard let number = numbers[word] else {
                throw RiffleError("encode", "the vocabulary of \(words.count) words has no word '\(word)'")
            }
            return number
        }
    }

    override func text(of tokens: [Int]) -> String {
        tokens.filter { $0 < words.count }.map { words[$0] }.joined(separator: " ")
    }
}
