import RiffleTensor

/// A small classifier of pictures, for those who train their own: its values describe pictures like those that it was
/// trained on, where a published network would see little.
///
/// Four levels, each of half the side and twice the channels of the one before: a convolution, the largest of each
/// 2 x 2, and a residual block.
package final class Classifier: FeatureNetwork {
    private let stem: Conv2d
    private let levels: ModuleList<Level>
    private let last: Linear
    /// The side that the network is trained on, which its file keeps.
    private let size: Parameter

    package override class var title: String { "classifier" }
    package override class var landmark: String { "levels.0.residual.first.weight" }
    package override class var usualTap: String { "features" }
    package override class var scaling: PixelScaling { PixelScaling(shift: 127.5, scale: 127.5) }
    package override class var perceptualTaps: [String] { levelNames }
    private static let levelNames = (1...4).map { "level\($0)" }

    /// - Parameters:
    ///   - side: of the pictures, at least 16.
    ///   - channels: of the first level, a multiple of 8.
    package init(classes: Int, side: Int = 32, channels: Int = 32, start: Start = .fanIn) throws {
        guard classes >= 2, side >= 16, channels >= 8, channels % 8 == 0 else {
            throw RiffleError(
                "classifier",
                "takes 2 or more classes, a side of 16 or more, and channels in multiples of 8 "
                    + "(classes \(classes), side \(side), channels \(channels))")
        }
        stem = try Conv2d(3, channels, start: start)
        levels = ModuleList(
            try (0..<Self.levelNames.count).map { index in
                try Level(channels << max(0, index - 1), channels << index, start)
            })
        last = try Linear(channels << (Self.levelNames.count - 1), classes, start: start)
        size = Parameter(try .full([], Double(side), .int32), trainable: false)
        try super.init(start: start)
        isTraining = true
    }

    package required convenience init(start: Start) throws { try self.init(classes: 10, start: start) }

    package override class func network(of shapes: [String: Shape]) throws -> FeatureNetwork {
        guard let stem = shapes["stem.weight"], let last = shapes["last.weight"], stem.rank == 4, last.rank == 2 else {
            throw RiffleError("", "it has no stem.weight and last.weight, which a classifier has")
        }
        return try Classifier(classes: last[0], channels: stem[0], start: .zero)
    }

    package override var side: Int { Int(size.value.element(0)) }
    package override var summary: String {
        "\(last.weight.shape[0]) classes, \(stem.weight.shape[0]) channels, pictures of \(side)"
    }
    package override var children: [(name: String, module: Module)] {
        [("stem", stem), ("levels", levels), ("last", last)]
    }
    package override var ownBuffers: [NamedParameter] { [NamedParameter("size", size)] }
    package override func blank() throws -> Module {
        try Classifier(classes: last.weight.shape[0], side: side, channels: stem.weight.shape[0], start: .zero)
    }

    package override var stages: [Stage] {
        [Stage { [self] x in try named("stem") { try stem(x) } }]
            + zip(Self.levelNames, levels.modules).enumerated().map { index, level in
                Stage(level.0) { [self] x in try named("levels.\(index)") { try level.1.forward([x]) } }
            }
            + [
                Stage("features") { try $0.spatialMean() },
                Stage("logits") { [self] x in try named("last") { try last(x) } },
            ]
    }
}

/// Halves the side, and adds what a residual block finds.
private final class Level: Module {
    private let conv: Conv2d
    private let norm: GroupNorm
    private let residual: Residual

    init(_ inputs: Int, _ outputs: Int, _ start: Start) throws {
        conv = try Conv2d(inputs, outputs, start: start)
        norm = try GroupNorm(outputs, groups: 8)
        residual = try Residual(outputs, start)
    }

    override var kind: String { "level" }
    override var children: [(name: String, module: Module)] {
        [("conv", conv), ("norm", norm), ("residual", residual)]
    }
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        try residual.forward([norm(conv(inputs[0]).maxPooled(2), silu: true)])
    }
}

/// x plus two convolutions of it, each with a norm before it.
private final class Residual: Module {
    private let first: Conv2d
    private let second: Conv2d
    private let norms: [GroupNorm]

    init(_ channels: Int, _ start: Start) throws {
        (first, second) = (try Conv2d(channels, channels, start: start), try Conv2d(channels, channels, start: start))
        norms = try (0..<2).map { _ in try GroupNorm(channels, groups: 8) }
    }

    override var kind: String { "residual" }
    override var children: [(name: String, module: Module)] {
        [("first", first), ("second", second), ("norm1", norms[0]), ("norm2", norms[1])]
    }
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        try inputs[0] + second(norms[1](first(norms[0](inputs[0], silu: true)), silu: true))
    }
}
