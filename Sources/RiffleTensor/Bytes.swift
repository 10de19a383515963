import Glibc

/// Bytes in strings. Names of files, arguments and Lua's strings are bytes: most often UTF-8, but not always.
///
/// A byte that is no part of UTF-8 is held as one of the characters U+10FF80 to U+10FFFF, which no other text uses, and
/// becomes that byte again on the way out. Bytes that spell such a character themselves are held byte by byte, too.
/// So whatever goes in comes out unchanged, and in between there are ordinary strings.
extension String {
    private static let marks: ClosedRange<UInt32> = 0x10_FF80...0x10_FFFF
    /// The byte that all marks begin with in UTF-8.
    private static let lead: UInt8 = 0xF4

    /// The string of these bytes.
    package init(bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else {
            self = ""
            return
        }
        if memchr(start, Int32(String.lead), bytes.count) == nil, let text = String(validating: bytes, as: UTF8.self) {
            self = text
        } else {
            self = String.marked(bytes)
        }
    }

    /// The string of C's bytes, up to the zero.
    package init(cBytes: UnsafePointer<CChar>) {
        self.init(bytes: UnsafeRawBufferPointer(start: cBytes, count: strlen(cBytes)))
    }

    private static func marked(_ bytes: UnsafeRawBufferPointer) -> String {
        var result = String.UnicodeScalarView()
        var index = 0
        func mark(_ count: Int) {
            for byte in bytes[index..<index + count] {
                guard byte >= 0x80, let scalar = Unicode.Scalar(0x10_FF00 + UInt32(byte)) else { continue }
                result.append(scalar)
            }
        }
        var parser = Unicode.UTF8.ForwardParser()
        var rest = bytes.makeIterator()
        while true {
            switch parser.parseScalar(from: &rest) {
            case .valid(let encoded):
                let scalar = Unicode.UTF8.decode(encoded)
                if marks.contains(scalar.value) { mark(encoded.count) } else { result.append(scalar) }
                index += encoded.count
            case .error(let length):
                mark(length)
                index += length
            case .emptyInput: return String(result)
            }
        }
    }

    /// The bytes that the string was made of.
    package var bytes: [UInt8] {
        if !utf8.contains(String.lead) { return Array(utf8) }
        return unicodeScalars.flatMap { scalar in
            String.marks.contains(scalar.value) ? [UInt8(scalar.value & 0xFF)] : Array(String(scalar).utf8)
        }
    }

    /// The bytes for C, with a zero at the end: a file's name as the system takes it.
    package var systemName: [CChar] { bytes.map(CChar.init(bitPattern:)) + [0] }

    /// Whether all of the bytes are UTF-8.
    package var isUnicode: Bool {
        !utf8.contains(String.lead) || !unicodeScalars.contains { String.marks.contains($0.value) }
    }

    /// The text for readers that know nothing but Unicode: each byte that is no part of UTF-8 becomes U+FFFD.
    package var repaired: String { isUnicode ? self : String(decoding: bytes, as: UTF8.self) }
}
