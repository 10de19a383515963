import RiffleNN
import RiffleTensor

/// Flow matching: the velocity network's regression on the conditional velocity (Lipman et al. 2022, eq. 9; the linear
/// path and independent coupling of Liu et al. 2022 and Tong et al. 2023).
///
///     L = E |v(x_t, t) - (x1 - x0)|^2,  x_t = (1 - t) x0 + t x1
public struct MatchingLoss {
    public var times: TimeSampling = .uniform

    public init(times: TimeSampling = .uniform) { self.times = times }

    /// - Parameter data: x1 [n, ...].
    public func callAsFunction(_ network: Network, _ data: Tensor, labels: Tensor? = nil) throws -> Loss {
        guard data.rank >= 1, data.shape[0] > 0, data.dtype.isFloating else {
            throw RiffleError("matching_loss", "x must be a batch [n, ...] of floats with n > 0 (x \(data.dtype) \(data.shape))")
        }
        let (t, noise) = (try times.sample(data.shape[0], data.dtype), try Tensor.randn(data.shape, data.dtype))
        let velocity = try network.velocity(LinearPath.point(noise, data, t), t, labels: labels)
        let total = try meanSquare(velocity - LinearPath.velocity(noise, data)).mean()
        return Loss(total: total, parts: [("matching", try total.item())])
    }
}
