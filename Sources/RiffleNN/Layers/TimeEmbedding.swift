import Glibc
import RiffleTensor

/// Cosines, then sines, of a time at frequencies from `largest` down to `largest` / 10000 rad.
///
/// t [n] -> [n, width]: cos(t largest 10000^(-i / (width / 2))), then the sines, for i from 0 (Vaswani et al. 2017).
package func timeFeatures(_ t: Tensor, width: Int, largest: Double) throws -> Tensor {
    guard t.rank == 1 else { throw RiffleError("time_embedding", "times must be [n] (t \(t.shape))") }
    let half = width / 2
    let frequencies = (0..<half).map { largest * exp(-log(10000) * Double($0) / Double(half)) }
    let angles = try t.reshaped(to: [-1, 1]) * Tensor(frequencies, [half]).cast(t.dtype)
    return try Tensor.cat([angles.cos(), angles.sin()], 1)
}

/// Features of a time through two linear layers with SiLU between. t [n] -> [n, width].
///
/// In files the layers are named `0` and `2`, as in PyTorch's Sequential of linear, SiLU, linear, or as `names` says.
package final class TimeEmbedding: Module {
    private let features: Int
    private let largest: Double
    private let layers: FeedForward
    private let names: [String]

    /// - Parameters:
    ///   - features: how many cosines and sines.
    ///   - largest: the largest frequency in rad for times in [0, 1].
    ///   - zero: whether the last layer starts as zeros, so that the embedding has no effect at first.
    package init(
        features: Int, width: Int, largest: Double, names: [String] = ["0", "2"], start: Start = .fanIn,
        zero: Bool = false
    ) throws {
        guard features >= 2, features % 2 == 0 else {
            throw RiffleError("time_embedding", "features come in pairs of cosine and sine, got \(features)")
        }
        self.features = features
        self.largest = largest
        self.names = names
        layers = try FeedForward(features, width, width, .silu, names: names, start: start, zero: zero)
    }

    package override var kind: String { "time_embedding" }
    package override var summary: String {
        "\(features) features up to \(riffleFormat(largest)) rad -> \(layers.outputs)"
    }
    package override var children: [(name: String, module: Module)] { layers.children }
    package override func blank() throws -> Module {
        try TimeEmbedding(features: features, width: layers.outputs, largest: largest, names: names)
    }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ t: Tensor) throws -> Tensor {
        try layers(timeFeatures(t, width: features, largest: largest))
    }
}
