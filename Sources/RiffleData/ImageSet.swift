import RiffleTensor

/// Labelled images of one size, reached by number.
package protocol ImageSet: SampleSet {
    /// The shape of one image: `[height, width, channels]`.
    var imageShape: Shape { get }
    /// The names of the classes.
    var classes: [String] { get }

    /// The class of an image; images and classes count from 0.
    func label(of image: Int) -> Int
    /// Writes an image's pixels in [-1, 1] to `pixels`, which has space for them; mirrored left to right where asked.
    func copy(_ image: Int, mirrored: Bool, to pixels: UnsafeMutablePointer<Float>)
}

extension ImageSet {
    /// Images and labels by number.
    /// - Returns: `x` float32 `[n, height, width, channels]` in [-1, 1] and `y` int32 `[n]`, labels counted from 1.
    package func batch(_ images: [(number: Int, mirrored: Bool)]) throws -> Batch {
        let x = try Tensor(uninitialized: Shape([images.count] + imageShape.sizes))
        let y = try Tensor(uninitialized: [images.count], .int32)
        let pixels = x.elements(Float.self)
        let labels = y.elements(Int32.self)
        for (index, image) in images.enumerated() {
            if let start = pixels.baseAddress {
                copy(image.number, mirrored: image.mirrored, to: start + index * imageShape.count)
            }
            labels[index] = Int32(label(of: image.number) + 1)
        }
        return Batch(x: x, y: y)
    }
}
