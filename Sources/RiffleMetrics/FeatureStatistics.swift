import RiffleTensor

/// The mean and the covariance of samples' features: all that a Frechet distance takes of them.
package struct FeatureStatistics: Sendable {
    /// Of how many samples; nil where a file does not say.
    package let count: Int?
    /// `[features]`, float64.
    package let mean: Tensor
    /// `[features, features]`, float64, symmetric; divided by count - 1, as NumPy's `cov` divides.
    package let covariance: Tensor

    /// How far a covariance may be from symmetric, and below 0, as a part of its largest number: files may hold what
    /// was summed up in float32.
    static let slack = 1e-4

    /// - Parameters:
    ///   - count: of samples, at least 2; nil where it is not known.
    ///   - mean: `[features]`.
    ///   - covariance: `[features, features]`, symmetric up to rounding.
    /// - Throws: `RiffleError` when shapes do not fit, numbers are not finite, the covariance is not symmetric, or a
    ///   variance is negative.
    package init(count: Int?, mean: Tensor, covariance: Tensor) throws {
        if let count, count < 2 {
            throw RiffleError("", "two samples or more have a covariance, got \(count)")
        }
        guard mean.rank == 1, mean.count > 0 else {
            throw RiffleError("", "a mean is [features], got \(mean.shape)")
        }
        guard covariance.shape == [mean.count, mean.count] else {
            throw RiffleError(
                "",
                "the covariance of \(mean.count) features is [\(mean.count), \(mean.count)], got \(covariance.shape)")
        }
        for (name, numbers) in [("mean", mean), ("covariance", covariance)] where numbers.nonfiniteCount > 0 {
            throw RiffleError("", "the \(name) \(numbers.shape) holds numbers that are NaN or infinite")
        }
        self.count = count
        self.mean = try mean.detach().converted(to: .float64)
        self.covariance = try withoutGradient {
            let covariance = try covariance.detach().converted(to: .float64), other = try covariance.transposed()
            let apart = try (covariance - other).abs().max().item(), largest = try covariance.abs().max().item()
            guard apart <= FeatureStatistics.slack * largest else {
                throw RiffleError(
                    "",
                    "a covariance is symmetric, and numbers of this one differ from those across the diagonal by "
                        + "\(riffleFormat(apart)), where the largest is \(riffleFormat(largest))")
            }
            return apart == 0 ? covariance : try (covariance + other) * 0.5
        }
        let variances = try variances(), largest = max(0, variances.max() ?? 0)
        if let wrong = variances.firstIndex(where: { $0 < -FeatureStatistics.slack * largest }) {
            throw RiffleError("", "the variance of feature \(wrong + 1) is negative, \(riffleFormat(variances[wrong]))")
        }
    }

    package var features: Int { mean.count }

    /// Whether the samples are too few for the covariance to reach into every direction, which makes distances far too
    /// large; false where their count is not known.
    package var isRankDeficient: Bool { count.map { $0 <= features } ?? false }

    /// The numbers on the covariance's diagonal.
    func variances() throws -> [Double] { (0..<features).map { covariance.element($0 * (features + 1)) } }
}
