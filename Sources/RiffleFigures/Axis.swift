import Foundation

/// One coordinate of a plot: its limits and its ticks.
struct Axis {
    let low: Double, high: Double
    let isLogarithmic: Bool
    /// Ticks with a label.
    private(set) var ticks: [(value: Double, label: String)] = []
    /// Ticks between them, without a label.
    private(set) var minor: [Double] = []

    /// An axis between two limits, with about `count` ticks. Limits that are not apart, or that a logarithmic axis
    /// cannot have, are replaced.
    init(_ low: Double, _ high: Double, isLogarithmic: Bool = false, count: Int = 5) {
        var low = low.isFinite ? low : 0
        var high = high.isFinite ? high : 1
        if isLogarithmic {
            if low <= 0 { low = high > 0 ? high / 10 : 0.1 }
            if high / low < 1.001 { (low, high) = (low / 2, low * 2) }
        } else if high - low <= 1e-9 * max(abs(low), abs(high)) || high <= low {
            let margin = low == 0 ? 1 : max(abs(low) * 0.1, 1e-9)
            (low, high) = (low - margin, low + margin)
        }
        self.low = low
        self.high = high
        self.isLogarithmic = isLogarithmic
        if isLogarithmic { markDecades(count) } else { markSteps(count) }
    }

    /// An axis that holds all values that it can show, with a margin at both ends, as a part of the axis's length.
    init(holding values: some Sequence<Double>, isLogarithmic: Bool = false, margin: Double = 0.04, count: Int = 5) {
        var low = Double.infinity
        var high = -Double.infinity
        for value in values where value.isFinite && (!isLogarithmic || value > 0) {
            low = min(low, value)
            high = max(high, value)
        }
        if low > high { (low, high) = isLogarithmic ? (0.1, 1) : (0, 1) }
        if isLogarithmic {
            let factor = pow(high / low, margin)
            self.init(low / factor, high * factor, isLogarithmic: true, count: count)
            // A few whole numbers, such as 1, 2, 4 and 8 steps, become the ticks: readers look for them.
            let distinct = Set(values)
            if (2...8).contains(distinct.count), distinct.allSatisfy({ $0 > 0 && $0 < 1e5 && $0 == $0.rounded() }) {
                ticks = distinct.sorted().map { ($0, "\(Int($0))") }
                minor = []
            }
        } else {
            let gap = margin * (high - low)
            self.init(low - gap, high + gap, count: count)
        }
    }

    /// A value's position, from 0 at `low` to 1 at `high`; nil for a value that no axis of this kind can show.
    func part(_ value: Double) -> Double? {
        guard value.isFinite, !isLogarithmic || value > 0 else { return nil }
        let part = isLogarithmic ? log(value / low) / log(high / low) : (value - low) / (high - low)
        // Far outside is far enough: cairo's coordinates have 24 bits.
        return min(max(part, -10), 11)
    }

    // MARK: - Ticks

    private mutating func markSteps(_ count: Int) {
        let rough = (high - low) / Double(max(count, 1))
        let decade = pow(10, floor(log10(rough)))
        let step = decade * ([1, 2, 5, 10].first { $0 * decade >= 0.999 * rough } ?? 10)
        guard step.isFinite, step > 0 else { return }
        let first = ceil(low / step - 1e-9)
        let last = floor(high / step + 1e-9)
        guard last - first < 100 else { return }
        // Adding zero turns -0 into 0.
        let values = stride(from: first, through: last, by: 1).map { $0 * step + 0 }
        ticks = values.map { ($0, Axis.label($0, step: step, largest: max(abs(low), abs(high)))) }
    }

    private mutating func markDecades(_ count: Int) {
        let first = floor(log10(low))
        let last = ceil(log10(high))
        guard first.isFinite, last.isFinite else { return }
        func values(_ digits: [Double]) -> [Double] {
            stride(from: first, through: last, by: 1).flatMap { decade in digits.map { $0 * pow(10, decade) } }
                .filter { $0 >= low * 0.999999 && $0 <= high * 1.000001 }
        }
        let decades = values([1])
        if decades.count >= 3 {
            let every = (decades.count + count) / (count + 1)
            ticks = decades.enumerated().filter { $0.offset % every == 0 }.map { ($0.element, Axis.power($0.element)) }
            minor = every == 1 ? values([2, 3, 4, 5, 6, 7, 8, 9]) : decades
        } else if values([1, 2, 5]).count >= 2 {
            ticks = values([1, 2, 5]).map { ($0, Axis.label($0, step: pow(10, floor(log10($0))), largest: high)) }
            minor = values([3, 4, 6, 7, 8, 9])
        } else {
            markSteps(count - 1)
        }
    }

    /// A number with as many decimals as the step between ticks needs.
    private static func label(_ value: Double, step: Double, largest: Double) -> String {
        if largest >= 1e5 || step < 1e-4 {
            if value == 0 { return "0" }
            let exponent = floor(log10(abs(value)) + 1e-12)
            let digits = value / pow(10, exponent)
            return signed(String(format: "%.4g", digits)) + "·" + power(pow(10, exponent))
        }
        let decimals = max(0, Int(-floor(log10(step) + 1e-9)))
        return signed(String(format: "%.\(decimals)f", value))
    }

    /// A power of ten.
    private static func power(_ value: Double) -> String {
        let exponent = Int(log10(value).rounded())
        let digits: [Character: Character] = [
            "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸",
            "9": "⁹",
        ]
        return "10" + String("\(exponent)".map { digits[$0] ?? $0 })
    }

    private static func signed(_ number: String) -> String { number.replacingOccurrences(of: "-", with: "\u{2212}") }
}
