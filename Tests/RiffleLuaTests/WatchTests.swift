import Glibc
import RiffleIO
import RiffleRuns
import RiffleTensor
import Testing

/// The commands that look at runs, as a user calls them.
@Suite(.serialized) struct WatchTests {
    private static func run(_ name: String, in folder: String, _ values: [Double]) throws {
        let log = try RunLog(folder: "\(folder)/\(name)", resumed: nil) { Issue.record("\($0)") }
        for (step, value) in values.enumerated() {
            try log.write(step: step + 1, seconds: 1, [("loss", .number(value)), ("lr", .number(0.1))])
        }
        log.close()
        try JSON.write(
            .table([
                "state": .string("running"), "step": .integer(values.count), "steps": .integer(9),
                "loss": .number(values[values.count - 1]), "time": .number(0),
            ]), to: "\(folder)/\(name)/status.json")
    }

    private static func folder() throws -> String {
        let folder = temporaryFolder()
        for name in ["a", "b"] { #expect(mkdir("\(folder)/\(name)", 0o777) == 0) }
        try run("a", in: folder, [3, 2, 1])
        try run("b", in: folder, [5, .nan, 0.25])
        return folder
    }

    @Test func runsAreListed() throws {
        let folder = try WatchTests.folder()
        let result = try riffle(["runs", folder, "--sort", "loss"])
        let lines = result.output.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(result.code == 0 && lines.map { $0[0] } == ["run", "b", "a"])
        #expect(lines[1][1...3] == ["3/9", "0.25", "failed:"], "\(result)")
        #expect(try riffle(["runs", folder + "/none"]).code == 1)
    }

    @Test func runsAreDrawn() throws {
        let folder = try WatchTests.folder()
        let picture = folder + "/out.png"
        let result = try riffle([
            "plot", folder + "/a", folder + "/b", "--metric", "loss", "--metric", "lr", "--log", "--smooth", "2",
            "--out",
            picture,
        ])
        #expect(result.code == 0 && result.output == "\(picture): loss, lr of 2 runs\n", "\(result)")
        #expect(try PNG.read(picture).shape[2] == 3)
        let wrong = try riffle(["plot", folder, "--metric", "losss"])
        #expect(wrong.code == 1 && wrong.error.contains("'losss', did you mean 'loss'?; there are loss, lr"))
    }

    @Test func aRunBecomesAPage() throws {
        let folder = try WatchTests.folder()
        let result = try riffle(["report", folder + "/b", "--out", folder + "/b.html"])
        #expect(result.code == 0, "\(result)")
        let file = try InputFile(folder + "/b.html")
        let page = String(decoding: try file.bytes(file.size, at: 0), as: UTF8.self)
        #expect(page.contains("<title>b · failed</title>") && page.contains("\"words\": [\"nan\"]"))
        #expect(try riffle(["report", folder]).error.contains("is not the folder of a run"))
    }
}
