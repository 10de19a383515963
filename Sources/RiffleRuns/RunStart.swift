import Foundation
import RiffleIO
import RiffleTensor

/// Where a run begins: at its first step, or behind a checkpoint.
struct RunStart {
    /// The checkpoint to go on from; nil for a new run.
    let checkpoint: Checkpoint?
    let saved: RunFolder.Saved?
    /// Steps that are done.
    let step: Int
    /// Seconds of training that the steps took.
    let seconds: Double
    /// The bytes of the log that belong to these steps.
    let logBytes: Int
    let best: (value: Double, step: Int)?
    /// Steps whose numbers went wrong.
    let badSteps: Int
    private let identity: RunIdentity
    private let folder: String

    /// - Parameter say: gets a sentence where a run begins anew though its folder holds an earlier one.
    /// - Throws: `RiffleError` when the checkpoint is missing or damaged, or of another configuration or script.
    init(_ folder: RunFolder, _ settings: RunSettings, _ identity: RunIdentity, say: (String) -> Void) throws {
        self.identity = identity
        self.folder = folder.path
        if settings.isTest { try folder.removeAll() }
        guard let chosen = try RunStart.choose(folder, settings.resume, say: say) else {
            (checkpoint, saved, step, seconds, logBytes, best, badSteps) = (nil, nil, 0, 0, 0, nil, 0)
            return
        }
        let checkpoint = try RunStart.open(chosen, folder)
        let record = SavedState(values: checkpoint.record)
        let changes = identity.differences(from: checkpoint.record, folder: folder.path, settings: settings)
        guard changes.isEmpty || settings.allowsChanges else {
            throw RiffleError(
                "",
                "'\(folder.path)' holds a run that differs from this one: \(changes.joined(separator: "; ")); take "
                    + "another folder, --allow-changes to go on in spite of that, or --resume none to begin anew")
        }
        self.checkpoint = checkpoint
        step = try record.integer("step")
        seconds = try record.number("seconds")
        badSteps = try record.integer("bad_steps")
        saved = RunFolder.Saved(step: step, path: chosen)
        logBytes = try folder.logBytes(of: checkpoint, at: chosen)
        if case .table(let table)? = record.values["best"] {
            let state = SavedState(values: table)
            best = (try state.number("value"), try state.integer("step"))
        } else {
            best = nil
        }
    }

    /// What a checkpoint notes beside the states.
    func record(step: Int, seconds: Double, logBytes: Int, best: (value: Double, step: Int)?, badSteps: Int)
        -> [String: Value]
    {
        var record: [String: Value] = [
            "step": .integer(step), "seconds": .number(seconds), "log_bytes": .integer(logBytes),
            "config": .table(identity.config), "script": .string(identity.scriptHash), "folder": .string(self.folder),
            "time": .number(RunLog.now()), "bad_steps": .integer(badSteps),
        ]
        if let best { record["best"] = .table(["value": .number(best.value), "step": .integer(best.step)]) }
        return record
    }

    /// Puts aside the folder's checkpoints of later steps than that which the run goes on from.
    func settle(_ folder: RunFolder) throws { try folder.setAside(folder.checkpoints().filter { $0.step > step }) }

    /// The path of the checkpoint to go on from; nil where a run begins at its first step.
    private static func choose(_ folder: RunFolder, _ resume: RunSettings.Resume, say: (String) -> Void) throws
        -> String?
    {
        switch resume {
        case .none:
            if let aside = try folder.setAsideAll() {
                say("\(folder.path): begins anew; what was there is in \(aside)")
            }
            return nil
        case .path(let path): return path
        case .latest:
            let found = try folder.checkpoints()
            let status: StatusNote?
            do { status = try folder.read(RunFile.status).map { StatusNote($0) } } catch let error as RiffleError {
                // Whether a checkpoint is missing cannot be known.
                throw RiffleError("", "\(error.description); \(advice(lastWhole(of: found)))", kind: error.kind)
            }
            if let name = status?.checkpoint, !fileExists(folder(name)) {
                throw RiffleError(
                    "",
                    "'\(folder.path)' has lost its last checkpoint, \(name); " + advice(lastWhole(of: found)))
            }
            if found.isEmpty, status != nil {
                say("\(folder.path): begins at step 1, as no checkpoint of an earlier run is there")
            }
            return found.last?.path
        }
    }

    /// Opens a checkpoint; an error tells which other one is whole.
    private static func open(_ path: String, _ folder: RunFolder) throws -> Checkpoint {
        do { return try Checkpoint(path) } catch let error as RiffleError {
            let others = try folder.checkpoints().filter { $0.path != path }
            throw RiffleError("", "\(error.description); \(advice(lastWhole(of: others)))", kind: error.kind)
        }
    }

    private static func lastWhole(of found: [RunFolder.Saved]) -> RunFolder.Saved? {
        found.last { (try? Checkpoint($0.path)) != nil }
    }

    private static func advice(_ whole: RunFolder.Saved?) -> String {
        whole.map { "the last whole checkpoint is \($0.path): --resume \($0.path) goes on from there" }
            ?? "there is no whole checkpoint beside it, and --resume none begins anew"
    }
}

/// The time that a run has trained, and when checkpoints and the status are due. It only goes forward.
struct RunClock {
    private var before: Double
    private var began: Double?
    private var lastCheckpoint = Profiler.now()
    private var lastStatus = Profiler.now()

    /// - Parameter before: seconds that earlier processes have trained.
    init(before: Double) { self.before = before }

    var seconds: Double { before + (began.map { Profiler.now() - $0 } ?? 0) }

    mutating func begin() {
        began = Profiler.now()
        lastCheckpoint = Profiler.now()
    }

    mutating func end() {
        before = seconds
        began = nil
    }

    mutating func noteCheckpoint() { lastCheckpoint = Profiler.now() }
    mutating func noteStatus() { lastStatus = Profiler.now() }

    func isDue(minutes: Double?) -> Bool { minutes.map { Profiler.now() - lastCheckpoint >= 60 * $0 } ?? false }
    var isStatusDue: Bool { Profiler.now() - lastStatus >= 30 }
}

/// The runs whose folders are open. They are closed when the process ends.
package enum OpenRuns {
    nonisolated(unsafe) private static var runs: [Run] = []

    static func add(_ run: Run) { runs.append(run) }
    static func remove(_ run: Run) { runs.removeAll { $0 === run } }

    /// Notes in the folders of runs whose loops are not over that the program has ended with an error.
    package static func fail(_ message: String) { for run in runs { run.fail(message) } }

    /// Makes `noteEnd` ready to be called by a signal's handler.
    package static func prepareForSignals() { RunLock.prepareForSignals() }

    /// Notes in the folders of open runs that a signal ends this process now. For signal handlers.
    package static func noteEnd(by signal: Int32) { RunLock.noteEnd(by: signal) }

    package static func closeAll() { for run in runs { run.close() } }

    /// The run whose loop goes on; nil where none does.
    package static var looping: Run? { runs.last { $0.isInLoop } }
}
