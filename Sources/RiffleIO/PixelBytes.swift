import RiffleTensor

/// The numbers of pictures as bytes, by one rule for files and for measures.
///
/// A number v becomes floor(255 u + 1/2) with u = (v - low) / (high - low), held within [0, 1]. Whole numbers without a
/// range are bytes already.
struct PixelBytes {
    /// int32, each of them a byte, or float32 without NaN.
    private let numbers: Tensor
    private let low: Float
    private let scale: Float

    /// - Parameters:
    ///   - images: of any shape, or a sheet of them.
    ///   - shape: that of the images, for messages.
    ///   - range: the values of black and white; -1 and 1 where nil, but for int32 images, whose numbers are bytes.
    /// - Throws: `RiffleError` for NaN, whole numbers that are no bytes, and a range that is none.
    init(_ images: Tensor, of shape: Shape, range: ClosedRange<Double>?) throws {
        if let range, range.lowerBound >= range.upperBound {
            throw RiffleError("", "a range goes from black to white, got \(range.lowerBound) to \(range.upperBound)")
        }
        let chosen = range ?? -1...1
        low = Float(chosen.lowerBound)
        scale = 1 / Float(chosen.upperBound - chosen.lowerBound)
        if PixelBytes.areBytes(images, range) {
            numbers = images
            if let stranger = images.elements(Int32.self).first(where: { !(0...255).contains($0) }) {
                throw RiffleError(
                    "",
                    "whole numbers are the bytes of a picture, 0 to 255, and one is \(stranger); range = { black, "
                        + "white } scales them"
                )
            }
            return
        }
        numbers = try images.converted(to: .float32)
        let values = numbers.elements(Float.self), strangers = values.count { $0.isNaN }
        guard strangers == 0 else {
            throw RiffleError(
                "", "NaN has no brightness, and \(strangers) of \(values.count) numbers are (images \(shape))")
        }
    }

    /// Writes the bytes of some numbers, counted in row-major order.
    func write(_ part: Range<Int>, to bytes: UnsafeMutableBufferPointer<UInt8>) {
        if numbers.dtype == .int32 {
            let whole = numbers.elements(Int32.self)
            for (target, index) in part.enumerated() { bytes[target] = UInt8(truncatingIfNeeded: whole[index]) }
        } else {
            let values = numbers.elements(Float.self)
            for (target, index) in part.enumerated() { bytes[target] = PixelBytes.byte((values[index] - low) * scale) }
        }
    }

    /// Whether numbers are bytes already, which nothing scales.
    static func areBytes(_ images: Tensor, _ range: ClosedRange<Double>?) -> Bool {
        images.dtype == .int32 && range == nil
    }

    /// The byte of a brightness from 0 to 1: rounded to the nearest, a half upwards. NaN gives 0.
    static func byte(_ brightness: Float) -> UInt8 { brightness > 0 ? UInt8(min(brightness, 1) * 255 + 0.5) : 0 }
}

/// Pictures of one size with 8 bits a sample, as those who measure pictures look at them.
package struct ByteImages: Sendable {
    package let count: Int
    package let height: Int
    package let width: Int
    package let channels: Int
    /// `[count][height][width][channels]`.
    package let bytes: [UInt8]

    /// The pictures as a PNG file would hold them.
    /// - Parameters:
    ///   - images: `[n, height, width, channels]`.
    ///   - range: the values of black and white; -1 and 1 where nil, but for int32 images, whose numbers are bytes.
    /// - Throws: `RiffleError` for other shapes, NaN, and whole numbers that are no bytes.
    package init(_ images: Tensor, range: ClosedRange<Double>? = nil) throws {
        guard images.rank == 4, images.count > 0 else {
            throw RiffleError("", "pictures are [n, height, width, channels], got \(images.shape)")
        }
        let rounded = try PixelBytes(images, of: images.shape, range: range)
        try Memory.check(images.count)
        bytes = [UInt8](unsafeUninitializedCapacity: images.count) { buffer, initialized in
            rounded.write(0..<images.count, to: buffer)
            initialized = images.count
        }
        (count, height, width, channels) = (images.shape[0], images.shape[1], images.shape[2], images.shape[3])
    }

    /// Pictures of three channels: those of grey ones are equal.
    /// - Throws: `RiffleError` for neither one channel nor three.
    package func inColour() throws -> ByteImages {
        if channels == 3 { return self }
        guard channels == 1 else {
            throw RiffleError("", "pictures of 1 or 3 channels are needed, and these have \(channels)")
        }
        try Memory.check(3 * bytes.count)
        return ByteImages(bytes.flatMap { [$0, $0, $0] }, shape: [height, width, 3])
    }

    /// The pictures as numbers from -1 to 1, float32 `[n, height, width, channels]`.
    package func floats() throws -> Tensor {
        let tensor = try Tensor(uninitialized: [count, height, width, channels])
        let numbers = tensor.elements(Float.self)
        for index in bytes.indices { numbers[index] = Float(bytes[index]) / 127.5 - 1 }
        return tensor
    }

    /// Pictures of bytes that are there.
    /// - Parameter shape: that of one picture, `[height, width, channels]`, whose size the number of bytes is a
    ///   multiple of.
    package init(_ bytes: [UInt8], shape: Shape) {
        precondition(shape.rank == 3 && bytes.count % shape.count == 0, "no pictures \(shape)")
        self.bytes = bytes
        (count, height, width, channels) = (bytes.count / shape.count, shape[0], shape[1], shape[2])
    }

    /// Some of the pictures.
    package func part(_ range: Range<Int>) -> ByteImages {
        let shape: Shape = [height, width, channels], size = shape.count
        guard range != 0..<count else { return self }
        return ByteImages(Array(bytes[(range.lowerBound * size)..<(range.upperBound * size)]), shape: shape)
    }
}
