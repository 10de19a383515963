import RiffleFigures
import RiffleIO
import RiffleTensor

/// What an evaluation found: a row a model and number of evaluations.
package final class EvaluationTable: CustomStringConvertible {
    package let rows: [Evaluation.Row]

    package init(_ rows: [Evaluation.Row]) { self.rows = rows }

    /// The measures' names, in order.
    private var names: [String] { rows.first?.measurements.flatMap { $0.values.map(\.name) } ?? [] }

    /// The columns that say what a row is of, and those of its numbers.
    private var head: [String] { ["model", "sampler", "evaluations", "samples"] + names }

    private func cells(_ row: Evaluation.Row, _ text: (Double) -> String) -> [String] {
        [row.model, row.sampler, "\(row.evaluations)", "\(row.count)"]
            + row.measurements.flatMap { $0.values.map { text($0.value) } } + [text(row.secondsPerSample)]
    }

    /// Aligned columns, and below them what the protocols of all rows have in common, a line for each measure.
    package var description: String {
        let table = [head + ["seconds a sample"]] + rows.map { cells($0) { riffleFormat($0) } }
        let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
        let lines = table.map { line in
            line.enumerated().map { index, text in
                let space = String(repeating: " ", count: widths[index] - text.count)
                return index < 2 ? text + space : space + text
            }.joined(separator: "  ")
        }
        return (lines + protocols).joined(separator: "\n")
    }

    private var protocols: [String] {
        (rows.first?.measurements ?? []).enumerated().map { index, first in
            let shared = first.parts.filter { part in rows.allSatisfy { $0.measurements[index].parts.contains(part) } }
            return "\(first.name): \(shared.joined(separator: ", "))"
        }
    }

    /// Every number with its protocol.
    package var value: Value {
        .list(
            rows.map { row in
                var fields: [String: Value] = [
                    "model": .string(row.model), "sampler": .string(row.sampler),
                    "evaluations": .integer(row.evaluations), "samples": .integer(row.count),
                    "seconds_per_sample": .number(row.secondsPerSample),
                ]
                for measurement in row.measurements {
                    for (name, value) in measurement.values { fields[name] = .number(value) }
                    fields["\(measurement.name) protocol"] = .string(measurement.protocolText)
                    if let deviation = measurement.deviation {
                        fields["\(measurement.name) deviation"] = .number(deviation)
                    }
                }
                return .table(fields)
            })
    }

    /// The formats of a table's file, by its ending.
    private enum Format: String {
        case csv, json, png

        init(of path: String) throws {
            guard let format = Format(rawValue: path.split(separator: ".").last?.lowercased() ?? "") else {
                throw RiffleError("", "cannot write '\(path)': tables are written as .csv, .json or .png")
            }
            self = format
        }
    }

    /// Finds out whether `write` can write to a path, before the work whose table it is.
    /// - Throws: `RiffleError` for another ending, or where the file cannot be written.
    package static func check(_ path: String) throws {
        _ = try Format(of: path)
        try AtomicFile.Draft(path).discard()
    }

    /// Writes the table, the file whole or not at all: .csv, .json, or .png for curves over the number of evaluations.
    /// - Throws: `RiffleError` for another ending, or where the file cannot be written.
    package func write(to path: String) throws {
        switch try Format(of: path) {
        case .csv: try AtomicFile.write(Array(csv.utf8), to: path)
        case .json: try AtomicFile.write(Array((JSON.text(value, pretty: true) + "\n").utf8), to: path)
        case .png: try figure.save(to: path)
        }
    }

    private var csv: String {
        func quoted(_ text: String) -> String {
            text.contains { ",\"\n\r".contains($0) } ? "\"\(text.replacing("\"", with: "\"\""))\"" : text
        }
        let measures = rows.first?.measurements.flatMap { ["\($0.name) deviation", "\($0.name) protocol"] } ?? []
        let lines = rows.map { row in
            cells(row) { riffleExact($0) }
                + row.measurements.flatMap { [$0.deviation.map { riffleExact($0) } ?? "", $0.protocolText] }
        }
        return ([head + ["seconds_per_sample"] + measures] + lines).map {
            $0.map(quoted).joined(separator: ",") + "\r\n"
        }.joined()
    }

    /// A panel a measure, a curve a model.
    private var figure: Figure {
        let models = rows.map(\.model).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        var figure = Figure(
            .lines,
            names.map { name in
                Figure.Panel(
                    names.count > 1 ? name : "",
                    models.map { model in
                        let own = rows.filter { $0.model == model }
                        return Figure.Series(
                            model, x: own.map { Double($0.evaluations) },
                            y: own.map { row in
                                row.measurements.flatMap(\.values).first { $0.name == name }?.value ?? .nan
                            })
                    })
            })
        figure.xLabel = "evaluations"
        figure.yLabel = names.count > 1 ? "" : names.first ?? ""
        figure.xIsLogarithmic = true
        figure.hasOwnYAxes = true
        figure.columns = min(3, names.count)
        return figure
    }
}
