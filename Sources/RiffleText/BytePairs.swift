import RiffleTensor

/// Byte pair encoding (Sennrich et al. 2016) over bytes, whose last byte of a word is marked, as CLIP has it.
///
/// A word starts as its bytes; the pair of neighbours that comes first in the list of merges is joined, the leftmost
/// where it occurs several times, until no neighbours are in the list.
struct BytePairs {
    /// The mark at the end of a word's last piece.
    static let wordEnd = "</w>"

    /// Pieces by number; those that the vocabulary leaves out are empty.
    private(set) var pieces: [String] = []
    /// The numbers of bytes inside of a word and at its end.
    private let inner: [Int32]
    private let last: [Int32]
    private var merges: [UInt64: (rank: Int, merged: Int32)] = [:]

    private static let largestSize = 1 << 24

    /// - Parameters:
    ///   - vocabulary: the numbers of pieces, whose bytes are written as `ByteLetters`.
    ///   - unknown: the number for bytes that are no pieces.
    /// - Throws: `RiffleError` that says which numbers are impossible.
    init(_ vocabulary: [String: Int], unknown: Int) throws {
        for (piece, number) in vocabulary where !(0..<Self.largestSize).contains(number) {
            throw RiffleError("", "its piece '\(piece)' has the number \(number)")
        }
        let size = (vocabulary.values.max() ?? -1) + 1
        guard size < 16 * vocabulary.count + 4096 else {
            throw RiffleError("", "its numbers go up to \(size - 1), and it has \(vocabulary.count) pieces alone")
        }
        pieces = Array(repeating: "", count: size)
        for (piece, number) in vocabulary.sorted(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
            guard pieces[number].isEmpty else {
                throw RiffleError("", "its pieces '\(pieces[number])' and '\(piece)' have the same number, \(number)")
            }
            pieces[number] = piece
        }
        func number(_ piece: String) -> Int32 { Int32(vocabulary[piece] ?? unknown) }
        inner = (0...255).map { number(String(ByteLetters.letter(of: $0))) }
        last = (0...255).map { number(String(ByteLetters.letter(of: $0)) + Self.wordEnd) }
    }

    /// Adds pairs of pieces, the first of which is joined first.
    /// - Throws: `RiffleError` that says which pair the vocabulary does not know.
    mutating func add(_ pairs: [(String, String)], of vocabulary: [String: Int]) throws {
        for (rank, pair) in pairs.enumerated() {
            func known(_ piece: String) throws -> Int32 {
                if let number = vocabulary[piece] { return Int32(number) }
                throw RiffleError(
                    "", "merge \(rank + 1) joins '\(pair.0)' and '\(pair.1)', and there is no piece '\(piece)'")
            }
            let key = Self.key(try known(pair.0), try known(pair.1))
            // As everywhere, the later of two equal merges counts.
            merges[key] = (rank, try known(pair.0 + pair.1))
        }
    }

    /// The pieces that no merge makes.
    var unmerged: [String] {
        let made = Set(merges.values.map(\.merged))
        return pieces.indices.filter { !made.contains(Int32($0)) }.map { pieces[$0] }
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The pieces of a word, which is not empty.
    func encode(_ word: [UInt8]) -> [Int] {
        var symbols = word.map { inner[Int($0)] }
        symbols[symbols.count - 1] = last[Int(word[word.count - 1])]
        // Neighbours by position; a symbol that went into the one before it is -1.
        var next = Array(1...symbols.count), before = Array(-1..<symbols.count - 1)
        var queue = MergeQueue()
        func propose(_ position: Int) {
            guard position >= 0, next[position] < symbols.count,
                let merge = merges[Self.key(symbols[position], symbols[next[position]])]
            else { return }
            queue.push(.init(rank: merge.rank, position: position, merged: merge.merged))
        }
        for position in symbols.indices { propose(position) }
        while let merge = queue.pop() {
            let position = merge.position, neighbour = next[position]
            // What was proposed may be gone by now.
            guard symbols[position] >= 0, neighbour < symbols.count,
                let now = merges[Self.key(symbols[position], symbols[neighbour])], now.merged == merge.merged
            else { continue }
            symbols[position] = merge.merged
            symbols[neighbour] = -1
            next[position] = next[neighbour]
            if next[position] < symbols.count { before[next[position]] = position }
            propose(before[position])
            propose(position)
        }
        return symbols.filter { $0 >= 0 }.map(Int.init)
    }
}

/// Merges that may be done, the first in the list first and from left to right: a binary heap.
private struct MergeQueue {
    struct Entry {
        let rank: Int
        let position: Int
        let merged: Int32

        static func < (a: Entry, b: Entry) -> Bool { (a.rank, a.position) < (b.rank, b.position) }
    }

    private var heap: [Entry] = []

    mutating func push(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> Entry? {
        guard let first = heap.first, let end = heap.popLast() else { return nil }
        if heap.isEmpty { return first }
        heap[0] = end
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

/// How files of byte pairs write bytes: printable ones as themselves, others as letters from U+0100 on, so that no
/// file has spaces or control characters in its pieces.
enum ByteLetters {
    /// All bytes, in the order in which a vocabulary lists them: printable ones first.
    static let order: [UInt8] = printable + (0...255).filter { !printable.contains($0) }

    private static let printable: [UInt8] = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
    private static let letters: [Unicode.Scalar] = {
        var letters = (0...255).map { Unicode.Scalar(UInt8($0)) }
        for (index, byte) in order.dropFirst(printable.count).enumerated() {
            letters[Int(byte)] = Unicode.Scalar(UInt32(0x100 + index)) ?? " "
        }
        return letters
    }()
    private static let bytes = Dictionary(
        uniqueKeysWithValues: letters.enumerated().map { ($1, UInt8($0)) })

    static func letter(of byte: UInt8) -> Character { Character(letters[Int(byte)]) }

    /// The bytes that letters stand for; other characters stand for their own.
    static func bytes(of piece: String) -> [UInt8] {
        piece.unicodeScalars.flatMap { scalar in bytes[scalar].map { [$0] } ?? Array(String(scalar).utf8) }
    }
}
