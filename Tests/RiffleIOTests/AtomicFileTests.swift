import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

@Suite(.serialized) struct AtomicFileTests {
    @Test func olderFileSurvivesAFullDisk() throws {
        let scratch = try Scratch(), path = try scratch.file("a", [1, 2, 3])
        let report = withFullDisk(after: 10_000) {
            message { try SafeTensors.write([("w", .zeros([100_000]))], to: path) }
        }
        #expect(report.contains("cannot write '\(path)': File too large (the older file is as it was)"), "\(report)")
        #expect(try contents(path) == [1, 2, 3])
        #expect(scratch.names == ["a"])
    }

    @Test func aFullDeviceIsReported() throws {
        let sheet = try Tensor.zeros([8, 8, 3])
        #expect(message { try ImageGrid.save(sheet, to: "/dev/full") }.contains("No space left on device"))
        #expect(FileManager.default.fileExists(atPath: "/dev/full"))
        #expect(message { try Npy.write(sheet, to: "/dev/full") }.contains("/dev/full"))
    }

    @Test func foldersThatCannotBeWrittenAreReported() throws {
        let scratch = try Scratch()
        #expect(message { try AtomicFile.write([1], to: scratch("no/such/folder")) }.contains("No such file"))
        #expect(message { try AtomicFile.write([1], to: scratch.path) }.contains("Is a directory"))
        #expect(message { try AtomicFile.write([1], to: "/sys/riffle") }.contains("cannot write '/sys/riffle'"))
        #expect(message { try AtomicFile.write([1], to: "") }.contains("empty"))
    }

    @Test func linksAreFollowedAndPermissionsKept() throws {
        let scratch = try Scratch(), path = try scratch.file("a", [1])
        chmod(path, 0o640)
        try FileManager.default.createSymbolicLink(atPath: scratch("link"), withDestinationPath: "a")
        try AtomicFile.write([2, 3], to: scratch("link"))
        #expect(try contents(path) == [2, 3])
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: scratch("link")) == "a")
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
    }

    @Test func aFileThatIsReadOnlyStays() throws {
        let scratch = try Scratch(), path = try scratch.file("a", [1])
        chmod(path, 0o444)
        #expect(
            message { try AtomicFile.write([2], to: path) }.contains(
                "cannot write '\(path)': a file is there that is read-only"))
        #expect(try contents(path) == [1] && scratch.names == ["a"])
    }

    /// Files in the making belong to the living who lock them; the others are removed by the next who writes beside
    /// them.
    @Test func whatTheDeadLeftIsRemoved() throws {
        let scratch = try Scratch()
        let boot = try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8).prefix(8)
        let (dead, living, young, old) = (
            ".riffle-\(boot)-1-1.part", ".riffle-\(boot)-1-2.part", ".riffle-other-1-1.part", ".riffle-7-1.part"
        )
        for name in [dead, living, young, old, ".riffle-other", "a.part"] { _ = try scratch.file(name, [1]) }
        let lock = open(scratch(living), O_RDONLY)
        defer { close(lock) }
        #expect(flock(lock, LOCK_EX) == 0)
        var times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: 0, tv_nsec: 0)]
        #expect(utimensat(AT_FDCWD, scratch(old), &times, 0) == 0)

        try AtomicFile.write([2], to: scratch("new"))
        #expect(scratch.names == [living, young, ".riffle-other", "a.part", "new"].sorted())
    }

    @Test func twoWhoWriteDoNotMeet() throws {
        let scratch = try Scratch()
        let first = try AtomicFile.Draft(scratch("a")), second = try AtomicFile.Draft(scratch("a"))
        #expect(scratch.names.count == 2)
        for (draft, byte) in [(first, UInt8(1)), (second, 2)] {
            try [byte].withUnsafeBytes { try draft.write($0, at: 0) }
        }
        try second.commit()
        try first.commit()
        #expect(try contents(scratch("a")) == [1] && scratch.names == ["a"])
    }

    @Test func aSignalRemovesWhatIsInTheMaking() throws {
        let scratch = try Scratch(), draft = try AtomicFile.Draft(scratch("a"))
        #expect(scratch.names.count == 1)
        PartFile.prepareForSignals()
        PartFile.removeAll()
        #expect(scratch.names.isEmpty)
        #expect(message { try draft.commit() }.contains("No such file"))
    }

    /// Names are bytes, and need not be UTF-8.
    @Test func anyNameIsKept() throws {
        let scratch = try Scratch()
        let bytes: [[UInt8]] = [
            [0xE9], [0xF4, 0x8F, 0xBF, 0xBF], [0xC3], [0xC3, 0xA9, 0xFF, 0x61], [0xED, 0xA0, 0x80], Array("日本".utf8),
        ]
        for name in bytes {
            let text = name.withUnsafeBytes { String(bytes: $0) }
            // U+10FFFF stands for a byte that is no part of UTF-8, and is none of the characters itself.
            let isUnicode = String(validating: name, as: UTF8.self) != nil && name[0] != 0xF4
            #expect(text.bytes == name && text.isUnicode == isUnicode)
            #expect(!text.repaired.utf8.contains { $0 >= 0xF8 })
            try AtomicFile.write(name, to: scratch(text))
            #expect(try namesInFolder(scratch.path).contains { $0.bytes == name })
            #expect(try InputFile(scratch(text)).bytes(name.count, at: 0) == name)
        }
        #expect(try namesInFolder(scratch.path).count == bytes.count + 2)
    }

    @Test func nothingIsLeftOfABodyThatThrows() throws {
        let scratch = try Scratch()
        _ = message {
            try AtomicFile.write(to: scratch("a")) { file in
                try file.write([1, 2])
                throw RiffleError("", "stopped")
            }
        }
        #expect(scratch.names.isEmpty)
    }
}
