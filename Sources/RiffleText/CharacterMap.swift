import RiffleTensor

/// What sentencepiece makes of characters before it looks for pieces: a table of texts and their replacements, such as
/// NFKC with all white space as spaces, in the form that models carry (precompiled_charsmap).
///
/// The texts are in a double array: a unit of 32 bits a node, whose children lie at the node's offset, exclusive-or
/// the child's byte. Unit 0 is the root; a leaf holds where in `replacements` its text begins, up to a zero byte.
struct CharacterMap {
    private let units: [UInt32]
    private let replacements: [UInt8]

    /// A character becomes 33 bytes at most in NFKC; a text must not become a million times as long.
    private static let longestReplacement = 1024

    /// - Throws: `RiffleError` where the bytes are no such table.
    init(_ bytes: [UInt8]) throws {
        func number(at offset: Int) -> UInt32 {
            bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        guard bytes.count >= 8 else { throw Self.damaged }
        let size = Int(number(at: 0))
        guard size % 4 == 0, size >= 4, size <= bytes.count - 4 else { throw Self.damaged }
        units = stride(from: 4, to: 4 + size, by: 4).map(number)
        replacements = Array(bytes[(4 + size)...])
        let longest = replacements.split(separator: 0).map(\.count).max() ?? 0
        guard replacements.last == 0, longest <= Self.longestReplacement else { throw Self.damaged }
    }

    private static let damaged = RiffleError("", "its table of characters (precompiled_charsmap) is damaged")

    /// The text with the longest known beginning replaced, again and again; a character that begins none stays.
    func callAsFunction(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = [], index = 0
        result.reserveCapacity(text.count)
        while index < text.count {
            if let found = longest(in: text[index...]) {
                result += replacements[found.start...].prefix { $0 != 0 }
                index += found.length
            } else {
                let length = utf8Length(text[index])
                result += text[index...].prefix(length)
                index += length
            }
        }
        return result
    }

    private func longest(in text: ArraySlice<UInt8>) -> (length: Int, start: Int)? {
        var found: (length: Int, start: Int)?
        var node = offset(units[0])
        for (index, byte) in text.enumerated() {
            node ^= Int(byte)
            guard node < units.count else { break }
            let unit = units[node]
            // The unit's label, which has the highest bit where the unit is a leaf.
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { break }
            node ^= offset(unit)
            guard unit >> 8 & 1 == 1, node < units.count else { continue }
            let start = Int(units[node] & 0x7FFF_FFFF)
            if start < replacements.count { found = (index + 1, start) }
        }
        return found
    }

    private func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }
}

/// How many bytes the character has that begins with this byte.
func utf8Length(_ byte: UInt8) -> Int { byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4 }
