import RiffleTensor

extension Metrics {
    /// The energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'|, not rooted, over all pairs (the V-statistic): never
    /// below 0, and 0 for equal sets of samples.
    ///
    /// Takes (n + m)^2 / 2 distances: about a second for 20,000 samples in the plane.
    /// - Parameters:
    ///   - a: samples `[n, ...]`; all but the first dimension are coordinates.
    ///   - b: samples `[m, ...]`.
    /// - Throws: `RiffleError` when shapes do not fit or numbers are not finite.
    /// - Source: Székely and Rizzo 2013, equation 6.
    package static func energyDistance(_ a: Tensor, _ b: Tensor) throws -> Double {
        let (x, y) = try pair(a, b)
        // Coordinates count from the first sample, so that float32 distinguishes close samples that are far from 0.
        let origin = try x.sliced(0, 0..<1)
        let (left, right) = try withoutGradient {
            (try Columns((x - origin).converted(to: .float32)), try Columns((y - origin).converted(to: .float32)))
        }
        let between = try left.distances(to: right) / (Double(left.count) * Double(right.count))
        let within = try [left, right].map { 2 * (try $0.distances(to: nil)) / (Double($0.count) * Double($0.count)) }
        return try distance(2 * between - within[0] - within[1], of: 2 * between, within: 1e-5)
    }

    /// The mean squared Euclidean distance between samples of the same number, such as a student's and its teacher's
    /// from the same noise: the sum over coordinates, the mean over samples.
    /// - Parameters:
    ///   - a: samples `[n, ...]`.
    ///   - b: samples of the same shape.
    /// - Throws: `RiffleError` when shapes differ or numbers are not finite.
    package static func endpointError(_ a: Tensor, _ b: Tensor) throws -> Double {
        let (x, y) = try pair(a, b)
        guard x.shape == y.shape else {
            throw RiffleError("", "samples of the same number are compared (a \(a.shape), b \(b.shape))")
        }
        let sum = zip(try x.doubles(), try y.doubles()).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        return try distance(sum / Double(x.shape[0]), of: sum, within: 0)
    }
}

/// Samples row by row and, eight at a time, coordinate by coordinate; lanes behind the last sample are zeros.
private struct Columns {
    let count: Int
    private let size: Int
    private let rows: [Float]
    private let lanes: [SIMD8<Float>]

    init(_ rows: Tensor) throws {
        try Memory.check(2 * rows.count * MemoryLayout<Float>.stride)
        let numbers = Array(rows.elements(Float.self))
        let size = rows.shape[1]
        var lanes = [SIMD8<Float>](repeating: .zero, count: (rows.shape[0] + 7) / 8 * size)
        for (index, number) in numbers.enumerated() {
            let (sample, coordinate) = index.quotientAndRemainder(dividingBy: size)
            lanes[sample / 8 * size + coordinate][sample % 8] = number
        }
        count = rows.shape[0]
        self.size = size
        self.rows = numbers
        self.lanes = lanes
    }

    /// The sum of the distances to all other samples; with nil, of the distances between each two of these samples.
    func distances(to other: Columns?) throws -> Double {
        let far = other ?? self
        var total = 0.0
        for sample in 0..<count {
            if sample % 64 == 0 { try Interrupt.check() }
            // Within one set only the samples behind this one count: the distances to those before are in the sum.
            total += rows.withUnsafeBufferPointer { rows in
                far.sum(to: rows[(sample * size)..<((sample + 1) * size)], from: other == nil ? sample + 1 : 0)
            }
        }
        return total
    }

    /// The sum of the distances from a point to the samples from number `first` on.
    private func sum(to point: Slice<UnsafeBufferPointer<Float>>, from first: Int) -> Double {
        lanes.withUnsafeBufferPointer { lanes in
            var total = 0.0
            for group in (first / 8)..<max(first / 8, (count + 7) / 8) {
                var squares = SIMD8<Float>.zero
                for coordinate in 0..<size {
                    let gap = lanes[group * size + coordinate] - point[point.startIndex + coordinate]
                    squares += gap * gap
                }
                var distances = squares.squareRoot()
                if group * 8 < first || group * 8 + 8 > count {
                    for lane in 0..<8 where !(first..<max(first, count)).contains(group * 8 + lane) {
                        distances[lane] = 0
                    }
                }
                total += Double(distances.sum())
            }
            return total
        }
    }
}
