import RiffleIO
import RiffleNN
import RiffleTensor

/// Makes features of pictures: a network, which of its values are taken, and how pictures become its input.
package final class FeatureExtractor {
    /// What the features are called in protocols.
    package let title: String
    /// A name for files of features, with the hash of the weights' file; nil where there is none.
    let fileName: String?
    /// The network's form, and which of its values are taken; nil for functions of one's own.
    private let form: FeatureNetwork.Type?, tap: String?
    private let isPublished: Bool
    /// The side of the pictures that the network takes; pictures stay as they are where nil.
    package let side: Int?
    /// How many pictures the network takes at a time.
    package let batch: Int
    private let function: (Tensor) throws -> Tensor
    private let scaling: PixelScaling

    /// For functions of one's own; networks have theirs.
    private static let usualBatch = 32

    /// A network of a file.
    /// - Parameters:
    ///   - path: a file that `TensorFile` reads, with a network's tensors under its published names; or the name of a
    ///     published file.
    ///   - tap: which of the network's values; the usual ones where nil.
    /// - Throws: `RiffleError` that names the file when it cannot be read or is no network's that is known.
    package convenience init(file path: String, tap: String? = nil, batch: Int? = nil) throws {
        let file = try WeightsFile(path)
        try self.init(try FeatureExtractor.network(of: file), tap: tap, file: file, batch: batch)
    }

    /// A feature network with the weights that it has.
    /// - Parameter file: the file that the weights are of; nil for those of a script.
    package init(
        _ network: FeatureNetwork, tap: String? = nil, file: WeightsFile? = nil, batch: Int? = nil
    ) throws {
        let form = type(of: network)
        let tap = tap ?? form.usualTap
        guard network.taps.contains(tap) else {
            throw RiffleError(
                "", "\(form.title) has no values '\(tap)'; there are \(network.taps.joined(separator: ", "))")
        }
        let origin = file?.words(as: form.title) ?? "with weights of a script"
        title = "\(form.title)\(tap == form.usualTap ? "" : " \(tap)") \(origin)"
        fileName = file.map { file in
            String("\(form.title)-\(tap)-\(file.sha256.prefix(16))".map { $0.isLetter || $0.isNumber ? $0 : "-" })
        }
        isPublished = file?.isPublished(as: form.title) == true
        (self.form, self.tap) = (form, tap)
        side = network.side
        scaling = form.scaling
        self.batch = batch ?? form.usualBatch
        function = { try network.values($0, at: [tap])[0].spatialMean() }
    }

    /// Any function of pictures, such as a classifier of the user's own.
    /// - Parameters:
    ///   - title: what it is called in protocols.
    ///   - side: the side of the pictures that it takes; they stay as they are where nil.
    ///   - function: of pictures `[n, height, width, channels]` from -1 to 1; gives `[n, ...]`.
    package init(
        title: String, side: Int?, batch: Int? = nil, function: @escaping (Tensor) throws -> Tensor
    ) {
        self.title = title
        fileName = nil
        (form, tap, isPublished) = (nil, nil, false)
        self.side = side
        scaling = PixelScaling(shift: 127.5, scale: 127.5)
        self.batch = batch ?? FeatureExtractor.usualBatch
        self.function = function
    }

    /// Whether distances of these features are what everybody calls FID.
    package var isFID: Bool { isInception && isPublished && tap == Inception.usualTap }
    /// Whether the features are a classifier's logits, as those of one's own functions may be.
    var mayBeLogits: Bool { tap?.hasPrefix("logits") ?? true }
    /// Whether scores of the features are what everybody calls IS.
    var isIS: Bool { isInception && isPublished && mayBeLogits }
    private var isInception: Bool { form == Inception.self }

    /// How pictures get the network's size, in words.
    package func sizing(_ resize: FeatureResize) -> String { side == nil ? "own size" : "\(resize.rawValue) resize" }

    /// The features of pictures, a row each.
    /// - Returns: `[n, features]`.
    /// - Throws: `RiffleError` when the pictures do not fit the network, or a feature is not finite.
    package func features(of images: ByteImages, _ resize: FeatureResize) throws -> Tensor {
        let images = side == nil ? images : try images.inColour()
        let (width, height) = (side ?? images.width, side ?? images.height)
        return try withoutGradient {
            let input = try resize.resized(images, width: width, height: height)
            let features = try function(scaling(for: resize)(input))
            guard features.rank >= 1, features.shape[0] == images.count else {
                throw RiffleError(
                    "", "features are [n, ...], a row for each picture, got \(features.shape) for \(images.count)")
            }
            let rows = try features.reshaped(to: [images.count, features.count / images.count])
            guard rows.nonfiniteCount == 0 else {
                throw RiffleError("", "\(title): \(rows.nonfiniteCount) features are NaN or infinite")
            }
            return rows.detach()
        }
    }

    /// pytorch-fid scales Inception's input to exactly -1 and 1, all others by 128.
    private func scaling(for resize: FeatureResize) -> PixelScaling {
        resize == .pytorchFID && isInception ? PixelScaling(shift: 127.5, scale: 127.5) : scaling
    }

    /// The feature network whose tensors a file holds, with the file's weights.
    /// - Parameter featuresAlone: whether the layers behind the features are left out.
    /// - Throws: `RiffleError` that names the file when it cannot be read or is no network's that is known.
    package static func network(of weights: WeightsFile, featuresAlone: Bool = false) throws -> FeatureNetwork {
        let file = try TensorFile(weights.path), tensors = Set(file.names)
        guard let form = FeatureNetwork.all.first(where: { tensors.contains($0.landmark) }) else {
            let known = FeatureNetwork.all.map { "\($0.title) has '\($0.landmark)'" }.joined(separator: ", ")
            throw file.error("its tensors are those of no feature network: \(known)")
        }
        let layered = featuresAlone ? form as? LayeredNetwork.Type : nil
        let network: FeatureNetwork
        do {
            let shapes = Dictionary(file.entries.map { ($0.name, $0.shape) }) { $1 }
            network = try withoutNumbers {
                try layered?.init(start: .zero, hasClassifier: false) ?? form.network(of: shapes)
            }
        } catch let error as RiffleError where error.kind == .mistake {
            throw file.error(error.message)
        }
        let names = try network.load(from: weights.path, strict: layered == nil)
        guard names.missing.isEmpty else {
            throw file.error("of \(form.title) it lacks \(names.missing.joined(separator: ", "))")
        }
        return network
    }
}
