import Foundation
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleRuns

/// Takes the messages of a log.
private final class Warnings {
    private(set) var texts: [String] = []
    func add(_ text: String) { texts.append(text) }
}

@Suite(.serialized) struct RunLogTests {
    private func log(_ scratch: Scratch, resumed: (step: Int, bytes: Int)? = nil, _ warnings: Warnings? = nil) throws
        -> RunLog
    {
        try RunLog(folder: scratch.path, resumed: resumed) { text in
            if let warnings { warnings.add(text) } else { Issue.record("\(text)") }
        }
    }

    private func text(_ path: String) throws -> String { String(decoding: try contents(path), as: UTF8.self) }

    private func rows(_ scratch: Scratch) throws -> [LogRow] {
        var file = try LogFile(scratch("log.jsonl"))
        var rows: [LogRow] = []
        try file.rows { rows.append($0) }
        return rows
    }

    @Test func rowsAreStrictJSON() throws {
        let scratch = try Scratch(), log = try log(scratch)
        try log.write(
            step: 12, seconds: 8.125,
            [
                ("loss", .number(0.5)), ("a", .integer(3)), ("ok", .boolean(true)), ("note", .string("\"x\"\n")),
                ("t", .tensor(.scalar(0.25))),
            ])
        try log.write(
            step: 13, seconds: 9,
            [("x", .number(.nan)), ("loss", .number(-.infinity)), ("y", .tensor(.full([1], .infinity)))])
        let bytes = log.flush()
        let lines = try text(scratch("log.jsonl")).split(separator: "\n")
        #expect(bytes == (try contents(scratch("log.jsonl"))).count && lines.count == 2)
        #expect(
            lines[0].hasPrefix("{\"step\": 12, \"time\": ") && lines[0].contains(", \"seconds\": 8.125, \"loss\": 0.5,")
        )
        #expect(lines[0].hasSuffix(#""a": 3, "ok": true, "note": "\"x\"\u000a", "t": 0.25}"#))
        #expect(
            lines[1].hasSuffix(
                #""x": null, "loss": null, "y": null, "not_finite": {"x": "nan", "loss": "-inf", "y": "inf"}}"#))
        let read = try rows(scratch)
        #expect(read.map(\.step) == [12, 13] && read[1].values.map(\.name) == ["x", "loss", "y"])
        #expect("\(read[1].values[1].value)" == "number(-inf)" && "\(read[0].values[1].value)" == "integer(3)")
    }

    @Test func mistakesNameTheValueAndWriteNothing() throws {
        let scratch = try Scratch(), log = try log(scratch)
        let mistakes: [(String, Value, String)] = [
            ("step", .number(1), "'step' is a column of the log's own"), ("not_finite", .integer(1), "'not_finite'"),
            ("", .number(1), "1 to 200 bytes"), ("a\nb", .number(1), "control characters"),
            (String(repeating: "a", count: 201), .number(1), "1 to 200 bytes"),
            ("s", .string(String(repeating: "a", count: 1001)), "'s' has 1001"),
            ("w", .tensor(try .zeros([2, 3])), "'w' is a tensor [2, 3]"), ("l", .list([]), "'l' is none of these"),
        ]
        for (name, value, words) in mistakes {
            let report = message { try log.write(step: 1, seconds: 1, [("fine", .number(1)), (name, value)]) }
            #expect(report.contains(words), "\(report)")
        }
        #expect(message { try log.write(step: -1, seconds: 1, []) }.contains("-1"))
        #expect(message { try log.write(step: 1, seconds: 1, [("a", .none), ("a", .none)]) }.contains("'a'"))
        for name in ["", ".", "..", "../a", "a/b", ".hidden", "a b", "ä", "a\0"] {
            #expect(message { try log.image(name, step: 1, .zeros([2, 2])) }.contains("the name of a picture"))
        }
        #expect(log.flush() == 0 && scratch.names.filter { $0 == "images" }.isEmpty)
    }

    @Test func theTableGrowsColumns() throws {
        let scratch = try Scratch()
        var log: RunLog? = try log(scratch)
        try log?.write(step: 1, seconds: 1, [("b", .number(1)), ("word", .string("x"))])
        try log?.write(step: 2, seconds: 2.5, [("a,\"q\"", .integer(7)), ("b", .number(.nan))])
        log?.flush()
        try log?.write(step: 3, seconds: 3, [("c", .number(-.infinity))])
        log = nil
        let lines = try text(scratch("metrics.csv")).components(separatedBy: "\r\n")
        #expect(lines[0] == #"step,time,seconds,b,"a,""q""",c"#)
        let rows = lines[1...].map { $0.split(separator: ",", omittingEmptySubsequences: false) }
        #expect(rows.count == 4 && rows[3] == [""])
        #expect(rows[0][2...] == ["1.0", "1.0", "", ""] && rows[1][2...] == ["2.5", "nan", "7", ""])
        #expect(rows[2][2...] == ["3.0", "", "", "-inf"])
        _ = log
    }

    /// After a resume the log is as if the run had never gone beyond the checkpoint, and nothing is lost.
    @Test func rowsBeyondTheCheckpointAreSetAside() throws {
        let scratch = try Scratch()
        var first: RunLog? = try log(scratch)
        for step in 1...3 { try first?.write(step: step, seconds: 1, [("loss", .number(Double(step)))]) }
        let bytes = try #require(first?.flush())
        let kept = try contents(scratch("log.jsonl"))
        for step in 4...6 { try first?.write(step: step, seconds: 1, [("late", .number(1))]) }
        first = nil
        // What a process that was killed tore off.
        let handle = try #require(FileHandle(forWritingAtPath: scratch("log.jsonl")))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("{\"step\": 7, \"ti".utf8))
        try handle.close()
        #expect(try rows(scratch).count == 6)
        #expect(try LogFile.last(scratch("log.jsonl"))?.step == 6)

        let second = try log(scratch, resumed: (3, bytes))
        #expect(try contents(scratch("log.jsonl")) == kept)
        let aside = try text(scratch("log.aside.jsonl"))
        #expect(aside.split(separator: "\n").count == 3 && aside.hasSuffix("}\n") && !aside.contains("\"step\": 7"))
        #expect(try text(scratch("metrics.csv")).hasPrefix("step,time,seconds,loss\r\n"))
        try second.write(step: 4, seconds: 1, [("loss", .number(4))])
        second.flush()
        #expect(try rows(scratch).map(\.step) == [1, 2, 3, 4])
        #expect(try text(scratch("metrics.csv")).components(separatedBy: "\r\n").count == 6)
        #expect(try EventFile.names(in: scratch.path).count == 2)
        _ = first
    }

    @Test(arguments: ["", "{\"step\": 1, \"time\": 1.0, \"seconds\": 1.0, \"a\": 1}\n{\"st"])
    func aLogThatIsShorterGoesOn(rest: String) throws {
        let scratch = try Scratch(), warnings = Warnings()
        _ = try scratch.file("log.jsonl", Array(rest.utf8))
        let log = try log(scratch, resumed: (9, 5000), warnings)
        #expect(warnings.texts.count == 1 && warnings.texts[0].contains("had 5000 at the checkpoint"))
        try log.write(step: 10, seconds: 1, [])
        log.flush()
        #expect(try rows(scratch).map(\.step) == (rest.isEmpty ? [10] : [1, 10]))
    }

    @Test func aLogWithoutACheckpointIsSetAside() throws {
        let scratch = try Scratch()
        _ = try scratch.file("log.jsonl", Array("{\"step\": 1}\n".utf8))
        try log(scratch).close()
        #expect(try contents(scratch("log.jsonl")).isEmpty && text(scratch("log.aside.jsonl")) == "{\"step\": 1}\n")
    }

    @Test func aFullDiskDoesNotStopTraining() throws {
        let scratch = try Scratch(), warnings = Warnings()
        let log = try log(scratch, warnings)
        try withFullDisk(after: 1000) {
            for step in 1...100 { try log.write(step: step, seconds: 1, [("loss", .number(0.1))]) }
            try log.image("a", step: 1, Tensor((0..<1200).map { Float(sin(Double($0 * $0))) }, [20, 20, 3]))
            log.flush()
        }
        #expect(warnings.texts.contains { $0.contains("log.jsonl': File too large; training goes on") })
        #expect(warnings.texts.count { $0.contains("log.jsonl") } == 1)
        #expect(try contents(scratch("log.jsonl")).count == 1000)
        // There is space again, and nothing is missing.
        try log.write(step: 101, seconds: 1, [("loss", .number(0.1))])
        log.flush()
        #expect(try rows(scratch).map(\.step) == Array(1...101))
        #expect(try text(scratch("metrics.csv")).components(separatedBy: "\r\n").count == 103)
    }

    @Test func picturesAreFiles() throws {
        let scratch = try Scratch(), log = try log(scratch)
        try log.image("x.y-1", step: 500, .zeros([4, 8, 8, 3]), columns: 2, range: 0...1)
        try log.image("x.y-1", step: 123_456_789, .zeros([8, 8]))
        let record = try RunRecord(scratch.path)
        #expect(record.pictures.map(\.name) == ["x.y-1"] && record.pictures[0].steps == [500, 123_456_789])
        #expect(try PNG.read(scratch("images/x.y-1/00000500.png")).shape == [22, 22, 3])
        #expect(try record.picture("x.y-1", step: 500).starts(with: [0x89, 0x50]))
    }

    @Test func numbersThatAreNotFiniteAreDrawnAsZero() throws {
        let scratch = try Scratch(), warnings = Warnings(), log = try log(scratch, warnings)
        let images = try Tensor([1, .nan, .infinity, -1, -.infinity, 0] as [Float], [2, 3])
        for step in 1...2 { try log.image("a", step: step, images) }
        try log.image("b", step: 1, images, range: 0...1)
        #expect(warnings.texts.map { $0.contains("3 numbers that are not finite, of 6") } == [true, true])
        #expect(warnings.texts[1].contains("'b' at step 1"))
        for (path, bytes) in [("a/00000002", [255, 0, 0, 0, 0, 128]), ("b/00000001", [255, 0, 0, 0, 0, 0])] {
            let drawn = try PNG.read(scratch("images/\(path).png")).floats()
            #expect(drawn == bytes.map { Float($0) / 127.5 - 1 })
        }
    }

    /// A row has to cost next to nothing beside a step of training.
    @Test func rowsAreCheap() throws {
        let scratch = try Scratch(), log = try log(scratch)
        let start = Profiler.now()
        for step in 1...5000 {
            try log.write(
                step: step, seconds: 0.1 * Double(step), [("loss", .number(0.1 / Double(step))), ("lr", .number(1e-3))])
        }
        let microseconds = (Profiler.now() - start) / 5000 * 1e6
        print("a row of the log takes \(microseconds) us")
        #expect(microseconds < 500)
    }
}
