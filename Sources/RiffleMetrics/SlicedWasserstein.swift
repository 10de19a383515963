import CKernels
import RiffleTensor

/// Distances between distributions, computed from samples.
package enum Metrics {
    /// The sliced Wasserstein distance of order 2: the root of the mean, over random directions, of the squared
    /// Wasserstein distance between the samples' projections onto the direction.
    ///
    /// The two sets may differ in their number of samples. Sorting makes the distance along each direction exact.
    /// - Parameters:
    ///   - a: samples `[n, ...]`; all but the first dimension are coordinates.
    ///   - b: samples `[m, ...]`.
    ///   - projections: directions, at least 1.
    ///   - seed: the seed of the directions; the same seed gives the same directions.
    /// - Throws: `RiffleError` when shapes do not fit or numbers are not finite.
    /// - Source: Bonneel et al. 2015; as `ot.sliced_wasserstein_distance` of POT with p = 2.
    package static func slicedWasserstein(_ a: Tensor, _ b: Tensor, projections: Int = 200, seed: UInt64 = 0) throws
        -> Double
    {
        guard (1...1_000_000).contains(projections) else {
            throw RiffleError("", "projections go from 1 to 1000000, got \(projections)")
        }
        let (x, y) = try pair(a, b)
        var random = RandomSource(seed: seed)
        let directions = try random.normal([projections, x.shape[1]], x.dtype)
        return try withoutGradient {
            try slicedWasserstein(x, y, along: directions / directions.square().sum([1], keep: true).sqrt())
        }
    }

    /// The same distance along given directions `[projections, size]`.
    package static func slicedWasserstein(_ x: Tensor, _ y: Tensor, along directions: Tensor) throws -> Double {
        let projections = directions.shape[0], n = x.shape[0], m = y.shape[0]
        // Directions are taken some at a time, so that projections of many samples stay within 64 MB.
        let some = max(1, min(projections, (1 << 24) / max(n, m)))
        var sum = 0.0
        for first in stride(from: 0, to: projections, by: some) {
            try Interrupt.check()
            let part = try directions.sliced(0, first..<min(first + some, projections))
            let along = try sortedProjections(x, part)
            let other = try sortedProjections(y, part)
            for row in 0..<part.shape[0] {
                sum +=
                    x.dtype == .float64
                    ? squaredDistance(line(along, row, n, Double.self), line(other, row, m, Double.self))
                    : squaredDistance(line(along, row, n, Float.self), line(other, row, m, Float.self))
            }
        }
        return try distance((sum / Double(projections)).squareRoot(), of: sum, within: 0)
    }

    private static func sortedProjections(_ x: Tensor, _ directions: Tensor) throws -> Tensor {
        let along = try directions.matmul(x, transposeB: true)
        let sorted = try Tensor(uninitialized: along.shape, along.dtype)
        try Memory.taking(workspace: {
            rk_sort_rows(false, along.dtype.kernel, along.pointer, sorted.pointer, nil, along.shape[0], along.shape[1])
        })
        return sorted
    }

    private static func line<Number>(_ rows: Tensor, _ row: Int, _ count: Int, _ type: Number.Type)
        -> UnsafeBufferPointer<Number>
    {
        UnsafeBufferPointer(rebasing: rows.elements(type)[(row * count)..<((row + 1) * count)])
    }

    /// The squared 2-Wasserstein distance of two sorted sets of numbers: the integral over q in [0, 1] of the squared
    /// difference of their quantile functions, which are steps of 1/n and 1/m.
    private static func squaredDistance<Number: BinaryFloatingPoint>(
        _ x: UnsafeBufferPointer<Number>, _ y: UnsafeBufferPointer<Number>
    ) -> Double {
        let n = x.count
        let m = y.count
        var i = 0
        var j = 0
        var sum = 0.0
        if n == m {
            while i < n {
                let gap = Double(x[i]) - Double(y[i])
                sum += gap * gap
                i += 1
            }
            return sum / Double(n)
        }
        // Quantiles in units of 1/(n m), which are whole numbers.
        var quantile = 0
        while i < n, j < m {
            let endX = (i + 1) * m
            let endY = (j + 1) * n
            let end = min(endX, endY)
            let gap = Double(x[i]) - Double(y[j])
            sum += gap * gap * Double(end - quantile)
            quantile = end
            if end == endX { i += 1 }
            if end == endY { j += 1 }
        }
        return sum / (Double(n) * Double(m))
    }
}
