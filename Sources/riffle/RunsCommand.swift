import ArgumentParser
import Foundation
import RiffleLua
import RiffleRuns
import RiffleTensor

/// Lists the runs under a folder.
struct RunsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle runs", abstract: "Lists runs with their step, loss, state and age.",
        discussion: "The age is the time since a run's last sign of life. The latest run comes first.")

    enum Order: String, CaseIterable, ExpressibleByArgument { case age, name, loss }

    @ArgumentParser.Argument(help: "A folder, whose folders are searched as well.")
    var folder = "."
    @ArgumentParser.Option(
        help: "What the runs are sorted by: \(Order.allCases.map(\.rawValue).joined(separator: ", ")).")
    var sort = Order.age

    private struct Entry {
        let name: String
        let status: RunStatus
    }

    func run() throws {
        let prefix = folder.hasSuffix("/") ? folder : folder + "/"
        let entries = try RunStatus.runs(under: folder).compactMap { path -> Entry? in
            // A run that was removed meanwhile is none.
            guard let status = try? RunStatus(path) else { return nil }
            return Entry(name: path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path, status: status)
        }
        guard !entries.isEmpty else { return Console.output("There are no runs in '\(folder)' that can be read.\n") }
        let now = Date().timeIntervalSince1970
        var table = TextTable(["run", "step", "loss", "state", "age"], alignedRight: [1, 2, 4])
        for entry in entries.sorted(by: isBefore) { table.append(cells(entry, now)) }
        Console.output(table.text(width: Console.width(of: 1) ?? 120))
    }

    private func isBefore(_ a: Entry, _ b: Entry) -> Bool {
        switch sort {
        case .name: return a.name < b.name
        case .loss: return (a.status.loss ?? .infinity, a.name) < (b.status.loss ?? .infinity, b.name)
        case .age: return (-(a.status.time ?? 0), a.name) < (-(b.status.time ?? 0), b.name)
        }
    }

    private func cells(_ entry: Entry, _ now: Double) -> [String] {
        let status = entry.status
        let step = status.step.map { "\($0)" + (status.steps.map { "/\($0)" } ?? "") } ?? "-"
        let loss = status.loss.map { String(format: "%.4g", $0) } ?? "-"
        let reason = status.message.split(separator: "\n").first.map { ": \($0)" } ?? ""
        return [
            entry.name, step, loss, status.state.rawValue + reason,
            status.time.map { readable(seconds: now - $0) } ?? "-",
        ]
    }
}

/// Text in columns.
struct TextTable {
    private var rows: [[String]]
    private let alignedRight: Set<Int>

    init(_ header: [String], alignedRight: Set<Int>) {
        rows = [header]
        self.alignedRight = alignedRight
    }

    mutating func append(_ cells: [String]) { rows.append(cells.map(TextTable.printable)) }

    /// The table, a line a row. Where it is wider than `width`, its widest columns are cut.
    func text(width: Int?) -> String {
        var widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        if let width {
            var surplus = widths.reduce(2 * (widths.count - 1), +) - width
            while surplus > 0, let widest = widths.max(), widest > 8, let column = widths.firstIndex(of: widest) {
                widths[column] -= 1
                surplus -= 1
            }
        }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                let text = cell.count > widths[column] ? String(cell.prefix(widths[column] - 1)) + "…" : cell
                let spaces = String(repeating: " ", count: widths[column] - text.count)
                return alignedRight.contains(column) ? spaces + text : text + spaces
            }
            return cells.joined(separator: "  ").trimmingEnd() + "\n"
        }.joined()
    }

    /// Characters that would steer a terminal become U+FFFD.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }
}

extension String {
    fileprivate func trimmingEnd() -> String {
        guard let last = lastIndex(where: { $0 != " " }) else { return "" }
        return String(self[...last])
    }
}
