import Glibc
import RiffleTensor
import Testing

@testable import RiffleIO
@testable import RiffleLua

/// Runs of the binary: stopped at any moment, they go on to the same bits.
@Suite(.serialized) struct RunTests {
    private static let script =
        String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/") ?? #filePath.endIndex)) + "/runs/kinds.lua"

    /// A training in a folder of its own.
    private struct Training {
        let folder = temporaryFolder()
        let kind: String

        init(_ kind: String) throws {
            self.kind = kind
            let made = try riffle([
                "-e",
                """
                riffle.seed(1)
                local w = riffle.data.pair_writer("\(folder)/pairs", { n = 10, shape = { 8, 8, 3 }, labels = true })
                w:add(riffle.randn(10, 8, 8, 3), riffle.rand(10, 8, 8, 3), { labels = riffle.randint(3, 10) })
                w:close()
                """,
            ])
            #expect(made.code == 0, "\(made)")
        }

        func arguments(_ name: String, steps: Int = 20, _ more: [String] = []) -> [String] {
            [
                RunTests.script, "--kind", kind, "--run", "\(folder)/\(name)", "--out", "\(folder)/\(name).safetensors",
                "--pairs", "\(folder)/pairs", "--steps", "\(steps)",
            ] + more
        }

        func end(_ name: String) throws -> [UInt8] { try contents(of: "\(folder)/\(name).safetensors") }
    }

    @Test(arguments: ["teacher", "itvm", "fgm", "power", "pairs"]) func goesOnToTheSameBits(_ kind: String) throws {
        let training = try Training(kind)
        let whole = try riffle(training.arguments("whole"), settings: ["RIFFLE_THREADS=1"])
        #expect(whole.code == 0, "\(whole)")
        let first = try riffle(training.arguments("parts"), settings: ["RIFFLE_THREADS=1", "STOP_AT=10"])
        #expect(first.code == 75 && first.error.contains("the same command goes on"), "\(first)")
        let second = try riffle(training.arguments("parts"), settings: ["RIFFLE_THREADS=2"])
        #expect(
            second.code == 0 && second.error.contains("goes on from step \(kind == "fgm" ? 9 : 10) of 20"), "\(second)")
        #expect(try training.end("whole") == training.end("parts"))
        func log(_ name: String) throws -> [String] {
            // The wall clock differs.
            String(decoding: try contents(of: "\(training.folder)/\(name)/log.jsonl"), as: UTF8.self).split(
                separator: "\n"
            )
            .map { String($0).replacing(/"(time|seconds)": *[0-9.e-]+/, with: "") }
        }
        #expect(try log("whole") == log("parts"))
    }

    /// However often and whenever a run is killed, it ends with the same bits, and its folder never holds a torn file.
    @Test func survivesBeingKilled() throws {
        let training = try Training("teacher")
        let more = ["--save-every", "3"]
        let whole = try riffle(training.arguments("whole", more))
        #expect(whole.code == 0, "\(whole)")
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        var kills = 0
        for number in 0... {
            if kills == 20 { break }
            let name = "killed\(number)"
            var code: Int32 = -1
            while code != 0 {
                let wait = kills < 20 ? try Int(random.uniform([1]).item() * 1500) : nil
                let ran = try riffle(training.arguments(name, more), killedAfter: wait.map { ($0, SIGKILL) })
                code = ran.code
                kills += code == -SIGKILL ? 1 : 0
                guard code == 0 || code == -SIGKILL else {
                    Issue.record("\(ran), seed \(seed)")
                    return
                }
            }
            #expect(try training.end("whole") == training.end(name), "seed \(seed)")
        }
        #expect(kills == 20)
    }

    /// The same of a published model's distillation, whose prompts and pipeline are files, too.
    @Test func distillationSurvivesBeingStopped() throws {
        let folder = temporaryFolder(), seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        func train(_ name: String, stoppedAfter wait: (Int, Int32)? = nil) throws -> Int32 {
            let ran = try riffle(
                ["examples", "run", "fgm_sd3", "--tiny", "--steps", "4", "--run", name, "--out", "\(name)-sd3"],
                in: folder, killedAfter: wait)
            #expect([0, 75, -SIGKILL, -SIGTERM].contains(ran.code), "\(ran), seed \(seed)")
            return ran.code
        }
        func end(_ name: String) throws -> [UInt8] {
            try contents(of: "\(folder)/\(name)-sd3/transformer/diffusion_pytorch_model.safetensors")
        }
        let start = ContinuousClock.now
        #expect(try train("whole") == 0)
        let time = (ContinuousClock.now - start) / .milliseconds(1)
        var stops = 0
        while stops < 6 {
            let wait = try Int(time * (0.2 + 0.5 * random.uniform([1]).item()))
            if try train("stopped", stoppedAfter: (wait, stops % 3 == 2 ? SIGKILL : SIGTERM)) == 0 { break }
            stops += 1
        }
        #expect(try train("stopped") == 0)
        #expect(try end("whole") == end("stopped"), "seed \(seed)")
    }

    /// What `riffle runs` says of a run that ends before its loop, or within a step.
    @Test(arguments: [
        ("signal 'HUP'", -SIGHUP, "stopped: ended at once by a signal, hangup"),
        (
            "for _ in run:steps(3) do signal 'INT' signal 'INT' end", 130,
            "stopped: ended at once by a signal, interrupt"
        ),
        ("error 'mine'", 1, "failed: command line:4: mine"), ("local _ = run", 0, "stopped"),
        (
            "run:close() io.open(folder .. '/status.json', 'w'):write('{'):close()", 0,
            "unknown: status.json cannot be read"
        ),
    ]) func sayHowItEnded(_ code: String, _ end: Int32, _ state: String) throws {
        let folder = temporaryFolder()
        let ran = try riffle([
            "-e",
            """
            local folder = "\(folder)/run"
            local function signal(name) io.popen("kill -" .. name .. " $PPID"):close() end
            local run = riffle.run(folder):track { net = riffle.nn.linear(1, 1) }
            \(code)
            """,
        ])
        #expect(ran.code == end, "\(ran)")
        let listed = try riffle(["runs", folder]).output
        #expect(listed.contains(state), "\(listed)")
    }

    /// SIGTERM, SIGINT and SIGUSR1 at any moment: a checkpoint and 75, or the signal's own end outside the loop.
    @Test func signalsStopBetweenSteps() throws {
        let training = try Training("teacher")
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        let whole = try riffle(training.arguments("whole"))
        #expect(whole.code == 0, "\(whole)")
        for number in 0... {
            let signal = [SIGTERM, SIGINT, SIGUSR1][number % 3]
            let wait = number < 12 ? try (Int(200 + random.uniform([1]).item() * 800), signal) : nil
            let ran = try riffle(training.arguments("stopped"), killedAfter: wait)
            // Before the loop there is nothing to save: SIGINT is an error of the script then.
            #expect([0, 75, 130, -signal].contains(ran.code), "\(ran), seed \(seed)")
            #expect((ran.code == 75) == ran.error.contains("with a checkpoint"), "\(ran), seed \(seed)")
            if ran.code == 0 { break }
        }
        #expect(try training.end("whole") == training.end("stopped"), "seed \(seed)")
    }
}
