import Glibc
import RiffleTensor

/// An exponential moving average of a network's parameters, in a frozen copy of the network.
///
/// Any number of averages can follow one network.
package final class EMA {
    /// The averaged network: takes no gradients and evaluates without dropout.
    package var model: Module { average.model }
    package let decay: Double
    /// Whether early updates forget faster, so that the average is never stuck at the start: min(decay, (1 + n) / (10 +
    /// n)).
    package let warmup: Bool
    /// Updates so far, which the warm-up counts. The model's files keep the number, and loading one goes on from there.
    package var updates: Int {
        get { average.count.updates }
        set { average.count.updates = newValue }
    }
    private let average: Average

    /// - Parameter decay: how much of the average stays at an update, in [0, 1).
    package init(_ network: Module, decay: Double, warmup: Bool = true) throws {
        guard decay >= 0, decay < 1 else {
            throw RiffleError("ema", "decay must be from 0 to below 1, got \(riffleFormat(decay))")
        }
        average = try Average(of: network, "ema")
        (self.decay, self.warmup) = (decay, warmup)
    }

    /// The decay whose memory fades to a half in so many updates.
    package static func decay(halfLife updates: Double) throws -> Double {
        guard updates > 0, updates.isFinite else {
            throw RiffleError("ema", "half_life must be positive, got \(riffleFormat(updates))")
        }
        return pow(0.5, 1 / updates)
    }

    /// Moves the average towards the network as it is now.
    package func update() throws {
        try average.prepare()
        try average.move { updates in 1 - (warmup ? min(decay, Double(updates) / Double(9 + updates)) : decay) }
    }
}
