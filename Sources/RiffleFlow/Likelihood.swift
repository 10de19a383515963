import Glibc
import RiffleNN
import RiffleTensor

/// The log-density that a velocity network gives to data: noise N(0, I) at time 0, carried along dx/dt = v(x, t) to
/// time 1 (Chen et al. 2018, equation 8; Grathwohl et al. 2019, equation 4).
///
///     log p_1(x) = log N(z; 0, I) - integral from 0 to 1 of div v(x_t, t) dt,   z = x_0 where x_1 = x
///
/// The way back from x and the integral are one solution, of x_t with one more number for each sample. Networks are
/// evaluated without dropout and without recording.
package struct Likelihood {
    /// Where div v, the trace of the Jacobian, comes from.
    package enum Divergence: Sendable, Equatable {
        /// A derivative for each number of a sample.
        case exact
        /// Hutchinson's estimate: the mean of e . (dv/dx) e over so many vectors e of random signs, which stay the same
        /// along the whole way. Unbiased over a grid; an adaptive step sees the estimate too, which moves it within the
        /// tolerance.
        case probes(Int)
    }

    /// log p_1(x) in nats, [n].
    package let logDensity: Tensor
    /// Where each sample comes from, z; shaped as x.
    package let latent: Tensor
    /// Its evaluations are those of the velocity together with its divergence.
    package let report: SolverReport

    /// By a method of fixed steps.
    /// - Parameters:
    ///   - x: data [n, ...].
    ///   - grid: times from 1, the data, down to 0, the noise.
    /// - Throws: `RiffleError` when the grid is another, or x is not a batch of floats.
    package init(
        _ network: Network, _ x: Tensor, along grid: [Double], _ method: FixedStepMethod,
        _ divergence: Divergence = .exact,
        _ condition: Condition? = nil
    ) throws {
        guard grid.first == 1, grid.last == 0 else {
            throw RiffleError(
                "log_likelihood",
                "times must fall from 1, the data, to 0, the noise, got "
                    + "\(grid.map(riffleExact).joined(separator: ", "))"
            )
        }
        try self.init(network, x, divergence, condition) { try solve($0, along: grid, method, velocity: $1) }
    }

    /// With an adaptive step, which the log-density controls like any other number.
    package init(
        _ network: Network, _ x: Tensor, _ method: DormandPrince, _ divergence: Divergence = .exact,
        _ condition: Condition? = nil
    ) throws {
        try self.init(network, x, divergence, condition) { try method.solve($0, from: 1, to: 0, velocity: $1) }
    }

    private typealias Velocity = (Tensor, Double) throws -> Tensor

    private init(
        _ network: Network, _ x: Tensor, _ divergence: Divergence, _ condition: Condition?,
        solve: (Tensor, Velocity) throws -> (x: Tensor, report: SolverReport)
    ) throws {
        guard x.rank >= 2, x.count > 0, x.dtype.isFloating else {
            throw RiffleError("log_likelihood", "x must be a batch [n, ...] of floats (x \(x.dtype) \(x.shape))")
        }
        (logDensity, latent, report) = try withoutGradient {
            try network.evaluating {
                let n = x.shape[0], size = x.count / n
                let field = try DivergenceField(network, x, divergence, condition)
                let rows = try x.detach().reshaped(to: [n, size])
                let (end, report) = try solve(.cat([rows, .zeros([n, 1], x.dtype)], 1)) { state, t in
                    let (velocity, divergence) = try field(state.sliced(1, 0..<size).reshaped(to: x.shape), t)
                    return try .cat([velocity.reshaped(to: [n, size]), divergence.reshaped(to: [n, 1])], 1)
                }
                let latent = try end.sliced(1, 0..<size)
                let gained = try end.sliced(1, size..<(size + 1)).reshaped(to: [n])
                let prior = try latent.square().sum([1]).affine(-0.5, -0.5 * Double(size) * log(2 * .pi))
                return (try prior + gained, try latent.reshaped(to: x.shape), report)
            }
        }
    }
}

/// A network's velocity with its divergence, by derivatives along directions.
private struct DivergenceField {
    private let network: Network
    private let condition: Condition?
    /// Random signs [count, n, ...]; nil for the unit vectors of a sample.
    private let signs: Tensor?
    private let count: Int

    init(_ network: Network, _ x: Tensor, _ divergence: Likelihood.Divergence, _ condition: Condition?) throws {
        (self.network, self.condition) = (network, condition)
        switch divergence {
        case .exact: (signs, count) = (nil, x.count / x.shape[0])
        case .probes(let probes):
            guard probes >= 1 else { throw RiffleError("log_likelihood", "probes count from 1, got \(probes)") }
            count = probes
            signs = try Tensor.rand(Shape([probes] + x.shape.sizes)).ge(.scalar(0.5)).cast(x.dtype).affine(2, -1)
        }
    }

    /// v(x, t), shaped as x, and div v, [n].
    func callAsFunction(_ x: Tensor, _ t: Double) throws -> (velocity: Tensor, divergence: Tensor) {
        // Several directions share a call, each with a copy of the batch, as long as it has no more numbers than this.
        let n = x.shape[0], together = max(1, (1 << 16) / x.count)
        var (velocity, sum) = (x, try Tensor.zeros([n], x.dtype))
        for first in stride(from: 0, to: count, by: together) {
            try Interrupt.check()
            let copies = min(together, count - first), some = first..<(first + copies)
            let along = try directions(some, x).reshaped(to: x.shape.replacing(0, with: copies * n))
            let repeated = try copies == 1 ? x : .cat([Tensor](repeating: x, count: copies))
            let given = try condition.map { try Condition.cat([Condition](repeating: $0, count: copies)) }
            let (value, derivative) = try jvp([repeated], [along]) {
                try network.velocity($0[0], .full([copies * n], t, x.dtype), given)
            }
            if first == 0 { velocity = try value.sliced(0, 0..<n) }
            sum = try sum + (derivative * along).reshaped(to: [copies, n, x.count / n]).sum([0, 2])
        }
        return (velocity, signs == nil ? sum : try sum / Double(count))
    }

    /// Some of the directions for each sample of x: [m, n, ...].
    private func directions(_ range: Range<Int>, _ x: Tensor) throws -> Tensor {
        if let signs { return try signs.sliced(0, range) }
        let size = x.count / x.shape[0]
        var units = [Double](repeating: 0, count: range.count * size)
        for (row, place) in range.enumerated() { units[row * size + place] = 1 }
        return try Tensor(units, [range.count, 1, size]).cast(x.dtype).expanded(to: [range.count, x.shape[0], size])
    }
}
