import Foundation
import RiffleTensor

extension Figure {
    /// How often numbers fall into bins of equal width, several samples over each other in the same bins.
    ///
    /// - Parameters:
    ///   - sets: names with numbers; those that are not finite, and those beyond the limits, are counted in the caption
    ///   alone.
    ///   - bins: 1 to 10000; where nil, the square root of the count of the smallest set, held within 5 to 100.
    ///   - limits: where the bins begin and end; where nil, they hold all finite numbers. A number at the upper end is
    ///   in the last bin.
    ///   - density: whether heights are densities instead of counts: a set's area is then the part of the set that is
    ///   within the limits.
    /// - Throws: `RiffleError` when there is no finite number.
    package static func histogram(
        _ sets: [(name: String, values: [Double])], bins: Int? = nil, limits: ClosedRange<Double>? = nil,
        density: Bool = false
    ) throws -> Figure {
        guard let smallest = sets.map(\.values.count).min(), smallest > 0 else {
            throw RiffleError("", "a histogram is of one number or more")
        }
        let bins = bins ?? min(100, max(5, Int(Double(smallest).squareRoot().rounded(.up))))
        guard (1...mostBins).contains(bins) else {
            throw RiffleError("", "a histogram has 1 to \(mostBins) bins, got \(bins)")
        }
        let range = try limits ?? common(sets)
        let width = (range.upperBound - range.lowerBound) / Double(bins)
        guard width.isFinite, width > 0 else {
            throw RiffleError(
                "",
                "bins from \(riffleFormat(range.lowerBound)) to \(riffleFormat(range.upperBound)) have no width that a "
                    + "number holds"
            )
        }
        let edges = (0...bins).map { range.lowerBound + Double($0) * width }
        var strange = 0
        var outside = 0
        let series = sets.map { name, values in
            var heights = [Double](repeating: 0, count: bins + 1)
            for value in values {
                guard value.isFinite else {
                    strange += 1
                    continue
                }
                guard range.contains(value) else {
                    outside += 1
                    continue
                }
                heights[min(bins - 1, Int((value - range.lowerBound) / width))] += 1
            }
            let scale = density ? 1 / (Double(values.count) * width) : 1
            return Series(name, x: edges, y: heights.map { $0 * scale })
        }
        let notes = [(outside, "outside"), (strange, "not finite")].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        var figure = Figure(.bars, [Panel(notes.isEmpty ? "" : "(\(notes.joined(separator: ", ")))", series)])
        figure.xLimits = range
        return figure
    }

    /// The most bins of a histogram.
    package static let mostBins = 10_000

    /// The smallest and the largest finite number, with a margin around them where they are equal.
    private static func common(_ sets: [(name: String, values: [Double])]) throws -> ClosedRange<Double> {
        var low = Double.infinity
        var high = -Double.infinity
        for value in sets.lazy.flatMap(\.values) where value.isFinite {
            low = min(low, value)
            high = max(high, value)
        }
        guard low <= high else { throw RiffleError("", "a histogram is of finite numbers, and there is none") }
        // Equal numbers stand in the middle of a bin.
        let margin = low < high ? 0 : max(abs(low) * 0.5, 0.5)
        return low - margin...high + margin
    }
}
