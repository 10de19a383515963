import RiffleTensor

/// One number of the log over the steps.
package struct Curve: Sendable {
    package let name: String
    package internal(set) var steps: [Int] = []
    package internal(set) var seconds: [Double] = []
    /// As logged: NaN and infinity among them.
    package internal(set) var values: [Double] = []

    package init(_ name: String) { self.name = name }

    package mutating func append(step: Int, seconds: Double, _ value: Double) {
        steps.append(step)
        self.seconds.append(seconds)
        values.append(value)
    }

    package var count: Int { values.count }

    /// At each finite value, the mean of the finite values of the last `steps` steps; the others stay.
    package func smoothed(over steps: Int) -> Curve {
        var result = self
        let finite = values.indices.filter { values[$0].isFinite }
        var sum = 0.0
        var start = 0
        for (number, index) in finite.enumerated() {
            sum += values[index]
            while start < number, self.steps[finite[start]] <= self.steps[index] - steps {
                sum -= values[finite[start]]
                start += 1
            }
            // Added up anew now and then, the sum does not keep the rounding of every value that ever passed.
            if number % (number - start + 1) == 0 { sum = finite[start...number].reduce(0) { $0 + values[$1] } }
            result.values[index] = sum / Double(number - start + 1)
        }
        return result
    }

    /// A curve that looks the same when it is drawn `columns` pixels wide: of the values that fall into one column, the
    /// smallest, the largest, the first and the last stay, and the first that is not finite.
    package func thinned(to columns: Int) -> Curve {
        guard count > 4 * columns else { return self }
        var result = Curve(name)
        for range in ranges(columns) {
            for index in kept(range) { result.append(step: steps[index], seconds: seconds[index], values[index]) }
        }
        return result
    }

    /// The mean of the finite values of each column, NaN where there is none, with their numbers.
    package func means(in columns: Int) -> (curve: Curve, weights: [Int]) {
        var result = Curve(name)
        var weights: [Int] = []
        for range in ranges(columns) {
            let finite = range.filter { values[$0].isFinite }
            let middle = range.lowerBound + range.count / 2
            let mean = finite.reduce(0) { $0 + values[$1] } / Double(finite.count)
            result.append(step: steps[middle], seconds: seconds[middle], mean)
            weights.append(finite.count)
        }
        return (result, weights)
    }

    /// The values of each column, where the steps are drawn that many pixels wide.
    private func ranges(_ columns: Int) -> [Range<Int>] {
        guard let first = steps.min(), let last = steps.max() else { return [] }
        let width = max(1e-9, (Double(last) - Double(first)) / Double(columns))
        func column(_ index: Int) -> Int { min(columns - 1, Int((Double(steps[index]) - Double(first)) / width)) }
        var ranges: [Range<Int>] = []
        var start = 0
        while start < count {
            var end = start + 1
            while end < count, column(end) == column(start) { end += 1 }
            ranges.append(start..<end)
            start = end
        }
        return ranges
    }

    private func kept(_ range: Range<Int>) -> [Int] {
        var kept: Set<Int> = [range.lowerBound, range.upperBound - 1]
        let finite = range.filter { values[$0].isFinite }
        if let low = finite.min(by: { values[$0] < values[$1] }) { kept.insert(low) }
        if let high = finite.max(by: { values[$0] < values[$1] }) { kept.insert(high) }
        if let gap = range.first(where: { !values[$0].isFinite }) { kept.insert(gap) }
        return kept.sorted()
    }
}
