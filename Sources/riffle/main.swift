import ArgumentParser
import Glibc
import RiffleLua
import RiffleTensor

private let usage = """
    riffle                        an interactive session
    riffle SCRIPT [ARGUMENTS]     runs a script; what follows it is the script's own
    riffle -i SCRIPT [ARGUMENTS]  runs a script, then a session that goes on with its variables
    riffle -e CODE [-e CODE]      runs code as a session does, and prints its value
    riffle < FILE                 runs standard input likewise
    riffle - [ARGUMENTS] < FILE   the same, with arguments
    riffle runs [FOLDER]          lists runs with step, loss, state and age
    riffle plot RUN...            draws curves of runs in one picture
    riffle report RUN             makes one HTML file of a run
    riffle examples [run] [NAME]  lists, shows or runs what comes with Riffle
    riffle inspect FILE           lists the tensors of a file
    riffle convert IN OUT         writes the tensors of a file as safetensors
    riffle pack FOLDER OUT.npy    makes one array of a set of pictures
    riffle encode FOLDER PROMPTS  encodes prompts into a file for trainings
    riffle eval NETWORK...        measures networks by number of evaluations
    riffle check [METHOD...]      trains by methods on a Gaussian whose flow map is known
    riffle txt2img FOLDER PROMPT  makes pictures of a text
    riffle geneval PROMPTS OUT    makes pictures for GenEval, and its table
    riffle weights                lists the published weights of FID and LPIPS
    riffle doctor                 reports what Riffle found on this machine
    riffle docs                   prints the reference page
    """

/// Runs scripts, lines of Lua or an interactive session.
struct Riffle: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle",
        abstract: "Trains flow-matching models and distils them into few-step generators, from Lua.",
        usage: usage, version: "riffle \(Version.text)")

    @ArgumentParser.Option(
        name: .short, parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Runs code; several run in order.", valueName: "code"))
    var execute: [String] = []
    @Flag(name: .short, help: "Goes on with an interactive session.")
    var interactive = false
    @ArgumentParser.Argument(
        parsing: .captureForPassthrough, help: "A script, or - for standard input, and its arguments.")
    var words: [String] = []

    func run() throws {
        let words = try scriptAndArguments()
        let engine = try LuaEngine(script: words.first ?? "riffle", arguments: Array(words.dropFirst()))
        var programs = execute.map(LuaEngine.Program.line)
        if let script = words.first { programs.append(script == "-" ? .standardInput : .file(script)) }
        let isSession = interactive || programs.isEmpty
        let isTerminal = isatty(0) == 1
        // Without a terminal standard input is one program, not a session.
        if isSession, !isTerminal, words.first != "-" { programs.append(.standardInput) }
        var isFine = programs.allSatisfy { engine.execute($0, thenSession: interactive) }
        if isSession, isTerminal { try Repl(engine).run() }
        isFine = engine.settle() && isFine
        if !isFine { throw ExitCode(engine.wasInterrupted ? 130 : 1) }
    }

    /// The script and its arguments, which follow the options. After `--` a script may have any name.
    private func scriptAndArguments() throws -> [String] {
        guard let first = words.first, first != "--" else { return Array(words.dropFirst()) }
        if ["--help", "-h"].contains(first) { throw CleanExit.helpRequest(self) }
        if first == "--version" { throw CleanExit.message(Riffle.configuration.version) }
        if first.hasPrefix("-"), first != "-" {
            throw ValidationError(
                "there is no option '\(first)'" + suggestion(for: first, among: ["--help", "--version"]))
        }
        if access(first.systemName, F_OK) != 0, !first.contains("/"),
            let command = nearest(first, in: commands.keys.sorted())
        {
            throw ValidationError("there is no script '\(first)', did you mean the command '\(command)'?")
        }
        return words
    }
}

struct ExamplesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle examples", abstract: "Lists, shows or runs the scripts that come with Riffle.",
        usage: "riffle examples\n       riffle examples NAME\n       riffle examples run NAME [ARGUMENTS]")

    @ArgumentParser.Argument(parsing: .captureForPassthrough, help: "NAME shows a script; run NAME runs it.")
    var words: [String] = []

    func run() throws {
        let asked = words.first == "run" ? words.dropFirst().first : words.first
        if let asked, ["-h", "--help"].contains(asked) { throw CleanExit.helpRequest(self) }
        guard let first = words.first else {
            for example in Examples.all { Console.output("\(example.name)\n    \(Examples.about(example.source))\n") }
            return
        }
        let runs = first == "run"
        if !runs, words.count > 1 {
            throw ValidationError("one name is shown at a time, got \(words.joined(separator: " "))")
        }
        guard let name = runs ? words.dropFirst().first : first else { throw ValidationError("run which one?") }
        let example = try Examples.named(name)
        guard runs else { return Console.output(String(decoding: example.source, as: UTF8.self)) }
        let engine = try LuaEngine(script: example.name, arguments: Array(words.dropFirst(2)))
        let isFine = engine.execute(.example(example.name, example.source))
        if !engine.settle() || !isFine { throw ExitCode(engine.wasInterrupted ? 130 : 1) }
    }
}

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle doctor", abstract: "Reports what Riffle found on this machine.")
    func run() { Console.output(Doctor.report + "\n") }
}

struct Docs: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "riffle docs", abstract: "Prints the reference page.")
    func run() throws { Console.output(try LuaEngine().catalogue.reference) }
}

/// The commands other than running scripts, by their first word.
let commands: [String: any ParsableCommand.Type] = [
    "runs": RunsCommand.self, "plot": PlotCommand.self, "report": ReportCommand.self,
    "examples": ExamplesCommand.self, "doctor": DoctorCommand.self, "docs": Docs.self,
    "convert": ConvertCommand.self, "inspect": InspectCommand.self, "pack": PackCommand.self,
    "weights": WeightsCommand.self, "encode": EncodeCommand.self, "txt2img": TextToImageCommand.self,
    "geneval": GenEvalCommand.self,
    "eval": EvalCommand.self, "check": CheckCommand.self,
]

/// Runs a command to the end of the process.
func run(_ type: any ParsableCommand.Type, _ arguments: [String]) -> Never {
    do {
        var command = try type.parseAsRoot(arguments)
        try command.run()
        exit(0)
    } catch {
        let code = type.exitCode(for: error)
        let message = type.fullMessage(for: error)
        if !message.isEmpty { (code == .success ? Console.output : Console.error)(message + "\n") }
        exit(code.rawValue)
    }
}

/// A message about the first environment variable whose value is not valid; nil where all are.
func invalidSetting() -> String? {
    let levels = ["baseline", "avx2", "avx512", "amx"]
    let settings: [(name: String, wanted: String, accepts: (String) -> Bool)] = [
        ("RIFFLE_THREADS", "a whole number from 1 to 1024", { Int($0).map((1...1024).contains) ?? false }),
        ("RIFFLE_CPU", "one of \(levels.joined(separator: ", "))", levels.contains),
        ("RIFFLE_MEMORY", "exact", { $0 == "exact" }),
    ]
    for setting in settings {
        guard let text = Environment.variable(setting.name), !setting.accepts(text) else { continue }
        return "\(setting.name) must be \(setting.wanted), got '\(text)'"
    }
    return Doctor.missingBLAS
}

Console.watchOutput()
if let problem = invalidSetting() {
    Console.error("riffle: \(problem)\n")
    exit(1)
}
Signals.removeUnfinishedFiles()
let arguments = Environment.arguments
if let first = arguments.first, let command = commands[first] { run(command, Array(arguments.dropFirst())) }
run(Riffle.self, arguments)
