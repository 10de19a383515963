import CKernels
import RiffleTensor
import Testing

@testable import RiffleLua

/// Tensor memory, which Lua's own collector cannot see.
@Suite(.serialized) struct MemoryTests {
    private func withLimit(_ bytes: Int, _ body: () throws -> Void) rethrows {
        rk_memory_set_limit(bytes)
        defer { rk_memory_set_limit(0) }
        try body()
    }

    @Test func aLoopOfLargeTensorsStaysUnderTheLimit() throws {
        let engine = try LuaEngine()
        rk_memory_reset_peak()
        try withLimit(512_000_000) {
            try engine.run(
                "local riffle = require 'riffle'; for i = 1, 10000 do local x = riffle.ones(1000000) end", name: "=test"
            )
        }
        #expect(rk_memory_now().peak < 512_000_000)
    }

    /// 64 MB are less than what is collected at anyway, so that only running out of memory brings the collection.
    @Test func aSmallLimitIsMetByCollecting() throws {
        let engine = try LuaEngine()
        try withLimit(Int(rk_memory_now().live) + 64_000_000) {
            try engine.run("for i = 1, 200 do local x = require('riffle').ones(8000000) end", name: "=test")
        }
    }

    @Test func runningOutIsAnErrorThatNamesTheHolders() throws {
        let engine = try LuaEngine()
        withLimit(Int(rk_memory_now().live) + 64_000_000) {
            let answer = engine.answer(
                "local large = require('riffle').ones(10000000); local more = large + large; return 1")
            let message = answer.first?.brief ?? ""
            #expect(message.hasPrefix("test:1: "))
            #expect(message.contains("out of memory: 40.0 MB asked for"))
            #expect(message.contains("large [10000000], 40.0 MB"))
        }
        #expect(engine.answer("return require('riffle').ones(3):sum():item()").first?.brief == "3")
    }

    /// What is not tensor memory, but as large as a script wants it, is held against the limit before it is taken.
    @Test(arguments: [
        "x:tolist()", "riffle.plot.scatter(path, x:reshape(-1, 2))", "riffle.plot.line(path, x)",
        "riffle.plot.hist(path, x)",
        "riffle.metrics.energy_distance(x:reshape(-1, 2), x:reshape(-1, 2))", "riffle.data.checkerboard():masses(2000)",
    ])
    func listsAreHeldAgainstTheLimit(call: String) throws {
        let engine = try LuaEngine()
        withLimit(Int(rk_memory_now().live) + 12_000_000) {
            let report =
                engine.answer(
                    "local riffle, path = require 'riffle', '/dev/null'; local x = riffle.ones(2000000); return \(call)"
                ).first?.brief ?? ""
            #expect(report.hasPrefix("test:1: ") && report.contains("out of memory: "), "\(report)")
        }
    }

    @Test func errorsLeakNothing() throws {
        let before = rk_memory_now().live
        do {
            let engine = try LuaEngine()
            try engine.run(
                """
                local riffle = require "riffle"
                local a, b = riffle.ones(100, 100), riffle.ones(99, 100)
                local w = riffle.parameter(riffle.ones(100, 100))
                for i = 1, 1000 do
                  assert(not pcall(function() return a:matmul(b) end))
                  assert(not pcall(function() return (w * a):matmul(b):sum():backward() end))
                  assert(not pcall(function() return riffle.cat { a, a * 2, "x" } end))
                  assert(not pcall(riffle.jvp, function(x) error(x * 2) end, a, a))
                end
                """, name: "=test")
            try engine.run("collectgarbage()", name: "=test")
            #expect(rk_memory_now().live - before < 1_000_000)
        }
        #expect(rk_memory_now().live == before)
    }

    @Test func sizesAreReadAndWrittenInWords() throws {
        let sizes = [
            ("1GB", 1_000_000_000), ("500 MB", 500_000_000), ("1.5GiB", 3 << 29), ("2 kib", 2048), ("64 bytes", 64),
            ("3B", 3), ("0.5 tb", 500_000_000_000),
        ]
        for (text, wanted) in sizes { #expect(bytes(readable: text) == wanted, "\(text)") }
        for text in [
            "", "GB", "1", "1 G", "-1 GB", "1 GB ", "1..5 GB", "1e9 B", "99999999 TB", "1 Gb/s", "\u{0661} GB",
        ] {
            #expect(bytes(readable: text) == nil, "\(text)")
        }
        let engine = try LuaEngine()
        defer { rk_memory_set_limit(0) }
        #expect(engine.answer("return require('riffle').memory.limit('1.5 GiB')").first?.brief == "\(3 << 29)")
        #expect(engine.answer("return require('riffle').memory.limit(2e9)").first?.brief == "2000000000")
        let report = engine.answer("return require('riffle').memory.limit('much')").first?.brief ?? ""
        #expect(
            report.contains("'bytes' must be a number of bytes or a size such as '500 MB' or '1.5 GiB', got 'much'"),
            "\(report)")
        let stats = engine.answer("return tostring(require('riffle').memory.stats())").first?.brief ?? ""
        #expect(stats.contains("limit            2.0 GB  2000000000"), "\(stats)")
    }

    @Test func estimatesAreWhatAFunctionTakes() throws {
        let engine = try LuaEngine()
        let answer = engine.answer(
            """
            local riffle = require "riffle"
            local kept
            local need = riffle.memory.estimate(function(n)
              local x = riffle.ones(n)
              local y = x + x
              x:free(); y:free()
              kept = riffle.ones(n // 4)
            end, 1000000)
            assert(need.total <= riffle.memory.stats().peak and need.kept >= 1e6 and need.kept < 1.1e6, tostring(need))
            assert(need.peak >= 8e6 and need.peak < 8.8e6, tostring(need))
            assert(not pcall(riffle.memory.estimate, error))
            return tostring(need):match("beyond what was there before, of which 1.0 MB stay") ~= nil
            """)
        #expect(answer.first?.brief == "true", "\(answer)")
    }

    @Test func lastingObjectsAreReleasedWithTheState() throws {
        weak var parameter: Parameter?
        do {
            let engine = try LuaEngine()
            let results = try engine.run(
                "keep = require('riffle').parameter(require('riffle').ones(3)); return keep", name: "=test")
            parameter = results.first?.anyObject as? Parameter
            #expect(parameter != nil)
        }
        #expect(parameter == nil)
    }
}
