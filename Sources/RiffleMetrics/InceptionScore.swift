import RiffleTensor

extension Metrics {
    /// The Inception score: how sure a classifier is of each sample, and how many classes it finds among them.
    ///
    ///     exp of the mean over samples of KL(p(class | sample), mean of p over samples), for each part
    ///
    /// From 1 to the number of classes. torch-fidelity takes ten parts after shuffling the samples, ADM parts of 5000
    /// samples in their order.
    /// - Parameters:
    ///   - logits: `[n, classes]`.
    ///   - parts: into how many the samples are divided, in their order.
    /// - Throws: `RiffleError` when the shape does not fit, numbers are not finite, or there are fewer samples than
    ///   parts.
    /// - Source: Salimans et al. 2016, section 4.
    package static func inceptionScore(logits: Tensor, parts: Int = 10) throws -> Estimate {
        try withoutGradient {
            let logits = try classes(logits, "logits", parts)
            return try score(logits.softmax(), logarithms: logits.logSoftmax(), parts)
        }
    }

    /// The same score of probabilities `[n, classes]`.
    /// - Throws: `RiffleError` as above, and when numbers are negative or those of a sample do not sum up to 1.
    package static func inceptionScore(probabilities: Tensor, parts: Int = 10) throws -> Estimate {
        try withoutGradient {
            let rows = try classes(probabilities, "probabilities", parts), least = try rows.min().item()
            guard least >= 0 else {
                throw RiffleError("", "probabilities are not negative, and one is \(riffleFormat(least))")
            }
            if let wrong = try rows.sum([1]).doubles().first(where: { abs($0 - 1) > 1e-3 }) {
                throw RiffleError(
                    "", "the probabilities of a sample sum up to 1, and one sum is \(riffleFormat(wrong))")
            }
            return try score(rows, logarithms: logarithms(rows), parts)
        }
    }

    private static func classes(_ numbers: Tensor, _ name: String, _ parts: Int) throws -> Tensor {
        guard numbers.rank == 2 else { throw RiffleError("", "\(name) are [n, classes], got \(numbers.shape)") }
        let rows = try numbers.samples(name, as: .float64)
        guard parts >= 1, parts <= rows.shape[0] else {
            throw RiffleError("", "\(rows.shape[0]) samples cannot be divided into \(parts) parts")
        }
        return rows
    }

    private static func score(_ p: Tensor, logarithms: Tensor, _ parts: Int) throws -> Estimate {
        let n = p.shape[0]
        return Estimate(
            try (0..<parts).map { part in
                let rows = (part * n / parts)..<((part + 1) * n / parts), chunk = try p.sliced(0, rows)
                let mean = try Metrics.logarithms(chunk.mean([0], keep: true))
                return try (chunk * (logarithms.sliced(0, rows) - mean)).sum([1]).mean().exp().item()
            })
    }

    /// Logarithms, finite for 0 as well, whose share of a divergence is 0.
    private static func logarithms(_ p: Tensor) throws -> Tensor { try p.maximum(.scalar(1e-300, .float64)).log() }
}
