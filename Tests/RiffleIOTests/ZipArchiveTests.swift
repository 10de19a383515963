import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

/// An entry of an archive for tests, with what its headers claim.
struct ZipEntry {
    var name: String
    var bytes: [UInt8]
    var method = 0
    /// What is claimed, where it is not the truth.
    var size: Int?, compressedSize: Int?, checksum: UInt32?, offset: Int?
    var flags = 0

    init(_ name: String, _ bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    fileprivate func fields() -> [UInt8] {
        little(20, 2) + little(flags, 2) + little(method, 2) + little(0, 4) + little(Int(checksum ?? crc32(bytes)), 4)
            + little(compressedSize ?? bytes.count, 4) + little(size ?? bytes.count, 4) + little(name.utf8.count, 2)
            + little(0, 2)
    }
}

func little(_ number: Int, _ size: Int) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }

func crc32(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { sum, byte in
        (0..<8).reduce(sum ^ UInt32(byte)) { part, _ in part >> 1 ^ (part & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
}

/// The bytes of an archive.
func zip(_ entries: [ZipEntry], claimedCount: Int? = nil, comment: [UInt8] = []) -> [UInt8] {
    var bytes: [UInt8] = [], list: [UInt8] = []
    for entry in entries {
        list += [0x50, 0x4B, 1, 2] + little(20, 2) + entry.fields() + little(0, 10)
        list += little(entry.offset ?? bytes.count, 4) + Array(entry.name.utf8)
        bytes += [0x50, 0x4B, 3, 4] + entry.fields() + Array(entry.name.utf8) + entry.bytes
    }
    let count = claimedCount ?? entries.count
    let end = [0x50, 0x4B, 5, 6] + little(0, 4) + little(count, 2) + little(count, 2) + little(list.count, 4)
    return bytes + list + end + little(bytes.count, 4) + little(comment.count, 2) + comment
}

@Suite struct ZipArchiveTests {
    static let small = [ZipEntry("a/one", [1, 2, 3]), ZipEntry("a/", []), ZipEntry("two", Array("hello".utf8))]

    @Test func givesEntries() throws {
        let scratch = try Scratch()
        let path = try scratch.file("a.zip", zip(ZipArchiveTests.small, comment: Array("a comment".utf8)))
        let archive = try ZipArchive(path)
        #expect(archive.entries.map(\.name) == ["a/one", "two"] && archive["three"] == nil)
        let entry = try #require(archive["two"])
        #expect(try archive.read(entry) == Array("hello".utf8) && entry.isStored && entry.size == 5)
        let offset = try #require(try archive.offset(of: entry))
        #expect(try Array(contents(path)[offset..<offset + 5]) == Array("hello".utf8))
    }

    /// A text of 5000 letters, deflated by another program, and 64-bit sizes, as NumPy writes them.
    @Test func readsFromManyThreads() async throws {
        let archive = try ZipArchive(fixture("archive.npz"))
        let entry = try #require(archive["words.npy"])
        #expect(!entry.isStored && entry.compressedSize < entry.size)
        #expect(try archive.offset(of: entry) == nil)
        let whole = try archive.read(entry)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<32 { group.addTask { try archive.read(entry) == whole } }
            for try await isSame in group { #expect(isSame) }
        }
    }

    static let attacks: [(String, [ZipEntry], String)] = {
        func changed(_ name: String = "a", _ change: (inout ZipEntry) -> Void) -> [ZipEntry] {
            var entry = ZipEntry(name, [7, 7, 7, 7])
            change(&entry)
            return [entry]
        }
        return [
            ("absolute", [ZipEntry("/etc/passwd", [1])], "which would lead out"),
            ("upward", [ZipEntry("a/../../b", [1])], "which would lead out"),
            ("backslash", [ZipEntry("a\\b", [1])], "which would lead out"),
            ("drive", [ZipEntry("C:b", [1])], "which would lead out"),
            ("nameless", [ZipEntry("", [1])], "which would lead out"),
            ("doubled", [ZipEntry("a", [1]), ZipEntry("a", [2])], "two entries of the ZIP archive have the name 'a'"),
            ("checksum", changed { $0.checksum = 1 }, "'a' is damaged"),
            ("long", changed { $0.size = 5 }, "should hold 5 bytes"),
            (
                "past the end",
                changed {
                    $0.compressedSize = 50_000; $0.size = 50_000
                }, "reaches into what follows"
            ),
            (
                "bomb",
                changed {
                    $0.method = 8; $0.size = 2_000_000_000
                }, "cannot make that many"
            ),
            ("no deflate", changed { $0.method = 8 }, "'a' is damaged"),
            ("unknown method", changed { $0.method = 93 }, "method 93"),
            ("encrypted", changed { $0.flags = 1 }, "encrypted"),
            ("shared bytes", ZipArchiveTests.small + changed("late") { $0.offset = 0 }, "reaches into"),
            ("elsewhere", changed { $0.offset = 2 }, "'a'"),
        ]
    }()

    @Test(arguments: attacks) func refuses(title: String, entries: [ZipEntry], expected: String) throws {
        let scratch = try Scratch(), path = try scratch.file("bad.zip", zip(entries))
        let report = message {
            let archive = try ZipArchive(path)
            for entry in archive.entries {
                _ = try archive.offset(of: entry)
                _ = try archive.read(entry)
            }
        }
        #expect(report.contains(expected) && report.contains("bad.zip"), "\(title): \(report)")
    }

    @Test func refusesFalseCounts() throws {
        let scratch = try Scratch(), whole = zip(ZipArchiveTests.small)
        for count in [0, 2, 4, 1000, 0xFFFF] {
            let path = try scratch.file("a", zip(ZipArchiveTests.small, claimedCount: count))
            #expect(message { _ = try ZipArchive(path) }.contains("damaged"))
        }
        #expect(message { _ = try ZipArchive(scratch.file("a", whole + [0])) }.contains("bytes behind it"))
        let twice = zip(ZipArchiveTests.small, comment: whole)
        #expect(message { _ = try ZipArchive(scratch.file("a", twice)) }.contains("two ends"))
        // A larger end that claims 2^40 entries.
        let position = whole.count - 22
        let large =
            [0x50, 0x4B, 6, 6] + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8) + little(1 << 40, 8)
            + little(1 << 40, 8) + little(100, 8) + little(0, 8)
        let locator = [0x50, 0x4B, 6, 7] + little(0, 4) + little(position, 8) + little(1, 4)
        let bytes = Array(whole[..<position]) + large + locator + Array(whole[position...])
        #expect(message { _ = try ZipArchive(scratch.file("a", bytes)) }.contains("1099511627776 entries"))
    }

    /// Whatever is damaged, the archive gives the bytes that were written or an error.
    @Test func survivesDamage() throws {
        let scratch = try Scratch(), whole = zip(ZipArchiveTests.small)
        let expected = ["a/one": [1, 2, 3], "two": Array("hello".utf8)]
        func check(_ bytes: [UInt8], isCut: Bool) throws {
            let path = try scratch.file("damaged.zip", bytes)
            do {
                let archive = try ZipArchive(path)
                for entry in archive.entries {
                    let read = try archive.read(entry)
                    #expect(!isCut && (expected[entry.name].map { $0 == read } ?? true))
                }
            } catch let error as RiffleError { #expect(error.description.contains("damaged.zip")) }
        }
        for length in 0..<whole.count { try check(Array(whole[..<length]), isCut: true) }
        for index in whole.indices {
            var bytes = whole
            bytes[index] ^= 1 << UInt8(index % 8)
            try check(bytes, isCut: false)
        }
    }
}
