import Glibc
import RiffleNN
import RiffleTensor

/// The log-density that a velocity network gives to data: noise N(0, I) at time 0, carried along dx/dt = v(x, t) to
/// time 1 (Chen et al. 2018, equation 8; Grathwohl et al. 2019, equation 4).
///
///     log p_1(x) = log N(z; 0, I) - integral from 0 to 1 of div v(x_t, t) dt,   z = x_0 where x_1 = x
///
/// The flow back from x and the integral are solved together, as x_t with one more number for each sample. Networks are
/// evaluated without dropout and without recording.
package struct Likelihood {
    /// How div v, the trace of the Jacobian, is computed.
    package enum Divergence: Sendable, Equatable {
        /// By a derivative for each number of a sample.
        case exact
        /// By Hutchinson's estimate: the mean of e . (dv/dx) e over this many vectors e of random signs, which stay the
        /// same from time 1 to time 0. Over a grid the result is unbiased; adaptive steps depend on the estimate, too,
        /// which changes the result within the tolerance.
        case probes(Int)
    }

    /// log p_1(x) in nats, [n].
    package let logDensity: Tensor
    /// The noise that flows to each sample, z; shaped as x.
    package let latent: Tensor
    /// The solver's report. An evaluation is one of the velocity together with its divergence.
    package let report: SolverReport

    /// The log-density by a method of fixed steps.
    /// - Parameters:
    ///   - x: data [n, ...].
    ///   - grid: times from 1, the data, down to 0, the noise.
    /// - Throws: `RiffleError` when the grid begins or ends elsewhere, or x is not a batch of floats.
    package init(
        _ network: Network, _ x: Tensor, along grid: [Double], _ method: FixedStepMethod,
        _ divergence: Divergence = .exact, _ condition: Condition? = nil
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

    /// The log-density by adaptive steps, whose error is measured on the log-density, too.
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
                let n = x.shape[0]
                let size = x.count / n
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
        self.network = network
        self.condition = condition
        switch divergence {
        case .exact:
            signs = nil
            count = x.count / x.shape[0]
        case .probes(let probes):
            guard probes >= 1 else { throw RiffleError("log_likelihood", "probes count from 1, got \(probes)") }
            count = probes
            signs = try Tensor.rand(Shape([probes] + x.shape.sizes)).ge(.scalar(0.5)).cast(x.dtype).affine(2, -1)
        }
    }

    /// v(x, t), shaped as x, and div v, [n].
    func callAsFunction(_ x: Tensor, _ t: Double) throws -> (velocity: Tensor, divergence: Tensor) {
        // Several directions share a call, each with a copy of the batch, as long as all copies have 65536 numbers or
        // fewer.
        let n = x.shape[0]
        let together = max(1, (1 << 16) / x.count)
        var velocity = x
        var sum = try Tensor.zeros([n], x.dtype)
        for first in stride(from: 0, to: count, by: together) {
            try Interrupt.check()
            let copies = min(together, count - first)
            let along = try directions(first..<(first + copies), x).reshaped(to: x.shape.replacing(0, with: copies * n))
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
        for (row, index) in range.enumerated() { units[row * size + index] = 1 }
        return try Tensor(units, [range.count, 1, size]).cast(x.dtype).expanded(to: [range.count, x.shape[0], size])
    }
}
