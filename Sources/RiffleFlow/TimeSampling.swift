import RiffleTensor

/// How training times are drawn.
public enum TimeSampling: Sendable, Equatable {
    case uniform
    /// sigmoid(mean + deviation n), n standard normal (Esser et al. 2024).
    case logitNormal(mean: Double, deviation: Double)
    /// 1 / (1 + exp(1.2 n - 1.2)), n standard normal: EDM's noise levels as times of the linear path.
    case skewed

    public static let names = ["uniform", "logit_normal", "skewed"]

    public init?(name: String, mean: Double = 0, deviation: Double = 1) {
        switch name {
        case "uniform": self = .uniform
        case "logit_normal": self = .logitNormal(mean: mean, deviation: deviation)
        case "skewed": self = .skewed
        default: return nil
        }
    }

    /// n times in [0, 1], from the context's random numbers.
    public func sample(_ n: Int, _ dtype: DType = .float32) throws -> Tensor {
        switch self {
        case .uniform: try Tensor.rand([n], dtype)
        case .logitNormal(let mean, let deviation): try Tensor.randn([n], dtype).affine(deviation, mean).sigmoid()
        case .skewed: try Tensor.randn([n], dtype).affine(-1.2, 1.2).sigmoid()
        }
    }

    /// n pairs s <= t: two draws, sorted. Uniform ones cover the triangle evenly.
    public func pairs(_ n: Int, _ dtype: DType = .float32) throws -> (s: Tensor, t: Tensor) {
        let (a, b) = (try sample(n, dtype), try sample(n, dtype))
        return (try a.minimum(b), try a.maximum(b))
    }
}
