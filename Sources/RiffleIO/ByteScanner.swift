import RiffleTensor

/// Reads numbers and stretches out of bytes, from left to right, little end first; no access passes the end.
struct ByteScanner {
    private let source: [UInt8]
    private(set) var position = 0
    /// Makes the error out of the message, with the file's name in it.
    private let failure: (String) -> RiffleError

    init(_ source: [UInt8], failure: @escaping (String) -> RiffleError) {
        self.source = source
        self.failure = failure
    }

    var remaining: Int { source.count - position }
    var isAtEnd: Bool { remaining == 0 }

    func error(_ message: String) -> RiffleError { failure(message) }

    mutating func bytes(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count >= 0, count <= remaining else {
            throw failure("expected \(count) bytes at byte \(position), found \(remaining)")
        }
        defer { position += count }
        return source[position..<position + count]
    }

    mutating func skip(_ count: Int) throws { _ = try bytes(count) }

    /// A whole number of `size` bytes, from 0 on, that an Int holds.
    mutating func number(_ size: Int) throws -> Int {
        let start = position
        let bits = try bytes(size).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let number = Int(exactly: bits) else { throw failure("the number \(bits) at byte \(start) is too large") }
        return number
    }
}
