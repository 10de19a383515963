import Glibc
import RiffleTensor

/// How a power-function average weighs the steps of training: p(tau) = (gamma + 1) tau^gamma / step^(gamma + 1) for tau
/// in [0, step] (Karras et al. 2024, 2312.02696, equation 121).
package struct PowerProfile: Sendable, Equatable {
    /// The profile's deviation as a part of `step`, in (0, 1/sqrt(12)].
    package let length: Double
    /// The step at which the average was taken, from 1.
    package let step: Int
    /// gamma.
    package let exponent: Double

    /// The longest length: all steps weigh the same.
    package static let longest = (1.0 / 12).squareRoot()

    /// - Throws: `RiffleError` when the length or the step is out of range.
    package init(length: Double, step: Int) throws {
        guard step >= 1 else { throw RiffleError("", "an average's step counts from 1, got \(step)") }
        exponent = try PowerProfile.exponent(length: length)
        self.length = length
        self.step = step
    }

    /// The exponent of a profile with this length: the largest root gamma of the cubic
    /// length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) (equations 123 and 126).
    static func exponent(length: Double) throws -> Double {
        guard length > 1e-6, length <= longest else {
            throw RiffleError(
                "", "an average's length should be above 1e-06 and at most 0.288675, got \(riffleFormat(length))")
        }
        // With gamma = y - 7/3 the cubic is y^3 - p y + q = 0, which has three real roots.
        let t = 1 / (length * length)
        let p = t + 1.0 / 3
        let q = 4 * t / 3 + 2.0 / 27
        let angle = acos(-1.5 * q / p * (3 / p).squareRoot()) / 3
        return max(0, 2 * (p / 3).squareRoot() * cos(angle) - 7.0 / 3)
    }

    /// The integral of the product of two profiles (equation 151).
    func product(_ other: PowerProfile) -> Double {
        let (early, late) = step < other.step ? (self, other) : (other, self)
        let overlap = pow(Double(early.step) / Double(late.step), late.exponent)
        return (exponent + 1) * (other.exponent + 1) * overlap / ((exponent + other.exponent + 1) * Double(late.step))
    }
}

// MARK: - Reconstruction

/// A profile as a sum of others (Karras et al. 2024, section 3.2 and algorithm 3).
package struct PowerMixture: Sendable {
    /// The weights of the others. They sum to 1, so that parameters that never change come out exactly.
    package let weights: [Double]
    /// |sum - profile| / |profile|, in the mean square over training; at least about 1e-8, because of rounding.
    package let error: Double

    /// The square of the relative rounding error that snapshots are assumed to have. It keeps snapshots that are nearly
    /// equal from getting large weights of opposite sign, and has no effect on others.
    private static let rounding = 1e-12

    /// The mixture nearest to `profile` in the mean square, scaled to a sum of 1.
    package init(of parts: [PowerProfile], for profile: PowerProfile) {
        let products = parts.map { part in parts.map(part.product) }
        let wanted = parts.map(profile.product)
        let sizes = parts.indices.map { products[$0][$0].squareRoot() }
        let factor = Cholesky(
            parts.indices.map { i in
                (0...i).map { j in products[i][j] / (sizes[i] * sizes[j]) + (i == j ? PowerMixture.rounding : 0) }
            })
        let nearest = zip(factor.solve(zip(wanted, sizes).map { $0 / $1 }), sizes).map { $0 / $1 }
        let total = nearest.reduce(0, +)
        let weights = nearest.map { $0 / total }

        let square = profile.product(profile)
        let gap = parts.indices.reduce(square) { sum, i in
            sum + weights[i] * (zip(products[i], weights).reduce(0) { $0 + $1.0 * $1.1 } - 2 * wanted[i])
        }
        self.weights = weights
        error = (max(0, gap) / square).squareRoot()
    }
}

/// A symmetric positive definite matrix as L L^T, in float64.
private struct Cholesky {
    private var rows: [[Double]]

    /// - Parameter lower: the rows up to the diagonal, which is about 1.
    init(_ lower: [[Double]]) {
        rows = lower
        for i in rows.indices {
            for j in 0...i {
                let sum = (0..<j).reduce(rows[i][j]) { $0 - rows[i][$1] * rows[j][$1] }
                // Rounding may make a pivot of this size 0 or negative.
                rows[i][j] = i == j ? max(sum, 1e-15).squareRoot() : sum / rows[j][j]
            }
        }
    }

    func solve(_ side: [Double]) -> [Double] {
        var x = side
        for i in x.indices { x[i] = (0..<i).reduce(x[i]) { $0 - rows[i][$1] * x[$1] } / rows[i][i] }
        for i in x.indices.reversed() {
            x[i] = ((i + 1)..<x.count).reduce(x[i]) { $0 - rows[$1][i] * x[$1] } / rows[i][i]
        }
        return x
    }
}
