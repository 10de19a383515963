import RiffleTensor

/// A unigram language model of pieces (Kudo 2018): of all ways to write a word in pieces, the one whose scores, which
/// are logarithms of probabilities, have the largest sum.
struct Unigram {
    struct Piece {
        let bytes: [UInt8]
        let score: Double
        let number: Int32
    }

    /// What a character costs that is no piece, below the least likely piece.
    private static let penalty = 10.0

    /// In the order of their bytes: pieces that begin alike are neighbours, and a piece comes before its longer ones.
    private let pieces: [Piece]
    private let unknown: Int
    private let unknownScore: Double
    /// The pieces of single bytes, by which models that have them spell what is unknown.
    private let byteTokens: [Int]?

    /// - Parameters:
    ///   - pieces: in any order, each once.
    ///   - lowest: the least score.
    /// - Throws: `RiffleError` where a piece is empty or occurs twice.
    init(_ pieces: [Piece], lowest: Double, unknown: Int, byteTokens: [Int]?) throws {
        self.pieces = pieces.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        (self.unknown, self.byteTokens) = (unknown, byteTokens)
        unknownScore = lowest - Self.penalty
        if self.pieces.first?.bytes.isEmpty == true { throw RiffleError("", "one of its pieces is empty") }
        for (one, two) in zip(self.pieces, self.pieces.dropFirst()) where one.bytes == two.bytes {
            throw RiffleError("", "its piece '\(String(decoding: one.bytes, as: UTF8.self))' occurs twice")
        }
    }

    private struct Best {
        var score = -Double.infinity
        var start = 0
        /// Below 0 for a character that is no piece.
        var number: Int32 = -1
    }

    /// The best way to write a word of UTF-8, found from left to right (Viterbi). Characters beside each other that
    /// are no pieces are one unknown token, or their bytes' tokens.
    func encode(_ word: [UInt8]) -> [Int] {
        var best = Array(repeating: Best(), count: word.count + 1)
        best[0].score = 0
        var start = 0
        while start < word.count {
            let length = utf8Length(word[start]), before = best[start].score
            var hasCharacter = false
            func propose(_ end: Int, _ score: Double, _ number: Int32) {
                if score > best[end].score { best[end] = Best(score: score, start: start, number: number) }
            }
            eachPiece(in: word, from: start) { piece in
                propose(start + piece.bytes.count, before + piece.score, piece.number)
                hasCharacter = hasCharacter || piece.bytes.count == length
            }
            if !hasCharacter { propose(min(start + length, word.count), before + unknownScore, -1) }
            start += length
        }
        return tokens(best, word)
    }

    private func tokens(_ best: [Best], _ word: [UInt8]) -> [Int] {
        var tokens: [Int] = [], end = word.count, wasUnknown = false
        while end > 0 {
            let (start, number) = (best[end].start, best[end].number)
            if number >= 0 {
                tokens.append(Int(number))
            } else if let byteTokens {
                tokens += word[start..<end].reversed().map { byteTokens[Int($0)] }
            } else if !wasUnknown {
                tokens.append(unknown)
            }
            wasUnknown = number < 0
            end = start
        }
        return tokens.reversed()
    }

    /// The pieces that the text from `start` on begins with, from short to long.
    private func eachPiece(in text: [UInt8], from start: Int, _ body: (Piece) -> Void) {
        // Pieces in this range begin with the first `length` bytes, and are longer.
        var low = 0, high = pieces.count, length = 0
        while low < high, start + length < text.count {
            let byte = text[start + length]
            low = firstIndex(low..<high) { $0[length] >= byte }
            high = firstIndex(low..<high) { $0[length] > byte }
            length += 1
            if low < high, pieces[low].bytes.count == length {
                body(pieces[low])
                low += 1
            }
        }
    }

    /// The first index in a range for whose bytes something is so, and for those of all indices behind it.
    private func firstIndex(_ range: Range<Int>, where isSo: ([UInt8]) -> Bool) -> Int {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = (low + high) / 2
            if isSo(pieces[middle].bytes) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
