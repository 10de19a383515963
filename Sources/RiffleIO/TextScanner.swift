import RiffleTensor

/// Reads text of a strict grammar out of bytes, from left to right; every error says what was expected and where.
struct TextScanner {
    private let bytes: [UInt8]
    private var position = 0
    /// Makes the error out of the message, with the file's name in it.
    private let failure: (String) -> RiffleError

    init(_ bytes: [UInt8], failure: @escaping (String) -> RiffleError) {
        self.bytes = bytes
        self.failure = failure
    }

    /// The next byte that is not white space.
    mutating func peek() -> UInt8? {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
        return position < bytes.count ? bytes[position] : nil
    }

    func error(expected: String) -> RiffleError {
        guard position < bytes.count else {
            return failure("expected \(expected) at byte \(position) of the header, found its end")
        }
        let byte = bytes[position]
        let found = (0x21...0x7E).contains(byte) ? "'\(Character(UnicodeScalar(byte)))'" : "byte \(byte)"
        return failure("expected \(expected) at byte \(position) of the header, found \(found)")
    }

    /// Whether `symbol` comes next; it is then read.
    mutating func accept(_ symbol: Unicode.Scalar) -> Bool {
        guard let byte = peek(), UInt32(byte) == symbol.value else { return false }
        position += 1
        return true
    }

    mutating func expect(_ symbol: Unicode.Scalar) throws {
        guard accept(symbol) else { throw error(expected: "'\(symbol)'") }
    }

    /// A word of letters, such as `True`.
    mutating func word() throws -> String {
        let start = peek() == nil ? bytes.count : position
        while position < bytes.count, (0x41...0x5A).contains(bytes[position] & 0xDF) { position += 1 }
        guard position > start else { throw error(expected: "a word") }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// A whole number from 0 on, without leading zeros, that an Int holds.
    mutating func size() throws -> Int {
        guard let first = peek(), (0x30...0x39).contains(first) else { throw error(expected: "a whole number") }
        let start = position
        var number = 0
        while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
            let (tens, over) = number.multipliedReportingOverflow(by: 10)
            let (sum, past) = tens.addingReportingOverflow(Int(bytes[position] - 0x30))
            guard !over, !past else { throw failure("the number at byte \(start) of the header is too large") }
            number = sum
            position += 1
        }
        guard first != 0x30 || position == start + 1 else {
            throw failure("the number at byte \(start) of the header begins with 0")
        }
        return number
    }

    /// `opening`, items separated by commas, `closing`.
    mutating func list(
        _ opening: Unicode.Scalar, _ closing: Unicode.Scalar, trailingComma: Bool = false,
        _ item: (inout TextScanner) throws -> Void
    ) throws {
        try expect(opening)
        if accept(closing) { return }
        repeat {
            if trailingComma, accept(closing) { return }
            try item(&self)
        } while accept(",")
        try expect(closing)
    }

    /// A string in quotes, with JSON's escapes; UTF-8 without control characters.
    mutating func string(_ quote: Unicode.Scalar = "\"") throws -> String {
        try expect(quote)
        let start = position
        var text: [UInt8] = []
        while true {
            guard position < bytes.count, bytes[position] >= 0x20 else {
                throw error(expected: "the end of the string that begins at byte \(start)")
            }
            let byte = bytes[position]
            position += 1
            if UInt32(byte) == quote.value { break }
            if byte == UInt8(ascii: "\\") { text += try escape().utf8 } else { text.append(byte) }
        }
        guard let string = String(validating: text, as: UTF8.self) else {
            throw failure("the string at byte \(start) of the header is not UTF-8")
        }
        return string
    }

    private mutating func escape() throws -> String {
        guard position < bytes.count else { throw error(expected: "an escape") }
        let byte = bytes[position]
        position += 1
        switch UnicodeScalar(byte) {
        case "\"", "\\", "/": return String(UnicodeScalar(byte))
        case "b": return "\u{8}"
        case "f": return "\u{C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "u":
            var units = [try codeUnit()]
            if UTF16.isLeadSurrogate(units[0]), bytes[position...].starts(with: "\\u".utf8) {
                position += 2
                units.append(try codeUnit())
            }
            guard let text = String(validating: units, as: UTF16.self) else {
                throw error(expected: "the other half of a surrogate pair")
            }
            return text
        default:
            position -= 1
            throw error(expected: "an escape")
        }
    }

    private mutating func codeUnit() throws -> UInt16 {
        let digits = bytes[position..<min(position + 4, bytes.count)]
        guard digits.count == 4, digits.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }),
            let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw error(expected: "four hexadecimal digits") }
        position += 4
        return unit
    }
}

/// Text as a JSON string, quotes included.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case _ where scalar.value < 0x20:
            let digits = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
