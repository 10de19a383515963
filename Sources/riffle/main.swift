import ArgumentParser
import Glibc
import RiffleLua

/// riffle: runs Lua scripts, or an interactive session.
struct Riffle: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle",
        abstract: "Trains flow-matching models and distils them into few-step generators, from Lua.",
        usage: """
            riffle                        an interactive session
            riffle SCRIPT [ARGUMENTS]     runs a script; what follows it is the script's own
            riffle -i SCRIPT [ARGUMENTS]  runs a script, then an interactive session
            riffle -e CODE                runs a line of Lua
            riffle examples [run] [NAME]  lists, shows or runs what comes with Riffle
            """,
        version: "riffle \(LuaEngine.version)",
        subcommands: [Run.self, ExamplesCommand.self, DoctorCommand.self, Docs.self],
        defaultSubcommand: Run.self)
}

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Runs a script, a line of Lua or an interactive session.", shouldDisplay: false)

    @Option(name: .short, help: "Runs a line of Lua.")
    var execute: String?
    @Flag(name: .short, help: "Goes on with an interactive session.")
    var interactive = false
    @Argument(parsing: .captureForPassthrough, help: "A script, or - for standard input, and its arguments.")
    var script: [String] = []

    func run() throws {
        let engine = try LuaEngine(script: script.first ?? "riffle", arguments: Array(script.dropFirst()))
        var isFine = true
        if let execute { isFine = engine.execute(.line(execute)) }
        if let file = script.first, isFine { isFine = engine.execute(.file(file)) }
        if interactive || execute == nil && script.isEmpty { isFine = try Repl(engine).run() && isFine }
        isFine = engine.settle() && isFine
        if !isFine { throw ExitCode(engine.wasInterrupted ? 130 : 1) }
    }
}

struct ExamplesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "examples", abstract: "Lists, shows or runs the scripts that come with Riffle.",
        usage: "riffle examples\n       riffle examples NAME\n       riffle examples run NAME [ARGUMENTS]")

    @Argument(parsing: .captureForPassthrough, help: "NAME shows a script; run NAME runs it.")
    var words: [String] = []

    func run() throws {
        guard let first = words.first else {
            for example in Examples.all { print("\(example.name)\n    \(Examples.about(example.source))") }
            return
        }
        let runs = first == "run"
        guard let name = runs ? words.dropFirst().first : first else { throw ValidationError("run which one?") }
        let example = try Examples.named(name)
        guard runs else { return Console.output(String(decoding: example.source, as: UTF8.self)) }
        let engine = try LuaEngine(script: example.name, arguments: Array(words.dropFirst(2)))
        let isFine = engine.execute(.example(example.name, example.source))
        if !engine.settle() || !isFine { throw ExitCode(engine.wasInterrupted ? 130 : 1) }
    }
}

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "doctor", abstract: "Tells what Riffle found on this machine.")
    func run() { print(Doctor.report) }
}

struct Docs: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints the reference page.")
    func run() throws { Console.output(try LuaEngine().catalogue.reference) }
}

/// What is wrong with the first variable of the environment that kernels would not understand.
func misunderstoodSetting() -> String? {
    let levels = ["baseline", "avx2", "avx512", "amx"]
    let settings: [(name: String, wanted: String, accepts: (String) -> Bool)] = [
        ("RIFFLE_THREADS", "a whole number from 1 to 1024", { Int($0).map((1...1024).contains) ?? false }),
        ("RIFFLE_CPU", "one of \(levels.joined(separator: ", "))", levels.contains),
    ]
    for setting in settings {
        guard let text = Environment.variable(setting.name), !setting.accepts(text) else { continue }
        return "\(setting.name) must be \(setting.wanted), got '\(text)'"
    }
    return Doctor.missingBLAS
}

if let problem = misunderstoodSetting() {
    Console.error("riffle: \(problem)\n")
    exit(1)
}
Signals.removeUnfinishedFiles()
Riffle.main(Environment.arguments)
