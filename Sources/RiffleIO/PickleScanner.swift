import RiffleTensor

/// Reads the bytes of a pickle in order, a piece at a time: a pickle may stand in front of gigabytes of numbers.
struct PickleScanner {
    private let source: any ByteSource
    private(set) var position: Int
    private var piece: [UInt8] = []
    private var pieceStart: Int
    private static let pieceSize = 1 << 16

    init(_ source: any ByteSource, at position: Int) {
        self.source = source
        self.position = position
        pieceStart = position
    }

    func error(_ message: String) -> RiffleError { source.error(message) }

    mutating func byte() throws -> UInt8 {
        if position < pieceStart || position >= pieceStart + piece.count {
            guard source.holds(1, at: position) else {
                throw error("a pickle that was cut off at byte \(position)")
            }
            piece = try source.bytes(min(PickleScanner.pieceSize, source.size - position), at: position)
            pieceStart = position
        }
        defer { position += 1 }
        return piece[position - pieceStart]
    }

    /// A number of `size` bytes, at most 8, little end first.
    mutating func bits(_ size: Int) throws -> UInt64 {
        var bits: UInt64 = 0
        for index in 0..<size { bits |= UInt64(try byte()) << UInt64(8 * index) }
        return bits
    }

    /// The length of what follows, as a number of `size` bytes; no more than the file has.
    mutating func length(_ size: Int) throws -> Int {
        let start = position, claimed = try bits(size)
        guard let length = Int(exactly: claimed), source.holds(length, at: position) else {
            throw error(
                "the pickle should have \(claimed) bytes at byte \(start), found \(max(0, source.size - position))")
        }
        return length
    }

    /// Passes over bytes that `length` has counted.
    mutating func skip(_ count: Int) { position += count }

    mutating func bytes(_ count: Int) throws -> [UInt8] {
        let bytes = try source.bytes(count, at: position)
        position += count
        return bytes
    }

    /// A line of at most 1000 bytes, without its end.
    mutating func line() throws -> String {
        var bytes: [UInt8] = []
        while true {
            let byte = try byte()
            if byte == 0x0A { break }
            guard bytes.count < 1000 else { throw error("a name without end in the pickle at byte \(position)") }
            bytes.append(byte)
        }
        return bytes.withUnsafeBytes { String(bytes: $0) }
    }
}
