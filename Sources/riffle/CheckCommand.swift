import ArgumentParser
import Foundation
import RiffleLua
import RiffleTensor

/// Trains by methods on a Gaussian whose flow map is known, and says which lead there.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle check",
        abstract: "Trains by each method on a Gaussian whose flow map is known, and says which lead there.",
        discussion: """
            A method takes seconds, all of them a few minutes. The exit code is 1 where one is not within its limit. \
            riffle.flow.check does the same for a loss of your own.
            """)

    @ArgumentParser.Argument(help: "Names of methods, such as itvm; all of them when none is given.")
    var methods: [String] = []
    @ArgumentParser.Option(parsing: .unconditional, help: "The seed of the trainings.")
    var seed = 1

    func validate() throws {
        guard seed >= 0 else { throw ValidationError("--seed is 0 or more, got \(seed)") }
    }

    func run() throws {
        let engine = try LuaEngine()
        let known = try engine.checkedMethods()
        for name in methods where !known.contains(name) {
            throw ValidationError("there is no method '\(name)' to check" + suggestion(for: name, among: known))
        }
        let chosen = methods.isEmpty ? known : methods
        show(["method", "measure", "error", "limit", "seconds", ""])
        // Rows are shown as methods finish.
        let failed = chosen.filter { name in
            let start = Date()
            let result = Result { try engine.check(name, seed: seed) }
            let seconds = String(format: "%.1f", Date().timeIntervalSince(start))
            switch result {
            case .success(let check):
                let error = String(format: "%.4f", check.error), limit = riffleFormat(check.limit)
                show([name, check.measure, error, limit, seconds, check.isWithin ? "ok" : "NOT within its limit"])
                return !check.isWithin
            case .failure(let error):
                show([name, "", "", "", seconds, "NOT: \(error)"])
                return true
            }
        }
        guard !failed.isEmpty else { return Console.output("All \(chosen.count) are within their limits.\n") }
        Console.output("Not within their limits: \(failed.joined(separator: ", ")).\n")
        throw ExitCode(1)
    }

    private func show(_ cells: [String]) {
        let widths = [14, 8, 8, 5, 7, 0]
        let padded = zip(cells, widths).map { cell, width in
            cell + String(repeating: " ", count: max(0, width - cell.count))
        }
        Console.output(padded.joined(separator: "  ") + "\n")
    }
}
