import RiffleTensor
import Synchronization

/// The bytes of an archive's entry. Stored ones are read from the file, deflated ones are inflated as a whole.
package final class ZipEntryBytes: ByteSource {
    /// How much of an entry will be read.
    package enum Reading: Sendable {
        /// All of it, once, from its beginning to its end. The checksum is compared before the first bytes are given
        /// out, and inflated bytes are given back with the last of them.
        case whole
        /// Parts, again and again. The checksum of stored bytes, which would need all of them, is not compared, and
        /// inflated bytes are kept.
        case parts
    }

    private enum State {
        case unread, stored(offset: Int), inflated(MemoryBytes)
    }

    private let archive: ZipArchive
    private let entry: ZipArchive.Entry
    private let reading: Reading
    private let state = Mutex(State.unread)

    package init(_ entry: ZipArchive.Entry, of archive: ZipArchive, reading: Reading) {
        self.archive = archive
        self.entry = entry
        self.reading = reading
    }

    package var name: String { "\(archive.file.name): '\(entry.name)'" }
    package var size: Int { entry.size }

    package func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        try check(target.count, at: offset)
        switch try opened(readingTo: offset + target.count) {
        case .stored(let start): try archive.file.read(into: target, at: start + offset)
        case .inflated(let bytes): try bytes.read(into: target, at: offset)
        case .unread: break
        }
    }

    private func opened(readingTo end: Int) throws -> State {
        try state.withLock { state in
            if case .unread = state {
                if let offset = try archive.offset(of: entry) {
                    if reading == .whole { try archive.verify(entry) }
                    state = .stored(offset: offset)
                } else {
                    try archive.checkSize(of: entry)
                    state = .inflated(try MemoryBytes(size, name: name) { try archive.read(entry, into: $0) })
                }
            }
            let opened = state
            if case .inflated = opened, reading == .whole, end == size { state = .unread }
            return opened
        }
    }
}
