import Glibc
import RiffleNN
import RiffleTensor

/// How noise x0 at time 0 becomes data x1 at time 1: x_t = a(t) x0 + b(t) x1.
package enum Path: String, Sendable, CaseIterable {
    /// a = 1 - t, b = t (Liu et al. 2022; Lipman et al. 2022).
    case linear
    /// a = cos(pi t / 2), b = sin(pi t / 2) (Albergo and Vanden-Eijnden 2022; GVP of Ma et al. 2024).
    case cosine
    /// b = exp(-(1 - t)^2 (20 - 0.1) / 4 - (1 - t) 0.1 / 2), a^2 + b^2 = 1: the variance-preserving diffusion (Song et
    /// al. 2020).
    ///
    /// The velocity has no bound at time 1, so that from time 0.999 on, where a is 0.01, points and velocity stay those
    /// of 0.999.
    case variancePreserving = "vp"

    /// Values and derivatives of a and b at times [n], shaped to broadcast with x [n, ...].
    struct Coefficients {
        let a: Tensor
        let b: Tensor
        let da: Tensor
        let db: Tensor
    }

    func coefficients(_ t: Tensor, along x: Tensor) throws -> Coefficients {
        let t = try t.alongside(x)
        switch self {
        case .linear:
            return Coefficients(
                a: try 1 - t, b: t, da: try .full(t.shape, -1, t.dtype), db: try .ones(t.shape, t.dtype))
        case .cosine:
            let angle = try t * (.pi / 2)
            let (cos, sin) = (try angle.cos(), try angle.sin())
            return Coefficients(a: cos, b: sin, da: try sin * (-.pi / 2), db: try cos * (.pi / 2))
        case .variancePreserving:
            let (least, most) = (0.1, 20.0)
            let left = try (1 - t).maximum(.scalar(1e-3, t.dtype))
            let b = try (left.square() * ((least - most) / 4) - left * (least / 2)).exp()
            let db = try b * left.affine((most - least) / 2, least / 2)
            let a = try (1 - b.square()).sqrt()
            return Coefficients(a: a, b: b, da: try -(b * db / a), db: db)
        }
    }

    /// Points on the path for times t [n]; shapes as x1 [n, ...].
    package func point(_ x0: Tensor, _ x1: Tensor, _ t: Tensor) throws -> Tensor {
        guard self != .linear else { return try x0 + t.alongside(x1) * (x1 - x0) }
        let c = try coefficients(t, along: x1)
        return try c.a * x0 + c.b * x1
    }

    /// The conditional velocity a' x0 + b' x1 at times t [n].
    package func velocity(_ x0: Tensor, _ x1: Tensor, _ t: Tensor) throws -> Tensor {
        guard self != .linear else { return try x1 - x0 }
        let c = try coefficients(t, along: x1)
        return try c.da * x0 + c.db * x1
    }
}

/// What a network was trained to predict at a point of the path.
package enum Prediction: String, Sendable, CaseIterable {
    /// The conditional velocity's mean.
    case velocity
    /// The mean of x0.
    case noise
    /// The mean of x1.
    case data

    /// The target of the regression that trains such a network.
    func target(_ x0: Tensor, _ x1: Tensor, _ t: Tensor, _ path: Path) throws -> Tensor {
        switch self {
        case .velocity: try path.velocity(x0, x1, t)
        case .noise: x0
        case .data: x1
        }
    }
}

/// A network of any prediction as a velocity on its path, so that it can be sampled and be a teacher.
///
///     of noise e:  v = a' e + b' (x - a e) / b        of data d:  v = a' (x - b d) / a + b' d
///
/// The divisors are at least 0.01, since at time 0 a prediction of noise says nothing about the data, and at time 1 a
/// prediction of data nothing about the noise.
package final class PredictedVelocity: Network {
    private let network: Network
    private let prediction: Prediction
    private let path: Path

    package init(_ network: Network, _ prediction: Prediction, _ path: Path) throws {
        guard network.times == 1 else {
            throw RiffleError("flow.velocity", "a network of two times gives an average velocity already")
        }
        self.network = network
        self.prediction = prediction
        self.path = path
    }

    package override var kind: String { "velocity" }
    package override var summary: String { "of a network that predicts \(prediction.rawValue), path \(path.rawValue)" }
    package override var conditioning: Conditioning { network.conditioning }
    package override var sampleShape: Shape? { network.sampleShape }
    package override var children: [(name: String, module: Module)] { [("net", network)] }

    package override func blank() throws -> Module {
        try PredictedVelocity(network.blankNetwork(), prediction, path)
    }

    package override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let predicted = try named("net") { try network.velocity(x, times[0], condition) }
        let c = try path.coefficients(times[0], along: x)
        let least = try Tensor.scalar(1e-2, x.dtype)
        switch prediction {
        case .velocity: return predicted
        case .noise: return try c.da * predicted + c.db * (x - c.a * predicted) / c.b.maximum(least)
        case .data: return try c.da * (x - c.b * predicted) / c.a.maximum(least) + c.db * predicted
        }
    }
}
