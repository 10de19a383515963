import Foundation
import RiffleTensor
import Testing

@testable import RiffleIO

@Suite(.serialized) struct AtomicFileTests {
    @Test func olderFileSurvivesAFullDisk() throws {
        let scratch = try Scratch(), path = try scratch.file("a", [1, 2, 3])
        // No disk is full here, but a limit on the size of files stops a write in its middle as well.
        signal(SIGXFSZ, SIG_IGN)
        var before = rlimit()
        getrlimit(__rlimit_resource_t(1), &before)
        var limit = before
        limit.rlim_cur = 10_000
        setrlimit(__rlimit_resource_t(1), &limit)
        let told = message { try SafeTensors.write([("w", .zeros([100_000]))], to: path) }
        setrlimit(__rlimit_resource_t(1), &before)

        #expect(told.contains("cannot write '\(path)': File too large (the older file is as it was)"), "\(told)")
        #expect(try contents(path) == [1, 2, 3])
        #expect(scratch.names == ["a"])
    }

    @Test func aFullDeviceIsTold() throws {
        let sheet = try Tensor.zeros([8, 8, 3])
        #expect(message { try ImageGrid.save(sheet, to: "/dev/full") }.contains("No space left on device"))
        #expect(FileManager.default.fileExists(atPath: "/dev/full"))
        #expect(message { try Npy.write(sheet, to: "/dev/full") }.contains("/dev/full"))
    }

    @Test func foldersThatCannotBeWrittenAreTold() throws {
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
