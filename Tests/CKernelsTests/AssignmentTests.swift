import CKernels
import Testing

@Suite struct AssignmentTests {
    /// The column of each row, and the columns' dual variables.
    private func assign(_ cost: [Double], _ n: Int) -> (column: [Int], v: [Double]) {
        var (numbers, indices) = ([Double](repeating: 0, count: 3 * n), [Int32](repeating: 0, count: 4 * n))
        numbers.withUnsafeMutableBufferPointer { numbers in
            indices.withUnsafeMutableBufferPointer { indices in
                guard let number = numbers.baseAddress, let index = indices.baseAddress else { return }
                cost.withUnsafeBufferPointer { cost in
                    var work = rk_assignment(
                        n: n, cost: cost.baseAddress, column: index, row: index + n, v: number, distance: number + n,
                        level: number + 2 * n, from: index + 2 * n, scanned: index + 3 * n)
                    rk_assignment_begin(&work)
                    for row in 0..<n { rk_assignment_add(&work, row) }
                }
            }
        }
        return (indices[..<n].map(Int.init), Array(numbers[..<n]))
    }

    private func total(_ cost: [Double], _ column: [Int]) -> Double {
        column.enumerated().reduce(0) { $0 + cost[$1.offset * column.count + $1.element] }
    }

    /// The least sum over all permutations.
    private func least(_ cost: [Double], _ n: Int, row: Int = 0, taken: Set<Int> = []) -> Double {
        row == n
            ? 0
            : (0..<n).filter { !taken.contains($0) }
                .map { cost[row * n + $0] + least(cost, n, row: row + 1, taken: taken.union([$0])) }.min() ?? 0
    }

    @Test(arguments: 0...7) func findsTheLeastOfAllPermutations(n: Int) {
        for seed in 0..<20 as Range<UInt64> {
            // Whole numbers, of which the odd seeds have few, so that many sums are equal.
            let cost = noise(n * n, seed: seed).map { ($0 * (seed % 2 == 0 ? 1000 : 1)).rounded() }
            let column = assign(cost, n).column
            #expect(column.sorted() == Array(0..<n) && total(cost, column) == least(cost, n))
        }
    }

    enum Costs: CaseIterable { case random, few, equal, ranked, far }

    private func costs(_ kind: Costs, _ n: Int) -> [Double] {
        let numbers = noise(n * n, seed: 4)
        return switch kind {
        case .random: numbers
        case .few: numbers.map { ($0 * 2).rounded() }
        case .equal: numbers.map { _ in 3 }
        // The hardest for most methods: every row prefers the same columns.
        case .ranked: (0..<n * n).map { Double(($0 / n + 1) * ($0 % n + 1)) }
        case .far: numbers.map { $0 * 1e12 }
        }
    }

    /// Dual variables that no cost falls short of, and that the matched costs meet, prove that no assignment is better.
    @Test(arguments: Costs.allCases, [1, 15, 16, 17, 256]) func dualVariablesProveTheOptimum(kind: Costs, n: Int) {
        let cost = costs(kind, n)
        var found: [[Int]] = []
        atEachLevel { level in
            let (column, v) = assign(cost, n)
            let u = (0..<n).map { cost[$0 * n + column[$0]] - v[column[$0]] }
            let slack = (0..<n * n).map { cost[$0] - u[$0 / n] - v[$0 % n] }.min() ?? 0
            let scale = cost.map(abs).max() ?? 0
            #expect(column.sorted() == Array(0..<n))
            #expect(slack >= -1e-14 * scale, "level \(level.rawValue): \(slack)")
            found.append(column)
        }
        #expect(found.allSatisfy { $0 == found[0] }, "levels differ")
    }

    /// Whatever the numbers, it ends, and rows have columns of their own.
    @Test func strangeCostsDoNoHarm() {
        for strange in [Double.nan, .infinity, -.infinity, 1.7e308, -1.7e308] {
            let cost = noise(30 * 30, seed: 6).map { $0 < 0 ? strange : $0 }
            #expect(assign(cost, 30).column.sorted() == Array(0..<30))
        }
    }

    @Test(arguments: [(0, 3, 4), (5, 3, 4), (50, 17, 3), (49, 33, 9), (97, 100, 1), (10, 40, 0), (9, 70, 600)])
    func distances(n: Int, m: Int, size: Int) {
        let (x, y) = (noise(n * size, seed: 1), noise(m * size, seed: 2))
        let wanted = (0..<n * m).map { (index: Int) -> Double in
            (0..<size).reduce(0.0) { sum, k in
                let gap = x[index / m * size + k] - y[index % m * size + k]
                return sum + gap * gap
            }
        }
        atEachLevel { level in
            let found = doubles(n * m) { rk_squared_distances(n, m, size, x, y, $0) }
            let errors = zip(found ?? [], wanted).map { abs($0 - $1) }
            #expect(found?.count == n * m && largest(errors) <= 1e-13 * Double(size + 1), "level \(level.rawValue)")
        }
    }
}
