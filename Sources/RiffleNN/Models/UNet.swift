import RiffleTensor

/// The U-Net of guided diffusion (Dhariwal and Nichol 2021) in torchcfm's form, with its parameter names in files.
///
/// Images are [n, height, width, channels]; times are fed in [0, 1] unscaled. `span_embed` is ours: the second time.
package final class UNet: ConfiguredNetwork<UNet.Configuration> {
    package struct Configuration: LabelledConfiguration {
        /// [height, width, channels].
        package var image: Shape
        package var channels = 128
        /// Width of each level, in units of `channels`; each further level halves the image.
        package var multipliers = [1, 2, 2, 2]
        /// Residual blocks a level.
        package var blocks = 2
        /// The levels with attention, by the width of the image there; the middle always has attention. Where nil the
        /// choice is torchcfm's, as in its checkpoints: the level where the image is width / 16 times smaller, rounded
        /// down, if there is such a level. That is the level of width 16 for images of 32 pixels, and of 28 for 28.
        package var attention: [Int]?
        /// Heads of attention; nil where the channels of a head decide.
        package var heads: Int?
        /// Channels of a head, or all channels where there are fewer; 64 where neither these nor heads are given.
        package var headChannels: Int?
        package var dropout = 0.0
        /// Whether the time scales and shifts the second norm instead of being added before it.
        package var scaleShift = false
        /// Whether residual blocks halve and double the image instead of convolutions.
        package var residualResampling = false
        package var labels = ClassLabels()
        /// Largest frequency of the time embedding, in rad.
        package var frequency = 1.0
        package var times = 1

        package init(image: Shape) { self.image = image }

        package var sampleShape: Shape { image }

        /// - Throws: `RiffleError` that names a setting that is not possible.
        func checked() throws -> Configuration {
            guard image.rank == 3, image.sizes.allSatisfy({ $0 > 0 }) else {
                throw RiffleError("unet", "image must be { height, width, channels }, got \(image)")
            }
            guard channels > 0, channels % 32 == 0 else {
                throw RiffleError("unet", "channels must be a multiple of 32, got \(channels)")
            }
            guard !multipliers.isEmpty, multipliers.allSatisfy({ $0 > 0 }) else {
                throw RiffleError("unet", "multipliers must be positive whole numbers, got \(multipliers)")
            }
            guard multipliers.count <= 16 else {
                throw RiffleError("unet", "at most 16 levels, got \(multipliers.count)")
            }
            let factor = 1 << (multipliers.count - 1)
            guard image[0] % factor == 0, image[1] % factor == 0 else {
                throw RiffleError(
                    "unet",
                    "\(multipliers.count) levels need height and width in multiples of \(factor), image \(image)")
            }
            let widths = multipliers.indices.map { image[1] >> $0 }
            if let odd = attention?.first(where: { !widths.contains($0) }) {
                throw RiffleError(
                    "unet",
                    "attention acts at widths of the image's levels, \(Shape(widths)), and \(odd) is none of them; "
                        + "leave it out for torchcfm's choice")
            }
            guard heads == nil || headChannels == nil else {
                throw RiffleError(
                    "unet", "heads and head_channels both say how attention is divided; give one of them")
            }
            guard blocks > 0 else { throw RiffleError("unet", "blocks must be at least 1, got \(blocks)") }
            return self
        }

        /// Whether attention acts where the image is so many times smaller.
        func attends(at scale: Int) -> Bool {
            attention.map { $0.contains(image[1] / scale) } ?? (image[1] / 16 == scale)
        }

        func heads(of width: Int) throws -> Int {
            let headChannels = headChannels ?? (heads == nil ? 64 : nil)
            let count = headChannels.map { max(1, width / $0) } ?? heads ?? 1
            guard count > 0, width % count == 0, headChannels.map({ width < $0 || width % $0 == 0 }) ?? true else {
                throw RiffleError(
                    "unet", "\(width) channels do not make equal heads of attention; set heads or head_channels")
            }
            return count
        }
    }

    private let head: EmbeddingHead
    private let down: [Stage]
    private let middle: Stage
    private let up: [Stage]
    private let norm: GroupNorm
    private let last: Conv2d

    package required init(_ configuration: Configuration) throws {
        let c = try configuration.checked()
        let width = 4 * c.channels
        head = try EmbeddingHead(
            times: c.times, features: c.channels, width: width, largest: c.frequency, c.conditioning)
        var builder = StageBuilder(configuration: c)
        down = try builder.down()
        middle = try builder.middle()
        up = try builder.up()
        norm = try GroupNorm(builder.channels)
        last = try Conv2d(builder.channels, c.image[2], start: .zero)
        try super.init(c)
    }

    package override class var hasBlocks: Bool { true }
    package override var kind: String { "unet" }
    package override var sizes: String {
        "\(configuration.image), \(configuration.channels) channels x \(Shape(configuration.multipliers))"
    }

    package override var children: [(name: String, module: Module)] {
        head.children + [
            ("input_blocks", ModuleList(down)), ("middle_block", middle), ("output_blocks", ModuleList(up)),
            ("out.0", norm), ("out.2", last),
        ]
    }

    package override var blockNames: [String] {
        down.indices.map { "input_blocks.\($0)" } + ["middle_block"] + up.indices.map { "output_blocks.\($0)" }
    }

    package override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let time = try head(times, condition).silu()
        var h = x
        var skips: [Tensor] = []
        for (index, stage) in down.enumerated() {
            h = try self.stage("input_blocks.\(index)", stage, h, time)
            skips.append(h)
        }
        h = try stage("middle_block", middle, h, time)
        for (index, stage) in up.enumerated() {
            h = try self.stage("output_blocks.\(index)", stage, h, time, beside: skips.removeLast())
        }
        return try last(norm(h, silu: true))
    }

    /// - Parameter skip: what is joined to x. It is joined inside the block, so that no copy is kept.
    private func stage(
        _ name: String, _ stage: Stage, _ x: Tensor, _ time: Tensor, beside skip: Tensor? = nil
    ) throws -> Tensor {
        guard stage.isResidual else {
            let value = try named(name) { try stage(x, time) }
            try recorder?.take(name, value)
            return value
        }
        if let skip {
            return try block(name, stage, x, skip, time) { [try stage(.cat([$0[0], $0[1]], 3), $0[2])] }[0]
        }
        return try block(name, stage, x, time) { [try stage($0[0], $0[1])] }[0]
    }
}

extension UNet {
    static let form = NetworkForm(
        labelled: "unet", UNet.self, Configuration(image: []),
        [
            Option("image", \.image, .list(.integer(1...65536)), .imageSizes, isRequired: true),
            Option("channels", \.channels, .integer(32...65536), "channels of the first level, a multiple of 32"),
            Option(
                "multipliers", \.multipliers, .list(.integer(1...1024)),
                "the width of each level in units of channels; { 1, 2, 2, 2 }"),
            Option("blocks", \.blocks, .integer(1...64), "residual blocks a level"),
            Option(
                "attention", \.attention, .list(.integer(1...65536)),
                "the levels that have it besides the middle, by the image's width there; when not given torchcfm's "
                    + "choice, the level that is width / 16 times smaller, rounded down: 16 of 32, 28 of 28"),
            Option("heads", \.heads, .integer(1...1024), "heads of attention, instead of head_channels"),
            Option(
                "head_channels", \.headChannels, .integer(1...65536),
                "channels of a head, or all channels where there are fewer; 64 when neither it nor heads is given"),
            Option("dropout", \.dropout, .fraction(0...0.999)),
            Option("scale_shift", \.scaleShift, .boolean, "whether the time scales and shifts the second norm"),
            Option(
                "residual_resampling", \.residualResampling, .boolean,
                "whether residual blocks halve and double the image"),
            Option("frequency", \.frequency, .positive, .largestFrequency),
        ],
        Doc(
            "A velocity network for images: guided diffusion's U-Net as torchcfm has it, with the same names in files.",
            shapes: "x [n, height, width, channels], t [n] (, labels [n]) -> as x",
            example: """
                > local sizes = { image = { 8, 8, 3 }, channels = 32, multipliers = { 1 }, blocks = 1, attention = {} }
                > riffle.nn.unet(sizes):count()
                163331
                """,
            source: "Dhariwal and Nichol 2021; Tong et al. 2023"))
}

/// Builds the stages in the order of their names in files, and keeps count of channels, scale and skips.
private struct StageBuilder {
    let configuration: UNet.Configuration
    private(set) var channels: Int
    private var scale = 1
    private var skips: [Int]

    init(configuration: UNet.Configuration) {
        self.configuration = configuration
        channels = configuration.channels * configuration.multipliers[0]
        skips = [channels]
    }

    mutating func down() throws -> [Stage] {
        var stages = [Stage([try Conv2d(configuration.image[2], channels)])]
        for (level, multiplier) in configuration.multipliers.enumerated() {
            for _ in 0..<configuration.blocks {
                stages.append(Stage(try residual(channels, to: multiplier * configuration.channels) + attention()))
                skips.append(channels)
            }
            if level + 1 < configuration.multipliers.count {
                stages.append(Stage([try resampling(.down)]))
                skips.append(channels)
                scale *= 2
            }
        }
        return stages
    }

    mutating func middle() throws -> Stage {
        Stage(
            try residual(channels, to: channels) + [AttentionBlock(channels, heads: configuration.heads(of: channels))]
                + residual(channels, to: channels))
    }

    mutating func up() throws -> [Stage] {
        var stages: [Stage] = []
        for (level, multiplier) in configuration.multipliers.enumerated().reversed() {
            for index in 0...configuration.blocks {
                var parts =
                    try residual(channels + skips.removeLast(), to: multiplier * configuration.channels) + attention()
                if level > 0, index == configuration.blocks {
                    parts.append(try resampling(.up))
                    scale /= 2
                }
                stages.append(Stage(parts))
            }
        }
        return stages
    }

    private mutating func residual(_ inputs: Int, to outputs: Int, _ resampling: Resampling? = nil) throws -> [Module] {
        channels = outputs
        return [
            try ResidualBlock(
                inputs, outputs, time: 4 * configuration.channels, dropout: configuration.dropout,
                scaleShift: configuration.scaleShift, resampling: resampling)
        ]
    }

    private func attention() throws -> [Module] {
        configuration.attends(at: scale) ? [try AttentionBlock(channels, heads: configuration.heads(of: channels))] : []
    }

    private mutating func resampling(_ way: Resampling) throws -> Module {
        if configuration.residualResampling { return try residual(channels, to: channels, way)[0] }
        return try Resample(channels, way)
    }
}
