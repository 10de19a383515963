import RiffleFigures
import RiffleIO
import RiffleTensor

/// Figures as PNG files.
enum PlotLibrary {
    private static let labels = [
        Argument("title", .string, default: .string("")), Argument("x_label", .string, default: .string("")),
        Argument("y_label", .string, default: .string("")),
        Argument(
            "order", .list(.string), "the names of a table in the order to show them; else they are sorted",
            default: .none),
    ]

    static let functions: [Function] = [
        Function(
            "plot.scatter",
            [
                Argument("path", .string, "of the PNG"),
                Argument("sets", .any, "points [n, 2], a table of them by name, or a list of { name, points }"),
            ] + labels + [
                Argument(
                    "limits", .list(.number), "of both axes; what the points need where not given", default: .none),
                Argument("columns", .integer(1...Figure.mostPanels), "panels a row", default: .none),
                Argument("together", .boolean, "whether to draw all sets in one panel", default: .boolean(false)),
            ],
            Doc(
                "Draws points of the plane, a panel for each set, with the same axes.",
                example:
                    """
                    > local path = os.tmpname(); riffle.plot.scatter(path, { noise = riffle.randn(100, 2) })
                    > local x = riffle.image.load(path); os.remove(path); return x:shape()[3]
                    3
                    """
            )
        ) { arguments in
            let sets = try entries(arguments[named: "sets"], order: arguments).map { name, value in
                guard let samples = Arguments([value]).optionalTensor(0) else {
                    throw RiffleError("", "points are a tensor [n, 2]" + of(name))
                }
                return (name: name, samples: samples)
            }
            var figure = try Figure.scatter(sets, together: arguments.boolean("together"))
            label(&figure, arguments)
            figure.xLimits = try arguments.range("limits")
            figure.yLimits = figure.xLimits
            figure.columns = arguments.optionalInteger("columns")
            try figure.save(to: arguments.string("path"))
            return []
        },
        Function(
            "plot.line",
            [
                Argument("path", .string, "of the PNG"),
                Argument(
                    "series", .any,
                    "numbers, points [n, 2] or { x =, y = }; a table of them by name, or a list of { name, numbers }"),
            ] + labels + [
                Argument("log_x", .boolean, default: .boolean(false)),
                Argument("log_y", .boolean, default: .boolean(false)),
                Argument("x_limits", .list(.number), default: .none),
                Argument("y_limits", .list(.number), default: .none),
            ],
            Doc(
                "Draws lines through numbers, with a legend.",
                example:
                    """
                    > local path = os.tmpname(); riffle.plot.line(path, { loss = { 3, 2, 1 } })
                    > local x = riffle.image.load(path); os.remove(path); return x:shape()[3]
                    3
                    """
            )
        ) { arguments in
            let lines = try entries(arguments[named: "series"], order: arguments).map(series)
            var figure = Figure(.lines, [Figure.Panel("", lines)])
            label(&figure, arguments)
            (figure.xIsLogarithmic, figure.yIsLogarithmic) = (arguments.boolean("log_x"), arguments.boolean("log_y"))
            (figure.xLimits, figure.yLimits) = (try arguments.range("x_limits"), try arguments.range("y_limits"))
            try figure.save(to: arguments.string("path"))
            return []
        },
        Function(
            "plot.hist",
            [
                Argument("path", .string, "of the PNG"),
                Argument(
                    "samples", .any,
                    "numbers, a list or a tensor of any shape; a table of them by name, or a list of "
                        + "{ name, numbers }"),
            ] + labels + [
                Argument(
                    "bins", .integer(1...Figure.mostBins),
                    "of equal width; the root of the smallest count, 5 to 100, where not given", default: .none),
                Argument(
                    "limits", .list(.number), "of the bins; what the numbers need where not given", default: .none),
                Argument(
                    "density", .boolean, "parts of each sample by width, in place of counts", default: .boolean(false)),
            ],
            Doc(
                "Draws how often numbers fall into bins, several samples over each other.",
                example:
                    """
                    > local path = os.tmpname(); riffle.plot.hist(path, { noise = riffle.randn(1000) }, { bins = 20 })
                    > local x = riffle.image.load(path); os.remove(path); return x:shape()[3]
                    3
                    """
            )
        ) { arguments in
            let sets = try entries(arguments[named: "samples"], order: arguments).map { name, value in
                let tensor = Arguments([value]).optionalTensor(0)
                return (name: name, values: try tensor?.doubles() ?? numbers(value, name))
            }
            var figure = try Figure.histogram(
                sets, bins: arguments.optionalInteger("bins"), limits: arguments.range("limits"),
                density: arguments.boolean("density"))
            label(&figure, arguments)
            if figure.yLabel.isEmpty { figure.yLabel = arguments.boolean("density") ? "density" : "count" }
            try figure.save(to: arguments.string("path"))
            return []
        },
    ]

    static let classes: [ObjectClass] = []

    private static func label(_ figure: inout Figure, _ arguments: Arguments) {
        (figure.title, figure.xLabel, figure.yLabel) = (
            arguments.string("title"), arguments.string("x_label"), arguments.string("y_label")
        )
    }

    private static func of(_ name: String) -> String { name.isEmpty ? "" : " (of '\(name)')" }

    /// Names with values: of a table in the order asked for, of a list of pairs in theirs; anything else has no name.
    private static func entries(_ value: Value, order arguments: Arguments) throws -> [(String, Value)] {
        let order = arguments.strings("order")
        if let twice = order.first(where: { name in order.count { $0 == name } > 1 }) {
            throw RiffleError("", "order names '\(twice)' twice")
        }
        if case .table(let table) = value {
            return try (order.isEmpty ? table.keys.sorted() : order).map { name in
                guard let entry = table[name] else {
                    throw RiffleError("", "there is nothing named '\(name)'" + suggestion(for: name, among: table.keys))
                }
                return (name, entry)
            }
        }
        guard order.isEmpty else { throw RiffleError("", "order is for a table of names") }
        // A sampler at the end of { name, flow.jump(...) } puts its report behind the points.
        let pairs = value.list.compactMap { item -> (String, Value)? in
            guard case .list(let pair) = item, pair.count == 2 || pair.count == 3, case .string(let name) = pair[0]
            else { return nil }
            if pair.count == 3, case .table = pair[2] { return (name, pair[1]) }
            return pair.count == 2 ? (name, pair[1]) : nil
        }
        if case .list(let items) = value, !pairs.isEmpty {
            guard pairs.count == items.count else {
                throw RiffleError("", "a list of { name, values } holds something else as well")
            }
            return pairs
        }
        return [("", value)]
    }

    private static func series(_ name: String, _ value: Value) throws -> Figure.Series {
        if case .table(let table) = value, let x = table["x"], let y = table["y"], table.count == 2 {
            return Figure.Series(name, x: try numbers(x, name), y: try numbers(y, name))
        }
        if let points = Arguments([value]).optionalTensor(0), points.rank == 2, points.shape[1] == 2 {
            let flat = try points.doubles()
            try Memory.check(flat.count * MemoryLayout<Double>.stride)
            func column(_ first: Int) -> [Double] { stride(from: first, to: flat.count, by: 2).map { flat[$0] } }
            return Figure.Series(name, x: column(0), y: column(1))
        }
        let y = try numbers(value, name)
        return Figure.Series(name, x: y.indices.map { Double($0 + 1) }, y: y)
    }

    private static func numbers(_ value: Value, _ name: String) throws -> [Double] {
        if let tensor = Arguments([value]).optionalTensor(0), tensor.rank == 1 { return try tensor.doubles() }
        if case .list(let items) = value {
            let numbers = items.compactMap { Arguments([$0]).optionalNumber(0) }
            if numbers.count == items.count { return numbers }
        }
        throw RiffleError("", "numbers are a list or a tensor; a line's [n], [n, 2] or { x =, y = }" + of(name))
    }
}
