import RiffleTensor

/// The Inception-v3 that FID is defined by: the TensorFlow network of December 2015, whose average pools leave padding
/// out and whose last block takes maxima instead. Names and shapes are those of pytorch-fid's file.
///
/// - Source: Szegedy et al. 2016, 1512.00567; the weights of inception-2015-12-05.tgz.
package final class Inception: FeatureNetwork {
    private let parts: [(name: String, module: Module)]
    private let fc: Linear

    package override class var title: String { "inception-2015" }
    package override class var landmark: String { "Mixed_7c.branch_pool.conv.weight" }
    package override var side: Int { 299 }
    package override class var usualTap: String { "2048" }
    package override class var scaling: PixelScaling { PixelScaling(shift: 128, scale: 128) }

    package required init(start: Start) throws {
        func layer(
            _ inputs: Int, _ outputs: Int, _ kernel: Sides, stride: Sides = 1, padding: Sides = 0
        ) throws -> Module {
            try ConvNorm.inception(inputs, outputs, kernel, stride: stride, padding: padding, start)
        }
        parts = [
            ("Conv2d_1a_3x3", try layer(3, 32, 3, stride: 2)), ("Conv2d_2a_3x3", try layer(32, 32, 3)),
            ("Conv2d_2b_3x3", try layer(32, 64, 3, padding: 1)), ("Conv2d_3b_1x1", try layer(64, 80, 1)),
            ("Conv2d_4a_3x3", try layer(80, 192, 3)), ("Mixed_5b", try Mixed.a(192, pool: 32, start)),
            ("Mixed_5c", try Mixed.a(256, pool: 64, start)), ("Mixed_5d", try Mixed.a(288, pool: 64, start)),
            ("Mixed_6a", try Mixed.b(288, start)), ("Mixed_6b", try Mixed.c(768, 128, start)),
            ("Mixed_6c", try Mixed.c(768, 160, start)), ("Mixed_6d", try Mixed.c(768, 160, start)),
            ("Mixed_6e", try Mixed.c(768, 192, start)), ("Mixed_7a", try Mixed.d(768, start)),
            ("Mixed_7b", try Mixed.e(1280, .mean, start)), ("Mixed_7c", try Mixed.e(2048, .maximum, start)),
        ]
        fc = try Linear(2048, 1008, start: start)
        try super.init(start: start)
    }

    package override var children: [(name: String, module: Module)] { parts + [("fc", fc)] }

    package override var stages: [Stage] {
        let steps = parts.map { name, module in Stage { [self] x in try named(name) { try module.forward([x]) } } }
        func pool(_ name: String) -> Stage { Stage(name) { try $0.maxPooled(3, stride: 2) } }
        return steps[0..<3] + [pool("64")] + steps[3..<5] + [pool("192")] + steps[5..<12]
            + [Stage("768", steps[12].run)] + steps[13...]
            + [
                Stage("2048") { try $0.spatialMean() },
                Stage("logits_unbiased") { [self] in try fc($0, biased: false) },
                Stage("logits") { [self] in try $0 + (fc.bias?.tensor ?? .scalar(0)) },
            ]
    }
}

extension ConvNorm {
    fileprivate static func inception(
        _ inputs: Int, _ outputs: Int, _ kernel: Sides, stride: Sides = 1, padding: Sides = 0, _ start: Start
    ) throws -> ConvNorm {
        try ConvNorm(
            Conv2d(inputs, outputs, kernel: kernel, stride: stride, padding: padding, bias: false, start: start),
            eps: 0.001)
    }
}

/// A block of Inception: chains of convolutions and pools beside one another, whose results are joined.
private final class Mixed: Module {
    enum Pool { case mean, maximum }

    indirect enum Step {
        /// A convolution by the name of its part. It keeps height and width, or with `halves` goes in steps of 2.
        case convolution(String, Int, Sides, halves: Bool = false)
        /// The pool of 3 x 3 pixels around each.
        case pool(Pool)
        /// The maximum of 3 x 3 pixels, in steps of 2.
        case halvingPool
        /// Two convolutions of the same values.
        case fork(Step, Step)
    }

    private let branches: [[Step]]
    private let parts: [(name: String, module: ConvNorm)]
    private let byName: [String: ConvNorm]

    init(_ inputs: Int, _ start: Start, _ branches: [[Step]]) throws {
        var parts: [(name: String, module: ConvNorm)] = []
        func add(_ step: Step, _ width: Int) throws -> Int {
            switch step {
            case .convolution(let name, let outputs, let kernel, let halves):
                let padding = halves ? 0 : Sides(kernel.height / 2, kernel.width / 2)
                parts.append(
                    (name, try .inception(width, outputs, kernel, stride: halves ? 2 : 1, padding: padding, start)))
                return outputs
            case .pool, .halvingPool: return width
            case .fork(let left, let right): return try add(left, width) + add(right, width)
            }
        }
        for branch in branches { _ = try branch.reduce(inputs) { try add($1, $0) } }
        self.branches = branches
        self.parts = parts
        byName = Dictionary(parts.map { ($0.name, $0.module) }, uniquingKeysWith: { first, _ in first })
    }

    override var kind: String { "mixed" }
    override var children: [(name: String, module: Module)] { parts }

    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        try .cat(branches.map { try $0.reduce(inputs[0]) { try run($1, $0) } }, 3)
    }

    private func run(_ step: Step, _ x: Tensor) throws -> Tensor {
        switch step {
        case .convolution(let name, _, _, _): try named(name) { try byName[name]?.forward([x]) ?? x }
        case .pool(.mean): try x.averaged(3, stride: 1, padding: 1, countingPadding: false)
        case .pool(.maximum): try x.maxPooled(3, stride: 1, padding: 1)
        case .halvingPool: try x.maxPooled(3, stride: 2)
        case .fork(let left, let right): try .cat([run(left, x), run(right, x)], 3)
        }
    }

    // The blocks, by torchvision's letters.

    static func a(_ inputs: Int, pool: Int, _ start: Start) throws -> Mixed {
        try Mixed(
            inputs, start,
            [
                [.convolution("branch1x1", 64, 1)],
                [.convolution("branch5x5_1", 48, 1), .convolution("branch5x5_2", 64, 5)],
                [
                    .convolution("branch3x3dbl_1", 64, 1), .convolution("branch3x3dbl_2", 96, 3),
                    .convolution("branch3x3dbl_3", 96, 3),
                ],
                [.pool(.mean), .convolution("branch_pool", pool, 1)],
            ])
    }

    static func b(_ inputs: Int, _ start: Start) throws -> Mixed {
        try Mixed(
            inputs, start,
            [
                [.convolution("branch3x3", 384, 3, halves: true)],
                [
                    .convolution("branch3x3dbl_1", 64, 1), .convolution("branch3x3dbl_2", 96, 3),
                    .convolution("branch3x3dbl_3", 96, 3, halves: true),
                ],
                [.halvingPool],
            ])
    }

    static func c(_ inputs: Int, _ width: Int, _ start: Start) throws -> Mixed {
        let across = Sides(1, 7), down = Sides(7, 1)
        return try Mixed(
            inputs, start,
            [
                [.convolution("branch1x1", 192, 1)],
                [
                    .convolution("branch7x7_1", width, 1), .convolution("branch7x7_2", width, across),
                    .convolution("branch7x7_3", 192, down),
                ],
                [
                    .convolution("branch7x7dbl_1", width, 1), .convolution("branch7x7dbl_2", width, down),
                    .convolution("branch7x7dbl_3", width, across), .convolution("branch7x7dbl_4", width, down),
                    .convolution("branch7x7dbl_5", 192, across),
                ],
                [.pool(.mean), .convolution("branch_pool", 192, 1)],
            ])
    }

    static func d(_ inputs: Int, _ start: Start) throws -> Mixed {
        try Mixed(
            inputs, start,
            [
                [.convolution("branch3x3_1", 192, 1), .convolution("branch3x3_2", 320, 3, halves: true)],
                [
                    .convolution("branch7x7x3_1", 192, 1), .convolution("branch7x7x3_2", 192, Sides(1, 7)),
                    .convolution("branch7x7x3_3", 192, Sides(7, 1)),
                    .convolution("branch7x7x3_4", 192, 3, halves: true),
                ],
                [.halvingPool],
            ])
    }

    static func e(_ inputs: Int, _ pool: Pool, _ start: Start) throws -> Mixed {
        func fork(_ left: String, _ right: String) -> Step {
            .fork(.convolution(left, 384, Sides(1, 3)), .convolution(right, 384, Sides(3, 1)))
        }
        return try Mixed(
            inputs, start,
            [
                [.convolution("branch1x1", 320, 1)],
                [.convolution("branch3x3_1", 384, 1), fork("branch3x3_2a", "branch3x3_2b")],
                [
                    .convolution("branch3x3dbl_1", 448, 1), .convolution("branch3x3dbl_2", 384, 3),
                    fork("branch3x3dbl_3a", "branch3x3dbl_3b"),
                ],
                [.pool(pool), .convolution("branch_pool", 192, 1)],
            ])
    }
}
