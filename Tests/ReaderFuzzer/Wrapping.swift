import CZlib

/// What is put around an input, or put right in it, so that its changes reach what is behind a checksum.
enum Wrapping {
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        let bytes = Array(bytes)
        return UInt32(truncatingIfNeeded: crc32(0, bytes, UInt32(bytes.count)))
    }

    static func little(_ number: Int, _ size: Int) -> [UInt8] {
        (0..<size).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    /// A ZIP archive of stored entries.
    static func archive(_ entries: [(name: String, bytes: [UInt8])]) -> [UInt8] {
        var bytes: [UInt8] = [], list: [UInt8] = []
        for entry in entries {
            let fields =
                little(20, 2) + little(0, 8) + little(Int(checksum(entry.bytes)), 4) + little(entry.bytes.count, 4)
                + little(entry.bytes.count, 4) + little(entry.name.utf8.count, 2) + little(0, 2)
            list += [0x50, 0x4B, 1, 2] + little(20, 2) + fields + little(0, 10) + little(bytes.count, 4)
            list += Array(entry.name.utf8)
            bytes += [0x50, 0x4B, 3, 4] + fields + Array(entry.name.utf8) + entry.bytes
        }
        let counts = little(entries.count, 2) + little(entries.count, 2)
        return bytes + list + [0x50, 0x4B, 5, 6] + little(0, 4) + counts + little(list.count, 4)
            + little(bytes.count, 4) + little(0, 2)
    }

    /// A PNG whose chunks have the checksums that libpng expects.
    static func repaired(png: [UInt8]) -> [UInt8] {
        var bytes = png, start = 8
        while start + 12 <= bytes.count {
            let length = bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= bytes.count - start - 12 else { break }
            let end = start + 8 + length
            bytes.replaceSubrange(end..<end + 4, with: little(Int(checksum(bytes[start + 4..<end])), 4).reversed())
            start = end + 4
        }
        return bytes
    }

    /// Bytes as gzip stores them without compressing.
    static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var packed: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]
        for start in stride(from: 0, to: max(1, bytes.count), by: 0xFFFF) {
            let part = bytes[start..<min(start + 0xFFFF, bytes.count)]
            packed +=
                [start + part.count == bytes.count ? 1 : 0] + little(part.count, 2) + little(~part.count, 2) + part
        }
        return packed + little(Int(checksum(bytes)), 4) + little(bytes.count, 4)
    }
}
