import RiffleTensor

/// A network whose file has two lists of layers, `features` and `classifier`, numbered as torchvision numbers them.
package class LayeredNetwork: FeatureNetwork {
    /// The numbers of the entries of `features` that are taps, from 0, and the taps' names.
    class var featureTaps: [Int: String] { [:] }
    /// The channels of these taps, in order.
    class var tapWidths: [Int] { [] }
    /// The numbers of the entries of `classifier` that are taps, from 0, and the taps' names.
    class var classifierTaps: [Int: String] { [:] }

    private let features: Sequential
    private let classifier: Sequential?

    package required convenience init(start: Start) throws { try self.init(start: start, hasClassifier: true) }

    /// - Parameter hasClassifier: whether there are the layers behind the features, which are most of the parameters.
    package required init(start: Start, hasClassifier: Bool) throws {
        features = Sequential(try Self.featureLayers(start))
        classifier = hasClassifier ? Sequential(try Self.classifierLayers(start)) : nil
        try super.init(start: start)
    }

    class func featureLayers(_ start: Start) throws -> [Module] { [] }
    class func classifierLayers(_ start: Start) throws -> [Module] { [] }
    /// What lies between the two lists.
    func joint(_ x: Tensor) throws -> Tensor { x }

    package override var children: [(name: String, module: Module)] {
        [("features", features)] + (classifier.map { [("classifier", $0)] } ?? [])
    }

    package override class var perceptualTaps: [String] { featureTaps.inOrder }

    package override var stages: [Stage] {
        func stages(_ list: String, _ layers: Sequential, _ taps: [Int: String]) -> [Stage] {
            layers.modules.enumerated().map { index, layer in
                Stage(taps[index]) { [self] x in try named("\(list).\(index)") { try layer.forward([x]) } }
            }
        }
        let first = stages("features", features, Self.featureTaps)
        guard let classifier else { return first }
        return first + [Stage { [self] in try joint($0) }] + stages("classifier", classifier, Self.classifierTaps)
    }

    /// The maximum of pixels, in steps of 2.
    fileprivate static func pool(_ kernel: Sides, ceil: Bool = false) -> Operation {
        Operation(.maxPool, [kernel.value, .integer(2), .integer(0), .boolean(ceil)])
    }

    /// The layers behind the features of AlexNet and VGG: three linear layers with dropout.
    fileprivate static func linearLayers(
        _ inputs: Int, dropoutFirst: Bool, _ start: Start
    ) throws -> [Module] {
        let dropout = Dropout(0.5), relu = Operation(.relu)
        let first = try Linear(inputs, 4096, start: start), second = try Linear(4096, 4096, start: start)
        let last = try Linear(4096, 1000, start: start)
        return dropoutFirst
            ? [dropout, first, relu, dropout, second, relu, last] : [first, relu, dropout, second, relu, dropout, last]
    }

    /// Feature maps of one size in the order of the linear layers.
    fileprivate func flattened(_ x: Tensor, mapSide: Int) throws -> Tensor {
        guard x.shape[1] == mapSide, x.shape[2] == mapSide else {
            throw RiffleError(
                kind,
                "the layers behind the features take pictures of \(side) x \(side) pixels, whose maps "
                    + "are \(mapSide) x \(mapSide), not \(x.shape[1]) x \(x.shape[2])")
        }
        return try x.flattenedChannelsFirst()
    }
}

/// VGG-16 without batch norm: the network of LPIPS, and of the original precision and recall.
///
/// - Source: Simonyan and Zisserman 2014, 1409.1556; torchvision's vgg16-397923af.pth.
package final class VGG16: LayeredNetwork {
    package override class var title: String { "vgg16" }
    package override class var landmark: String { "features.28.weight" }
    package override class var usualTap: String { "fc2" }
    override class var featureTaps: [Int: String] {
        [3: "relu1_2", 8: "relu2_2", 15: "relu3_3", 22: "relu4_3", 29: "relu5_3"]
    }
    override class var tapWidths: [Int] { [64, 128, 256, 512, 512] }
    override class var classifierTaps: [Int: String] { [4: "fc2", 6: "logits"] }

    override class func featureLayers(_ start: Start) throws -> [Module] {
        var layers: [Module] = []
        var inputs = 3
        for (count, outputs) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)] {
            for _ in 0..<count {
                layers += [try Conv2d(inputs, outputs, start: start), Operation(.relu)]
                inputs = outputs
            }
            layers.append(pool(2))
        }
        return layers
    }
    override class func classifierLayers(_ start: Start) throws -> [Module] {
        try linearLayers(512 * 7 * 7, dropoutFirst: false, start)
    }
    override func joint(_ x: Tensor) throws -> Tensor { try flattened(x, mapSide: 7) }
}

/// AlexNet with one tower, the usual network of LPIPS.
///
/// - Source: Krizhevsky 2014, 1404.5997; torchvision's alexnet-owt-7be5be79.pth.
package final class AlexNet: LayeredNetwork {
    /// Its first layer leaves a sixteenth of the pixels, and its last ones read 220 MB of weights each time.
    package override class var usualBatch: Int { 32 }
    package override class var title: String { "alexnet" }
    package override class var landmark: String { "features.3.weight" }
    package override class var usualTap: String { "fc2" }
    override class var featureTaps: [Int: String] { [1: "relu1", 4: "relu2", 7: "relu3", 9: "relu4", 11: "relu5"] }
    override class var tapWidths: [Int] { [64, 192, 384, 256, 256] }
    override class var classifierTaps: [Int: String] { [5: "fc2", 6: "logits"] }

    override class func featureLayers(_ start: Start) throws -> [Module] {
        let relu = Operation(.relu), pool = pool(3)
        return [
            try Conv2d(3, 64, kernel: 11, stride: 4, padding: 2, start: start), relu, pool,
            try Conv2d(64, 192, kernel: 5, start: start), relu, pool,
            try Conv2d(192, 384, start: start), relu, try Conv2d(384, 256, start: start), relu,
            try Conv2d(256, 256, start: start), relu, pool,
        ]
    }
    override class func classifierLayers(_ start: Start) throws -> [Module] {
        try linearLayers(256 * 6 * 6, dropoutFirst: true, start)
    }
    override func joint(_ x: Tensor) throws -> Tensor { try flattened(x, mapSide: 6) }
}

/// SqueezeNet 1.1, the smallest network of LPIPS.
///
/// - Source: Iandola et al. 2016, 1602.07360; torchvision's squeezenet1_1-b8a52dc0.pth.
package final class SqueezeNet: LayeredNetwork {
    package override class var title: String { "squeezenet1.1" }
    package override class var landmark: String { "features.3.squeeze.weight" }
    package override class var usualTap: String { "relu7" }
    override class var featureTaps: [Int: String] {
        [1: "relu1", 4: "relu2", 7: "relu3", 9: "relu4", 10: "relu5", 11: "relu6", 12: "relu7"]
    }
    override class var tapWidths: [Int] { [64, 128, 256, 384, 384, 512, 512] }
    override class var classifierTaps: [Int: String] { [3: "logits"] }

    override class func featureLayers(_ start: Start) throws -> [Module] {
        let pool = pool(3, ceil: true)
        return [
            try Conv2d(3, 64, stride: 2, padding: 0, start: start), Operation(.relu), pool,
            try Fire(64, 16, 64, start), try Fire(128, 16, 64, start), pool,
            try Fire(128, 32, 128, start), try Fire(256, 32, 128, start), pool,
            try Fire(256, 48, 192, start), try Fire(384, 48, 192, start), try Fire(384, 64, 256, start),
            try Fire(512, 64, 256, start),
        ]
    }
    override class func classifierLayers(_ start: Start) throws -> [Module] {
        [Dropout(0.5), try Conv2d(512, 1000, kernel: 1, start: start), Operation(.relu), SpatialMean()]
    }
}

/// The block of SqueezeNet: a narrow convolution, then two wide ones side by side.
private final class Fire: Module {
    private let squeeze: Conv2d
    private let narrow: Conv2d
    private let wide: Conv2d

    init(_ inputs: Int, _ squeezed: Int, _ outputs: Int, _ start: Start) throws {
        squeeze = try Conv2d(inputs, squeezed, kernel: 1, start: start)
        narrow = try Conv2d(squeezed, outputs, kernel: 1, start: start)
        wide = try Conv2d(squeezed, outputs, start: start)
    }

    override var kind: String { "fire" }
    override var children: [(name: String, module: Module)] {
        [("squeeze", squeeze), ("expand1x1", narrow), ("expand3x3", wide)]
    }
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        let x = try squeeze(inputs[0]).relu()
        return try .cat([narrow(x), wide(x)], 3).relu()
    }
}

private final class SpatialMean: Module {
    override var kind: String { "mean" }
    override func forward(_ inputs: [Tensor]) throws -> Tensor { try inputs[0].spatialMean() }
}
