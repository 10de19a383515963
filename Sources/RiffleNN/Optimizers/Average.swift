import CKernels
import RiffleTensor

/// How many updates an average has had: shared by the average and its model, whose files keep the number.
package final class UpdateCount {
    package static let range = 0...Int(Int32.max)
    package var updates = 0
}

/// A frozen copy of a network whose parameters follow the network's.
struct Average {
    /// Takes no gradients and evaluates without dropout.
    let model: Module
    let count = UpdateCount()
    private let pairs: [(source: Parameter, average: Parameter)]

    /// - Throws: `RiffleError` unless all parameters are float32.
    init(of network: Module, _ operation: String) throws {
        guard network.parameters.allSatisfy({ $0.parameter.dtype == .float32 }) else {
            throw RiffleError(operation, "parameters must be float32")
        }
        model = try network.copied(trainable: false)
        model.updateCount = count
        pairs = zip(network.parameters, model.parameters).map { ($0.parameter, $1.parameter) }
    }

    /// Takes the memory that `move` needs, so that several averages move or none.
    func prepare() throws { for (_, average) in pairs { try average.makeUnique() } }

    /// average += weight (network - average), the weight told by the number of updates, this one included.
    func move(by weight: (_ updates: Int) -> Double) throws {
        count.updates += 1
        let weight = weight(count.updates)
        for (source, average) in pairs {
            let value = source.value
            try average.update {
                rk_lerp(
                    weight, value.elements(Float.self).baseAddress, $0.assumingMemoryBound(to: Float.self), value.count)
            }
        }
    }
}
