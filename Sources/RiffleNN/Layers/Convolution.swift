import RiffleTensor

/// Convolution of [n, height, width, in] to [n, height', width', out] with zero padding.
package final class Conv2d: Module, AdaptableLayer {
    package let weight: Parameter
    package let bias: Parameter?
    package var adapter: LowRank?
    package var isGrouped: Bool { groups > 1 }
    let stride: Sides
    private let padding: Sides
    private let groups: Int

    /// - Parameters:
    ///   - padding: half the kernel where nil.
    ///   - groups: parts of the channels that do not mix.
    package init(
        _ inputs: Int, _ outputs: Int, kernel: Sides = 3, stride: Sides = 1, padding: Sides? = nil, groups: Int = 1,
        bias: Bool = true, start: Start = .fanIn
    ) throws {
        guard groups >= 1, inputs % groups == 0, outputs % groups == 0 else {
            throw RiffleError(
                "conv2d", "\(inputs) channels in and \(outputs) out do not make \(groups) equal groups")
        }
        let shape: Shape = [outputs, kernel.height, kernel.width, inputs / groups]
        weight = try start.weight(shape)
        self.bias = bias ? try start.bias(shape) : nil
        self.stride = stride
        self.padding = padding ?? kernel.map { $0 / 2 }
        self.groups = groups
    }

    private var inputs: Int { weight.shape[3] * groups }
    var kernel: Sides { Sides(weight.shape[1], weight.shape[2]) }

    package override var kind: String { "conv2d" }
    package override var summary: String {
        "\(inputs) -> \(weight.shape[0]), kernel \(kernel)" + (stride == 1 ? "" : ", stride \(stride)")
            + (groups > 1 ? ", \(groups) groups" : "")
    }
    package override var ownParameters: [NamedParameter] {
        [NamedParameter("weight", weight, .convolution)] + (bias.map { [NamedParameter("bias", $0)] } ?? [])
            + (adapter?.named(.convolution) ?? [])
    }
    override var adaptable: (any AdaptableLayer)? { self }
    package override func blank() throws -> Module {
        try Conv2d(
            inputs, weight.shape[0], kernel: kernel, stride: stride, padding: padding, groups: groups,
            bias: bias != nil, start: .zero)
    }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }

    /// - Parameter norm: a norm that follows. Its scale and shift go into weight and bias, which are small beside
    ///   images.
    package func callAsFunction(_ x: Tensor, norm: BatchNorm? = nil) throws -> Tensor {
        guard let norm else {
            let y = try convolved(x, weight.tensor, bias?.tensor)
            return try adapter.map { try y + change(x, $0) } ?? y
        }
        let (scale, shift) = try norm.scaleAndShift()
        let weight = try self.weight.tensor * scale.reshaped(to: [scale.count, 1, 1, 1])
        let y = try convolved(x, weight, bias.map { try $0.tensor * scale + shift } ?? shift)
        return try adapter.map { try y + change(x, $0) * scale } ?? y
    }

    /// What an adapter adds to the result: a convolution to few channels, then one of single pixels.
    private func change(_ x: Tensor, _ adapter: LowRank) throws -> Tensor {
        try (convolved(x, adapter.down.tensor, nil) * adapter.scale).conv2d(adapter.up.tensor, nil)
    }

    private func convolved(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) throws -> Tensor {
        try x.conv2d(weight, bias, stride: stride, padding: padding, groups: groups)
    }
}

/// Normalisation of each channel by the mean and variance of the data that a published network was trained on, with
/// scale and shift. The statistics are constants of the file, also while training.
package final class BatchNorm: Module {
    package let weight: Parameter
    package let bias: Parameter
    private let mean: Parameter
    private let variance: Parameter
    /// How many batches PyTorch saw; older files lack it.
    private let batches: Parameter
    private let eps: Double

    package init(_ channels: Int, eps: Double = 1e-5) throws {
        weight = Parameter(try .ones([channels]))
        bias = Parameter(try .zeros([channels]))
        mean = Parameter(try .zeros([channels]), trainable: false)
        variance = Parameter(try .ones([channels]), trainable: false)
        batches = Parameter(try .zeros([], .int32), trainable: false)
        self.eps = eps
    }

    package override var kind: String { "batch_norm" }
    package override var summary: String { "\(weight.shape[0]) channels" }
    package override var ownParameters: [NamedParameter] {
        [NamedParameter("weight", weight), NamedParameter("bias", bias)]
    }
    package override var ownBuffers: [NamedParameter] {
        [
            NamedParameter("running_mean", mean), NamedParameter("running_var", variance),
            NamedParameter("num_batches_tracked", batches, isOptional: true),
        ]
    }
    package override func blank() throws -> Module { try BatchNorm(weight.shape[0], eps: eps) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }

    package func callAsFunction(_ x: Tensor) throws -> Tensor {
        guard x.shape.last == weight.shape[0], x.rank > 0 else {
            throw RiffleError(kind, "the last dimension is not \(weight.shape[0]) (x \(x.shape))")
        }
        let (scale, shift) = try scaleAndShift()
        return try x * scale + shift
    }

    /// What the norm does: x scale + shift, [channels] each.
    func scaleAndShift() throws -> (scale: Tensor, shift: Tensor) {
        let scale = try weight.tensor * (variance.tensor + eps).rsqrt()
        return (scale, try bias.tensor - mean.tensor * scale)
    }
}

/// A convolution with a norm and an activation behind it, as most convolutions of feature networks are.
package final class ConvNorm: Module {
    /// What follows the norm.
    package enum Activation: String, CaseIterable, Sendable {
        case none, relu, relu6

        package func callAsFunction(_ x: Tensor) throws -> Tensor {
            switch self {
            case .none: x
            case .relu: try x.relu()
            case .relu6: try x.clamp(0, 6)
            }
        }
    }

    /// Names in files.
    package struct Names: Sendable {
        package var conv = "conv", norm = "bn"

        package init() {}
    }

    package let conv: Conv2d
    package let norm: BatchNorm
    private let activation: Activation
    private let names: Names

    package init(_ conv: Conv2d, eps: Double = 1e-5, activation: Activation = .relu, names: Names = Names()) throws {
        self.conv = conv
        norm = try BatchNorm(conv.weight.shape[0], eps: eps)
        (self.activation, self.names) = (activation, names)
    }

    private init(_ conv: Conv2d, _ norm: BatchNorm, _ activation: Activation, _ names: Names) {
        (self.conv, self.norm, self.activation, self.names) = (conv, norm, activation, names)
    }

    package override var kind: String { "conv_norm" }
    package override var summary: String { conv.summary + (activation == .none ? "" : ", \(activation)") }
    package override var children: [(name: String, module: Module)] { [(names.conv, conv), (names.norm, norm)] }
    package override func blank() throws -> Module {
        ConvNorm(try conv.blank() as! Conv2d, try norm.blank() as! BatchNorm, activation, names)
    }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ x: Tensor) throws -> Tensor { try activation(conv(x, norm: norm)) }
}
