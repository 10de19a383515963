import RiffleTensor

/// The encoder or the decoder of an AutoencoderKL: levels from the first to the last, or back, and between the last and
/// the latents a middle.
final class PictureHalf: Module {
    static let eps = 1e-6

    private let first: Conv2d
    private let levels: [Level]
    private let middle: Middle
    private let norm: GroupNorm
    private let last: Conv2d
    private let way: Resampling

    convenience init(encoder c: KLAutoencoder.Configuration) throws {
        try self.init(c, .down, c.channels, layers: c.layers, from: c.imageChannels, to: 2 * c.latents)
    }

    convenience init(decoder c: KLAutoencoder.Configuration) throws {
        try self.init(c, .up, c.channels.reversed(), layers: c.layers + 1, from: c.latents, to: c.imageChannels)
    }

    /// - Parameter widths: of levels in the order of evaluation.
    private init(
        _ c: KLAutoencoder.Configuration, _ way: Resampling, _ widths: [Int], layers: Int, from inputs: Int,
        to outputs: Int
    ) throws {
        let ends = (widths[0], widths[widths.count - 1])
        self.way = way
        first = try Conv2d(inputs, ends.0)
        levels = try widths.indices.map { index in
            try Level(
                widths[max(0, index - 1)], widths[index], layers: layers, groups: c.groups,
                resampling: index + 1 < widths.count ? way : nil)
        }
        middle = try Middle(way == .down ? ends.1 : ends.0, groups: c.groups, attention: c.attention)
        norm = try GroupNorm(ends.1, groups: c.groups, eps: Self.eps)
        last = try Conv2d(ends.1, outputs)
    }

    override var kind: String { way == .down ? "encoder" : "decoder" }
    override var children: [(name: String, module: Module)] {
        [
            ("conv_in", first), (way == .down ? "down_blocks" : "up_blocks", ModuleList(levels)),
            ("mid_block", middle), ("conv_norm_out", norm), ("conv_out", last),
        ]
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        var h = try first(x)
        if way == .up { h = try middle(h) }
        for level in levels { h = try level(h) }
        if way == .down { h = try middle(h) }
        h = try norm(h, silu: true)
        return try last(h)
    }
}

/// Residual blocks of one width; then the picture is halved or doubled where there is a level behind.
private final class Level: Module {
    private let blocks: [PictureBlock]
    private let resample: Module?
    private let resampling: Resampling?

    init(_ inputs: Int, _ width: Int, layers: Int, groups: Int, resampling: Resampling?) throws {
        blocks = try (0..<layers).map { try PictureBlock($0 == 0 ? inputs : width, width, groups: groups) }
        self.resampling = resampling
        resample =
            switch resampling {
            case .down: try Halving(width)
            case .up: try Doubling(width)
            case nil: nil
            }
    }

    override var kind: String { "level" }
    override var children: [(name: String, module: Module)] {
        [("resnets", ModuleList(blocks))]
            + (resample.map { [(resampling == .down ? "downsamplers.0" : "upsamplers.0", $0)] } ?? [])
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        let h = try blocks.reduce(x) { try $1($0) }
        return try resample?.forward([h]) ?? h
    }
}

/// A convolution of stride 2 behind a column and a row of zeros, at the right and at the bottom alone.
private final class Halving: Module {
    private let conv: Conv2d

    init(_ channels: Int) throws { conv = try Conv2d(channels, channels, stride: 2, padding: 0) }

    override var kind: String { "downsample" }
    override var children: [(name: String, module: Module)] { [("conv", conv)] }
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        try conv(inputs[0].padded(1, before: 0, after: 1).padded(2, before: 0, after: 1))
    }
}

/// Pixels repeated, then a convolution.
private final class Doubling: Module {
    private let conv: Conv2d

    init(_ channels: Int) throws { conv = try Conv2d(channels, channels) }

    override var kind: String { "upsample" }
    override var children: [(name: String, module: Module)] { [("conv", conv)] }
    override func forward(_ inputs: [Tensor]) throws -> Tensor { try conv(inputs[0].upsampled()) }
}

/// Two residual blocks with attention between them.
private final class Middle: Module {
    private let before: PictureBlock
    private let attention: PixelAttention?
    private let after: PictureBlock

    init(_ width: Int, groups: Int, attention: Bool) throws {
        before = try PictureBlock(width, width, groups: groups)
        self.attention = attention ? try PixelAttention(width, groups: groups) : nil
        after = try PictureBlock(width, width, groups: groups)
    }

    override var kind: String { "middle" }
    override var children: [(name: String, module: Module)] {
        [("resnets.0", before)] + (attention.map { [("attentions.0", $0)] } ?? []) + [("resnets.1", after)]
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        let h = try before(x)
        return try after(attention.map { try $0(h) } ?? h)
    }
}

/// x + conv2(silu(norm2(conv1(silu(norm1(x)))))), where x passes a convolution of one pixel if the widths differ.
private final class PictureBlock: Module {
    private let firstNorm: GroupNorm
    private let firstConv: Conv2d
    private let secondNorm: GroupNorm
    private let secondConv: Conv2d
    private let skip: Conv2d?

    init(_ inputs: Int, _ outputs: Int, groups: Int) throws {
        firstNorm = try GroupNorm(inputs, groups: groups, eps: PictureHalf.eps)
        firstConv = try Conv2d(inputs, outputs)
        secondNorm = try GroupNorm(outputs, groups: groups, eps: PictureHalf.eps)
        secondConv = try Conv2d(outputs, outputs)
        skip = inputs == outputs ? nil : try Conv2d(inputs, outputs, kernel: 1)
    }

    override var kind: String { "residual" }
    override var children: [(name: String, module: Module)] {
        [("norm1", firstNorm), ("conv1", firstConv), ("norm2", secondNorm), ("conv2", secondConv)]
            + (skip.map { [("conv_shortcut", $0)] } ?? [])
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        // One value at a time, so that each is freed before the next but one is made.
        var h = try firstNorm(x, silu: true)
        h = try firstConv(h)
        h = try secondNorm(h, silu: true)
        h = try secondConv(h)
        return try (skip.map { try $0(x) } ?? x) + h
    }
}

/// x + output(attention(norm(x))) over the pixels, with one head.
private final class PixelAttention: Module {
    private let norm: GroupNorm
    private let queries: Linear, keys: Linear, values: Linear
    private let output: Linear

    init(_ width: Int, groups: Int) throws {
        norm = try GroupNorm(width, groups: groups, eps: PictureHalf.eps)
        queries = try Linear(width, width)
        keys = try Linear(width, width)
        values = try Linear(width, width)
        output = try Linear(width, width)
    }

    override var kind: String { "attention" }
    override var children: [(name: String, module: Module)] {
        [("group_norm", norm), ("to_q", queries), ("to_k", keys), ("to_v", values), ("to_out.0", output)]
    }
    /// What files of diffusers before 0.17 call them.
    override var olderNames: [String: String] {
        ["to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"]
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        let (n, pixels, width) = (x.shape[0], x.shape[1] * x.shape[2], x.shape[3])
        let h = try norm(x).reshaped(to: [n, pixels, width])
        func head(_ layer: Linear) throws -> Tensor { try layer(h).reshaped(to: [n, pixels, 1, width]) }
        let mixed = try Tensor.attention(head(queries), head(keys), head(values))
        return try x + output(mixed.reshaped(to: [n, pixels, width])).reshaped(to: x.shape)
    }
}
