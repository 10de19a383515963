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
    /// Its velocity has no bound at time 1; points and velocity are held at those of time 0.999, where a is 0.01.
    case variancePreserving = "vp"

    /// Values and derivatives of a and b at times [n], shaped to go along x [n, ...].
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
            let angle = try t * (.pi / 2), (cos, sin) = (try angle.cos(), try angle.sin())
            return Coefficients(a: cos, b: sin, da: try sin * (-.pi / 2), db: try cos * (.pi / 2))
        case .variancePreserving:
            let (least, most) = (0.1, 20.0), left = try (1 - t).maximum(.scalar(1e-3, t.dtype))
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

/// What a network was trained to tell of a point on the path.
package enum Prediction: String, Sendable, CaseIterable {
    /// The conditional velocity's mean.
    case velocity
    /// The mean of x0.
    case noise
    /// The mean of x1.
    case data

    /// What a network that predicts this regresses on.
    func target(_ x0: Tensor, _ x1: Tensor, _ t: Tensor, _ path: Path) throws -> Tensor {
        switch self {
        case .velocity: try path.velocity(x0, x1, t)
        case .noise: x0
        case .data: x1
        }
    }
}

/// A network of any prediction as a velocity on its path, so that it can teach and be sampled.
///
///     of noise e:  v = a' e + b' (x - a e) / b        of data d:  v = a' (x - b d) / a + b' d
///
/// The divisors are held above 0.01: at time 0 the noise tells nothing of the data, at time 1 the data nothing of the
/// noise.
package final class PredictedVelocity: Network {
    private let network: Network
    private let prediction: Prediction
    private let path: Path

    package init(_ network: Network, _ prediction: Prediction, _ path: Path) throws {
        guard network.times == 1 else {
            throw RiffleError("flow.velocity", "a network of two times tells an average velocity already")
        }
        (self.network, self.prediction, self.path) = (network, prediction, path)
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
        let told = try named("net") { try network.velocity(x, times[0], condition) }
        let c = try path.coefficients(times[0], along: x), least = try Tensor.scalar(1e-2, x.dtype)
        switch prediction {
        case .velocity: return told
        case .noise: return try c.da * told + c.db * (x - c.a * told) / c.b.maximum(least)
        case .data: return try c.da * (x - c.b * told) / c.a.maximum(least) + c.db * told
        }
    }
}
