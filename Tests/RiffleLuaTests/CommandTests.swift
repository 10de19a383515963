import Foundation
import Glibc
import RiffleTensor
import Testing

@testable import RiffleIO
@testable import RiffleLua

/// The binary's command line: what it runs, what it prints, and how it ends.
@Suite(.serialized) struct CommandTests {
    /// Code, as `-e` and standard input alike have it, and what it prints.
    static let entries = [
        ("1 + 1", "2\n"), ("return 1, 'x'", "1\tx\n"), ("1 + 1;", ""), ("1 + 1 -- a comment;", "2\n"),
        ("0 / 0", "nan\n"), ("x = 5; -- a comment", ""),
        ("-1", "-1\n"), ("local x = 3; x * 2", "6\n"), ("local function f() return 7 end f()", "7\n"),
        ("do local a = 1 end (print)(2)", "2\n"),
        ("1 + 1\nfor i = 1, 2 do\nprint(i)\nend\n{ 1,\n2 }", "2\n1\n2\n[1, 2]\n"), ("f = print f(1) f(2)", "1\n2\n"),
        (
            "local t = {}\nfunction t:y() return 8 end\nif t then t.z = 3 elseif false then else end\nt:y(), t.z",
            "8\t3\n"
        ),
        ("while true do break end repeat local z = 1 until z == 1\n('x'):rep(2)", "xx\n"),
        ("goto skip; local q = 1 ::skip::", ""),
        ("-- nothing", ""), ("--[[ x\n]] [[a\nb]]", "a\nb\n"), ("0x.8p1 + 1e-1", "1.1\n"),
        ("x = 5\n{ x }", "[5]\n"), ("f = function() end (print)(1)", "1\n"),
        ("f = function() return print end f 'a' (2)", "2\n"),
        ("local q <const>, r = 1, 2\nq + r", "3\n"),
        ("local t = { 1 } t.t, t[3] = t, { {} } t", "{ 1, [3] = [[]], t = ... }\n"),
        ("riffle.ones(2), nn", "tensor float32 [2]: 1 1\triffle.nn\n"), ("local M = {} M.__index = M return #M", "0\n"),
    ]

    @Test(arguments: entries) func entryPrintsWhatItEndsWith(_ code: String, _ output: String) throws {
        for result in [
            try riffle(["-e", code]), try riffle([], input: "\u{FEFF}" + code), try riffle(["-"], input: code),
        ] {
            #expect(result.output == output && result.code == 0, "\(result)")
        }
    }

    /// The lines of one session, and what the last of them prints or says.
    static let sessions: [([String], String)] = [
        (["local a = 1", "local function f() a = a + 1; return a end", "f()", "a, f(), a"], "2\t3\t3\n"),
        (["local a = 1 local function f() return a end", "local a = 10; f(), a", "a = 20; f(), a"], "1\t20\n"),
        (["local c <const> = 3", "c = 4"], "attempt to assign to const variable 'c'"),
        (["local x <close> = riffle.ones(2); x:sum()", "x + 1"], "got a tensor that was freed"),
        (
            [
                "local a, b = 1, riffle.ones(1000000)", "local b;",
                "collectgarbage() return a, riffle.memory.stats().live < 1000000",
            ], "1\ttrue\n"
        ),
        (["local a, b = 1, 2 local b = b + 1; error('x')", "b"], "command line:1: x\n"),
        (["riffle.no_grad()"], "command line:1: riffle.no_grad: argument 1"),
        (["error({ code = 1 })"], "riffle: { code = 1 }\n"),
        (
            ["type, pairs, tostring, table, load, select, _G = 1, 2, 3, 4, 5, 6, 7", "{ riffle.ones(1) }"],
            "[tensor float32 [1]: 1]\n"
        ),
        (["error()"], "riffle: an error without a message\n"), (["local net = nil + 1"], "arithmetic on a nil value"),
        (["x y"], "syntax error near 'y'"), (["1 +"], "unexpected symbol"),
        (["x ="], "near <eof>"), (["end"], "expected near 'end'"), (["end return function()"], "near 'end'"),
        (["nett = 1", "net"], "there is no variable 'net'"),
        (["local function f() y = 1 end", "f()"], "assignment to 'y'"),
    ]

    @Test(arguments: sessions) func entriesShareTheirLocals(_ lines: [String], _ expected: String) throws {
        let result = try riffle(lines.flatMap { ["-e", $0] })
        #expect((result.output + result.error).hasSuffix(expected) || result.error.contains(expected), "\(result)")
    }

    /// The statements of whole programs are found: each of them is Lua by itself.
    @Test func statementsOfProgramsAreFound() throws {
        let engine = try LuaEngine()
        let compiled =
            try engine.runInternal(
                """
                local _, internal = ...
                return function(source)
                  local statements = internal.statements(internal.tokens(source))
                  for _, statement in ipairs(statements) do
                    local ok, message = load(source:sub(statement.first, statement.last))
                    if not ok then return 0, message end
                  end
                  return #statements, load(internal.one_line(source) or "") and "" or "not in one line"
                end
                """
            ).first?.anyObject as? LuaFunction
        var sources: [[UInt8]] = Examples.all.map { $0.source } + Prelude.chunks.map { $0.bytes }
        for name in ScriptTests.scripts { sources.append(try contents(of: "\(ScriptTests.folder)/\(name)")) }
        let check = try #require(compiled)
        for source in sources {
            let found = try check([.string(String(decoding: source, as: UTF8.self))], results: 2)
            #expect(found[0].brief != "0" && found[1].brief == "", "\(found[1].brief)")
        }
    }

    @Test func sessionGoesOnWithAScriptsLocals() throws {
        let script = "\(temporaryFolder())/script.lua"
        try write(
            "local net = { 1, 2 }\nlocal function size() return #net end\nif arg[1] then error('late') end\nreturn "
                + "net\n",
            to: script)
        #expect(try riffle(["-i", script], input: "net[3] = 1; size()").output == "3\n")
        let failed = try riffle(["-i", script, "x"], input: "")
        #expect(failed.code == 1 && failed.error == "riffle: \(script):3: late\n")
        // A name whose declaration failed is not mistaken for another.
        let terminal = try Terminal()
        try terminal.expect("> ")
        try terminal.enter("local net = nn.mlp { width = 'x' }")
        #expect(
            try terminal.enter("net:count()").contains(
                "there is no variable 'net': the entry that declares it ended with an error"))
        #expect(try terminal.enter("local net = 5; net").contains("5\r\n"))
    }

    /// What a script returns is of no use to anyone, whatever it is.
    @Test(arguments: [
        "local M = {}; M.__index = M; return M", "return coroutine.create(print)", "return { 1, nil, 3 }",
    ])
    func scriptMayReturnAnything(_ code: String) throws {
        let script = "\(temporaryFolder())/script.lua"
        try write(code, to: script)
        for arguments in [[script], ["-i", script]] {
            let result = try riffle(arguments)
            #expect(result.code == 0 && result.output.isEmpty && result.error.isEmpty, "\(result)")
        }
    }

    @Test func runsScripts() throws {
        let script = "\(temporaryFolder())/script.lua"
        try write("print(arg[0] == '\(script)', arg[1], arg[2], #arg, select('#', ...))\n", to: script)
        for end in [[], ["--"]] {
            #expect(try riffle(end + [script, "--quick", "-e"]).output == "true\t--quick\t-e\t2\t2\n")
        }
        #expect(try riffle(["-", "a"], input: "print(arg[0], ...)").output == "-\ta\n")
        #expect(try riffle(["-e", "print(1)", "-e", "print(2)", script]).output.hasPrefix("1\n2\ntrue"))
        try write("local function f() error('deep') end\n\nf()\n", to: script)
        let failed = try riffle([script])
        #expect(failed.code == 1)
        #expect(failed.error == "riffle: \(script):1: deep\n  \(script):1: in 'f'\n  \(script):3\n")
        #expect(try riffle(["-i", script]).error == failed.error)
        #expect(try riffle(["-e", "x = 1\n" + "error('deep')"]).error == "riffle: command line:2: deep\n")
        #expect(try riffle(["examples", "run", "tensors"]).code == 0)
        #expect(try riffle(["doctor"]).output.contains("threads"))
        #expect(try riffle(["--version"]).output == "riffle \(Version.text)\n")
        for help in [["--help"], ["examples", "--help"]] { #expect(try riffle(help).output.contains("USAGE")) }
    }

    /// A checkpoint of PyTorch is looked at, converted and loaded without Python.
    @Test func checksMethods() throws {
        let result = try riffle(["check", "kd", "--seed", "2"])
        let rows = result.output.split(separator: "\n")
        #expect(result.code == 0 && rows.count == 3 && rows.last == "All 1 are within their limits.", "\(result)")
        #expect(rows[1].hasPrefix("kd ") && rows[1].hasSuffix("  ok"), "\(result)")
    }

    @Test func readsCheckpoints() throws {
        let path = ScriptTests.folder + "/../../Fixtures/checkpoint-zip.pt"
        let copy = temporaryFolder() + "/copy.safetensors"
        let listed = try riffle(["inspect", path]).output
        #expect(listed.contains("ema_model.module.first.weight  float32  [8, 2]\n") && listed.contains("\nsha256 "))
        let refused = try riffle(["convert", path, copy])
        #expect(refused.code == 1 && refused.error.contains("ema_model: 4 tensors"), "\(refused)")
        #expect(try riffle(["convert", path, copy, "--entry", "ema_model", "--strip", "module."]).code == 0)
        let script = """
            local path, copy = "\(path)", "\(copy)"
            local linear = riffle.nn.linear
            local function forward(self, x) return self.last(self.first(x)) end
            local function net()
              return riffle.nn.module { first = linear(2, 8), last = linear(8, 2), forward = forward }
            end
            local a = net():load(path, { entry = "ema_model", strip = "module." })
            local b = net():load(copy)
            local c = riffle.data.load(path, { entry = "net_model", names = { "last.bias" } })
            local d = riffle.data.inspect(path)["net_model.last.bias"]
            local distance = (a.first.weight - b.first.weight):abs():max():item()
            print(distance, c["last.bias"]:shape(), c["last.weight"], d.dtype, #d.shape)
            """
        #expect(try riffle(["-e", script]).output == "0.0\t[2]\tnil\tfloat32\t1\n")
    }

    @Test func inspectShowsNetworks() throws {
        let path = temporaryFolder() + "/net"
        let save = "local net = riffle.nn.mlp { width = 8, depth = 1 }:two_timed()"
        let network = "riffle.nn.mlp { width = 8, depth = 1 }:two_timed()"
        _ = try riffle(["-e", "\(save); net:save('\(path)')"])
        #expect(try riffle(["inspect", path]).output.contains("\nnetwork = \(network)\nformat = pt\nriffle = mlp\n"))
        _ = try riffle(["-e", "\(save); riffle.checkpoint.save('\(path)', { net = net })"])
        #expect(try riffle(["inspect", path]).output.contains("\nnetwork net = \(network)\n"))
    }

    static let mistakes: [([String], [String], String)] = [
        (["/no/such.lua"], [], "riffle: cannot open /no/such.lua: No such file or directory\n"),
        (["--", "--x"], [], "riffle: cannot open --x: No such"),
        (["--foo"], [], "there is no option '--foo'"), (["--hlep"], [], "did you mean '--help'?"),
        (["exmaples"], [], "did you mean the command 'examples'?"),
        (["examples", "quikstart"], [], "did you mean 'quickstart'?"),
        (["examples", "tensors", "compare"], [], "got tensors compare"),
        (["-e", "riffle.help('learning', 'rate')"], [], "riffle.help: takes at most 1 argument, got 2"),
        (
            ["-e", "f = io.open('/dev/full', 'w'); f:write('x');"], [],
            "a file that was left open could not be written: No space left on device"
        ), (["-e"], [], "Missing value"),
        (["check", "lfmd", "itmv"], [], "there is no method 'itmv' to check, did you mean 'itvm'?"),
        (["check", "fgm_online"], [], "there is no method 'fgm_online' to check"),
        (["check", "--seed", "-1"], [], "--seed is 0 or more, got -1"),
        (["plot", "x", "--smooth", "-1"], [], "--smooth goes from 1 to 1000000, got -1"),
        (["plot", "/no/run"], [], "/no/run"), (["report", "x", "--pictures", "-2"], [], "got -2"),
        (
            ["-e", "1"], ["RIFFLE_THREADS=two"],
            "riffle: RIFFLE_THREADS must be a whole number from 1 to 1024, got 'two'\n"
        ),
        (["-e", "1"], ["RIFFLE_CPU=avx"], "one of baseline, avx2, avx512, amx, got 'avx'"),
        (["-e", "1"], ["RIFFLE_BLAS=/no/such.so"], "riffle: RIFFLE_BLAS: /no/such.so: cannot open"),
    ]

    @Test(arguments: mistakes) func commandLineIsWrong(_ arguments: [String], _ settings: [String], _ expected: String)
        throws
    {
        let result = try riffle(arguments, settings: settings)
        #expect(result.code != 0 && result.error.contains(expected), "\(result)")
    }

    @Test func anEmptySettingIsNone() throws {
        #expect(try riffle(["-e", "1"], settings: ["RIFFLE_THREADS=", "RIFFLE_CPU="]).code == 0)
    }

    /// Whoever writes, and however little: output that is lost is reported.
    @Test(arguments: [
        ["-e", "print(1)"], ["-e", "io.write(('x'):rep(100000)); io.write('')"], ["-e", "io.write('x'); os.exit()"],
        ["-e", "riffle.help()"],
        ["-e", "error(print(1))"], ["docs"], ["examples"], ["examples", "tensors"], ["doctor"], ["--help"],
        ["--version"],
    ])
    func lostOutputIsAnError(_ arguments: [String]) throws {
        let result = try riffle(arguments, output: "/dev/full")
        #expect(result.code == 1 && result.error.contains("riffle: standard output could not be written"), "\(result)")
        if !arguments.contains(where: { $0.contains("100000") }) {
            #expect(result.error.contains("No space left on device"), "\(result)")
        }
    }

    @Test func requireKnowsTheScriptsFolder() throws {
        let folder = temporaryFolder(), script = "\(folder)/main.lua"
        try write("return { answer = 42, where = ... }", to: "\(folder)/helper.lua")
        mkdir("\(folder)/tools", 0o700)
        try write("return require('helper').answer + 1", to: "\(folder)/tools/init.lua")
        try write("print(require('helper').answer, (require 'tools'))", to: script)
        let link = "\(temporaryFolder())/link.lua"
        symlink(script, link)
        for path in [script, link] { #expect(try riffle([path]).output == "42\t43\n") }
    }

    /// Rules about globals are for the user's own programs.
    @Test func librariesAskForGlobals() throws {
        let folder = temporaryFolder(), script = "\(folder)/main.lua"
        try write(
            """
            local unpack, load_text, is_jit = unpack or table.unpack, loadstring or load, jit ~= nil
            local function later() made_here = something_else end
            later()
            return { sum = function(t) local a, b = unpack(t); return a + b end, is_jit = is_jit, nothing = made_here }
            """, to: "\(folder)/lib.lua")
        try write(
            """
            local lib = require 'lib'
            print(lib.sum { 1, 2 }, lib.is_jit, lib.nothing, unpack, load('return tset')())
            prnt(1)
            """,
            to: script)
        let result = try riffle([script])
        #expect(result.output == "3\tfalse\tnil\tnil\tnil\n")
        #expect(
            result.error.hasPrefix("riffle: \(script):3: there is no variable 'prnt', did you mean 'print'?"),
            "\(result.error)")
    }

    @Test func everyExampleIsInTheBinary() throws {
        let folder = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/examples"
        let scripts = try namesInFolder(folder).filter { $0.hasSuffix(".lua") }
        #expect(scripts == Examples.all.map { "\($0.name).lua" }.sorted())
        for example in Examples.all { #expect(!Examples.about(example.source).isEmpty) }
    }
}
