import Foundation
import RiffleIO
import RiffleTensor

/// How a run is doing, as its folder tells: status.json, the end of the log, and whether a process holds the lock.
package struct RunStatus {
    package enum State: String, CaseIterable, Sendable {
        case running, stopped, failed, finished, unknown
    }

    package let state: State
    /// The last step that is known, and the step at which the run ends.
    package let step: Int?, steps: Int?
    package let loss: Double?
    /// Seconds since 1970 of the last sign of life.
    package let time: Double?
    /// Why the run failed.
    package let message: String
    /// The last checkpoint, a path in the run's folder.
    package let checkpoint: String?

    /// - Throws: `RiffleError` where the folder is no run's.
    package init(_ folder: String) throws {
        guard RunStatus.isRun(folder) else {
            _ = try namesInFolder(folder)
            throw RiffleError(
                "",
                "'\(folder)' is not the folder of a run: it has no \(RunFile.status) and no \(RunFile.log)")
        }
        // Both files may be missing.
        let file = "\(folder)/\(RunFile.status)", saved = try? JSON.read(file, limit: 1 << 20)
        let note: StatusNote? =
            if case .table? = saved { StatusNote(saved) } else {
                fileExists(file) ? nil : StatusNote()
            }
        let row = try? LogFile.last("\(folder)/\(RunFile.log)")
        step = [note?.step, row?.step].compactMap { $0 }.max()
        steps = note?.steps
        time = [note?.time, row?.time].compactMap { $0 }.max()
        checkpoint = note?.checkpoint
        let logged = row?.values.first { $0.name == "loss" }.flatMap { Arguments([$0.value]).optionalNumber(0) }
        let isLater = (row?.step ?? -1) > (note?.step ?? -1)
        loss = (isLater ? logged : nil) ?? note?.loss ?? logged
        (state, message) = RunStatus.state(note, in: folder)
    }

    /// The state of a run and its reason.
    /// - Parameter note: nil where it cannot be read.
    private static func state(_ note: StatusNote?, in folder: String) -> (State, String) {
        // A run that begins again has the lock before it writes its status.
        if RunLock.isTaken(in: folder) { return (.running, "") }
        guard let note else {
            return (.unknown, "\(RunFile.status) cannot be read; --resume PATH goes on from a checkpoint")
        }
        guard note.state == .running else { return (note.state, note.message ?? "") }
        guard let signal = RunLock.endingSignal(in: folder) else {
            return (.failed, "the process ended without a word")
        }
        return (.stopped, "ended at once by a signal, \(signal)")
    }

    /// Whether a folder is a run's.
    package static func isRun(_ folder: String) -> Bool {
        [RunFile.status, RunFile.log].contains { fileExists("\(folder)/\($0)") }
    }

    /// The folders of runs under a folder, itself among them. Hidden folders and links are passed over, and nothing is
    /// looked for inside a run.
    package static func runs(under folder: String, depth: Int = 6) throws -> [String] {
        if isRun(folder) { return [folder] }
        let base = folder.hasSuffix("/") ? folder : folder + "/"
        return try namesInFolder(folder).filter { !$0.hasPrefix(".") }.flatMap { name -> [String] in
            var status = stat()
            guard depth > 0, lstat((base + name).systemName, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                return []
            }
            // A folder that may not be read holds no run for this user.
            return (try? runs(under: base + name, depth: depth - 1)) ?? []
        }
    }
}

/// What a run says of itself in status.json.
struct StatusNote {
    var state = RunStatus.State.unknown
    var step: Int?, steps: Int?
    var loss: Double?
    /// Seconds since 1970.
    var time: Double?
    /// Why the run failed.
    var message: String?
    /// The last checkpoint, a path in the run's folder.
    var checkpoint: String?
    var badSteps = 0
    var best: (value: Double, step: Int)?

    private enum Key: String {
        case state, step, steps, loss, time, process, message, checkpoint, badSteps = "bad_steps", best
    }

    init() {}

    /// What a file says; what it lacks, or has of another kind, is unknown.
    init(_ file: Value?) {
        let table = Arguments([file ?? .none]).table(0)
        func value(_ key: Key) -> Arguments { Arguments([table[key.rawValue] ?? .none]) }
        state = value(.state).optionalString(0).flatMap(RunStatus.State.init(rawValue:)) ?? .unknown
        (step, steps) = (value(.step).optionalInteger(0), value(.steps).optionalInteger(0))
        (loss, time) = (value(.loss).optionalNumber(0), value(.time).optionalNumber(0))
        (message, checkpoint) = (value(.message).optionalString(0), value(.checkpoint).optionalString(0))
    }

    /// What this process writes.
    var value: Value {
        var values: [Key: Value] = [
            .state: .string(state.rawValue), .process: .integer(Int(getpid())), .badSteps: .integer(badSteps),
            .loss: loss.map { $0.isFinite ? .number($0) : .none } ?? .none,
            .checkpoint: checkpoint.map(Value.string) ?? .none,
        ]
        if let step { values[.step] = .integer(step) }
        if let steps { values[.steps] = .integer(steps) }
        if let time { values[.time] = .number(time) }
        if let message { values[.message] = .string(message) }
        if let best { values[.best] = .table(["step": .integer(best.step), "value": .number(best.value)]) }
        return .table(Dictionary(uniqueKeysWithValues: values.map { ($0.key.rawValue, $0.value) }))
    }
}

/// A time span in words of one unit, such as `12 s` or `3 h`.
package func readable(seconds: Double) -> String {
    guard seconds.isFinite else { return "?" }
    for (unit, length) in [("d", 86_400.0), ("h", 3_600), ("min", 60)] where seconds >= 2 * length {
        return "\(Int(min(seconds / length, 1e9))) \(unit)"
    }
    return "\(Int(max(0, seconds))) s"
}
