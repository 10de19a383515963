import Glibc
import RiffleTensor
import Testing

@testable import RiffleIO
@testable import RiffleLua

/// Files as scripts of the binary leave them.
@Suite struct FileTests {
    private func names(in folder: String) throws -> [String] {
        try namesInFolder(folder).filter { $0 != "." && $0 != ".." }
    }

    /// However a script ends: pairs that are all there are in their file, others are reported by message and exit code,
    /// and no hidden file stays.
    @Test(arguments: [
        ("", 0), ("os.exit(0)", 0), ("os.exit(true, true)", 0), ("os.exit(3)", 3), ("error 'x'", 1),
        ("os.execute('kill -TERM ' .. io.open('/proc/self/stat'):read 'n')", -SIGTERM),
        ("os.execute('kill -HUP ' .. io.open('/proc/self/stat'):read 'n')", -SIGHUP),
        ("os.execute('kill -PIPE ' .. io.open('/proc/self/stat'):read 'n')", -SIGPIPE),
    ])
    func nothingIsLeftUnfinished(_ ending: String, _ code: Int32) throws {
        for added in [3, 2] {
            let folder = temporaryFolder()
            let script = """
                local riffle = require "riffle"
                writer = riffle.data.pair_writer("\(folder)/pairs", { n = 3, shape = { 2 } })
                writer:add(riffle.ones(\(added), 2), riffle.ones(\(added), 2))
                \(ending)
                """
            try write(script, to: "\(folder)/script.lua")
            let ran = try riffle(["\(folder)/script.lua"])
            let isThere = added == 3 && code >= 0
            #expect(try names(in: folder) == (isThere ? ["pairs", "script.lua"] : ["script.lua"]), "\(ending)")
            #expect(ran.code == (code == 0 && !isThere ? 1 : code), "\(ending): \(ran)")
            if code >= 0, !isThere {
                #expect(ran.error.contains("'\(folder)/pairs' was to have 3 pairs, and nobody closed it, with 2"))
            }
        }
    }

    /// Names, arguments and code are bytes: what is no UTF-8 reaches Lua, the system and messages as it is.
    @Test func bytesAreBytes() throws {
        let strange = ([0x63, 0xE9, 0xFF] as [UInt8]).withUnsafeBytes { String(bytes: $0) },
            folder = temporaryFolder() + "/" + strange
        mkdir(folder.systemName, 0o700)
        let script = """
            local riffle = require "riffle"
            local folder = arg[1]
            assert(folder:sub(-3) == "c\\xe9\\xff" and ... == folder and arg[0] == folder .. "/c\\xe9\\xff.lua")
            local path = folder .. "/\\xe9.png"
            riffle.image.save(path, riffle.ones(2, 2))
            assert(io.open(path, "rb") and riffle.image.load(path):shape()[1] == 2)
            riffle.data.save(folder .. "/\\xe9", { a = riffle.ones(2) })
            assert(#riffle.data.load(folder .. "/\\xe9").a == 2)
            riffle.plot.line(folder .. "/\\xfe.png", { ["a\\xe9"] = { 1, 2 } }, { title = "\\xe9" })
            local w <close> = riffle.data.pair_writer(folder .. "/\\xfd", { n = 1, shape = { 1 } })
            w:add(riffle.ones(1, 1), riffle.ones(1, 1))
            w:close()
            riffle.nn.linear(1, 1):save(folder .. "/\\xfc")
            local _, message = pcall(riffle.nn.linear(1, 1).load, riffle.nn.linear(1, 1), folder .. "/\\xfb")
            assert(message:find("/\\xfb'", 1, true), message)
            assert(not pcall(riffle.data.save, folder .. "/a", { ["\\xe9"] = riffle.ones(1) }))
            error("at the end: \\xe9")
            """
        let path = folder + "/" + strange + ".lua"
        let file = open(path.systemName, O_WRONLY | O_CREAT, 0o600)
        _ = script.withCString { Glibc.write(file, $0, strlen($0)) }
        close(file)
        let ran = try riffle([path, folder])
        #expect(ran.error.bytes == "riffle: \(path):17: at the end: ".bytes + [0xE9, 0x0A], "\(ran.error)")
        #expect(
            try names(in: folder).map(\.bytes).sorted { $0.lexicographicallyPrecedes($1) } == [
                [0x63, 0xE9, 0xFF] + Array(".lua".utf8), [0xE9], [0xE9] + Array(".png".utf8), [0xFC], [0xFD],
                [0xFE] + Array(".png".utf8),
            ])
        let line = ([0x70, 0x72, 0x69, 0x6E, 0x74, 0x20, 0x22, 0xE9, 0x22] as [UInt8]).withUnsafeBytes {
            String(bytes: $0)
        }
        #expect(try riffle(["-e", line]).output.bytes == [0xE9, 0x0A])
        let wrong = try riffle(["-e", "print(1)"], settings: ["RIFFLE_CPU=" + strange])
        #expect(wrong.code == 1 && wrong.error.bytes.suffix(5) == [0x63, 0xE9, 0xFF, 0x27, 0x0A])
    }

    @Test func emptySettingsAreNone() throws {
        let ran = try riffle(["-e", "print(1)"], settings: ["RIFFLE_THREADS=", "RIFFLE_CPU=", "RIFFLE_BLAS="])
        #expect(ran.output == "1\n" && ran.code == 0, "\(ran)")
    }
}
