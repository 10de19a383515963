import RiffleIO
import RiffleTensor

/// A vocabulary of bytes alone in CLIP's published files, for networks that have none of their own.
package enum ByteVocabulary {
    private static let begin = "<|startoftext|>", end = "<|endoftext|>"

    /// Bytes inside of words, bytes that end words, and the two ends, as CLIP numbers them from 0.
    private static let pieces: [String] = {
        let letters = ByteLetters.order.map { String(ByteLetters.letter(of: $0)) }
        return letters + letters.map { $0 + BytePairs.wordEnd } + [begin, end]
    }()

    /// How many tokens there are, of which the last two begin and end texts.
    package static var size: Int { pieces.count }

    /// Writes vocab.json, merges.txt, which joins no bytes, and tokenizer_config.json into a folder.
    /// - Parameter padsWithEnd: whether rows are filled up with the end, as CLIP's are, or with the first piece.
    package static func write(to folder: String, padsWithEnd: Bool) throws {
        let numbers = Dictionary(uniqueKeysWithValues: zip(pieces, (0...).lazy.map(Value.integer)))
        try JSON.write(.table(numbers), to: "\(folder)/vocab.json")
        try AtomicFile.write("#version: 0.2\n".utf8, to: "\(folder)/merges.txt")
        let settings: [String: Value] = [
            "tokenizer_class": .string("CLIPTokenizer"), "model_max_length": .integer(77), "bos_token": .string(begin),
            "eos_token": .string(end), "unk_token": .string(end), "pad_token": .string(padsWithEnd ? end : pieces[0]),
        ]
        try JSON.write(.table(settings), to: "\(folder)/tokenizer_config.json")
    }
}
