import RiffleTensor

/// How training times are drawn.
package struct TimeSampling: Sendable, Equatable {
    package enum Law: String, Sendable, CaseIterable {
        case uniform
        /// sigmoid(mean + deviation n), n standard normal (Esser et al. 2024).
        case logitNormal = "logit_normal"
        /// 1 / (1 + exp(1.2 n - 1.2)), n standard normal: EDM's noise levels as times of the linear path.
        case skewed
        /// Pairs with a drawn gap (terminal velocity matching, 2511.19797): t - s = sigmoid(n - 0.8), and
        /// 1 - t = sigmoid(n - 0.4), but at most 1 - (t - s). Single times are sigmoid(n + 0.4).
        case gap
        /// The start: single times and the s of pairs are 0, where a sample is noise, and t is uniform. A method that
        /// needs a teacher alone needs no data then.
        case start
    }

    package var law: Law
    /// The mean of the normal number in `logitNormal`.
    package var mean = 0.0
    /// The standard deviation of the normal number in `logitNormal`.
    package var deviation = 1.0
    /// How many times more of the times lie near the noise: t of the law becomes t / (t + shift (1 - t)).
    package var shift = 1.0
    /// What 0 and 1 of the law stand for: times are drawn between the two.
    package var from = 0.0
    package var to = 1.0

    package static let uniform = TimeSampling(law: .uniform)
    package static let skewed = TimeSampling(law: .skewed)
    package static let gap = TimeSampling(law: .gap)
    package static let start = TimeSampling(law: .start)
    package static func logitNormal(mean: Double, deviation: Double) -> TimeSampling {
        TimeSampling(law: .logitNormal, mean: mean, deviation: deviation)
    }

    package static let options: [Option<TimeSampling>] = [
        Option("times", \.law, "how times are drawn"),
        Option("time_mean", \.mean, .finite, "the mean of the normal number in logit_normal"),
        Option("time_std", \.deviation, .positive, "the standard deviation of that number"),
        Option("shift", \.shift, .positive, "draws times nearer to the noise: t / (t + shift (1 - t)) of the law's t"),
        Option("from", \.from, .fraction(0...1), "the earliest time; the law's 0 to 1 is stretched over from to to"),
        Option("to", \.to, .fraction(0...1), "the latest time"),
    ]

    /// n times between `from` and `to`, from the context's random numbers.
    package func sample(_ n: Int, _ dtype: DType = .float32) throws -> Tensor {
        try check()
        let times =
            switch law {
            case .uniform: try Tensor.rand([n], dtype)
            case .logitNormal: try Tensor.randn([n], dtype).affine(deviation, mean).sigmoid()
            case .skewed: try Tensor.randn([n], dtype).affine(-1.2, 1.2).sigmoid()
            case .gap: try Tensor.randn([n], dtype).affine(1, 0.4).sigmoid()
            case .start: try Tensor.zeros([n], dtype)
            }
        return try limited(times)
    }

    /// n pairs s <= t: two draws in order, unless the law draws the gap. Pairs of the uniform law cover the triangle
    /// evenly.
    package func pairs(_ n: Int, _ dtype: DType = .float32) throws -> (s: Tensor, t: Tensor) {
        if law == .gap { return try gapPairs(n, dtype) }
        if law == .start { return (try sample(n, dtype), try limited(.rand([n], dtype))) }
        let (a, b) = (try sample(n, dtype), try sample(n, dtype))
        return (try a.minimum(b), try a.maximum(b))
    }

    private func check() throws {
        guard law == .logitNormal || mean == 0 && deviation == 1 else {
            throw RiffleError("", "time_mean and time_std belong to times = 'logit_normal', got '\(law.rawValue)'")
        }
        guard from < to else {
            throw RiffleError("", "no time lies between from = \(riffleFormat(from)) and to = \(riffleFormat(to))")
        }
    }

    private func limited(_ times: Tensor) throws -> Tensor {
        let shifted = shift == 1 ? times : try times / (times + (1 - times) * shift)
        return from == 0 && to == 1 ? shifted : try shifted.affine(to - from, from)
    }

    /// Draws gaps, then 1 - t: the first of several draws that is at most 1 - gap, or 1 - gap where none is.
    private func gapPairs(_ n: Int, _ dtype: DType) throws -> (s: Tensor, t: Tensor) {
        try check()
        let tries = 32
        let gaps = try Tensor.randn([n], .float64).affine(1, -0.8).sigmoid().doubles()
        let rests = try Tensor.randn([n, tries], .float64).affine(1, -0.4).sigmoid().doubles()
        let ends = gaps.indices.map { row in
            let most = 1 - gaps[row]
            return 1 - (rests[row * tries..<(row + 1) * tries].first { $0 <= most } ?? most)
        }
        let starts = zip(ends, gaps).map { max(0, $0 - $1) }
        return (try limited(Tensor(starts, [n]).cast(dtype)), try limited(Tensor(ends, [n]).cast(dtype)))
    }
}
