import RiffleTensor

/// Points, lines or histograms in one or more panels side by side, drawn for a report.
package struct Figure: Sendable {
    /// Points of one name and colour. In a histogram these are the bins' left edges with their heights, and the last
    /// edge with 0.
    package struct Series: Sendable {
        package var name: String
        package var x: [Double], y: [Double]

        package init(_ name: String, x: [Double], y: [Double]) {
            self.name = name
            self.x = x
            self.y = y
        }
    }

    package struct Panel: Sendable {
        package var title: String
        package var series: [Series]

        package init(_ title: String = "", _ series: [Series]) {
            self.title = title
            self.series = series
        }
    }

    package enum Mark: Sendable { case points, lines, bars }

    package var panels: [Panel]
    package var mark: Mark
    package var title = "", xLabel = "", yLabel = ""
    package var xIsLogarithmic = false, yIsLogarithmic = false
    /// Whether each panel has a y axis of its own; else all have the same.
    package var hasOwnYAxes = false
    /// Limits of each axis, the same in all panels; where nil, limits that hold the data.
    package var xLimits: ClosedRange<Double>?, yLimits: ClosedRange<Double>?
    /// Panels per row; where nil, all of up to five panels in one row, else four.
    package var columns: Int?

    package init(_ mark: Mark, _ panels: [Panel]) {
        self.mark = mark
        self.panels = panels
    }

    /// The most panels in a figure.
    package static let mostPanels = 64

    /// Draws the figure and writes it as a PNG, whole or not at all.
    /// - Parameter text: texts that the file keeps, by key.
    /// - Throws: `RiffleError` when there is nothing to draw or the file cannot be written.
    package func save(to path: String, text: [String: String] = [:]) throws {
        guard (1...Figure.mostPanels).contains(panels.count) else {
            throw RiffleError("", "a figure has 1 to \(Figure.mostPanels) panels, got \(panels.count)")
        }
        let words = [title, xLabel, yLabel] + panels.flatMap { [$0.title] + $0.series.map(\.name) }
        if let text = words.first(where: { $0.utf8.contains(0) }) {
            throw RiffleError("", "the text '\(text)' holds a zero byte, which no picture can show")
        }
        for series in panels.flatMap(\.series) where series.x.count != series.y.count {
            throw RiffleError("", "'\(series.name)' has \(series.x.count) x and \(series.y.count) y")
        }
        guard panels.flatMap(\.series).contains(where: { zip($0.x, $0.y).contains(where: canShow) }) else {
            let isLogarithmic = xIsLogarithmic || yIsLogarithmic
            throw RiffleError(
                "",
                "there is nothing to draw: no point has finite "
                    + "numbers\(isLogarithmic ? ", above 0 where an axis is logarithmic" : "")"
            )
        }
        for (name, limits, isLogarithmic) in [("x", xLimits, xIsLogarithmic), ("y", yLimits, yIsLogarithmic)] {
            guard isLogarithmic, let limits, limits.lowerBound <= 0 else { continue }
            throw RiffleError(
                "", "a logarithmic axis begins above 0, and the limits of \(name) at \(riffleFormat(limits.lowerBound))"
            )
        }
        // A point takes about 60 bytes while it is drawn.
        try Memory.check(60 * panels.flatMap(\.series).reduce(0) { $0 + $1.x.count })
        let drawing = Drawing(self)
        let canvas = try Canvas(width: drawing.width, height: drawing.height)
        drawing.draw(on: canvas)
        try canvas.save(to: path, text: text)
    }

    /// Whether axes of these kinds can show a point at all.
    fileprivate func canShow(_ x: Double, _ y: Double) -> Bool {
        x.isFinite && y.isFinite && (x > 0 || !xIsLogarithmic) && (y > 0 || !yIsLogarithmic)
    }

    /// Samples in the plane, a panel for each set (or one for all), in the order given.
    /// - Parameter sets: names with samples `[n, 2]`.
    package static func scatter(_ sets: [(name: String, samples: Tensor)], together: Bool = false) throws -> Figure {
        let series = try sets.map { name, samples in
            guard samples.rank == 2, samples.shape[1] == 2 else {
                throw RiffleError(
                    "", "points of the plane are [n, 2], got \(samples.shape)" + (name.isEmpty ? "" : " for '\(name)'"))
            }
            let numbers = try samples.doubles()
            try Memory.check(numbers.count * MemoryLayout<Double>.stride)
            let x = stride(from: 0, to: numbers.count, by: 2).map { numbers[$0] }
            let y = stride(from: 1, to: numbers.count, by: 2).map { numbers[$0] }
            return Series(name, x: x, y: y)
        }
        return Figure(
            .points, together ? [Panel("", series)] : series.map { Panel($0.name, [Series("", x: $0.x, y: $0.y)]) })
    }
}

/// The layout of a figure.
private struct Drawing {
    let figure: Figure
    let xAxis: Axis
    /// The y axis of each panel.
    private let yAxes: [Axis]
    let width: Double, height: Double
    private let frames: [Frame]
    private let captions: [String]
    private let legend: [String]
    private let columns: Int

    init(_ figure: Figure) {
        self.figure = figure
        let isScatter = figure.mark == .points, isHistogram = figure.mark == .bars,
            all = figure.panels.flatMap(\.series)
        var across = Drawing.axis(
            figure.xLimits, all.map(\.x), figure.xIsLogarithmic, isScatter, count: isScatter ? 5 : 6)
        // Bars stand on zero.
        let highest = all.flatMap(\.y).filter(\.isFinite).max() ?? 0
        let heights: ClosedRange<Double>? = isHistogram ? 0...(highest > 0 ? highest + 0.05 * highest : 1) : nil
        var down = Drawing.axis(figure.yLimits ?? heights, all.map(\.y), figure.yIsLogarithmic, isScatter, count: 5)
        if isScatter, figure.xLimits == nil, figure.yLimits == nil, !figure.xIsLogarithmic, !figure.yIsLogarithmic {
            // A plane has one scale: the longer axis decides for both.
            let half = max(across.high - across.low, down.high - down.low) / 2
            func widened(_ axis: Axis) -> Axis {
                let middle = (axis.low + axis.high) / 2
                return Axis(middle - half, middle + half)
            }
            across = widened(across)
            down = widened(down)
        }
        let count = figure.panels.count
        xAxis = across
        yAxes = figure.panels.map { panel in
            guard figure.hasOwnYAxes else { return down }
            return Drawing.axis(figure.yLimits, panel.series.map(\.y), figure.yIsLogarithmic, isScatter, count: 5)
        }

        columns = min(count, max(1, figure.columns ?? (count <= 5 ? count : 4)))
        let rows = (count + columns - 1) / columns
        legend = all.map(\.name).contains { !$0.isEmpty } ? (figure.panels.first?.series.map(\.name) ?? []) : []
        let panelWidth: Double = isScatter ? 220 : count > 1 ? 300 : 440
        let panelHeight: Double = isScatter || count > 1 ? 220 : 290
        // Texts left and right of the panels get somewhat more than six points per letter, so that none is cut off.
        let longestTick = Double(yAxes.flatMap(\.ticks).map(\.label.count).max() ?? 0),
            longestName = Double(legend.map(\.count).max() ?? 0)
        let left: Double = 18 + 6.5 * longestTick + (figure.yLabel.isEmpty ? 0 : 20)
        let right: Double = 16 + (legend.isEmpty ? 0 : 36 + 7.2 * longestName)
        captions = figure.panels.map(figure.caption)
        let titles: Double = captions.contains { !$0.isEmpty } ? 22 : 0
        let top: Double = 14 + (figure.title.isEmpty ? 0 : 26), bottom: Double = 28 + (figure.xLabel.isEmpty ? 0 : 20)
        let gap = figure.hasOwnYAxes ? 24 + 6.5 * longestTick : 18
        let stepX = panelWidth + gap, stepY = panelHeight + titles + 16
        width = left + Double(columns) * stepX - gap + right
        // A long legend may be higher than the panels.
        height = max(top + Double(rows) * stepY - 16, top + titles + 18 * Double(legend.count) + 10) + bottom
        frames = (0..<count).map { [columns] panel in
            Frame(
                x: left + Double(panel % columns) * stepX, y: top + titles + Double(panel / columns) * stepY,
                width: panelWidth,
                height: panelHeight)
        }
    }

    /// An axis that holds the values. In a scatter plot a few samples far out do not squeeze the others: the axis holds
    /// all but a thousandth of each set on either side.
    private static func axis(
        _ limits: ClosedRange<Double>?, _ values: [[Double]], _ isLogarithmic: Bool, _ isScatter: Bool, count: Int
    ) -> Axis {
        if let limits { return Axis(limits.lowerBound, limits.upperBound, isLogarithmic: isLogarithmic, count: count) }
        guard isScatter else { return Axis(holding: values.joined(), isLogarithmic: isLogarithmic, count: count) }
        let kept = values.flatMap { values in
            let sorted = values.filter(\.isFinite).sorted()
            return [sorted.dropFirst(sorted.count / 1000).first, sorted.dropLast(sorted.count / 1000).last].compactMap {
                $0
            }
        }
        return Axis(holding: kept, isLogarithmic: isLogarithmic, margin: 0.06, count: count)
    }

    func draw(on canvas: Canvas) {
        guard let first = frames.first, let last = frames.last else { return }
        let right = frames.map(\.right).max() ?? last.right
        let middle = (first.x + right) / 2
        if !figure.title.isEmpty { canvas.text(figure.title, x: middle, y: 22, .heading, anchor: 0.5) }
        for (number, panel) in figure.panels.enumerated() {
            let frame = frames[number]
            // Where axes are alike, numbers stand at the left of a row and below the lowest panel of a column.
            let (left, below) = (number % columns == 0, number + columns >= figure.panels.count)
            drawAxes(on: canvas, frame, yAxes[number], left: left || figure.hasOwnYAxes, below: below)
            canvas.clipped(to: frame) {
                for (index, series) in panel.series.enumerated() {
                    draw(series, yAxes[number], Drawing.color(index), on: canvas, frame)
                }
            }
            canvas.text(captions[number], x: frame.x + frame.width / 2, y: frame.y - 8, .title, anchor: 0.5)
        }
        canvas.text(figure.xLabel, x: middle, y: height - 10, .label, anchor: 0.5)
        canvas.text(figure.yLabel, x: 16, y: (first.y + last.bottom) / 2, .label, anchor: 0.5, upwards: true)
        for (index, name) in legend.enumerated() {
            let y = first.y + 10 + 18 * Double(index)
            let x = right + 14
            switch figure.mark {
            case .lines: canvas.line([(x, y), (x + 16, y)], Drawing.color(index), width: 2)
            case .points: canvas.dots([(x + 8, y)], Drawing.color(index), radius: 4)
            case .bars: canvas.area([(x, y + 5), (x, y - 5), (x + 16, y - 5), (x + 16, y + 5)], Drawing.color(index))
            }
            canvas.text(name, x: x + 24, y: y, .label, rise: 0.5)
        }
    }

    private static func color(_ index: Int) -> Color { Color.series[index % Color.series.count] }

    private func drawAxes(on canvas: Canvas, _ frame: Frame, _ yAxis: Axis, left: Bool, below: Bool) {
        func x(_ value: Double) -> Double? { xAxis.part(value).map { frame.x + $0 * frame.width } }
        func y(_ value: Double) -> Double? { yAxis.part(value).map { frame.bottom - $0 * frame.height } }
        for (value, label) in xAxis.ticks {
            guard let x = x(value) else { continue }
            canvas.line([(x, frame.y), (x, frame.bottom)], .grid, width: 0.7)
            canvas.line([(x, frame.bottom), (x, frame.bottom + 4)], .axis)
            if below { canvas.text(label, x: x, y: frame.bottom + 8, .tick, anchor: 0.5, rise: 1) }
        }
        for (value, label) in yAxis.ticks {
            guard let y = y(value) else { continue }
            canvas.line([(frame.x, y), (frame.right, y)], .grid, width: 0.7)
            canvas.line([(frame.x - 4, y), (frame.x, y)], .axis)
            if left { canvas.text(label, x: frame.x - 7, y: y, .tick, anchor: 1, rise: 0.5) }
        }
        for x in xAxis.minor.compactMap(x) {
            canvas.line([(x, frame.bottom), (x, frame.bottom + 2)], .axis, width: 0.7)
        }
        for y in yAxis.minor.compactMap(y) { canvas.line([(frame.x - 2, y), (frame.x, y)], .axis, width: 0.7) }
        canvas.line([(frame.x, frame.y), (frame.x, frame.bottom), (frame.right, frame.bottom)], .axis)
    }

    private func draw(
        _ series: Figure.Series, _ yAxis: Axis, _ color: Color, on canvas: Canvas, _ frame: Frame
    ) {
        let points = zip(series.x, series.y).map { x, y -> (x: Double, y: Double)? in
            guard let across = xAxis.part(x), let up = yAxis.part(y) else { return nil }
            return (frame.x + across * frame.width, frame.bottom - up * frame.height)
        }
        switch figure.mark {
        case .points:
            // The more points there are, the smaller and fainter they are drawn.
            let many = Double(max(points.count, 1))
            let opacity = min(0.85, max(0.15, 30 / many.squareRoot())),
                radius = min(2.4, max(0.8, 40 / many.squareRoot()))
            canvas.dots(points.lazy.compactMap { $0 }, color, radius: radius, opacity: opacity)
        case .lines:
            for piece in points.split(whereSeparator: { $0 == nil }) {
                canvas.line(piece.compactMap { $0 }, color, width: 1.7)
            }
            if points.count <= 30 { canvas.dots(points.compactMap { $0 }, color, radius: 2.8) }
        case .bars:
            let corners = points.compactMap { $0 }
            guard let first = corners.first, let last = corners.last else { return }
            let steps = zip(corners, corners.dropFirst()).flatMap { [$0, (x: $1.x, y: $0.y)] }
            canvas.area([(first.x, frame.bottom)] + steps + [(last.x, frame.bottom)], color)
        }
    }
}

extension Figure {
    /// A panel's title, and how many of the panel's points cannot be shown.
    fileprivate func caption(_ panel: Panel) -> String {
        var strange = 0
        var low = 0
        for series in panel.series {
            for (x, y) in zip(series.x, series.y) where !canShow(x, y) {
                if x.isFinite, y.isFinite { low += 1 } else { strange += 1 }
            }
        }
        let notes = [(strange, "not finite"), (low, "not above 0")].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        return [panel.title, notes.isEmpty ? "" : "(\(notes.joined(separator: ", ")))"].filter { !$0.isEmpty }.joined(
            separator: " ")
    }
}
