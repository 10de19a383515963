import RiffleTensor

/// The bytes of UTF-8 as tokens: a vocabulary that needs no file, for encoders that train from nothing.
///
/// A byte is its own number; the padding, the beginning and the end follow. The end has the largest number of all, as
/// in CLIP's vocabulary, where encoders look for it.
package final class ByteTokenizer: Tokenizer {
    package override init(length: Int) throws { try super.init(length: length) }

    package override var kind: String { "byte tokenizer" }
    package override var size: Int { 259 }
    override var ends: (begin: Int?, end: Int, pad: Int) { (257, 258, 256) }
    override var padding: String { "a token of its own" }

    override func tokens(of text: String) -> [Int] { text.utf8.map(Int.init) }

    override func text(of tokens: [Int]) -> String {
        String(decoding: tokens.compactMap(UInt8.init(exactly:)), as: UTF8.self)
    }
}
