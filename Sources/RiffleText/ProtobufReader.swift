import RiffleIO

/// A message of Protocol Buffers, read field by field. No length that the file claims passes the message's end.
struct ProtobufReader {
    enum Content {
        case integer(UInt64)
        case float(Float)
        /// Eight bytes, which no field of interest has.
        case eight
        /// Bytes, or another message.
        case bytes(Range<Int>)
    }

    private let bytes: [UInt8]
    private let file: InputFile
    private let end: Int
    private var position: Int

    init(_ bytes: [UInt8], _ file: InputFile) {
        (self.bytes, self.file, end, position) = (bytes, file, bytes.count, 0)
    }

    private init(_ outer: ProtobufReader, _ range: Range<Int>) {
        (bytes, file, end, position) = (outer.bytes, outer.file, range.upperBound, range.lowerBound)
    }

    /// The message that lies in these bytes.
    func message(_ range: Range<Int>) -> ProtobufReader { ProtobufReader(self, range) }

    /// The bytes of a field.
    func bytes(_ range: Range<Int>) -> ArraySlice<UInt8> { bytes[range] }

    /// The next field's number and content; nil at the end.
    mutating func next() throws -> (field: UInt64, content: Content)? {
        guard position < end else { return nil }
        let key = try varint()
        switch key & 7 {
        case 0: return (key >> 3, .integer(try varint()))
        case 1:
            _ = try take(8)
            return (key >> 3, .eight)
        case 2:
            let count = try varint()
            return (key >> 3, .bytes(try take(count)))
        case 5:
            let bits = bytes[try take(4)].reversed().reduce(0) { $0 << 8 | UInt32($1) }
            return (key >> 3, .float(Float(bitPattern: bits)))
        default: throw damaged()
        }
    }

    private mutating func varint() throws -> UInt64 {
        var number: UInt64 = 0
        for shift in stride(from: 0, to: 64, by: 7) {
            guard position < end else { throw damaged() }
            let byte = bytes[position]
            position += 1
            number |= UInt64(byte & 0x7F) << UInt64(shift)
            if byte < 0x80 { return number }
        }
        throw damaged()
    }

    private mutating func take(_ count: UInt64) throws -> Range<Int> {
        guard count <= UInt64(end - position) else { throw damaged() }
        position += Int(count)
        return position - Int(count)..<position
    }

    private func damaged() -> any Error {
        file.error("it is no sentencepiece model, or damaged: its protobuf makes no sense at byte \(position)")
    }
}
