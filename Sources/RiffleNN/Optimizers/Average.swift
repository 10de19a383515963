import CKernels
import RiffleTensor

/// How often an average was updated. The average and its model share the number, and the model's files keep it.
package final class UpdateCount {
    package static let range = 0...Int(Int32.max)
    package var updates = 0
}

/// A frozen copy of a network whose parameters follow the network's. Where the two share memory, as they do in the base
/// under adapters, they are equal: that costs neither time nor memory.
struct Average {
    /// The copy, which takes no gradients and is evaluated without dropout.
    let model: Module
    let count = UpdateCount()
    private let pairs: [(source: Parameter, average: Parameter)]

    /// - Throws: `RiffleError` unless all parameters that training changes are float32.
    init(of network: Module, _ operation: String) throws {
        if let other = network.learnedParameters.first(where: { $0.parameter.dtype != .float32 }) {
            throw RiffleError(operation, "parameters must be float32, and \(other.name) is \(other.parameter.dtype)")
        }
        model = try network.copied(trainable: false)
        model.updateCount = count
        pairs = zip(network.parameters, model.parameters).map { ($0.parameter, $1.parameter) }
    }

    /// Allocates what `update` needs, so that either all of several averages are updated or none.
    func prepare() throws {
        for (source, average) in pairs where !average.shares(source) { try average.makeUnique() }
    }

    /// average += weight (network - average).
    /// - Parameter weight: gets the number of updates, this one included.
    func update(weight: (_ updates: Int) -> Double) throws {
        count.updates += 1
        let weight = weight(count.updates)
        for (source, average) in pairs where !average.shares(source) {
            let value = source.value
            try average.update {
                rk_lerp(
                    weight, value.elements(Float.self).baseAddress, $0.assumingMemoryBound(to: Float.self), value.count)
            }
        }
    }
}
