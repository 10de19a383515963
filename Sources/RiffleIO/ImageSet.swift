import RiffleTensor

/// Labelled images of one size, reached by number.
package protocol ImageSet: SampleSet {
    /// The shape of one: `[height, width, channels]`.
    var imageShape: Shape { get }
    /// The names of the classes.
    var classes: [String] { get }

    /// The class of an image, counted from 0 as both numbers are.
    func label(of image: Int) -> Int
    /// Writes an image's pixels in [-1, 1] to where there is room for them, mirrored left to right where asked.
    func copy(_ image: Int, mirrored: Bool, to pixels: UnsafeMutablePointer<Float>)
}

extension ImageSet {
    /// Images and labels by number.
    /// - Returns: `x` float32 `[n, height, width, channels]` in [-1, 1] and `y` int32 `[n]`, labels counted from 1.
    package func batch(_ images: [(number: Int, mirrored: Bool)]) throws -> Batch {
        let x = try Tensor(uninitialized: Shape([images.count] + imageShape.sizes))
        let y = try Tensor(uninitialized: [images.count], .int32)
        let (pixels, labels) = (x.elements(Float.self), y.elements(Int32.self))
        for (place, image) in images.enumerated() {
            if let start = pixels.baseAddress {
                copy(image.number, mirrored: image.mirrored, to: start + place * imageShape.count)
            }
            labels[place] = Int32(label(of: image.number) + 1)
        }
        return Batch(x: x, y: y)
    }
}
