import CImage
import RiffleTensor

/// How pictures get the size that a network takes: each of the ways in which published numbers were made. They differ
/// everywhere in a picture, so that numbers by one way cannot be compared with numbers by another.
package enum FeatureResize: String, CaseIterable, Sendable {
    /// TensorFlow 1's bilinear, which counts positions from the corners of pixels and blurs nothing before it shrinks;
    /// that of the first FID, ADM, EDM and torch-fidelity.
    case tf1
    /// PyTorch's bilinear, which counts positions from the centres of pixels and blurs nothing either.
    case pytorchFID = "pytorch-fid"
    /// PIL's bicubic of each channel in float32, which blurs as much as it shrinks, cut off at 0 and 255; that of
    /// clean-fid.
    case clean

    /// Pictures of another size.
    /// - Returns: float32 `[n, height, width, channels]`, from 0 to 255, not rounded.
    /// - Throws: `RiffleError` where memory runs out.
    package func resized(_ images: ByteImages, width: Int, height: Int) throws -> Tensor {
        guard width > 0, height > 0 else {
            throw RiffleError("", "a picture has one pixel or more a side, got \(width) x \(height)")
        }
        // Each thread takes a picture, as floats, in both sizes across.
        let scratch = [images.height, images.width + width + 2, images.channels, 4 * Processor.threads]
        try Memory.check(checkedProduct(scratch) ?? .max / 2)
        let result = try Tensor(uninitialized: [images.count, height, width, images.channels])
        let (from, to) = (ci_size(width: images.width, height: images.height), ci_size(width: width, height: height))
        try Memory.taking(workspace: {
            ci_resize_pictures(
                images.bytes, images.count, from, result.pointer.assumingMemoryBound(to: Float.self), to,
                images.channels, sampling)
        })
        return result
    }

    private var sampling: ci_sampling {
        switch self {
        case .tf1: CI_CORNERS
        case .pytorchFID: CI_CENTRES
        case .clean: CI_PIL_BICUBIC
        }
    }
}
