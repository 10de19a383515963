import RiffleTensor

enum Resampling {
    case down, up

    /// Halves by the mean of 2 x 2 pixels or doubles by repeating them.
    func callAsFunction(_ x: Tensor) throws -> Tensor { self == .down ? try x.averaged() : try x.upsampled() }
}

/// Parts applied in turn; residual blocks also get the time, after SiLU.
final class Stage: Module {
    private let parts: [Module]

    init(_ parts: [Module]) { self.parts = parts }

    override var kind: String { "stage" }
    override var children: [(name: String, module: Module)] { parts.enumerated().map { ("\($0)", $1) } }

    /// Whether there is more than one convolution, which saves its input alone.
    var isResidual: Bool { parts.contains { $0 is ResidualBlock } }

    /// The stage's function; an error gets the part's name into its path.
    func callAsFunction(_ x: Tensor, _ time: Tensor) throws -> Tensor {
        try parts.enumerated().reduce(x) { h, part in
            try named("\(part.offset)") {
                if let block = part.element as? ResidualBlock { return try block(h, time) }
                return try part.element.forward([h])
            }
        }
    }
}

/// x + conv(silu(norm(conv(silu(norm(x))) + time))), where x passes a 1 x 1 convolution if the widths differ.
final class ResidualBlock: Module {
    private let firstNorm: GroupNorm
    private let firstConv: Conv2d
    private let time: Linear
    private let secondNorm: GroupNorm
    private let dropout: Dropout
    private let secondConv: Conv2d
    private let skip: Conv2d?
    private let scaleShift: Bool
    private let resampling: Resampling?

    init(
        _ inputs: Int, _ outputs: Int, time width: Int, dropout probability: Double, scaleShift: Bool,
        resampling: Resampling?
    ) throws {
        self.scaleShift = scaleShift
        self.resampling = resampling
        firstNorm = try GroupNorm(inputs)
        firstConv = try Conv2d(inputs, outputs)
        time = try Linear(width, scaleShift ? 2 * outputs : outputs)
        secondNorm = try GroupNorm(outputs)
        dropout = Dropout(probability)
        secondConv = try Conv2d(outputs, outputs, start: .zero)
        skip = inputs == outputs ? nil : try Conv2d(inputs, outputs, kernel: 1)
    }

    override var kind: String { "residual" }
    override var children: [(name: String, module: Module)] {
        [
            ("in_layers.0", firstNorm), ("in_layers.2", firstConv), ("emb_layers.1", time),
            ("out_layers.0", secondNorm),
            ("out_layers.2", dropout), ("out_layers.3", secondConv),
        ] + (skip.map { [("skip_connection", $0)] } ?? [])
    }

    /// x [n, height, width, in], time [n, 4 channels] after SiLU -> [n, height', width', out].
    func callAsFunction(_ x: Tensor, _ embedding: Tensor) throws -> Tensor {
        var h = try firstNorm(x, silu: true)
        var residual = x
        if let resampling {
            h = try resampling(h)
            residual = try resampling(x)
        }
        h = try firstConv(h)
        let projected = try time(embedding)
        let modulation = try projected.reshaped(to: [projected.shape[0], 1, 1, projected.shape[1]])
        if scaleShift {
            let parts = try modulation.split([h.shape.last, h.shape.last], 3)
            let (scale, shift) = (parts[0], parts[1])
            h = try (secondNorm(h) * (1 + scale) + shift).silu()
        } else {
            h = try secondNorm(h + modulation, silu: true)
        }
        return try (skip?(residual) ?? residual) + secondConv(dropout(h))
    }
}

/// x + projection(attention(norm(x))) over the pixels. Files store each head's queries, keys and values together.
final class AttentionBlock: Module {
    private let norm: GroupNorm
    private let qkv: Linear
    private let projection: Linear
    private let heads: Int

    init(_ channels: Int, heads: Int) throws {
        self.heads = heads
        norm = try GroupNorm(channels)
        qkv = try Linear(channels, 3 * channels)
        projection = try Linear(channels, channels, start: .zero)
    }

    override var kind: String { "attention" }
    override var children: [(name: String, module: Module)] {
        [("norm", norm), ("qkv", Pointwise(qkv)), ("proj_out", Pointwise(projection))]
    }
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        let x = inputs[0]
        guard x.rank == 4 else {
            throw RiffleError("attention", "x must be [n, height, width, channels] (x \(x.shape))")
        }
        let (n, pixels, channels) = (x.shape[0], x.shape[1] * x.shape[2], x.shape[3])
        let packed = try qkv(norm(x).reshaped(to: [n, pixels, channels])).reshaped(to: [
            n, pixels, heads, 3, channels / heads,
        ])
        let parts = try packed.split([1, 1, 1], 3).map { try $0.reshaped(to: [n, pixels, heads, channels / heads]) }
        let mixed = try Tensor.attention(parts[0], parts[1], parts[2]).reshaped(to: [n, pixels, channels])
        return try x + projection(mixed).reshaped(to: x.shape)
    }
}

/// A linear layer that files store as a convolution of width 1.
private final class Pointwise: Module {
    private let layer: Linear

    init(_ layer: Linear) { self.layer = layer }

    override var kind: String { "linear" }
    override var ownParameters: [NamedParameter] {
        layer.ownParameters.map { $0.name == "bias" ? $0 : NamedParameter($0.name, $0.parameter, .pointwise) }
    }
    override var adaptable: (any AdaptableLayer)? { layer }
}

/// Halves the image by a convolution of stride 2, or doubles it by repeating pixels before a convolution.
final class Resample: Module {
    private let conv: Conv2d
    private let way: Resampling

    init(_ channels: Int, _ way: Resampling) throws {
        self.way = way
        conv = try Conv2d(channels, channels, stride: way == .down ? 2 : 1)
    }

    override var kind: String { way == .down ? "downsample" : "upsample" }
    override var children: [(name: String, module: Module)] { [(way == .down ? "op" : "conv", conv)] }
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        try conv(way == .up ? inputs[0].upsampled() : inputs[0])
    }
}
