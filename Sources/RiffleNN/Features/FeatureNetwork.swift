import RiffleTensor

/// A network that was trained on pictures, and whose inner values describe them: distances between sets of pictures
/// are computed from these values. Its parameters are those of a published file, under the file's names.
///
/// Published networks are evaluated and never trained: dropout is left out, and batch norm uses the file's statistics.
package class FeatureNetwork: Module {
    /// A step of the network. Values behind a step with a name, a tap, can be asked for.
    package struct Stage {
        let name: String?
        let run: (Tensor) throws -> Tensor

        init(_ name: String? = nil, _ run: @escaping (Tensor) throws -> Tensor) {
            self.name = name
            self.run = run
        }
    }

    /// What the network is called in protocols, such as `inception-2015`.
    package class var title: String { "features" }
    /// The tap that distances are usually computed from.
    package class var usualTap: String { "" }
    /// The name of a tensor by which the network's file is known.
    package class var landmark: String { "" }
    /// The taps [n, height, width, channels] in which pictures are compared by position, from fine to coarse.
    package class var perceptualTaps: [String] { [] }
    /// How many pictures the network takes at a time where nobody says: the values of most networks' first layers take
    /// more memory than all else, and more pictures at a time are hardly faster.
    package class var usualBatch: Int { 8 }
    /// How bytes become the network's input.
    package class var scaling: PixelScaling { .imageNet }

    /// - Parameter start: how the parameters start, before a file's are loaded.
    package required init(start: Start) throws {
        super.init()
        isTraining = false
    }

    /// The network whose tensors a file has, with zeros in place of the file's numbers.
    /// - Throws: `RiffleError` where the shapes are those of no such network.
    package class func network(of shapes: [String: Shape]) throws -> FeatureNetwork { try Self(start: .zero) }

    /// The height and width of the pictures that the network was trained on.
    package var side: Int { 224 }

    /// The steps in order.
    package var stages: [Stage] { [] }

    /// The names of the values that can be asked for, in the order of computation.
    package final var taps: [String] { stages.compactMap(\.name) }

    package final override var kind: String { Self.title.replacing("-", with: "_") }
    package override func blank() throws -> Module { try Self(start: .zero) }
    package final override func forward(_ inputs: [Tensor]) throws -> Tensor {
        try values(inputs[0], at: taps.suffix(1)).first ?? inputs[0]
    }

    /// The values behind some steps; nothing is computed behind the last of them.
    /// - Parameters:
    ///   - x: scaled pictures `[n, height, width, 3]`.
    ///   - wanted: names of taps.
    /// - Returns: in the order of `wanted`, `[n, height, width, channels]` or `[n, channels]`.
    /// - Throws: `RiffleError` where there is no such tap, or the pictures are too small for the network.
    package final func values(_ x: Tensor, at wanted: [String]) throws -> [Tensor] {
        for tap in wanted where !taps.contains(tap) {
            throw RiffleError(kind, "no values '\(tap)'; there are \(taps.joined(separator: ", "))")
        }
        guard x.rank == 4, x.shape[3] == 3 else {
            throw RiffleError(kind, "x must be pictures [n, height, width, 3] (x \(x.shape))")
        }
        var found: [String: Tensor] = [:]
        var h = x
        for stage in stages where found.count < wanted.count {
            h = try stage.run(h)
            if let name = stage.name, wanted.contains(name) { found[name] = h }
        }
        return wanted.compactMap { found[$0] }
    }

    /// Those with published weights.
    package static let published: [FeatureNetwork.Type] = [
        Inception.self, VGG16.self, AlexNet.self, SqueezeNet.self, EfficientNetLite0.self,
    ]
    /// All feature networks.
    package static let all = published + [Classifier.self]
}

/// How the bytes of a picture become the input of a network: (byte - shift) / scale, in each channel.
package struct PixelScaling: Sendable {
    let shift: [Double]
    let scale: [Double]

    package init(shift: [Double], scale: [Double]) {
        self.shift = shift
        self.scale = scale
    }

    package init(shift: Double, scale: Double) { self.init(shift: [shift], scale: [scale]) }

    /// By the mean and deviation of ImageNet's pictures, as torchvision publishes them.
    package static let imageNet = PixelScaling(
        shift: [0.485, 0.456, 0.406].map { $0 * 255 }, scale: [0.229, 0.224, 0.225].map { $0 * 255 })

    /// - Parameter pictures: [n, height, width, 3], with numbers from 0 to 255.
    package func callAsFunction(_ pictures: Tensor) throws -> Tensor {
        try (pictures - Tensor(shift, [shift.count]).converted(to: .float32))
            / Tensor(scale, [scale.count]).converted(to: .float32)
    }
}

extension [Int: String] {
    /// The names of taps in the order of the layers whose numbers they have.
    var inOrder: [String] { sorted { $0.key < $1.key }.map(\.value) }
}

extension Tensor {
    /// [n, height, width, channels] with the channels of all positions first, [n, channels * height * width]: the
    /// order in which PyTorch's linear layers take pictures.
    func flattenedChannelsFirst() throws -> Tensor {
        try permuted([0, 3, 1, 2]).reshaped(to: [shape[0], shape.count / Swift.max(shape[0], 1)])
    }

    /// The mean over height and width, [n, channels].
    package func spatialMean() throws -> Tensor { try rank == 4 ? mean([1, 2]) : self }
}
