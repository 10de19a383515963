import CLuaBridge
import Foundation
import RiffleData
import RiffleFlow
import RiffleIO
import RiffleRuns
import RiffleTensor

// What the prelude's part for runs uses, and no script sees.

extension LuaEngine {
    /// Exit codes of a program that a signal ended after its checkpoint (EX_TEMPFAIL), and without one.
    static let stoppedCode = 75
    static let checkpointFailedCode = 74

    /// Functions that scripts call and that need the engine.
    var engineFunctions: [Function] {
        [
            Function(
                "run",
                [
                    Argument("folder", .string, "is made where it is missing; one process uses it at a time")
                ] + RunSettings.options.arguments(of: .usual) + [
                    Argument(
                        "config", .named, "the options of the training, for its folder, as riffle.args returns them",
                        default: .none),
                    Argument(
                        "resume", .string,
                        "latest, none to begin anew, or a checkpoint's path; latest where neither it nor --resume is "
                            + "given",
                        default: .none),
                    Argument(
                        "allow_changes", .boolean, "whether to go on with another configuration or script",
                        default: .boolean(false)),
                ],
                Doc(
                    "Opens the folder of a training, which goes on from its last checkpoint to the same bits.",
                    example: """
                        > local net = riffle.nn.linear(2, 1)
                        > local opt, folder = riffle.optim.adamw(net), os.tmpname() .. "-run"
                        > local run = riffle.run(folder, { save_every = 2 })
                        > run:track { net = net, opt = opt }
                        > for step in run:steps(4) do
                        >   run:log { loss = opt:step(net(riffle.randn(8, 2)):square():mean()).loss }
                        > end
                        > run:close(); os.execute("rm -r " .. folder)
                        > run.step
                        4
                        """)
            ) { [unowned self] arguments in [.object(try open(arguments))] }
        ]
    }

    var runInternals: [Function] {
        [
            Function(
                "run_options",
                [
                    Argument("resume", .string, default: .none), Argument("allows_changes", .boolean),
                    Argument("is_test", .boolean),
                ], Doc("")
            ) { [unowned self] in
                runOptions = RunOptions(
                    resume: $0.optionalString(0), allowsChanges: $0.boolean(1), isTest: $0.boolean(2))
                return []
            },
            Function(
                "run_begin",
                [
                    Argument("run", .object("run")), Argument("steps", .integer(0...Int.max)),
                    Argument("source", .any, default: .none),
                ], Doc("")
            ) { [unowned self] arguments in
                try titled("run:steps") {
                    let run: Run = arguments.object(0)
                    let loop = try RunLoop(run, steps: arguments.integer(1), source(arguments[2], of: run))
                    let total = loop.run.steps ?? 0
                    let label = RunFolder.lastName(of: run.folder.path)
                    return [
                        .object(loop),
                        .object(
                            Progress(
                                label: label, total: total, done: run.step, samples: loop.samples, isOfRun: true)),
                        .boolean(run.isResumed),
                    ]
                }
            },
            Function("run_next", [Argument("loop", .object("run_loop"))], Doc("")) { arguments in
                try titled("run:steps") { try arguments.object(0, as: RunLoop.self).next() ?? [] }
            },
            Function("run_finish", [Argument("loop", .object("run_loop"))], Doc("")) { arguments in
                let loop: RunLoop = arguments.object(0)
                return switch try titled("run:steps", loop.finish) {
                case .nothing: [.integer(loop.run.step)]
                case .checkpoint: [.integer(loop.run.step), .string("checkpoint")]
                case .stop: [.integer(loop.run.step), .string("stop")]
                }
            },
            Function("run_write", [Argument("run", .object("run"))], Doc("")) {
                [.boolean($0.object(0, as: Run.self).writeCheckpoint())]
            },
            Function("run_has_news", [Argument("run", .object("run"))], Doc("")) {
                [.boolean($0.object(0, as: Run.self).hasNews)]
            },
            Function("run_ask", [Argument("run", .object("run"))], Doc("")) {
                let run: Run = $0.object(0)
                if run.isInLoop { run.askForCheckpoint() }
                return [.boolean(run.isInLoop)]
            },
            Function(
                "run_end",
                [Argument("run", .object("run")), Argument("is_done", .boolean), Argument("is_saved", .boolean)],
                Doc("")
            ) {
                let run: Run = $0.object(0)
                return [.boolean(run.end(isDone: $0.boolean(1), isSaved: $0.boolean(2)))]
            },
            Function("run_stop", [Argument("run", .object("run")), Argument("is_saved", .boolean)], Doc("")) {
                [unowned self] in
                [.integer(stop($0.object(0), isSaved: $0.boolean(1)))]
            },
            Function("run_tracked", [Argument("run", .object("run"))], Doc("")) {
                [.object($0.object(0, as: Run.self).tracked)]
            },
            Function("tracked", [], Doc("")) { _ in [.object(Tracked())] },
            Function(
                "track",
                [
                    Argument("title", .string), Argument("tracked", .object("tracked")), Argument("name", .string),
                    Argument("object", .any),
                ],
                Doc("")
            ) { arguments in
                try titled(arguments.string(0)) {
                    let name = arguments.string(2)
                    try arguments.object(1, as: Tracked.self).add(name, RunLibrary.resumable(arguments[3], name))
                    return []
                }
            },
            Function("notes", [], Doc("")) { _ in [.object(Notes())] },
            Function("set_notes", [Argument("notes", .object("notes")), Argument("table", .table)], Doc("")) {
                $0.object(0, as: Notes.self).table = $0.table(1)
                return []
            },
            Function("get_notes", [Argument("notes", .object("notes"))], Doc("")) {
                [.table($0.object(0, as: Notes.self).table)]
            },
            Function("checkpoint_save", [Argument("path", .string), Argument("tracked", .object("tracked"))], Doc("")) {
                arguments in
                try titled("riffle.checkpoint.save") {
                    try FileEnding.check(arguments.string(0), of: "checkpoints", [.safetensors])
                    try Checkpoint.write(arguments.object(1), to: arguments.string(0))
                    return []
                }
            },
            Function("checkpoint_load", [Argument("path", .string), Argument("tracked", .object("tracked"))], Doc("")) {
                arguments in
                try titled("riffle.checkpoint.load") {
                    try Checkpoint(arguments.string(0)).restore(arguments.object(1), allowsChanges: true)
                    return []
                }
            },
        ]
    }

    private func open(_ arguments: Arguments) throws -> Run {
        var settings = RunSettings.options.read(arguments, into: .usual)
        let options = runOptions ?? RunOptions()
        settings.isTest = options.isTest
        settings.allowsChanges = options.allowsChanges || arguments.boolean("allow_changes")
        settings.resume = RunSettings.Resume(options.resume ?? arguments.optionalString("resume") ?? "latest")
        if settings.saveEvery == nil, settings.saveMinutes == nil { settings.saveMinutes = 10 }
        runOptionsAreUsed = true
        try checkOptions()
        var path = arguments.string("folder")
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        if settings.isTest {
            path += ".test"
            settings.resume = .none
        }
        for (name, value) in arguments.table("config") {
            guard (try? JSON.text(value, nonFinite: .null)) != nil else {
                throw RiffleError(
                    "",
                    "option 'config' takes numbers, texts, truths, and lists and tables of them, and '\(name)' is "
                        + value.described)
            }
        }
        let identity = RunIdentity(
            config: arguments.table("config"), script: self.source, environment: environmentOfRuns)
        return try Run(path, settings, identity) { message in
            Progress.clearLine()
            Console.error("riffle: \(message)\n")
        }
    }

    /// Options of runs on the command line come through riffle.args; without it nobody would read them.
    private func checkOptions() throws {
        let known = ["--resume", "--allow-changes", "--test-run"]
        let given = arguments.compactMap {
            Arguments([$0]).optionalString(0)?.split(separator: "=").first.map(String.init)
        }
        guard runOptions == nil, let option = given.first(where: known.contains) else { return }
        throw RiffleError("", "\(option) is read by riffle.args, which this script has not called")
    }

    /// What a run's folder notes of what it computes with.
    private var environmentOfRuns: [String: Value] {
        [
            "riffle": .string(Version.text), "processor": .string(Processor.name), "level": .string(Processor.level),
            "threads": .integer(Processor.threads), "blas": .string(Processor.blas.name ?? "kernels of our own"),
            "seed": .string("\(Context.current.random.seed)"), "host": .string(ProcessInfo.processInfo.hostName),
            "system": .string(ProcessInfo.processInfo.operatingSystemVersionString),
            "arguments": .list(self.arguments),
        ]
    }

    /// What gives each step of a loop; the run tracks it, where the script does not.
    private func source(_ value: Value, of run: Run) throws -> RunLoop.Source {
        func tracking(_ object: any Resumable, _ word: String) throws {
            guard !run.tracked.contains(object) else { return }
            try run.tracked.add(run.tracked.freeName(word), object)
        }
        switch value {
        case .none: return .steps
        case .object(let turns as Turns):
            try tracking(turns, "turns")
            return .turns(turns)
        case .object(let batches as any BatchSequence & Resumable):
            try tracking(batches, "batches")
            return .batches(batches)
        default:
            throw RiffleError("", "argument 2 'source' must be batches or turns, got \(value.described)")
        }
    }

    /// Ends a run that a signal or a test stops, and says so.
    /// - Returns: the exit code.
    private func stop(_ run: Run, isSaved: Bool) -> Int {
        run.end(isDone: false)
        if run.settings.isTest {
            Console.output(testReport(run))
            return 0
        }
        guard isSaved else {
            Console.error("riffle: \(run.folder.path): stopped after step \(run.step), without a checkpoint\n")
            return LuaEngine.checkpointFailedCode
        }
        Console.error(
            "riffle: \(run.folder.path): stopped after step \(run.step), with a checkpoint; the same command goes on\n")
        return LuaEngine.stoppedCode
    }

    private func testReport(_ run: Run) -> String {
        let memory = Memory.now
        func text(_ seconds: Double) -> String { "\(riffleFormat((seconds * 100).rounded() / 100)) s" }
        let rows = [
            (
                "a step",
                run.loggedAt.map { "\(text($0)), and \(text(run.seconds - $0)) behind its row of the log" }
                    ?? text(run.seconds)
            ),
            ("memory at most", "\(readable(bytes: memory.peak)) of a limit of \(readable(bytes: memory.limit))"),
            ("a checkpoint", readable(bytes: run.checkpointBytes)),
            ("its files are in", run.folder.path),
        ]
        return rows.map { $0.0 + String(repeating: " ", count: 18 - $0.0.count) + $0.1 + "\n" }.joined()
    }
}

/// Runs `body`; an error without an operation gets one.
func titled<Result>(_ title: String, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch var error as RiffleError {
        if error.operation.isEmpty { error.operation = title }
        throw error
    }
}
