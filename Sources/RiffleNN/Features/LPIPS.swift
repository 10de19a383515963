import RiffleTensor

/// The perceptual distance of two pictures: squared differences of a classifier's values at several depths, each
/// position's channels made unit length, averaged over positions. LPIPS weighs the channels as people's judgements ask
/// for; without weights the distance is the sum of 2 - 2 cos of the angles, which the paper compares itself with.
///
/// The parameters are those of the published file of weights by channel, version 0.1; the classifier's are another
/// file's.
///
/// - Source: Zhang et al. 2018, 1801.03924, equation 1.
package final class LPIPS: Module {
    /// The classifier, which training leaves alone.
    package let backbone: FeatureNetwork
    private let taps: [String]
    /// Empty where channels weigh the same.
    private let lines: [(name: String, module: ChannelWeights)]

    /// - Parameter start: how the weights by channel start; all channels weigh 1 where nil.
    /// - Throws: `RiffleError` where no weights by channel are published for the network.
    package init(_ backbone: FeatureNetwork, start: Start? = .fanIn) throws {
        self.backbone = backbone
        taps = type(of: backbone).perceptualTaps
        guard let start else {
            lines = []
            return
        }
        guard let network = backbone as? LayeredNetwork else {
            throw RiffleError(
                "lpips", "needs AlexNet, VGG-16 or SqueezeNet 1.1, and \(type(of: backbone).title) is neither")
        }
        lines = try type(of: network).tapWidths.enumerated().map { index, width in
            ("lin\(index)", try ChannelWeights(width, start))
        }
    }

    package override var kind: String { "lpips" }
    package override var summary: String { "on \(type(of: backbone).title)" }
    package override var children: [(name: String, module: Module)] { lines }
    package override func blank() throws -> Module { try LPIPS(backbone, start: lines.isEmpty ? nil : .zero) }
    package override var arity: ClosedRange<Int> { 2...2 }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0], inputs[1]) }

    /// The distance of each picture from its partner, [n].
    /// - Parameters:
    ///   - a: pictures `[n, height, width, 3]`, with numbers from -1 to 1.
    ///   - b: of the same shape.
    package func callAsFunction(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        guard a.shape == b.shape else {
            throw RiffleError(kind, "pictures are compared with pictures of their size (a \(a.shape), b \(b.shape))")
        }
        let values = try [a, b].map { try backbone.values(scaled($0), at: taps).map { try $0.unitChannels() } }
        let parts = try zip(values[0], values[1]).enumerated().map { index, pair in
            let (x, y) = pair
            guard !lines.isEmpty else { return try (x - y).square().sum([3]).mean([1, 2]) }
            return try named("lin\(index)") { try lines[index].module(x - y).mean([1, 2]) }
        }
        return try parts.dropFirst().reduce(parts[0]) { try $0 + $1 }
    }

    /// The backbone's input. LPIPS has its own numbers; other backbones scale bytes.
    private func scaled(_ x: Tensor) throws -> Tensor {
        try backbone is LayeredNetwork ? LPIPS.scaling(x) : type(of: backbone).scaling((x + 1) * 127.5)
    }

    /// ImageNet's mean and deviation as this distance rounds them, for pictures from -1 to 1.
    private static let scaling = PixelScaling(shift: [-0.030, -0.088, -0.188], scale: [0.458, 0.448, 0.450])
}

/// A weight for each channel, under the names of the published file: a convolution behind a dropout.
private final class ChannelWeights: Module {
    private let convolution: Conv2d

    init(_ channels: Int, _ start: Start) throws {
        convolution = try Conv2d(channels, 1, kernel: 1, bias: false, start: start)
    }

    override var kind: String { "channel_weights" }
    override var children: [(name: String, module: Module)] { [("model.1", convolution)] }

    /// The weighed sum of the squares of x's channels, [n, height, width].
    func callAsFunction(_ x: Tensor) throws -> Tensor {
        let weight = try convolution.weight.tensor.reshaped(to: [x.shape[3], 1])
        return try x.square().matmul(weight).reshaped(to: Shape(Array(x.shape.sizes.dropLast())))
    }
}

extension Tensor {
    /// Each position's channels divided by their length.
    fileprivate func unitChannels() throws -> Tensor {
        try self / (square().sum([3], keep: true).sqrt() + 1e-10)
    }
}
