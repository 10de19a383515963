import Glibc
import RiffleTensor

/// Power-function averages of a network, of several lengths at once, in frozen copies (Karras et al. 2024, EDM2,
/// 2312.02696, section 3.1 and equation 127).
///
///     average(t) = beta(t) average(t - 1) + (1 - beta(t)) network(t),   beta(t) = (1 - 1/t)^(gamma + 1)
///
/// Unlike those of `EMA` these averages forget the start of training at every time, and cover more steps as training
/// goes on. Snapshots of two lengths, taken now and then, are enough to reconstruct the average of any length at any
/// step after training.
package final class PowerEMA: Resumable {
    /// The averages' lengths: the standard deviation of an average's weights over steps, as a part of the steps so far.
    package let lengths: [Double]
    /// The averaged networks, one for each length. They take no gradients and are evaluated without dropout.
    package var models: [Module] { averages.map(\.model) }
    /// Updates so far: the largest number of all averages, which differ where files of different steps were loaded.
    /// Each average counts its own updates; its files keep the number, and a loaded average goes on from there.
    package var steps: Int {
        get { averages.map(\.count.updates).max() ?? 0 }
        set { for average in averages { average.count.updates = newValue } }
    }
    private let averages: [Average]
    private let exponents: [Double]

    /// - Throws: `RiffleError` when a length is not in (0, 1/sqrt(12)] or occurs twice.
    package init(_ network: Module, lengths: [Double] = [0.05, 0.10]) throws {
        guard !lengths.isEmpty, Set(lengths).count == lengths.count else {
            throw RiffleError(
                "power_ema",
                "lengths should be one or more, all different, got "
                    + "\(lengths.isEmpty ? "none" : lengths.map(riffleFormat).joined(separator: ", "))"
            )
        }
        exponents = try lengths.map { try PowerProfile.exponent(length: $0) }
        averages = try lengths.map { _ in try Average(of: network, "power_ema") }
        self.lengths = lengths
    }

    /// The state of each average, under its length.
    package func saved() throws -> SavedState {
        var state = SavedState()
        for (length, model) in zip(lengths, models) { state.add(try model.saved(), "\(length).") }
        return state
    }

    package func resuming(from state: SavedState) throws -> () throws -> Void {
        let setters = try zip(lengths, models).map { length, model in
            try model.named("length \(length)") { try model.resuming(from: state.part("\(length).")) }
        }
        return { for set in setters { try set() } }
    }

    /// Updates every average towards the network's present parameters.
    package func update() throws {
        for average in averages { try average.prepare() }
        for (average, exponent) in zip(averages, exponents) {
            // 1 - beta, computed without cancellation.
            try average.update { updates in -expm1((exponent + 1) * log1p(-1 / Double(updates))) }
        }
    }
}
