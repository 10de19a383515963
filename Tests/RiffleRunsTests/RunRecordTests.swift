import Foundation
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleRuns

@Suite struct RunRecordTests {
    @Test func aRunIsReadWhileItGoesOn() throws {
        let scratch = try Scratch()
        try MadeRun.write(to: scratch.path, steps: 200, resumedAt: 100)
        let run = try RunRecord(scratch.path)
        #expect(run.rowCount == 200 && run.curves.map(\.name) == ["loss", "gradient_norm", "lr", "fid"])
        #expect(run.curve("loss")?.values[65].isNaN == true && run.curve("fid")?.count == 20)
        #expect(run.pictures.map(\.steps.count) == [10] && run.status.state == .stopped && run.status.step == 200)
        #expect(run.seconds == 50 && run.config.count == 6)
    }

    /// A status says how a run was; the lock says whether it is.
    @Test func aStatusWithoutALockIsADeadRun() throws {
        let scratch = try Scratch()
        #expect(message { _ = try RunStatus(scratch.path) }.contains("is not the folder of a run"))
        _ = try scratch.file("lock", [])
        for (said, held, state) in [
            ("running", true, RunStatus.State.running), ("running", false, .failed), ("stopped", false, .stopped),
            ("stopped", true, .running), ("finished", false, .finished), ("bogus", false, .unknown),
        ] {
            try MadeRun.status(scratch.path, said, 3, 9)
            let lock = open(scratch("lock"), O_RDWR)
            defer { close(lock) }
            if held { #expect(flock(lock, LOCK_EX | LOCK_NB) == 0) }
            let status = try RunStatus(scratch.path)
            #expect(status.state == state && status.step == 3 && status.steps == 9)
            #expect(status.message == (said == "running" && !held ? "the process ended without a word" : ""))
        }
    }

    @Test(arguments: ["", "[", "{}", "{\"step\": \"x\", \"time\": [], \"state\": 4, \"loss\": null}", "[[[[", "\u{0}"])
    func hostileFilesGiveNoCrash(text: String) throws {
        let scratch = try Scratch()
        for name in ["status.json", "config.json", "environment.json", "log.jsonl", "script.lua"] {
            _ = try scratch.file(name, Array(text.utf8))
        }
        let run = try RunRecord(scratch.path)
        #expect(run.status.state == .unknown && run.status.step == nil && run.curves.isEmpty)
        _ = try Report.page(of: run, version: "1")
    }

    /// The order of the keys takes one look at the line, however many there are.
    @Test func aRowOfVeryManyValuesIsRead() throws {
        let scratch = try Scratch()
        let values = (0..<15_000).map { "\"\($0)\": {\"b\": [1, \"}:\"]}, \"a\\\"\($0)\": 1" }
        let line = "{\"step\": 1, \"time\": 2, \"seconds\": 3, \(values.joined(separator: ", "))}\n"
        var file = try LogFile(scratch.file("log.jsonl", Array(line.utf8))), names: [String] = []
        try file.rows { names = $0.values.map(\.name) }
        #expect(names.count == 30_000 && names.prefix(4) == ["0", "a\"0", "1", "a\"1"])
    }

    @Test func runsAreFoundBelowAFolder() throws {
        let scratch = try Scratch()
        for path in ["b/c", "a", ".hidden/x", "b/empty"] {
            try FileManager.default.createDirectory(atPath: scratch(path), withIntermediateDirectories: true)
            if path != "b/empty" { _ = try scratch.file(path + "/log.jsonl", []) }
        }
        try FileManager.default.createSymbolicLink(atPath: scratch("a/loop"), withDestinationPath: scratch.path)
        try FileManager.default.createSymbolicLink(atPath: scratch("loop"), withDestinationPath: scratch.path)
        #expect(try RunStatus.runs(under: scratch.path) == [scratch("a"), scratch("b/c")])
        #expect(try RunStatus.runs(under: scratch("a")) == [scratch("a")])
        #expect(message { _ = try RunStatus.runs(under: scratch("none")) }.contains("No such file"))
    }

    @Test func thinCurvesKeepTheirExtremes() {
        var curve = Curve("a")
        for step in 0..<10_000 {
            curve.append(step: step, seconds: 0, step == 777 ? 50 : step == 5005 ? .nan : sin(Double(step)))
        }
        let thin = curve.thinned(to: 100)
        #expect(thin.count <= 501 && thin.steps == thin.steps.sorted())
        #expect(thin.values.contains(50) && thin.values.contains { $0.isNaN } && thin.steps.last == 9999)
        let (means, weights) = curve.means(in: 100)
        #expect(means.count == 100 && weights.reduce(0, +) == 9999)
        #expect(Curve("b").thinned(to: 3).count == 0)

        var rough = Curve("c")
        for (step, value) in [(2, 1), (4, 2), (6, .nan), (8, 6), (9, 3), (20, 0)] {
            rough.append(step: step, seconds: 0, value)
        }
        #expect(rough.smoothed(over: 5).values.description == "[1.0, 1.5, nan, 4.0, 4.5, 0.0]")
        #expect(rough.smoothed(over: 1).values.description == rough.values.description)
    }

    /// Whatever a run's names and values are, they are texts on the page.
    @Test func textsOfARunAreNoHTML() throws {
        let hostile = "</script><script>alert(1)</script><!--<b>&\"'{{data}}"
        let scratch = try Scratch()
        let log = try RunLog(folder: scratch.path, resumed: nil) { Issue.record("\($0)") }
        try log.write(step: 1, seconds: 1, [(hostile, .number(1))])
        log.close()
        try JSON.write(.table([hostile: .string(hostile)]), to: scratch("config.json"))
        try JSON.write(.table(["state": .string("failed"), "message": .string(hostile)]), to: scratch("status.json"))
        let page = String(decoding: try Report.page(of: RunRecord(scratch.path), version: hostile), as: UTF8.self)
        #expect(!page.contains("<b>") && !page.contains("alert(1)</") && page.contains("\\u003cb>"))
        #expect(
            page.components(separatedBy: "<script").count == 3 && page.components(separatedBy: "</script").count == 3)
        #expect(!page.contains("http:") || !page.contains("src=\"http"))
        #expect(Report.escaped("<a href='x'>&\"") == "&lt;a href=&#39;x&#39;&gt;&amp;&quot;")
    }

    @Test func picturesAreSpreadOverTheSteps() {
        #expect(Report.spread(Array(1...10), most: 4) == [1, 4, 7, 10])
        #expect(Report.spread([1, 2], most: 4) == [1, 2] && Report.spread([1, 2, 3], most: 1) == [3])
    }
}
