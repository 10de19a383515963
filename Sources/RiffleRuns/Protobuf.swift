/// A message of Protocol Buffers, written field by field.
struct Protobuf {
    private(set) var bytes: [UInt8] = []

    private enum Wire: UInt64 {
        case varint = 0
        case eight = 1
        case counted = 2
        case four = 5
    }

    private mutating func key(_ field: Int, _ wire: Wire) { varint(UInt64(field) << 3 | wire.rawValue) }

    private mutating func varint(_ number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func integer(_ field: Int, _ number: Int) {
        key(field, .varint)
        varint(UInt64(bitPattern: Int64(number)))
    }

    mutating func double(_ field: Int, _ number: Double) {
        key(field, .eight)
        withUnsafeBytes(of: number.bitPattern.littleEndian) { bytes += $0 }
    }

    mutating func float(_ field: Int, _ number: Float) {
        key(field, .four)
        withUnsafeBytes(of: number.bitPattern.littleEndian) { bytes += $0 }
    }

    /// Bytes, or another message.
    mutating func bytes(_ field: Int, _ content: some Collection<UInt8>) {
        key(field, .counted)
        varint(UInt64(content.count))
        bytes += content
    }

    mutating func string(_ field: Int, _ text: String) { bytes(field, text.utf8) }

    /// Numbers one after the other, without keys between them.
    mutating func doubles(_ field: Int, _ numbers: [Double]) {
        key(field, .counted)
        varint(UInt64(8 * numbers.count))
        for number in numbers { withUnsafeBytes(of: number.bitPattern.littleEndian) { bytes += $0 } }
    }

    mutating func message(_ field: Int, _ write: (inout Protobuf) -> Void) {
        var inner = Protobuf()
        write(&inner)
        bytes(field, inner.bytes)
    }
}
