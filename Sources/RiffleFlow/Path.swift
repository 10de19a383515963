import RiffleNN
import RiffleTensor

/// The straight path from noise x0 at time 0 to data x1 at time 1: x_t = (1 - t) x0 + t x1.
public enum LinearPath {
    /// Points on the path, for times t [n]; shapes as x1 [n, ...].
    public static func point(_ x0: Tensor, _ x1: Tensor, _ t: Tensor) throws -> Tensor {
        try x0 + t.alongside(x1) * (x1 - x0)
    }

    /// The conditional velocity, the same at every time: x1 - x0.
    public static func velocity(_ x0: Tensor, _ x1: Tensor) throws -> Tensor { try x1 - x0 }
}
