import ArgumentParser
import RiffleIO
import RiffleLua
import RiffleRuns
import RiffleTensor

/// Makes one page of HTML out of a run.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle report",
        abstract: "Makes one HTML file of a run that needs nothing else: curves, pictures, configuration.")

    @ArgumentParser.Argument(help: "The folder of a run.")
    var folder: String
    @ArgumentParser.Option(name: [.short, .long], help: "The file that is written.")
    var out = "report.html"
    @ArgumentParser.Option(parsing: .unconditional, help: "The most pictures of each name.")
    var pictures = 60

    func validate() throws {
        guard (1...10_000).contains(pictures) else {
            throw ValidationError("--pictures goes from 1 to 10000, got \(pictures)")
        }
    }

    func run() throws {
        let record = try RunRecord(folder)
        let page = try Report.page(of: record, version: Version.text, mostPictures: pictures)
        try AtomicFile.write(page, to: out)
        Console.output("\(out): \(readable(bytes: page.count))\n")
    }
}
