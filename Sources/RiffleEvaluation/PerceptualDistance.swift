import RiffleIO
import RiffleNN
import RiffleTensor

/// LPIPS with the weights of two files, a classifier's and those by channel; or the same without weights by channel.
package final class PerceptualDistance {
    private let network: LPIPS
    package let title: String
    package static let usualBatch = 32
    /// LPIPS where both files are the published ones, else PD.
    package let name: String

    /// - Parameters:
    ///   - backbone: a file of a feature network's weights, or the name of a published one.
    ///   - weights: the file of weights by channel that goes with it. Where nil, AlexNet, VGG-16 and SqueezeNet 1.1
    ///     have the published one, and other networks weigh all channels alike.
    /// - Throws: `RiffleError` that names the file.
    package init(backbone: String, weights: String? = nil) throws {
        let file = try WeightsFile(backbone), classifier = try FeatureExtractor.network(of: file, featuresAlone: true)
        let form = type(of: classifier), origin = file.words(as: form.title)
        guard classifier is LayeredNetwork else {
            guard weights == nil else {
                throw RiffleError(
                    "",
                    "weights by channel are for AlexNet, VGG-16 and SqueezeNet 1.1, and '\(file.path)' is of "
                        + form.title)
            }
            network = try LPIPS(classifier, start: nil)
            title = "cosines on \(form.title) \(origin), \(form.perceptualTaps.joined(separator: " "))"
            name = "PD"
            return
        }
        network = try LPIPS(classifier, start: .zero)
        let linear = "lpips-\(form.title)", channels = try WeightsFile(weights ?? linear)
        try network.load(from: channels.path)
        title = "lpips 0.1 on \(form.title) \(origin), weights \(channels.words(as: linear))"
        name = file.isPublished(as: form.title) && channels.isPublished(as: linear) ? "LPIPS" : "PD"
    }

    /// The distances of pictures from those of the same number, `[n]`.
    package func distances(_ a: ByteImages, _ b: ByteImages) throws -> Tensor {
        try withoutGradient { try network(a.inColour().floats(), b.inColour().floats()).detach() }
    }

    /// The mean over pairs, and the deviation over pairs.
    /// - Throws: `RiffleError` where the two differ in count or size.
    package func measure(_ a: Pictures, _ b: Pictures, batch: Int = usualBatch, note: String? = nil) throws
        -> Measurement
    {
        guard a.count == b.count else {
            throw RiffleError("", "pictures are compared in pairs: \(a.name) has \(a.count), \(b.name) \(b.count)")
        }
        var sum = 0.0, squares = 0.0
        for first in stride(from: 0, to: a.count, by: batch) {
            try Interrupt.check()
            let range = first..<min(first + batch, a.count)
            let distances = try distances(a.bytes(range), b.bytes(range)).converted(to: .float64)
            sum += try distances.sum().item()
            squares += try distances.square().sum().item()
        }
        let n = Double(a.count), mean = sum / n
        return Measurement(
            [(name, mean)], deviation: max(0, squares / n - mean * mean).squareRoot(),
            [title, "\(b.count) samples of \(b.name)", "beside those of \(a.name)", note])
    }
}
