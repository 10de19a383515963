import ArgumentParser
import RiffleFigures
import RiffleLua
import RiffleRuns
import RiffleTensor

/// Draws curves of several runs in one picture.
struct PlotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle plot", abstract: "Draws curves of runs in one picture, a panel a metric, a colour a run.")

    @ArgumentParser.Argument(help: "Folders of runs, or folders that hold runs.")
    var runs: [String]
    @ArgumentParser.Option(
        name: [.short, .long], parsing: .singleValue,
        help: "A number of the log; may be given several times. Without it, the loss.")
    var metric: [String] = []
    @ArgumentParser.Option(name: [.short, .long], help: "The PNG that is written.")
    var out = "runs.png"
    @ArgumentParser.Option(parsing: .unconditional, help: "Draws means over so many steps.")
    var smooth = 1
    @ArgumentParser.Flag(help: "Makes the y axes logarithmic.")
    var log = false

    func validate() throws {
        guard !runs.isEmpty else { throw ValidationError("which runs?") }
        guard (1...1_000_000).contains(smooth) else {
            throw ValidationError("--smooth goes from 1 to 1000000, got \(smooth)")
        }
    }

    func run() throws {
        let folders = try runs.flatMap { folder in
            let found = try RunStatus.runs(under: folder)
            guard !found.isEmpty else { throw RiffleError("", "there is no run in '\(folder)' that can be read") }
            return found
        }
        let records = try folders.map { try RunRecord($0) }
        let metrics = try chosen(records)
        let names = shortNames(records)
        let panels = metrics.map { metric in
            Figure.Panel(metrics.count > 1 ? metric : "", zip(records, names).map { series(metric, $0, $1) })
        }
        var figure = Figure(.lines, panels)
        figure.hasOwnYAxes = true
        figure.yIsLogarithmic = log
        figure.xLabel = "step"
        figure.yLabel = metrics.count > 1 ? "" : metrics[0]
        figure.columns = min(3, metrics.count)
        try figure.save(to: out)
        Console.output(
            "\(out): \(metrics.joined(separator: ", ")) of \(records.count) run\(records.count == 1 ? "" : "s")\n")
    }

    /// The metrics asked for, of which each is in one run at least; the loss, or a run's first number, where none is.
    private func chosen(_ records: [RunRecord]) throws -> [String] {
        var known: [String] = []
        for name in records.flatMap(\.curves).map(\.name) where !known.contains(name) { known.append(name) }
        guard let first = known.first else {
            throw RiffleError("", "nothing is logged in \(runs.joined(separator: ", "))")
        }
        if metric.isEmpty { return [known.contains("loss") ? "loss" : first] }
        for name in metric where !known.contains(name) {
            throw RiffleError(
                "",
                "no run has the metric '\(name)'\(suggestion(for: name, among: known)); there are "
                    + known.joined(separator: ", ")
            )
        }
        return metric
    }

    private func series(_ metric: String, _ run: RunRecord, _ name: String) -> Figure.Series {
        let curve = (run.curve(metric) ?? Curve(metric)).smoothed(over: smooth).thinned(to: 1000)
        return Figure.Series(name, x: curve.steps.map(Double.init), y: curve.values)
    }

    /// The runs' names; whole paths where two runs have the same name.
    private func shortNames(_ records: [RunRecord]) -> [String] {
        let names = records.map(\.name)
        return records.map { run in names.count { $0 == run.name } > 1 ? run.folder : run.name }
    }
}
