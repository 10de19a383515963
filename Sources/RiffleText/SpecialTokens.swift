/// Tokens that are found in a text as they are written, before anything else is done with it, such as
/// `<|endoftext|>`. What lies between them is a vocabulary's.
struct SpecialTokens {
    enum Part: Equatable {
        case text(String)
        case token(Int)
    }

    /// The longest first, as the longest that fits is taken.
    private let tokens: [(bytes: [UInt8], number: Int)]
    private let firstBytes: Set<UInt8>
    let numbers: Set<Int>

    init(_ tokens: [String: Int]) {
        numbers = Set(tokens.values)
        self.tokens = tokens.map { (Array($0.key.utf8), $0.value) }.filter { !$0.bytes.isEmpty }
            .sorted { ($1.bytes.count, $0.number) < ($0.bytes.count, $1.number) }
        firstBytes = Set(self.tokens.map { $0.bytes[0] })
    }

    func parts(of text: String) -> [Part] {
        let bytes = Array(text.utf8)
        var parts: [Part] = [], start = 0, index = 0
        func close(at end: Int) {
            if start < end { parts.append(.text(String(decoding: bytes[start..<end], as: UTF8.self))) }
        }
        while index < bytes.count {
            if firstBytes.contains(bytes[index]),
                let found = tokens.first(where: { bytes[index...].starts(with: $0.bytes) })
            {
                close(at: index)
                parts.append(.token(found.number))
                index += found.bytes.count
                start = index
            } else {
                index += 1
            }
        }
        close(at: bytes.count)
        return parts
    }
}
