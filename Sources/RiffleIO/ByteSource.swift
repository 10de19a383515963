import RiffleTensor

/// Bytes that are read from any position: a file, an entry of an archive, or memory. No access passes the end.
package protocol ByteSource: Sendable {
    /// How messages name it, in quotes: `'a.png'` or `'a.zip': 'b/c.png'`.
    var name: String { get }
    /// The number of bytes.
    var size: Int { get }
    /// Fills `target` from `offset` on.
    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws
}

extension ByteSource {
    /// An error that names the file.
    package func error(_ message: String) -> RiffleError { RiffleError("", "\(name): \(message)") }

    /// Whether `count` bytes follow `offset`.
    package func holds(_ count: Int, at offset: Int) -> Bool {
        offset >= 0 && offset <= size && count >= 0 && count <= size - offset
    }

    /// - Throws: `RiffleError` where fewer than `count` bytes follow `offset`.
    package func check(_ count: Int, at offset: Int) throws {
        guard holds(count, at: offset) else {
            throw error("expected \(count) bytes from byte \(offset) on, found \(max(0, size - offset))")
        }
    }

    package func bytes(_ count: Int, at offset: Int = 0) throws -> [UInt8] {
        try check(count, at: offset)
        try Memory.check(count)
        return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            try read(
                into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]),
                at: offset)
            initialized = count
        }
    }

    /// Passes stretches of at most a megabyte on, in order. The stretch is the receiver's to change.
    package func pieces(_ count: Int, at offset: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
        try check(count, at: offset)
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: min(max(count, 1), 1 << 20), alignment: 64)
        defer { piece.deallocate() }
        for start in stride(from: 0, to: count, by: piece.count) {
            let part = UnsafeMutableRawBufferPointer(rebasing: piece[..<min(piece.count, count - start)])
            try read(into: part, at: offset + start)
            try body(part)
        }
    }
}

/// Bytes that came out of a file, in tensor memory.
package final class MemoryBytes: ByteSource {
    package let name: String
    package let size: Int
    private let storage: Storage

    /// - Parameters:
    ///   - size: the number of bytes, of which the caller knows that the file can make them.
    ///   - name: how messages name it, in quotes.
    ///   - fill: writes all of the bytes.
    init(_ size: Int, name: String, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
        self.name = name
        self.size = size
        do { storage = try Storage(bytes: size) } catch let error as RiffleError {
            throw RiffleError("", "\(name): \(error.message)", kind: error.kind)
        }
        try fill(UnsafeMutableRawBufferPointer(start: storage.pointer, count: size))
    }

    package func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        try check(target.count, at: offset)
        target.copyMemory(from: UnsafeRawBufferPointer(start: storage.pointer + offset, count: target.count))
    }
}
