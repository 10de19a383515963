import Glibc
import RiffleTensor
import Testing

@testable import RiffleLua

/// The binary: its command line, and its session on a pseudo-terminal.
@Suite(.serialized) struct SessionTests {
    @Test func evaluatesAndRemembers() throws {
        let terminal = try Terminal()
        try terminal.expect("> ")
        #expect(try terminal.enter("1 + 1").contains("2\r\n"))
        #expect(try terminal.enter("_ * 21").contains("42\r\n"))
        #expect(try terminal.enter("x = riffle.ones(2);").contains("ones(2);\r\n> "))
        #expect(try terminal.enter("x").contains("tensor float32 [2]: 1 1"))
        #expect(try terminal.enter("for i = 1, 2 do", until: ">> ").hasSuffix(">> "))
        try terminal.enter("print(i * 11)", until: ">> ")
        #expect(try terminal.enter("end").contains("11\r\n22\r\n"))
        #expect(try terminal.enter("? softmax").contains("riffle.softmax(x)"))
        #expect(try terminal.enter("x:softmx()").contains("did you mean 'softmax'?"))
        #expect(try terminal.enter("x:soft\t").contains("x:soft"))
        terminal.send("\u{4}")
        #expect(terminal.exitCode() == 0)
        #expect(try terminal.history().contains("x\\040=\\040riffle.ones(2);"))
    }

    @Test func completesNames() throws {
        let terminal = try Terminal()
        try terminal.expect("> ")
        try terminal.enter("thing = riffle.ones(3)")
        try terminal.enter("riffle.memory.st\t().live")
        try terminal.enter("thing:backw\t()")
        terminal.send("\u{4}")
        _ = terminal.exitCode()
        #expect(try terminal.history().hasSuffix("thing\\040=\\040riffle.ones(3)\nriffle.memory.stats().live\nthing:backward()\n"))
    }

    @Test func interruptStopsAComputationAndTheSessionGoesOn() throws {
        let terminal = try Terminal()
        try terminal.expect("> ")
        try terminal.enter("x, w = riffle.ones(2), riffle.parameter(riffle.ones(2))")
        for endless in [
            "riffle.no_grad(function() while true do end end)", "while true do pcall(function() while true do end end) end",
            "for step in riffle.progress(1e9, 'busy') do x = x * 1 end",
            "coroutine.wrap(function() while true do x = x * 1 end end)()",
            "flow.ode(nn.mlp { dim = 2, width = 256 }, riffle.randn(1000, 2), { method = 'rk4', steps = 100000 })",
        ] {
            terminal.send(endless + "\n")
            usleep(300_000)
            terminal.send("\u{3}")
            let shown = try terminal.expect("> ", after: "interrupted")
            #expect(shown.contains("interrupted"), "\(endless): \(shown)")
            #expect(try terminal.enter("x:sum():item()").contains("2.0"))
            #expect(try terminal.enter("riffle.grad((w * 3):sum(), { w })[1]").contains("tensor float32 [2]: 3 3"))
        }
        // At the prompt it clears the line.
        terminal.send("half a li")
        usleep(100_000)
        terminal.send("\u{3}")
        try terminal.expect("> ")
        #expect(try terminal.enter("5 + 5").contains("10"))
    }

    @Test func readsFromAPipe() throws {
        let piped = try riffle([], input: "1 + 1\nfor i = 1, 2 do\nprint(i)\nend\n{ 1,\n2 }\n")
        #expect(piped.output == "2\n1\n2\n[1, 2]\n")
        #expect(piped.code == 0)
        #expect(try riffle([], input: "nonsense(\n").code == 1)
    }

    @Test func runsScriptsAndLines() throws {
        #expect(try riffle(["-e", "print(1 + 1, riffle.ones(2):sum():item(), nn)"]).output == "2\t2.0\triffle.nn\n")
        let script = "\(temporaryFolder())/script.lua"
        try write("print(arg[0] == '\(script)', arg[1], arg[2], #arg, select('#', ...))\n", to: script)
        #expect(try riffle([script, "--quick", "-e"]).output == "true\t--quick\t-e\t2\t2\n")
        #expect(try riffle(["-i", script], input: "7 * 6\n").output.hasSuffix("42\n"))

        try write("local function f() error('deep') end\n\nf()\n", to: script)
        let failed = try riffle([script])
        #expect(failed.code == 1)
        #expect(failed.error == "riffle: \(script):1: deep\n  \(script):1: in 'f'\n  \(script):3\n")
        #expect(try riffle(["/no/such.lua"]).error == "riffle: cannot open /no/such.lua: No such file or directory\n")
        #expect(try riffle(["-e", "print(1)"], settings: ["RIFFLE_THREADS=two"]).error == "riffle: RIFFLE_THREADS must be a whole number from 1 to 1024, got 'two'\n")
        #expect(try riffle(["-e", "print(1)"], settings: ["RIFFLE_CPU=avx"]).error.contains("one of baseline, avx2, avx512, amx, got 'avx'"))
        #expect(try riffle(["-e", "print(1)"], settings: ["RIFFLE_BLAS=/no/such.so"]).error.hasPrefix("riffle: RIFFLE_BLAS: /no/such.so: cannot open"))
        #expect(try riffle(["examples", "run", "tensors"]).code == 0)
        #expect(try riffle(["doctor"]).output.contains("threads"))
        #expect(try riffle(["--version"]).output == "riffle \(LuaEngine.version)\n")
    }

    @Test func everyExampleIsInTheBinary() throws {
        let folder = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/examples"
        var found: [String] = []
        let directory = try #require(opendir(folder))
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name.hasSuffix(".lua") { found.append(String(name.dropLast(4))) }
        }
        #expect(found.sorted() == Examples.all.map(\.name).sorted())
        for example in Examples.all { #expect(!Examples.about(example.source).isEmpty) }
    }
}
