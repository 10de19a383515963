import RiffleTensor

extension Metrics {
    /// The Frechet distance between the normal distributions with the samples' means and covariances, not rooted; on
    /// features of an image network it is known as FID.
    ///
    ///     |m - n|^2 + tr S + tr T - 2 tr (S^1/2 T S^1/2)^1/2
    ///
    /// In float64. With S = F^T F and T = G^T G the last trace is the sum of the singular values of F G^T. F is the R
    /// of the samples' QR factorisation, or the samples themselves where they are fewer than the features: covariances
    /// are never formed, so that singular and steep ones keep their digits, and few samples cost little. 4096 samples
    /// of 2048 features take some seconds, and some twelve matrices of features x features besides the samples.
    ///
    /// It is biased upwards by about (features)^2 / samples: compare at equal numbers of samples, many more than
    /// features.
    /// - Parameters:
    ///   - a: features `[n, ...]`; all but the first dimension are coordinates.
    ///   - b: features `[m, ...]`.
    /// - Throws: `RiffleError` when shapes do not fit, there are fewer than two samples, numbers are not finite, LAPACK
    ///   is missing, or a check of its results fails.
    /// - Source: Heusel et al. 2017, equation 6; Dowson and Landau 1982.
    package static func frechetDistance(_ a: Tensor, _ b: Tensor) throws -> Double {
        let (x, y) = try pair(a, b)
        guard x.shape[0] > 1, y.shape[0] > 1 else {
            throw RiffleError("", "two samples or more have a covariance (a \(a.shape), b \(b.shape))")
        }
        return try withoutGradient { try Spread(x).distance(to: Spread(y)) }
    }

    /// The same distance from means and covariances, such as a file keeps of a data set.
    ///
    /// F and G are roots of the covariances by their eigenvectors. An eigenvalue that rounding may have made, be it
    /// below or above 0, counts as 0: each would add its root, 10^-8 of the largest. Two sets of 2048 features take
    /// some ten seconds, and some twelve matrices of features x features.
    /// - Throws: `RiffleError` when the features differ in number, a covariance has a negative eigenvalue beyond
    ///   rounding, LAPACK is missing, or a check of its results fails.
    package static func frechetDistance(_ a: FeatureStatistics, _ b: FeatureStatistics) throws -> Double {
        guard a.features == b.features else {
            throw RiffleError("", "statistics differ in features, \(a.features) and \(b.features)")
        }
        if a.mean.isSame(as: b.mean), a.covariance.isSame(as: b.covariance) { return 0 }
        return try withoutGradient { try Spread(a).distance(to: Spread(b)) }
    }
}

/// The mean of samples and a factor of their covariance.
struct Spread {
    /// Of the numbers below. A power of two where fourth powers of the samples' own numbers would overflow or vanish;
    /// else 1.
    private let unit: Double
    /// [features, 1].
    private let mean: Tensor
    /// k x features, in LAPACK's order: F^T F is the covariance times `freedom`.
    private let factor: Tensor
    /// n - 1, as NumPy divides by; 1 where the covariance was divided already.
    private let freedom: Double
    /// The trace of F^T F / `freedom`.
    private let trace: Double

    /// The Frechet distance between the normal distributions: 0 where they are the same to the last bit, which rounding
    /// would hide.
    func distance(to other: Spread) throws -> Double {
        if isSame(as: other) { return 0 }
        let values = try LinearAlgebra.singularValues(LinearAlgebra.product(factor, other.factor))
        let common = max(unit, other.unit), own = unit / common, others = other.unit / common
        let shared = values.reduce(0, +) / (freedom * other.freedom).squareRoot() * own * others
        let apart = try (mean * own - other.mean * others).square().sum().item()
        let spread = trace * own * own + other.trace * others * others
        return try RiffleMetrics.distance(
            (apart + spread - 2 * shared) * common * common, of: (apart + spread) * common * common,
            within: LinearAlgebra.tolerance)
    }

    private func isSame(as other: Spread) -> Bool {
        unit == other.unit && freedom == other.freedom && mean.isSame(as: other.mean)
            && factor.isSame(as: other.factor)
    }

    /// The power of two in whose units numbers are at most 2; 1 where nothing is gained.
    private static func unit(_ largest: Double) -> Double {
        guard largest > 0, !(0x1p-200...0x1p200).contains(largest) else { return 1 }
        return Double(sign: .plus, exponent: largest.exponent, significand: 1)
    }

    /// - Parameter rows: samples `[n, features]`.
    init(_ rows: Tensor) throws {
        let n = rows.shape[0]
        let features = rows.shape[1]
        let unit = Spread.unit(try rows.abs().max().item())
        // Some rows at a time, so that copies in float64 stay small beside the samples.
        let some = max(4 * features, 4096)
        let parts = stride(from: 0, to: n, by: some).map { $0..<min($0 + some, n) }
        func columns(_ part: Range<Int>) throws -> Tensor {
            let columns = try rows.sliced(0, part).converted(to: .float64).transposed()
            return unit == 1 ? columns : try columns / unit
        }
        var sum = try Tensor.zeros([features, 1], .float64)
        for part in parts { sum = try sum + columns(part).sum([1], keep: true) }
        let mean = try sum / Double(n)

        var factor: Tensor?
        var squares = 0.0
        for part in parts {
            try Interrupt.check()
            let centred = try columns(part) - mean
            squares += try centred.square().sum([1]).sum().item()
            let stacked = try factor.map { try .cat([$0, centred], 1) } ?? centred
            factor = stacked.shape[1] > features ? try LinearAlgebra.triangle(stacked) : stacked
        }
        guard let factor else { throw RiffleError("", "there are no samples") }
        self.unit = unit
        self.mean = mean
        self.factor = factor
        freedom = Double(n - 1)
        trace = squares / freedom
    }

    init(_ statistics: FeatureStatistics) throws {
        let features = statistics.features
        let variance = max(0, try statistics.variances().max() ?? 0)
        let unit = Spread.unit(max(try statistics.mean.abs().max().item(), variance.squareRoot()))
        let covariance = unit == 1 ? statistics.covariance : try statistics.covariance / unit / unit
        let (values, vectors) = try LinearAlgebra.eigenvectors(covariance)
        let found = values.elements(Double.self)
        let largest = max(found[features - 1], -found[0])
        guard found[0] >= -FeatureStatistics.slack * largest else {
            throw RiffleError(
                "",
                "no covariance: its smallest eigenvalue is \(riffleFormat(found[0] * unit * unit)), its largest "
                    + riffleFormat(found[features - 1] * unit * unit))
        }
        let rounding = Double(features) * largest * .ulpOfOne
        let first = min(found.firstIndex { $0 > rounding } ?? features, features - 1)
        let roots = try values.relu().sqrt().viewed(as: [features, 1])
        self.unit = unit
        mean = try statistics.mean.viewed(as: [features, 1]) / unit
        factor = try (vectors * roots).sliced(0, first..<features).transposed()
        freedom = 1
        trace = found[first...].reduce(0) { $0 + max($1, 0) }
    }
}
