extension JSON {
    /// The most bytes that Foundation was seen to take for a table that is not empty, for a list or an empty table, and
    /// for an item; and for each byte of the text, long strings among them.
    private static let table = 3200, list = 400, item = 100, byte = 10

    /// About the most memory that reading a JSON text takes, with the values: at most 830 bytes for each of the text,
    /// where tables stand in tables.
    static func footprint(_ text: [UInt8]) -> Int {
        var sum = 0, isQuoted = false, isEscaped = false, isFirst = false, before: UInt8 = 0
        for next in text {
            sum += byte
            if isQuoted {
                isQuoted = isEscaped || next != UInt8(ascii: "\"")
                isEscaped = next == UInt8(ascii: "\\") && !isEscaped
                continue
            }
            switch next {
            case 0x20, 0x09, 0x0A, 0x0D: continue
            case UInt8(ascii: "\""): isQuoted = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                sum += list
                isFirst = next == UInt8(ascii: "{")
            case UInt8(ascii: ":") where isFirst && before == UInt8(ascii: "\""):
                sum += table - list
                isFirst = false
            case UInt8(ascii: ","): sum += item
            default: break
            }
            before = next
        }
        return sum
    }
}
