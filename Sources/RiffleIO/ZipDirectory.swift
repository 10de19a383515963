import RiffleTensor

/// The list at the end of a ZIP archive that says where the entries are.
///
/// libzip reads this list as well, but keeps the positions of the bytes to itself, and takes memory for as many entries
/// as a file claims to have. So the list is read here first and checked: the entries take as many bytes as they say, do
/// not overlap, and have names that lead to no other folder and occur once.
struct ZipDirectory {
    struct Record {
        let name: String
        let method: Int
        let isEncrypted: Bool
        let compressedSize: Int
        let size: Int
        /// Where the entry's own header begins in the file.
        let header: Int
    }

    let records: [Record]
    private let file: InputFile

    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    init(_ file: InputFile) throws {
        self.file = file
        let end = try ZipDirectory.end(of: file)
        guard file.holds(end.size, at: end.offset), end.count <= end.size / ZipDirectory.recordSize else {
            throw file.error(
                "a damaged ZIP archive: \(end.count) entries listed in \(end.size) bytes from byte \(end.offset) on, "
                    + "found \(file.size) bytes in all")
        }
        // A record, as bytes, here and in libzip, takes several times its bytes in the file.
        try Memory.check(8 * end.size)
        var bytes = ByteScanner(try file.bytes(end.size, at: end.offset)) { file.error("a damaged ZIP archive: \($0)") }
        var records: [Record] = [], names = Set<String>()
        records.reserveCapacity(end.count)
        for _ in 0..<end.count {
            let record = try ZipDirectory.record(&bytes, file)
            try ZipDirectory.check(record.name, file)
            guard names.insert(record.name).inserted else {
                throw file.error("two entries of the ZIP archive have the name '\(record.name)'")
            }
            records.append(record)
        }
        guard bytes.isAtEnd else { throw file.error("a damaged ZIP archive: bytes behind the last entry of its list") }
        self.records = records
        try checkOverlap(until: end.offset)
    }

    /// Where the bytes of an entry begin, behind the entry's own header.
    func offset(of record: Record) throws -> Int {
        let size = 30
        var header = ByteScanner(try file.bytes(size, at: record.header)) { file.error($0) }
        guard try header.number(4) == 0x0403_4B50 else {
            throw file.error("expected the entry '\(record.name)' at byte \(record.header) of the ZIP archive")
        }
        try header.skip(22)
        let offset = record.header + size + (try header.number(2)) + (try header.number(2))
        guard file.holds(record.compressedSize, at: offset) else {
            throw file.error(
                "the entry '\(record.name)' should take \(record.compressedSize) bytes from byte \(offset) on, found "
                    + "\(max(0, file.size - offset))")
        }
        return offset
    }

    // MARK: - Parts

    /// The least bytes of a record in the list.
    private static let recordSize = 46

    /// The number of entries, and where their list is. The end of an archive is its last 22 bytes, which a comment may
    /// follow; larger archives have a second end in front of it, with numbers of 64 bits.
    private static func end(of file: InputFile) throws -> (count: Int, size: Int, offset: Int) {
        let size = 22, longestComment = 0xFFFF, signature: [UInt8] = [0x50, 0x4B, 5, 6]
        let tail = try file.bytes(min(file.size, size + longestComment), at: max(0, file.size - size - longestComment))
        let start = stride(from: tail.count - size, through: 0, by: -1).first { start in
            tail[start...].starts(with: signature)
                && start + size + Int(tail[start + 20]) + Int(tail[start + 21]) << 8 == tail.count
        }
        guard let start else {
            throw file.error("a ZIP archive that was cut off or has bytes behind it: its list of entries is missing")
        }
        // libzip begins its search at the other end of these bytes.
        guard !(0..<start).contains(where: { tail[$0...].starts(with: signature) }) else {
            throw file.error("a ZIP archive with two ends: which one lists the entries is uncertain")
        }
        let position = file.size - tail.count + start
        if let large = try largeEnd(before: position, of: file) { return large }
        var end = ByteScanner(Array(tail[start...])) { file.error($0) }
        try end.skip(4)
        let disk = try end.number(2), listDisk = try end.number(2), here = try end.number(2), count = try end.number(2)
        guard disk == 0, listDisk == 0, here == count else {
            throw file.error("a ZIP archive of several parts cannot be read")
        }
        return (count, try end.number(4), try end.number(4))
    }

    private static func largeEnd(before position: Int, of file: InputFile) throws -> (
        count: Int, size: Int, offset: Int
    )? {
        let locatorSize = 20, size = 56
        guard position >= locatorSize else { return nil }
        var locator = ByteScanner(try file.bytes(locatorSize, at: position - locatorSize)) { file.error($0) }
        guard try locator.number(4) == 0x0706_4B50 else { return nil }
        try locator.skip(4)
        var end = ByteScanner(try file.bytes(size, at: try locator.number(8))) {
            file.error("a damaged ZIP archive: \($0)")
        }
        guard try end.number(4) == 0x0606_4B50 else {
            throw file.error("a damaged ZIP archive: its end does not say where the list of entries is")
        }
        try end.skip(20)
        let here = try end.number(8), count = try end.number(8)
        guard here == count else { throw file.error("a ZIP archive of several parts cannot be read") }
        return (count, try end.number(8), try end.number(8))
    }

    private static func record(_ bytes: inout ByteScanner, _ file: InputFile) throws -> Record {
        guard try bytes.number(4) == 0x0201_4B50 else { throw bytes.error("a wrong entry in its list") }
        try bytes.skip(4)
        let flags = try bytes.number(2), method = try bytes.number(2)
        try bytes.skip(8)
        var sizes = [try bytes.number(4), try bytes.number(4)]
        let nameLength = try bytes.number(2), extraLength = try bytes.number(2), commentLength = try bytes.number(2)
        try bytes.skip(8)
        sizes.append(try bytes.number(4))
        let name = try bytes.bytes(nameLength).withUnsafeBytes { String(bytes: $0) }
        var extra = ByteScanner(Array(try bytes.bytes(extraLength)), failure: bytes.error)
        try bytes.skip(commentLength)
        // Numbers that 32 bits do not hold stand in the extra field 1, in this order.
        let order = [1, 0, 2], missing = order.filter { sizes[$0] == 0xFFFF_FFFF }
        while !missing.isEmpty, !extra.isAtEnd {
            let kind = try extra.number(2), length = try extra.number(2)
            var field = ByteScanner(Array(try extra.bytes(length)), failure: bytes.error)
            if kind == 1 {
                for index in missing { sizes[index] = try field.number(8) }
                break
            }
        }
        return Record(
            name: name, method: method, isEncrypted: flags & 1 != 0, compressedSize: sizes[0], size: sizes[1],
            header: sizes[2])
    }

    private static func check(_ name: String, _ file: InputFile) throws {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        let isDrive = name.utf8.dropFirst().first == UInt8(ascii: ":")
        guard !name.isEmpty, !name.utf8.contains(0), !name.contains("\\"), parts.first != "", !parts.contains(".."),
            !isDrive
        else {
            throw file.error("the ZIP archive has an entry named '\(name)', which would lead out of its folder")
        }
    }

    /// Checks that every entry ends before the next one begins. Bytes that many entries share would unpack to more than
    /// any file of that size holds.
    private func checkOverlap(until end: Int) throws {
        let order = records.indices.sorted { records[$0].header < records[$1].header }
        for (position, index) in order.enumerated() {
            let record = records[index], next = position + 1 < order.count ? records[order[position + 1]].header : end
            guard record.header <= next, record.compressedSize <= next - record.header else {
                throw file.error(
                    "the entry '\(record.name)' of the ZIP archive, \(record.compressedSize) bytes, reaches into what "
                        + "follows it: found \(max(0, next - record.header)) bytes")
            }
        }
    }
}
