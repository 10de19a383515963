import Glibc

/// Learning rates as functions of the step, counted from 1.
package enum Schedule {
    /// Rises in a straight line to `peak` over `warmup` steps, then falls along a half cosine to `floor` at step
    /// `total`.
    ///
    /// A run shorter than its warm-up ends on the way up.
    package static func cosine(_ step: Int, peak: Double, warmup: Int = 0, total: Int, floor: Double = 0) -> Double {
        if step <= warmup { return self.warmup(step, peak: peak, steps: warmup) }
        if step >= total { return floor }
        let progress = Double(step - warmup) / Double(total - warmup)
        return floor + (peak - floor) * 0.5 * (1 + cos(progress * .pi))
    }

    /// Rises in a straight line to `peak` over `steps` steps and stays there.
    package static func warmup(_ step: Int, peak: Double, steps: Int) -> Double {
        steps > 0 ? peak * min(1, Double(max(step, 0)) / Double(steps)) : peak
    }
}
