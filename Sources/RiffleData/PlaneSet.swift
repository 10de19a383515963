import Foundation
import RiffleTensor

/// A distribution in the plane with an exact sampler: every draw is a sample, and a sample depends on seed and number
/// alone.
package final class PlaneSet: Sendable {
    package let name: String
    /// One sentence for readers.
    package let summary: String
    /// Mean and variance of the two coordinates before scaling, exact.
    let mean: SIMD2<Double>, variance: SIMD2<Double>
    /// Whether samples are centred and have a standard deviation of 1 in each coordinate.
    package let isScaled: Bool
    /// A point out of two uniform numbers in [0, 1) and two standard normal ones.
    private let point: @Sendable (_ u: SIMD2<Double>, _ z: SIMD2<Double>) -> SIMD2<Double>

    private init(
        _ name: String, _ summary: String, mean: SIMD2<Double> = .zero, variance: SIMD2<Double>, isScaled: Bool = true,
        _ point: @escaping @Sendable (_ u: SIMD2<Double>, _ z: SIMD2<Double>) -> SIMD2<Double>
    ) {
        self.name = name
        self.summary = summary
        self.mean = mean
        self.variance = variance
        self.isScaled = isScaled
        self.point = point
    }

    /// The set as its formula gives it, neither centred nor scaled.
    package var raw: PlaneSet { PlaneSet(name, summary, mean: mean, variance: variance, isScaled: false, point) }

    /// Draws samples from the context's source of random numbers.
    /// - Returns: float32 `[count, 2]`.
    package func sample(_ count: Int) throws -> Tensor {
        try Shape([count, 2]).checked("sample")
        let uniform = try Context.current.random.uniform([count, 2], .float64)
        let normal = try Context.current.random.normal([count, 2], .float64)
        let result = try Tensor(uninitialized: [count, 2])
        let u = uniform.elements(Double.self)
        let z = normal.elements(Double.self)
        let coordinates = result.elements(Float.self)
        for sample in 0..<count {
            let x = 2 * sample
            let y = x + 1
            let drawn = scaled(point(SIMD2(u[x], u[y]), SIMD2(z[x], z[y])))
            coordinates[x] = Float(drawn.x)
            coordinates[y] = Float(drawn.y)
        }
        return result
    }

    private func scaled(_ point: SIMD2<Double>) -> SIMD2<Double> {
        isScaled ? (point - mean) / variance.squareRoot() : point
    }

    /// The set of a name.
    package static func named(_ name: String) -> PlaneSet? { all.first { $0.name == name } }

    package static let all = [checkerboard, moons, circles, spirals, eightGaussians, pinwheel, swissRoll]

    // MARK: - The sets

    package static let checkerboard = PlaneSet(
        "checkerboard", "Uniform on every other square of 4 x 4 squares over [-1, 1] x [-1, 1].",
        variance: SIMD2(repeating: 1 / 3.0)
    ) { u, _ in
        // Each of the four columns has two squares, two rows apart.
        let column = (4 * u.x).rounded(.down), half = (2 * u.y).rounded(.down)
        let row = 2 * half + column.truncatingRemainder(dividingBy: 2) + (2 * u.y - half)
        return SIMD2(2 * u.x - 1, row / 2 - 1)
    }

    package static let moons = PlaneSet(
        "moons", "Two half circles of radius 1 that reach into each other, with noise of 0.05.", mean: [0.5, 0.25],
        variance: [0.75 + 0.0025, 0.5625 - 1 / Double.pi + 0.0025]
    ) { u, z in
        let inner = u.y >= 0.5, arc = SIMD2(cos(Double.pi * u.x), sin(Double.pi * u.x))
        return (inner ? SIMD2(1 - arc.x, 0.5 - arc.y) : arc) + 0.05 * z
    }

    package static let circles = PlaneSet(
        "circles", "Two circles of radius 1 and 0.5, with noise of 0.05.", variance: SIMD2(repeating: 0.3125 + 0.0025)
    ) { u, z in
        (u.y < 0.5 ? 1 : 0.5) * direction(u.x) + 0.05 * z
    }

    // With a = 3 pi the arm's end: E[(r cos r)^2] = a^2/4 + 3/4 and E[(r sin r)^2] = a^2/4 - 3/4 for r = a sqrt(u).
    package static let spirals = PlaneSet(
        "spirals", "Two arms of one and a half turns from the centre, with noise of 0.1.",
        variance: (SIMD2(0.75, -0.75) + 2.25 * Double.pi * Double.pi) / 9 + 0.01
    ) { u, z in
        let radius = 3 * Double.pi * u.x.squareRoot()
        return (u.y < 0.5 ? 1 : -1) * radius / 3 * SIMD2(-cos(radius), sin(radius)) + 0.1 * z
    }

    package static let eightGaussians = PlaneSet(
        "eight_gaussians", "Eight Gaussians of deviation 0.5 around a circle of radius 4, over the root of 2.",
        variance: SIMD2(repeating: (8 + 0.25) / 2)
    ) { u, z in
        (4 * direction((8 * u.x).rounded(.down) / 8) + 0.5 * z) / 2.squareRoot()
    }

    // Five arms, so the covariance is the same in every direction: half of E|p|^2 = 4 (1 + 0.3^2 + 0.1^2).
    package static let pinwheel = PlaneSet(
        "pinwheel", "Five arms that bend as they leave the centre.", variance: SIMD2(repeating: 2.2)
    ) { u, z in
        let along = 1 + 0.3 * z.x
        let across = 0.1 * z.y
        let turn = direction((5 * u.x).rounded(.down) / 5 + 0.25 * exp(along) / (2 * Double.pi))
        return 2 * SIMD2(along * turn.x - across * turn.y, along * turn.y + across * turn.x)
    }

    // With t uniform on [1.5 pi, 4.5 pi]: E[t cos t] = 2, E[t sin t] = 2/(3 pi), E[(t cos t)^2] and E[(t sin t)^2] =
    // 4.875 pi^2 -/+ 1/4.
    package static let swissRoll = PlaneSet(
        "swiss_roll", "A roll of one and a half turns with noise of 0.2.", mean: SIMD2(2, 2 / (3 * Double.pi)) / 5,
        variance: (SIMD2(-0.25 - 4, 0.25 - 4 / (9 * Double.pi * Double.pi)) + 4.875 * Double.pi * Double.pi) / 25 + 0.04
    ) { u, z in
        let t = 1.5 * Double.pi * (1 + 2 * u.x)
        return t / 5 * SIMD2(cos(t), sin(t)) + 0.2 * z
    }

    /// The unit vector at an angle, as a part of a turn.
    private static func direction(_ turn: Double) -> SIMD2<Double> {
        SIMD2(cos(2 * Double.pi * turn), sin(2 * Double.pi * turn))
    }
}

// MARK: - Exact masses

extension PlaneSet {
    /// The square that holds the whole set, where its distribution is known bin by bin: the checkerboard's.
    package var bounds: ClosedRange<Double>? {
        guard name == PlaneSet.checkerboard.name else { return nil }
        let side = isScaled ? 3.squareRoot() : 1
        return -side...side
    }

    /// The exact probability of each of `bins` x `bins` equal bins over `bounds`.
    /// - Returns: float64 `[bins, bins]`, the first dimension along x, which sums to 1.
    /// - Throws: `RiffleError` for sets other than the checkerboard.
    package func binMasses(_ bins: Int) throws -> Tensor {
        guard bounds != nil, (1...10_000).contains(bins) else {
            throw RiffleError(
                "", "exact masses are known for the checkerboard in 1 to 10000 bins a side, not for \(name) in \(bins)")
        }
        // In units of squares: the part of each bin, in one coordinate, that is in the even and in the odd squares.
        let width = 4 / Double(bins)
        let parts = (0..<bins).map { bin in
            let low = Double(bin) * width
            let high = Double(bin + 1) * width
            return (0..<4).reduce(into: SIMD2<Double>.zero) { parts, square in
                parts[square % 2] += max(0, min(high, Double(square + 1)) - max(low, Double(square)))
            }
        }
        try Memory.check(bins * bins * MemoryLayout<Double>.stride)
        return try Tensor(parts.flatMap { x in parts.map { y in (x * y).sum() / 8 } }, [bins, bins])
    }
}
