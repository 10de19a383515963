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
        #expect(try terminal.enter("end -- of the loop").contains("11\r\n22\r\n"))
        #expect(try terminal.enter("? softmax").contains("riffle.softmax(x)"))
        #expect(try terminal.enter("x:softmx()").contains("did you mean 'softmax'?"))
        #expect(try terminal.enter("x:softm\t():shape()").contains("[2]"))
        terminal.send("\u{4}")
        #expect(terminal.exitCode() == 0)
        #expect(try terminal.history().contains("x\\040=\\040riffle.ones(2);"))
        #expect(
            try terminal.history().contains("\nfor\\040i\\040=\\0401,\\0402\\040do\\040print(i\\040*\\04011)\\040end\n")
        )
    }

    @Test func completesNames() throws {
        let terminal = try Terminal()
        try terminal.expect("> ")
        try terminal.enter("thing = riffle.ones(3)")
        try terminal.enter("riffle.memory.st\t().live")
        try terminal.enter("thing:backw\t()")
        terminal.send("\u{4}")
        _ = terminal.exitCode()
        #expect(
            try terminal.history().hasSuffix(
                "thing\\040=\\040riffle.ones(3)\nriffle.memory.stats().live\nthing:backward()\n"))
    }

    @Test func interruptStopsAComputationAndTheSessionGoesOn() throws {
        let terminal = try Terminal()
        try terminal.expect("> ")
        try terminal.enter("x, w = riffle.ones(2), riffle.parameter(riffle.ones(2))")
        for endless in [
            "riffle.no_grad(function() while true do end end)",
            "while true do pcall(function() while true do end end) end",
            "for step in riffle.progress(1e9, 'busy') do x = x * 1 end",
            "coroutine.wrap(function() while true do x = x * 1 end end)()",
            "coroutine.wrap(function() while true do end end)()",
            "coroutine.wrap(function() coroutine.resume(coroutine.create(function() while true do end end)); while "
                + "true do end end)()",
            "nn.unet { image = { 128, 128, 3 } }(riffle.ones(8, 128, 128, 3), 0.5)",
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

    /// README's program goes into a session as it stands: pasted, and typed line by line.
    @Test(arguments: [true, false]) func readmesProgramIsPasted(_ isMarked: Bool) throws {
        let folder = temporaryFolder()
        let program = try GuideTests.readmeProgram()
        let terminal = try Terminal(in: folder)
        try terminal.expect("> ")
        if isMarked {
            terminal.send("\u{1B}[200~\t\(program.replacing("\n", with: "\r"))\u{1B}[201~")
            try terminal.expect(")\r\n> ", after: "plot.scatter")
        } else {
            for line in program.split(separator: "\n") { try terminal.enter(String(line)) }
        }
        #expect(try terminal.enter("net:count()").contains("91522"))
        #expect(access("\(folder)/moons.png", R_OK) == 0)
        let answer = try terminal.enter("net = 3; opt, student")
        #expect(answer.contains("optimizer") && answer.contains("mlp"), "\(answer)")
    }

    @Test func completesOptionsOfACall() throws {
        let terminal = try Terminal()
        try terminal.expect("> ")
        try terminal.enter("local net, x = nn.mlp { dim = 2 }, riffle.ones(1, 2)", until: "> ")
        #expect(try terminal.enter("#flow.ode(net, x, { met\t = 'eul\t', ste\t = 2 })").contains("1\r\n"))
        #expect(try terminal.enter("x:sum { ke\t = true, di\t = 1 }").contains("[1, 2]"))
        terminal.send("\u{4}")
        _ = terminal.exitCode()
        #expect(try terminal.history().contains("method\\040=\\040'euler',\\040steps\\040=\\0402"))
    }
}
