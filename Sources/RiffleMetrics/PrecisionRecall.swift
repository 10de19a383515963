import RiffleTensor

extension Metrics {
    /// How far generated samples lie among real ones, and real among generated, each from 0 to 1 but for the density.
    package struct PrecisionRecall: Sendable {
        /// The share of generated samples that lie in the ball of a real one.
        package let precision: Double
        /// The share of real samples that lie in the ball of a generated one.
        package let recall: Double
        /// In how many balls of real samples a generated one lies, in the mean, over the number of neighbours.
        package let density: Double
        /// The share of real samples whose ball holds a generated one.
        package let coverage: Double
    }

    /// Precision and recall, density and coverage. A sample's ball reaches as far as its k-th nearest neighbour in its
    /// own set, borders included.
    ///
    /// Takes (n + m)^2 distances in bounded memory: 10,000 samples of 2048 features on either side take 35 s of one
    /// core beside other programs.
    /// - Parameters:
    ///   - real: features `[n, ...]`; all but the first dimension are coordinates.
    ///   - generated: features `[m, ...]`.
    ///   - neighbours: k.
    /// - Throws: `RiffleError` when shapes do not fit, numbers are not finite, or a set has no k-th neighbours.
    /// - Source: Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 3 and 5.
    package static func precisionRecall(real: Tensor, generated: Tensor, neighbours: Int = 3) throws -> PrecisionRecall
    {
        let (x, y) = try pair(real, generated), (n, m) = (x.shape[0], y.shape[0])
        guard neighbours >= 1, neighbours < min(n, m) else {
            throw RiffleError(
                "",
                "neighbours are 1 or more, and fewer than there are samples, got \(neighbours) (real \(real.shape), "
                    + "generated \(generated.shape))")
        }
        try Memory.check((n + m) * (neighbours + 4) * MemoryLayout<Double>.stride)
        return try withoutGradient {
            let products = try SampleProducts(of: x, y)
            let (reach, others) = (try radii(products, x, neighbours), try radii(products, y, neighbours))
            // For each generated sample, how many balls it lies in; for each real one, whether it lies in a ball, and
            // whether its own holds a sample.
            var balls = [Int](repeating: 0, count: m)
            var isReached = [Bool](repeating: false, count: n), isCovering = isReached
            let pairs = try PairDistances(products, x, y)
            try pairs.each { row, column, bounds in
                if pairs.isDistance(row, column, bounds, within: reach[row]) {
                    balls[column] += 1
                    isCovering[row] = true
                }
                if !isReached[row], pairs.isDistance(row, column, bounds, within: others[column]) {
                    isReached[row] = true
                }
            }
            return PrecisionRecall(
                precision: Double(balls.count { $0 > 0 }) / Double(m),
                recall: Double(isReached.count { $0 }) / Double(n),
                density: Double(balls.reduce(0, +)) / Double(neighbours * m),
                coverage: Double(isCovering.count { $0 }) / Double(n))
        }
    }

    /// The squared distance from each sample to its k-th nearest neighbour in the same set, itself not counted.
    private static func radii(_ products: SampleProducts, _ x: Tensor, _ neighbours: Int) throws -> [Double] {
        // The sample itself is at 0, so that with it there are k + 1; each row of these is in order.
        let kept = neighbours + 1
        var smallest = [Double](repeating: .infinity, count: x.shape[0] * kept)
        let pairs = try PairDistances(products, x, x)
        try smallest.withUnsafeMutableBufferPointer { smallest in
            try pairs.each { row, column, bounds in
                var slot = row * kept + neighbours
                guard bounds.least < smallest[slot] else { return }
                let exact = pairs.distance(row, column)
                guard exact < smallest[slot] else { return }
                while slot > row * kept, smallest[slot - 1] > exact {
                    smallest[slot] = smallest[slot - 1]
                    slot -= 1
                }
                smallest[slot] = exact
            }
        }
        return (0..<x.shape[0]).map { smallest[$0 * kept + neighbours] }
    }
}

/// The squared distances of all pairs of samples: by float32 products as far as those can tell, and in float64 from the
/// differences themselves where more has to be known.
private struct PairDistances {
    private let products: SampleProducts
    private let x: Tensor
    private let y: Tensor
    private let left: [Double]
    private let right: [Double]

    /// Between these a squared distance lies, in the square of the products' unit.
    struct Bounds {
        let least: Double
        let most: Double
    }

    init(_ products: SampleProducts, _ x: Tensor, _ y: Tensor) throws {
        self.products = products
        self.x = x
        self.y = y
        left = try products.squares(x)
        right = try products.squares(y)
    }

    func each(_ body: (_ row: Int, _ column: Int, _ bounds: Bounds) -> Void) throws {
        try products.each(x, y) { tile in
            for (row, number) in tile.rows.enumerated() {
                let line = tile.row(row)
                for (index, column) in tile.columns.enumerated() {
                    let squares = left[number] + right[column], middle = squares - 2 * Double(line[index])
                    // What float32 rounds off, and what of products it has no numbers small enough for.
                    let slack = squares * products.slack + 1e-30
                    body(number, column, Bounds(least: middle - slack, most: middle + slack))
                }
            }
        }
    }

    func isDistance(_ row: Int, _ column: Int, _ bounds: Bounds, within limit: Double) -> Bool {
        bounds.least <= limit && (bounds.most <= limit || distance(row, column) <= limit)
    }

    func distance(_ row: Int, _ column: Int) -> Double {
        x.dtype == .float64 ? distance(row, column, Double.self) : distance(row, column, Float.self)
    }

    private func distance<Number: BinaryFloatingPoint>(_ row: Int, _ column: Int, _ type: Number.Type) -> Double {
        let size = x.shape[1], scale = 1 / products.unit
        let a = x.pointer.assumingMemoryBound(to: type) + row * size
        let b = y.pointer.assumingMemoryBound(to: type) + column * size
        func square(_ index: Int) -> Double {
            let gap = (Double(a[index]) - Double(b[index])) * scale
            return gap * gap
        }
        // Four sums, none of which waits for another.
        var sums = (0.0, 0.0, 0.0, 0.0), index = 0
        while index + 4 <= size {
            sums.0 += square(index)
            sums.1 += square(index + 1)
            sums.2 += square(index + 2)
            sums.3 += square(index + 3)
            index += 4
        }
        while index < size {
            sums.0 += square(index)
            index += 1
        }
        return sums.0 + sums.1 + (sums.2 + sums.3)
    }
}
