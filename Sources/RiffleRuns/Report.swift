import Foundation
import RiffleIO
import RiffleTensor

/// A run as one page of HTML that needs no other file and no network.
///
/// The page's script makes every text an element's text, so that no name or value of a run is ever read as HTML.
package enum Report {
    /// Columns of pixels that curves are thinned to.
    private static let columns = 800
    /// Marks of values that are not finite, a curve.
    private static let mostMarks = 200

    /// The page.
    /// - Parameters:
    ///   - version: of the program that writes the page.
    ///   - mostPictures: of one name; where there are more, those that stay are spread over the steps.
    /// - Throws: `RiffleError` where a picture cannot be read, or memory runs out.
    package static func page(of run: RunRecord, version: String, mostPictures: Int = 60) throws -> [UInt8] {
        let status = run.status
        let data = Value.table([
            "name": .string(run.name.repaired), "folder": .string(run.folder.repaired), "riffle": .string(version),
            "state": .string(status.state.rawValue), "message": .string(status.message),
            "step": value(status.step), "steps": value(status.steps), "loss": value(status.loss),
            "time": value(status.time), "checkpoint": .string(status.checkpoint ?? ""),
            "written": .number(RunLog.now()), "seconds": .number(run.seconds),
            "columns": .integer(columns), "most": .integer(4 * columns),
            "config": table(run.config), "environment": table(run.environment), "script": .string(run.script ?? ""),
            "curves": .list(run.curves.map(curve)), "pictures": .list(try pictures(run, most: mostPictures)),
        ])
        // No end tag and no comment may begin within the data.
        let json = try JSON.text(data, nonFinite: .null).replacingOccurrences(of: "<", with: "\\u003c")
        return filled(PackageResources.report_html) { name in
            switch name {
            case "title": Array(escaped("\(run.name.repaired) · \(status.state.rawValue)").utf8)
            case "style": PackageResources.report_css
            case "chart": PackageResources.chart_js
            case "script": PackageResources.report_js
            default: Array(json.utf8)
            }
        }
    }

    /// A template whose `{{names}}` are replaced. What replaces a name is not looked at again.
    private static func filled(_ template: [UInt8], _ content: (String) -> [UInt8]) -> [UInt8] {
        let parts = String(decoding: template, as: UTF8.self).components(separatedBy: "{{")
        return parts.dropFirst().reduce(Array((parts.first ?? "").utf8)) { page, part in
            let pieces = part.components(separatedBy: "}}")
            return page + content(pieces[0]) + pieces.dropFirst().joined(separator: "}}").utf8
        }
    }

    /// Text for HTML, also between quotes.
    static func escaped(_ text: String) -> String {
        let entities: [Character: String] = ["&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#39;"]
        return text.reduce(into: "") { $0 += entities[$1] ?? String($1) }
    }

    private static func value(_ number: Int?) -> Value { number.map(Value.integer) ?? .none }
    private static func value(_ number: Double?) -> Value { number.map(Value.number) ?? .none }

    /// The rows of a table: names with texts.
    private static func table(_ values: [String: Value]) -> Value {
        .list(
            values.sorted { $0.key < $1.key }.map { name, value in
                if case .string = value { return .list([.string(name), value]) }
                return .list([.string(name), .string((try? JSON.text(value, nonFinite: .null)) ?? "")])
            })
    }

    private static func curve(_ curve: Curve) -> Value {
        let thin = curve.thinned(to: columns)
        let finite = curve.values.indices.filter { curve.values[$0].isFinite }
        let least = finite.min { curve.values[$0] < curve.values[$1] }
        let strange = curve.values.indices.filter { !curve.values[$0].isFinite }
        let marks = spread(strange, most: mostMarks)
        var table: [String: Value] = [
            "name": .string(curve.name), "count": .integer(curve.count),
            "steps": .list(thin.steps.map(Value.integer)), "seconds": numbers(thin.seconds),
            "values": numbers(thin.values), "last": value(finite.last.map { curve.values[$0] }),
            "low": value(least.map { curve.values[$0] }), "lowStep": value(least.map { curve.steps[$0] }),
            "high": value(finite.map { curve.values[$0] }.max()),
            "strange": .table([
                "count": .integer(strange.count), "steps": .list(marks.map { .integer(curve.steps[$0]) }),
                "seconds": numbers(marks.map { curve.seconds[$0] }),
                "words": .list(marks.map { .string("\(curve.values[$0])") }),
            ]),
        ]
        if thin.count < curve.count {
            let (means, weights) = curve.means(in: columns)
            table["means"] = .table([
                "steps": .list(means.steps.map(Value.integer)), "seconds": numbers(means.seconds),
                "values": numbers(means.values), "weights": .list(weights.map(Value.integer)),
            ])
        }
        return .table(table)
    }

    private static func numbers(_ values: [Double]) -> Value { .list(values.map(Value.number)) }

    private static func pictures(_ run: RunRecord, most: Int) throws -> [Value] {
        try run.pictures.map { name, steps in
            let shown = spread(steps, most: most)
            let images = try shown.map { step -> Value in
                let bytes = try run.picture(name, step: step)
                // As text, in JSON, and in the page.
                try Memory.check(6 * bytes.count)
                return .string("data:image/png;base64," + Data(bytes).base64EncodedString())
            }
            return .table([
                "name": .string(name), "total": .integer(steps.count), "steps": .list(shown.map(Value.integer)),
                "images": .list(images),
            ])
        }
    }

    /// At most so many items, the first and the last among them, evenly spread.
    static func spread<Item>(_ items: [Item], most: Int) -> [Item] {
        guard items.count > most else { return items }
        guard most > 1 else { return Array(items.suffix(most)) }
        return (0..<most).map { items[$0 * (items.count - 1) / (most - 1)] }
    }
}
