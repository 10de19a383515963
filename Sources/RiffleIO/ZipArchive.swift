import CZip
import RiffleTensor
import Synchronization

/// A ZIP archive, opened for reading; several threads may read from it.
///
/// Opening checks the names, the number and the sizes of all entries against the file. An entry's bytes are read when
/// asked for, and compared with its checksum. Entries that are stored or deflated can be read.
package final class ZipArchive: Sendable {
    package struct Entry: Sendable {
        package let name: String
        /// The number of bytes, once inflated.
        package let size: Int
        /// The number of bytes in the archive.
        package let compressedSize: Int
        /// Whether the archive holds the bytes as they are.
        package var isStored: Bool { record.method == ZipArchive.stored }
        fileprivate let record: ZipDirectory.Record
        /// The number of the entry for libzip.
        fileprivate let index: Int
    }

    /// The entries in the archive's order, without its folders.
    package let entries: [Entry]
    package let file: InputFile
    private let directory: ZipDirectory
    private let indices: [String: Int]
    private let archive: Handle

    fileprivate static let stored = 0, deflated = 8
    /// Deflate makes at most 1032 bytes of one.
    private static let largestInflation = 1032

    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package convenience init(_ path: String) throws { try self.init(InputFile(path)) }

    package init(_ file: InputFile) throws {
        self.file = file
        let directory = try ZipDirectory(file)
        self.directory = directory
        let records = directory.records
        entries = records.indices.compactMap { index in
            let record = records[index]
            guard !record.name.hasSuffix("/") else { return nil }
            return Entry(
                name: record.name, size: record.size, compressedSize: record.compressedSize, record: record,
                index: index)
        }
        indices = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })
        archive = try Handle(file, records: records)
    }

    /// The entry of that name; nil where there is none.
    package subscript(_ name: String) -> Entry? { indices[name].map { entries[$0] } }

    /// Reads all bytes of an entry.
    /// - Throws: `RiffleError` when they do not fit the memory limit, or are damaged.
    package func read(_ entry: Entry) throws -> [UInt8] {
        try checkSize(of: entry)
        try Memory.check(entry.size)
        return try [UInt8](unsafeUninitializedCapacity: entry.size) { buffer, initialized in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            try read(entry, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<entry.size]))
            initialized = entry.size
        }
    }

    /// Reads all bytes of an entry into a buffer of the entry's size.
    package func read(_ entry: Entry, into buffer: UnsafeMutableRawBufferPointer) throws {
        precondition(buffer.count == entry.size)
        try checkSize(of: entry)
        try archive.read(
            entry.index, entry.size, by: { UnsafeMutableRawBufferPointer(rebasing: buffer[$0...]) }
        ) { try damage(entry, $0) }
    }

    /// Reads an entry through, and compares its checksum.
    package func verify(_ entry: Entry) throws {
        try checkSize(of: entry)
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: min(max(entry.size, 1), 1 << 20), alignment: 64)
        defer { piece.deallocate() }
        try archive.read(entry.index, entry.size, by: { _ in piece }) { try damage(entry, $0) }
    }

    /// Where the bytes of a stored entry begin in the file, to be read from there; nil where they are compressed.
    package func offset(of entry: Entry) throws -> Int? {
        guard entry.isStored else { return nil }
        try checkSize(of: entry)
        return try directory.offset(of: entry.record)
    }

    /// An error that names the file.
    package func error(_ message: String) -> RiffleError { file.error(message) }

    /// An entry that claims to inflate to more than its bytes can make is refused before memory is taken for it.
    func checkSize(of entry: Entry) throws {
        let record = entry.record
        guard !record.isEncrypted else { throw file.error("the entry '\(entry.name)' is encrypted") }
        let most: Int?
        switch record.method {
        case ZipArchive.stored: most = record.compressedSize
        case ZipArchive.deflated: most = checkedProduct([record.compressedSize, ZipArchive.largestInflation])
        default:
            throw file.error(
                "the entry '\(entry.name)' is compressed by method \(record.method); "
                    + "stored and deflated ones can be read"
            )
        }
        guard let most, entry.isStored ? record.size == most : record.size <= most else {
            throw file.error(
                "the entry '\(entry.name)' should hold \(record.size) bytes, found \(record.compressedSize) "
                    + (entry.isStored ? "bytes" : "compressed bytes, which cannot make that many"))
        }
    }

    private func damage(_ entry: Entry, _ reason: String) throws -> Never {
        throw file.error("the entry '\(entry.name)' is damaged: \(reason)")
    }
}

/// libzip's archive, which one thread at a time may use.
private final class Handle: @unchecked Sendable {
    private let archive: OpaquePointer
    private let lock = Mutex<Void>(())

    init(_ file: InputFile, records: [ZipDirectory.Record]) throws {
        var code: Int32 = 0
        guard let archive = zip_open(file.path.systemName, Int32(ZIP_RDONLY), &code) else {
            var error = zip_error_t()
            zip_error_init_with_code(&error, code)
            defer { zip_error_fini(&error) }
            throw file.error("a damaged ZIP archive: \(String(cString: zip_error_strerror(&error)))")
        }
        self.archive = archive
        // Both readers have to have read the same list.
        guard zip_get_num_entries(archive, 0) == records.count else {
            throw file.error("a damaged ZIP archive: its number of entries is uncertain")
        }
        for (index, record) in records.enumerated() {
            var status = zip_stat_t()
            guard zip_stat_index(archive, zip_uint64_t(index), zip_flags_t(ZIP_FL_ENC_RAW), &status) == 0,
                let name = status.name, String(cBytes: name) == record.name, status.size == record.size,
                status.comp_size == record.compressedSize
            else { throw file.error("a damaged ZIP archive: the entry '\(record.name)' is uncertain") }
        }
    }

    deinit { zip_discard(archive) }

    /// Reads `count` bytes, all that the entry should have, and compares the checksum.
    /// - Parameter target: where the bytes from a position on go, as many as it takes.
    func read(
        _ index: Int, _ count: Int, by target: (Int) -> UnsafeMutableRawBufferPointer,
        damage: (String) throws -> Never
    ) throws {
        try lock.withLock { _ in
            guard let file = zip_fopen_index(archive, zip_uint64_t(index), 0) else {
                try damage(String(cString: zip_strerror(archive)))
            }
            defer { zip_fclose(file) }
            var done = 0
            while done < count {
                let piece = target(done)
                let got = zip_fread(file, piece.baseAddress, zip_uint64_t(min(piece.count, count - done)))
                guard got >= 0 else { try damage(String(cString: zip_file_strerror(file))) }
                guard got > 0 else { try damage("it has \(done) bytes, expected \(count)") }
                done += Int(got)
            }
            // libzip compares the checksum when it meets the end.
            var more: UInt8 = 0
            switch zip_fread(file, &more, 1) {
            case 0: break
            case 1...: try damage("it has more than \(count) bytes")
            default: try damage(String(cString: zip_file_strerror(file)))
            }
        }
    }
}
