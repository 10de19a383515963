import RiffleNN
import RiffleTensor

/// How much memory the parts take, and what there is.
extension StableDiffusion3 {
    /// The most bytes of weights that are there while texts are encoded.
    func encodingBytes(in storage: DType, withT5: Bool = true) -> Int {
        let large = withT5 ? long.map { T5Encoder.largestPart(of: $0.encoder.shapes) } ?? 0 : 0
        return max(encoders.map(\.count).max() ?? 0, large) * storage.size
    }

    /// What each step takes where weights are kept in a type.
    func needs(in storage: DType) -> String {
        let encoding = readable(bytes: encodingBytes(in: storage))
        let network = readable(bytes: transformer.count * storage.size)
        return "\(encoding) while texts are encoded, \(network) for the network, "
            + "\(readable(bytes: decoder.bytes)) for the autoencoder"
    }

    /// Makes sure that so many bytes of weights fit, before any is read.
    /// - Throws: `RiffleError` of kind `outOfMemory` that says what each way takes, and what there is.
    func require(_ bytes: Int, for step: String) throws {
        let free = Memory.available(wanted: bytes)
        guard bytes > free else { return }
        var ways = Self.storages.map { "storage = \"\($0)\": \(needs(in: $0))" }
        let without = encodingBytes(in: storage, withT5: false)
        if without < encodingBytes(in: storage) {
            ways.append("without T5, in a folder that lists none: \(readable(bytes: without)) while texts are encoded")
        }
        throw RiffleError(
            "",
            "'\(folder)': \(step) takes \(readable(bytes: bytes)), and \(readable(bytes: free)) are free; beside "
                + "activations, " + ways.joined(separator: "; "),
            kind: .outOfMemory)
    }
}
