import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO
@testable import RiffleRuns

/// A number and a tensor that a step changes.
final class Counter: Resumable {
    var number = 0
    var sum: Tensor

    init() throws { sum = try .zeros([3]) }

    func step() throws {
        number += 1
        sum = try sum + Tensor.randn([3])
    }

    func saved() throws -> SavedState { SavedState(tensors: ["sum": sum], values: ["number": .integer(number)]) }

    func resuming(from state: SavedState) throws -> () throws -> Void {
        let (sum, number) = (try state.tensor("sum"), try state.integer("number"))
        return { [self] in (self.sum, self.number) = (sum, number) }
    }
}

@Suite(.serialized) struct RunTests {
    private static var identity: RunIdentity {
        RunIdentity(
            config: ["lr": .number(0.5)], script: Array("print(1)".utf8), environment: [:])
    }

    /// Runs a loop of a process, until `last`, where one is given.
    private func go(
        _ folder: String, _ steps: Int, last: Int? = nil, identity: RunIdentity = RunTests.identity,
        _ change: (inout RunSettings) -> Void = { _ in }, said: inout [String],
        body: (Run, Int) throws -> Void = { _, _ in }
    ) throws -> Int {
        var settings = RunSettings.usual
        settings.saveEvery = 2
        change(&settings)
        Context.current.random = RandomSource(seed: 4)
        let counter = try Counter()
        var sentences: [String] = []
        defer { said = sentences }
        let run = try Run(folder, settings, identity) { sentences.append($0) }
        defer { run.close() }
        try run.tracked.add("counter", counter)
        try run.begin(steps: steps)
        for step in run.step..<steps {
            run.runningStep = step + 1
            try counter.step()
            try body(run, step + 1)
            run.runningStep = nil
            if try run.finish(step: step + 1, isWhole: true) == .checkpoint { run.writeCheckpoint() }
            if step + 1 == last { break }
        }
        run.end(isDone: run.step == steps)
        #expect(counter.number == run.step)
        return run.step
    }

    private func steps(_ folder: String) throws -> [Int] {
        try namesInFolder(folder + "/checkpoints").compactMap {
            $0.wholeMatch(of: /step-(\d+)\.safetensors/).flatMap { Int($0.output.1) }
        }
    }

    @Test func keepsTheLastAndTheBest() throws {
        let scratch = try Scratch()
        var said: [String] = []
        _ = try go(scratch("a"), 10, { ($0.keep, $0.best, $0.goal) = (2, "score", .largest) }, said: &said) {
            run, step in
            try run.log(["score": .number(step == 4 ? 9 : Double(step) / 10)])
        }
        #expect(try steps(scratch("a")) == [4, 8, 10])
        let status = try JSON.read(scratch("a") + "/status.json")
        guard case .table(let table) = status, case .table(let best)? = table["best"] else {
            Issue.record("\(status)")
            return
        }
        #expect(try SavedState(values: best).integer("step") == 4)
    }

    @Test func goesOnOnlyAsItself() throws {
        let scratch = try Scratch(), folder = scratch("a")
        var said: [String] = []
        #expect(try go(folder, 10, last: 5, said: &said) == 5)
        let other = RunIdentity(
            config: ["lr": .number(0.25), "more": .integer(1)], script: Array("print(2)".utf8), environment: [:])
        let report = message { _ = try go(folder, 10, identity: other, said: &said) }
        #expect(
            report.contains("lr is 0.25, and was 0.5; more is 1, and was nothing; the script is another one"),
            "\(report)")
        #expect(try go(folder, 10, identity: other, { $0.allowsChanges = true }, said: &said) == 10)
        #expect(said == ["\(folder): goes on from step 4 of 10 (\(folder)/checkpoints/step-00000004.safetensors)"])
        #expect(try go(folder, 10, identity: other, said: &said) == 10)
        #expect(said == ["\(folder): all 10 steps are done"])
        // Back to an earlier one: what came later is put aside.
        let path = "\(folder)/checkpoints/step-00000006.safetensors"
        #expect(try go(folder, 7, last: 7, identity: other, { $0.resume = .path(path) }, said: &said) == 7)
        #expect(try steps(folder) == [6])
        #expect(try namesInFolder(folder + "/checkpoints/aside/1").filter { $0.hasPrefix("step") }.count == 2)
        #expect(try go(folder, 3, { $0.resume = .none }, said: &said) == 3)
        #expect(said == ["\(folder): begins anew; what was there is in \(folder)/earlier/1"])
        #expect(try steps(folder) == [2])
        #expect(try steps(folder + "/earlier/1") == [6])
    }

    /// How the folder is called and how often a run saves are no differences; another folder or number of that name is.
    @Test func namesOfTheFolderAndSavingDoNotCount() throws {
        let scratch = try Scratch()
        func identity(_ run: String, save: Int, keep: Double = 0.9) -> RunIdentity {
            RunIdentity(
                config: ["run": .string(run), "save_every": .integer(save), "keep": .number(keep)], script: [],
                environment: [:])
        }
        var said: [String] = []
        _ = try go(scratch("a/x"), 4, last: 2, identity: identity(scratch("a"), save: 2), said: &said)
        rename(scratch("a"), scratch("b"))
        for (folder, run) in [("b/x", "b"), ("./b//x/", "./b/"), ("b/./x", "b/x/..")] {
            let report = message {
                _ = try go(
                    scratch(folder), 4, identity: identity(scratch(run), save: 3, keep: 0.8), { $0.saveEvery = 3 },
                    said: &said)
            }
            let isFolder = run.hasSuffix("..")
            #expect(report.contains("keep is 0.8") && !report.contains("save_every"), "\(report)")
            #expect(report.contains("run is") == isFolder, "\(report)")
        }
        #expect(
            message { _ = try go(scratch("b/x"), 4, identity: identity(scratch("b"), save: 3), said: &said) }.contains(
                "save_every is 3, and was 2"))
        #expect(
            try go(scratch("b/x"), 4, identity: identity(scratch("b"), save: 3), { $0.saveEvery = 3 }, said: &said) == 4
        )
    }

    @Test func neverBeginsAnewWithoutAWord() throws {
        let scratch = try Scratch(), folder = scratch("a")
        var said: [String] = []
        _ = try go(folder, 7, said: &said)
        let (last, before) = (
            "\(folder)/checkpoints/step-00000006.safetensors", "\(folder)/checkpoints/step-00000004.safetensors"
        )
        truncate(last, 100)
        let torn = message { _ = try go(folder, 9, said: &said) }
        #expect(torn.contains("'\(last)'") && torn.contains("--resume \(before)"), "\(torn)")
        unlink(last)
        let lost = message { _ = try go(folder, 9, said: &said) }
        #expect(lost.contains("has lost its last checkpoint") && lost.contains("--resume \(before)"), "\(lost)")
        #expect(try go(folder, 9, { $0.resume = .path(before) }, said: &said) == 9)
        #expect(
            message { _ = try go(folder, 9, { $0.resume = .path("none.safetensors") }, said: &said) }.contains(
                "none.safetensors"))
        truncate("\(folder)/status.json", 20)
        let damaged = message { _ = try go(folder, 9, said: &said) }
        #expect(
            damaged.contains("'\(folder)/status.json' is not JSON") && damaged.contains("goes on from there"),
            "\(damaged)")
        #expect(try RunStatus(folder).message.hasPrefix("status.json cannot be read"))
    }

    @Test func oneProcessUsesAFolder() throws {
        let scratch = try Scratch()
        let run = try Run(scratch("a"), .usual, Self.identity) { _ in }
        #expect(
            message { _ = try Run(scratch("a"), .usual, Self.identity) { _ in } }.contains(
                "is in use by another process"))
        #expect(message { try run.begin(steps: 3) }.contains("nothing is tracked"))
        run.close()
        #expect(message { try run.log(["a": .number(1)]) }.contains("is closed"))
        try Run(scratch("a"), .usual, Self.identity) { _ in }.close()
        let file = try scratch.file("file", [])
        #expect(message { _ = try Run(file, .usual, Self.identity) { _ in } }.contains("a file of that name is there"))
        #expect(message { _ = try Run(file + "/a", .usual, Self.identity) { _ in } }.contains("Not a directory"))
    }

    /// A full disk costs checkpoints, not the run: the older checkpoint is whole, and the next attempt may succeed.
    @Test func aFullDiskDoesNotEndIt() throws {
        let scratch = try Scratch(), folder = scratch("a")
        var said: [String] = []
        let end = try go(folder, 8, said: &said) { run, step in
            guard step == 4 else { return }
            let isThere = withFullDisk(after: 64) { run.writeCheckpoint() }
            let found = try steps(folder)
            #expect(!isThere && found == [2])
        }
        #expect(
            end == 8 && said.contains { $0.contains("no checkpoint of step 3") && $0.contains("too large") }, "\(said)")
        #expect(try steps(folder) == [4, 6, 8])
    }

    @Test func badNumbersAreCountedAndGoneBackFrom() throws {
        let scratch = try Scratch()
        var said: [String] = []
        var isFirst = true
        let bad = Run.BadStep("the loss is nan", parts: ["flow": .number(.nan)])
        _ = try go(scratch("skip"), 6, { $0.onBadNumbers = .skip }, said: &said) { run, step in
            if step == 3 { #expect(run.survives(bad)) }
        }
        #expect(said.contains { $0.contains("step 3 was skipped: the loss is nan") })
        #expect(
            try String(decoding: contents(scratch("skip") + "/log.jsonl"), as: UTF8.self).contains("\"bad_steps\": 1"))
        var survived = false
        let report = message {
            _ = try go(scratch("stop"), 6, said: &said) { run, step in
                survived = run.survives(bad)
                if step == 1 { throw RiffleError("", "as the step would") }
            }
        }
        #expect(!survived && report == "as the step would")
        // The loop of `go` counts on, so that the run ends with fewer steps than it had iterations.
        var settings = RunSettings.usual
        (settings.onBadNumbers, settings.saveEvery) = (.goBack, 2)
        let counter = try Counter()
        let run = try Run(scratch("back"), settings, Self.identity) { said.append($0) }
        defer { run.close() }
        try run.tracked.add("counter", counter)
        try run.begin(steps: 6)
        while run.step < 6 {
            let step = run.step + 1
            try counter.step()
            if step == 5, isFirst { (isFirst, _) = (false, run.survives(bad)) }
            if try run.finish(step: step, isWhole: true) == .checkpoint { run.writeCheckpoint() }
            if step == 5, !isFirst, run.step == 4 { #expect(counter.number == 4) }
        }
        #expect(
            counter.number == 6 && run.badSteps == 1 && said.last?.contains("goes back to step 4") ?? false, "\(said)")
    }
}
