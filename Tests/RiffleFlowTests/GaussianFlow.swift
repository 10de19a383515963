import RiffleNN
import RiffleTensor

/// The largest number, infinite where there is NaN, which max() would pass over; 0 of none.
func largest(_ numbers: [Double]) -> Double { numbers.map { $0.isNaN ? .infinity : $0 }.max() ?? 0 }

/// The exact flow from N(0, 1) at time 0 to N(mean, deviation^2) at time 1, coordinate by coordinate.
///
/// With S_t^2 = (1 - t)^2 + t^2 deviation^2: v_t(x) = mean + k_t (x - mean t), k_t = (-(1 - t) + t deviation^2) /
/// S_t^2, and X_{s,t}(x) = mean t + (S_t / S_s) (x - mean s). A trainable `error` times cos(x + 2 s - 3 t) is added to
/// the average velocity.
final class GaussianFlow: Network {
    let mean: Double
    let deviation: Double
    let error: Parameter
    private let timeCount: Int

    init(times: Int, error: Double = 0, mean: Double = 0.7, deviation: Double = 0.5) throws {
        (timeCount, self.mean, self.deviation) = (times, mean, deviation)
        self.error = Parameter(try .scalar(error, .float64))
    }

    override var times: Int { timeCount }
    override var kind: String { "gaussian" }
    override var ownParameters: [NamedParameter] { [NamedParameter("error", error)] }
    override func blank() throws -> Module { try GaussianFlow(times: timeCount, mean: mean, deviation: deviation) }

    private func spread(_ t: Tensor) throws -> Tensor {
        try ((1 - t).square() + t.square() * (deviation * deviation)).sqrt()
    }

    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let s = try times[0].alongside(x)
        let k = try (s * (deviation * deviation) - (1 - s)) / spread(s).square()
        let velocity = try (x - s * mean) * k + mean
        guard times.count == 2 else { return velocity }
        let t = try times[1].alongside(x), span = try t - s
        let end = try t * mean + (x - s * mean) * spread(t) / spread(s)
        // The quotient's limit where the jump has no length.
        let isShort = try span.abs().lt(.scalar(1e-7, .float64))
        let average = try (end - x) / (span + isShort)
        return try velocity.where(isShort, else: average) + error.tensor * (x + s * 2 - t * 3).cos()
    }
}
