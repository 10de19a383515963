import Foundation
import RiffleIO
import RiffleTensor

/// A training with a folder: its checkpoints and its log, from which it goes on to the same bits after any end.
package final class Run {
    package let folder: RunFolder
    package let settings: RunSettings
    package let tracked = Tracked()
    /// The last step that was finished, and how many there will be; nil before the loop begins.
    package private(set) var step = 0
    package private(set) var steps: Int?
    /// The best value of `settings.best` at a checkpoint so far, with its checkpoint's step.
    package private(set) var best: (value: Double, step: Int)?
    /// Steps whose numbers went wrong, and that the run survived.
    package private(set) var badSteps = 0

    private let start: RunStart
    private var openedLog: RunLog?
    private var clock: RunClock
    private var isLooping = false
    private var isCheckpointAsked = false
    /// Whether an iteration has ended since the last checkpoint.
    package private(set) var hasNews = false
    private var isClosed = false
    /// The error that ended the program before the loop began.
    private var failure: String?
    private var lastLoss: Double?
    /// The value of `settings.best` that was logged last.
    private var lastScore: Double?
    private var lastCheckpoint: RunFolder.Saved?
    private var badStep: BadStep?
    private let say: (String) -> Void

    /// Opens a run's folder, and finds out whether and where it goes on.
    /// - Parameter say: gets sentences for the user.
    /// - Throws: `RiffleError` when the folder cannot be used, another process uses it, or what it holds is of another
    ///   configuration or script, or has lost its checkpoint.
    package init(
        _ path: String, _ settings: RunSettings, _ identity: RunIdentity, say: @escaping (String) -> Void
    ) throws {
        self.settings = settings
        self.say = say
        folder = try RunFolder(path)
        start = try RunStart(folder, settings, identity, say: say)
        clock = RunClock(before: start.seconds)
        try folder.makeFolder(RunFile.checkpoints)
        try identity.write(to: folder)
        best = start.best
        badSteps = start.badSteps
        lastCheckpoint = start.saved
        writeStatus(.running)
        OpenRuns.add(self)
    }

    /// Whether the run goes on from a checkpoint.
    package var isResumed: Bool { start.checkpoint != nil }

    // MARK: - The loop

    /// Begins the loop: sets all tracked objects to the checkpoint's state, where there is one.
    /// - Parameter steps: how many steps there will be.
    /// - Throws: `RiffleError` when nothing is tracked, a loop runs already, or the checkpoint does not fit.
    package func begin(steps: Int) throws {
        guard !isClosed else { throw RiffleError("", "the run in '\(folder.path)' is closed") }
        guard !isLooping else { throw RiffleError("", "the loop of this run goes on already") }
        guard self.steps == nil else {
            throw RiffleError("", "this run has had its loop; another loop needs a run of its own, with another folder")
        }
        guard !tracked.entries.isEmpty else {
            throw RiffleError(
                "",
                "nothing is tracked, so that nothing could go on: run:track { net = net, opt = opt } comes before the "
                    + "loop"
            )
        }
        if let checkpoint = start.checkpoint { try checkpoint.restore(tracked, allowsChanges: settings.allowsChanges) }
        try start.settle(folder)
        step = start.step
        self.steps = steps
        clock.begin()
        isLooping = true
        // There has to be something to go back to.
        hasNews = settings.onBadNumbers == .goBack && lastCheckpoint == nil
        StopRequest.beginLoop()
        if start.checkpoint != nil {
            say(
                step >= steps
                    ? "\(folder.path): all \(steps) steps are done" + (step > steps ? ", and \(step) in all" : "")
                    : "\(folder.path): goes on from step \(step) of \(steps) (\(start.saved?.path ?? ""))")
        }
    }

    /// What the loop has to do after an iteration.
    package enum Demand: Equatable {
        case nothing
        /// Write a checkpoint and go on.
        case checkpoint
        /// Write a checkpoint and end the process.
        case stop
    }

    /// Ends an iteration of a step.
    /// - Parameter isWhole: whether the step ends with it; a step with turns has several iterations.
    package func finish(step: Int, isWhole: Bool) throws -> Demand {
        self.step = isWhole ? step : step - 1
        hasNews = true
        if try handleBadStep() { return .nothing }
        if StopRequest.signal != 0 { return .stop }
        if settings.isTest { return .stop }
        if clock.isStatusDue { writeStatus(.running) }
        let isDue =
            isCheckpointAsked || isWhole && (settings.saveEvery.map { step.isMultiple(of: $0) } ?? false)
            || clock.isDue(minutes: settings.saveMinutes)
        return isDue ? .checkpoint : .nothing
    }

    /// Ends the loop.
    /// - Parameters:
    ///   - isDone: whether all steps were made; else the script left the loop.
    ///   - isSaved: whether a checkpoint of the last step is there.
    /// - Returns: whether a signal has asked the run to stop meanwhile.
    @discardableResult
    package func end(isDone: Bool, isSaved: Bool = true) -> Bool {
        isSaved
            ? leave(isDone ? .finished : .stopped) : leave(.failed, "its last checkpoint could not be written")
    }

    /// Notes in the folder of a run whose loop is not over that the program has ended with an error.
    package func fail(_ message: String) {
        if steps == nil { failure = message }
        _ = leave(.failed, message)
    }

    private func leave(_ state: RunStatus.State, _ message: String? = nil) -> Bool {
        guard isLooping else { return false }
        isLooping = false
        clock.end()
        writeStatus(state, message)
        return StopRequest.endLoop()
    }

    // MARK: - Checkpoints

    /// Has a checkpoint written at the end of this iteration.
    package func askForCheckpoint() { isCheckpointAsked = true }

    package var isInLoop: Bool { isLooping }

    /// Writes a checkpoint, and removes those that are neither among the last ones nor the best. An error is reported
    /// and does not end the run, which tries again at the next checkpoint.
    /// - Returns: whether the checkpoint is there.
    @discardableResult
    package func writeCheckpoint() -> Bool {
        isCheckpointAsked = false
        clock.noteCheckpoint()
        let name = RunFile.checkpoint(step)
        do {
            let bytes = try log().flush()
            let improved = lastScore.flatMap { score in
                best.map { settings.isBetter(score, $0.value) } ?? true ? (value: score, step: step) : nil
            }
            try Checkpoint.write(
                tracked,
                record: start.record(
                    step: step, seconds: clock.seconds, logBytes: bytes, best: improved ?? best, badSteps: badSteps),
                to: folder(name))
            best = improved ?? best
            lastScore = nil
            hasNews = false
            lastCheckpoint = RunFolder.Saved(step: step, path: folder(name))
            writeStatus(.running)
            try prune()
            return true
        } catch {
            let outlook = step == steps ? "" : "; the run goes on, and tries again at the next"
            say("\(folder.path): no checkpoint of step \(step): \(error)\(outlook)")
            return false
        }
    }

    private func prune() throws {
        let files = try folder.checkpoints().filter { $0.step != best?.step }
        for file in files.dropLast(settings.keep) { unlink(file.path.systemName) }
    }

    // MARK: - Log

    /// The log, which is opened by its first entry: rows behind the checkpoint are put aside then.
    private func log() throws -> RunLog {
        if let openedLog { return openedLog }
        guard !isClosed else { throw RiffleError("", "the run in '\(folder.path)' is closed") }
        let opened = try RunLog(
            folder: folder.path, resumed: start.checkpoint == nil ? nil : (start.step, start.logBytes), warn: say)
        openedLog = opened
        return opened
    }

    /// Logs numbers, truths or short texts of the step that runs.
    package func log(_ values: [String: Value]) throws {
        loggedAt = clock.seconds
        if case .number(let loss)? = values["loss"] { lastLoss = loss }
        if let name = settings.best, let value = values[name] {
            let score = Arguments([value]).optionalNumber(0)
            if let score, score.isFinite { lastScore = score }
        }
        try log().write(
            step: currentStep, seconds: clock.seconds, values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    package func image(_ name: String, _ images: Tensor, columns: Int, range: ClosedRange<Double>?) throws {
        try log().image(name, step: currentStep, images, columns: columns, range: range)
    }

    package func histogram(_ name: String, _ x: Tensor) throws {
        try log().histogram(name, step: currentStep, x)
    }

    /// The step that runs; after the loop, the last one.
    package var currentStep: Int { runningStep ?? step }
    /// The step whose iteration runs.
    package var runningStep: Int?

    // MARK: - Numbers that went wrong

    /// What was wrong in a step.
    package struct BadStep {
        package let description: String
        package let parts: [String: Value]
        package init(_ description: String, parts: [String: Value]) {
            self.description = description
            self.parts = parts
        }
    }

    /// Notes that a step's numbers went wrong, and logs it.
    /// - Returns: whether the run survives; else the error is to be raised.
    package func survives(_ bad: BadStep) -> Bool {
        let isFirst = badStep == nil
        if isFirst {
            var row = bad.parts
            row["wrong"] = .string(bad.description)
            row["bad_steps"] = .integer(badSteps + 1)
            try? log(row)
        }
        guard isLooping, settings.onBadNumbers != .stop else { return false }
        badSteps += isFirst ? 1 : 0
        badStep = bad
        return true
    }

    /// Goes back to the last checkpoint where the last iteration went wrong and the settings want it.
    /// - Returns: whether the run went back.
    private func handleBadStep() throws -> Bool {
        guard let bad = badStep else { return false }
        badStep = nil
        guard settings.onBadNumbers == .goBack else {
            skippedInRow = lastSkipped == currentStep - 1 ? skippedInRow + 1 : 1
            lastSkipped = currentStep
            guard skippedInRow < Run.mostBadSteps else {
                throw RiffleError(
                    "", "step \(currentStep): \(bad.description); \(skippedInRow) steps in a row went wrong")
            }
            say("\(folder.path): step \(currentStep) was skipped: \(bad.description)")
            return false
        }
        guard let saved = lastCheckpoint else {
            throw RiffleError("", "step \(currentStep): \(bad.description); there is no checkpoint to go back to yet")
        }
        guard badSteps <= Run.mostBadSteps else {
            throw RiffleError(
                "", "step \(currentStep): \(bad.description); the run has gone back \(Run.mostBadSteps) times")
        }
        say(
            "\(folder.path): step \(currentStep): \(bad.description); goes back to step \(saved.step), with other "
                + "random numbers"
        )
        let checkpoint = try Checkpoint(saved.path)
        try checkpoint.restore(tracked, allowsChanges: settings.allowsChanges)
        // The same numbers would go wrong again.
        let random = Context.current.random
        Context.current.random = RandomSource(
            seed: random.seed, stream: random.stream &+ UInt64(badSteps) << 48, samplesBefore: random.samplesBefore)
        let wrong = currentStep
        step = saved.step
        runningStep = nil
        openedLog?.close()
        openedLog = try RunLog(
            folder: folder.path, resumed: (step, folder.logBytes(of: checkpoint, at: saved.path)), warn: say)
        try log(["wrong": .string(bad.description), "bad_steps": .integer(badSteps), "wrong_step": .integer(wrong)])
        return true
    }

    private static let mostBadSteps = 20
    private var lastSkipped = -1, skippedInRow = 0

    // MARK: - Status

    private func writeStatus(_ state: RunStatus.State, _ message: String? = nil) {
        clock.noteStatus()
        var note = StatusNote()
        (note.state, note.message) = (state, message)
        (note.step, note.steps, note.loss, note.time) = (max(step, start.step), steps, lastLoss, RunLog.now())
        note.checkpoint = lastCheckpoint.flatMap { folder.relative($0.path) }
        (note.badSteps, note.best) = (badSteps, best)
        do { try folder.write(note.value, to: RunFile.status) } catch { say("\(error)") }
    }

    /// Writes out and closes what is open, and gives the folder free. Nothing can be logged afterwards.
    package func close() {
        end(isDone: false)
        if steps == nil, !isClosed { writeStatus(failure == nil ? .stopped : .failed, failure) }
        openedLog?.close()
        openedLog = nil
        isClosed = true
        folder.close()
        OpenRuns.remove(self)
    }

    /// Seconds of training so far and at the last row of the log, and the size of the last checkpoint; for a test's
    /// summary.
    package var seconds: Double { clock.seconds }
    package private(set) var loggedAt: Double?
    package var checkpointBytes: Int {
        lastCheckpoint.flatMap { try? InputFile($0.path).size } ?? 0
    }
}
