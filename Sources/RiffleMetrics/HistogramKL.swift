import Glibc
import RiffleTensor

extension Metrics {
    /// The Kullback-Leibler divergence sum p log(p / q) of samples' histogram q from the exact masses p of its bins.
    ///
    /// A sample outside the bounds counts in none of the bins; one sample more is spread evenly over all bins, so that
    /// an empty bin does not make the divergence infinite. Exact samples give about (bins with mass) / (2 n), not 0:
    /// compare at equal n.
    /// - Parameters:
    ///   - samples: `[n, 2]`.
    ///   - masses: exact probabilities `[bins, bins]` of equal bins over the bounds, the first dimension along x.
    ///   - bounds: of both coordinates.
    /// - Throws: `RiffleError` when shapes do not fit or numbers are not finite.
    /// - Source: Boffi et al. 2025, with 50 x 50 bins over the checkerboard.
    package static func histogramKL(_ samples: Tensor, masses: Tensor, bounds: ClosedRange<Double>) throws -> Double {
        guard samples.rank == 2, samples.shape[1] == 2 else {
            throw RiffleError("", "samples in the plane are [n, 2], got \(samples.shape)")
        }
        guard masses.rank == 2, masses.shape[0] == masses.shape[1], masses.count > 0 else {
            throw RiffleError("", "masses are [bins, bins], got \(masses.shape)")
        }
        let n = samples.shape[0]
        let counts = try histogram(samples.samples("samples", as: .float64), bins: masses.shape[0], bounds)
        return zip(try masses.doubles(), counts).reduce(0) { sum, bin in
            let (mass, count) = bin
            return mass > 0 ? sum + mass * log(mass * Double(n + 1) / (Double(count) + 1 / Double(counts.count))) : sum
        }
    }

    /// The same divergence with the histogram of true samples for p, over the smallest square that holds them. That
    /// histogram's noise adds to the result, so take many more true samples than `samples`.
    package static func histogramKL(_ samples: Tensor, truth: Tensor, bins: Int) throws -> Double {
        guard truth.rank == 2, truth.shape[1] == 2, truth.shape[0] > 0 else {
            throw RiffleError("", "true samples are [m, 2], got \(truth.shape)")
        }
        let truth = try truth.samples("true samples", as: .float64)
        let bounds = try truth.min().item()...truth.max().item()
        let counts = try histogram(truth, bins: bins, bounds)
        return try histogramKL(
            samples, masses: Tensor(counts.map { Double($0) / Double(truth.shape[0]) }, [bins, bins]), bounds: bounds)
    }

    /// How many of the float64 points are in each of bins x bins equal squares, the first number along x.
    private static func histogram(_ points: Tensor, bins: Int, _ bounds: ClosedRange<Double>) throws -> [Int] {
        let scale = Double(bins) / (bounds.upperBound - bounds.lowerBound)
        guard scale.isFinite, scale > 0 else {
            throw RiffleError("", "bounds go from one number to a larger one, got \(bounds)")
        }
        let numbers = points.elements(Double.self)
        func bin(_ coordinate: Double) -> Int? {
            guard bounds.contains(coordinate) else { return nil }
            return min(bins - 1, Int((coordinate - bounds.lowerBound) * scale))
        }
        try Memory.check(bins * bins * MemoryLayout<Int>.stride)
        var counts = [Int](repeating: 0, count: bins * bins)
        for row in 0..<points.shape[0] {
            if let x = bin(numbers[2 * row]), let y = bin(numbers[2 * row + 1]) { counts[x * bins + y] += 1 }
        }
        return withExtendedLifetime(points) { counts }
    }
}
