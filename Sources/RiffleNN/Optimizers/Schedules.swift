import Glibc
import RiffleTensor

/// Learning rates as functions of the step, counted from 1.
public enum Schedule {
    /// Rises in a straight line to `peak` over `warmup` steps, then falls along a half cosine to `floor` at step `total`.
    /// - Throws: `RiffleError` unless warm-up is shorter than the total.
    public static func cosine(_ step: Int, peak: Double, warmup: Int = 0, total: Int, floor: Double = 0) throws -> Double {
        guard total > 0, warmup >= 0, warmup < total else {
            throw RiffleError("cosine", "warmup must be shorter than total, got \(warmup) and \(total) steps")
        }
        if step <= warmup { return peak * Double(max(step, 0)) / Double(warmup) }
        let progress = Double(min(step, total) - warmup) / Double(total - warmup)
        return floor + (peak - floor) * 0.5 * (1 + cos(progress * .pi))
    }

    /// Rises in a straight line to `peak` over `steps` steps and stays.
    public static func warmup(_ step: Int, peak: Double, steps: Int) -> Double {
        steps > 0 ? peak * min(1, Double(max(step, 0)) / Double(steps)) : peak
    }
}
