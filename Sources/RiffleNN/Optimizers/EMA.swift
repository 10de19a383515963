import Glibc
import RiffleTensor

/// An exponential moving average of a network's parameters, in a frozen copy of the network.
///
/// Any number of averages can follow one network.
package final class EMA: Resumable {
    /// The averaged network, which takes no gradients and is evaluated without dropout.
    package var model: Module { average.model }
    package let decay: Double
    /// Whether early updates have a smaller decay, min(decay, (1 + n) / (10 + n)), so that the average soon forgets the
    /// initial parameters.
    package let warmup: Bool
    /// Updates so far, which decide the decay during warm-up. The model's files keep the number, and a loaded model
    /// goes on from there.
    package var updates: Int {
        get { average.count.updates }
        set { average.count.updates = newValue }
    }
    private let average: Average

    /// - Parameter decay: the part of the average that an update keeps, in [0, 1).
    package init(_ network: Module, decay: Double, warmup: Bool = true) throws {
        guard decay >= 0, decay < 1 else {
            throw RiffleError("ema", "decay must be from 0 to below 1, got \(riffleFormat(decay))")
        }
        average = try Average(of: network, "ema")
        self.decay = decay
        self.warmup = warmup
    }

    /// The decay with which parameters count half after so many updates.
    package static func decay(halfLife updates: Double) throws -> Double {
        guard updates > 0, updates.isFinite else {
            throw RiffleError("ema", "half_life must be positive, got \(riffleFormat(updates))")
        }
        return pow(0.5, 1 / updates)
    }

    package func saved() throws -> SavedState { try model.saved() }
    package func resuming(from state: SavedState) throws -> () throws -> Void { try model.resuming(from: state) }

    /// Updates the average towards the network's present parameters.
    package func update() throws {
        try average.prepare()
        try average.update { updates in 1 - (warmup ? min(decay, Double(updates) / Double(9 + updates)) : decay) }
    }
}
