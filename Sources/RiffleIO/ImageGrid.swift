import RiffleTensor

/// Sheets of images, and images as files.
public enum ImageGrid {
    /// Lays images out in rows, from left to right, with black between and around them.
    ///
    /// - Parameters:
    ///   - images: `[n, height, width, channels]`.
    ///   - columns: images a row, at least 1; the last row may be shorter.
    ///   - padding: pixels between and around images.
    ///   - range: the values of black and white.
    /// - Returns: float32 `[rows * (height + padding) + padding, columns * (width + padding) + padding, channels]`.
    public static func grid(_ images: Tensor, columns: Int = 8, padding: Int = 2, range: ClosedRange<Double> = -1...1) throws -> Tensor {
        guard images.rank == 4 else { throw RiffleError("", "images are [n, height, width, channels], got \(images.shape)") }
        guard columns >= 1, (0...1000).contains(padding) else {
            throw RiffleError("", "a grid has at least 1 column and a padding of 0 to 1000 pixels, got \(columns) and \(padding)")
        }
        let (count, height, width, channels) = (images.shape[0], images.shape[1], images.shape[2], images.shape[3])
        guard images.count > 0 else { throw RiffleError("", "there is nothing to show in images of the shape \(images.shape)") }
        let across = min(columns, count), down = (count + across - 1) / across
        let stepX = width + padding, stepY = height + padding
        let sheet = try Shape([down * stepY + padding, across * stepX + padding, channels]).checked("grid")
        let result = try Tensor.full(sheet, range.lowerBound)
        let source = try images.converted(to: .float32)
        let (from, to) = (source.elements(Float.self), result.elements(Float.self))
        let line = width * channels
        for image in 0..<count {
            let left = (image % across) * stepX + padding, top = (image / across) * stepY + padding
            for y in 0..<height {
                let start = ((top + y) * sheet[1] + left) * channels, first = (image * height + y) * line
                for place in 0..<line { to[start + place] = from[first + place] }
            }
        }
        return result
    }

    /// Writes images as one PNG.
    ///
    /// A value v becomes the byte floor(255 u + 1/2) with u = (v - low) / (high - low), held within [0, 1]; NaN is black.
    /// Reading a file and writing it again changes no byte.
    ///
    /// - Parameters:
    ///   - images: `[n, height, width, channels]` for a grid, or one picture `[height, width, channels]` or `[height, width]`;
    ///     1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA) channels.
    ///   - text: what to note in the file, by key.
    /// - Throws: `RiffleError` for other shapes, or when the file cannot be written.
    public static func save(
        _ images: Tensor, to path: String, columns: Int = 8, padding: Int = 2, range: ClosedRange<Double> = -1...1,
        text: [String: String] = [:]
    ) throws {
        guard range.lowerBound < range.upperBound else {
            throw RiffleError("", "a range goes from black to white, got \(range.lowerBound) to \(range.upperBound)")
        }
        let sheet = switch images.rank {
        case 2: images.viewed(as: images.shape.inserting(1, at: 2))
        case 4: try grid(images, columns: columns, padding: padding, range: range)
        default: images
        }
        guard sheet.rank == 3, (1...4).contains(sheet.shape[2]), sheet.count > 0 else {
            throw RiffleError("", "a picture is [n, height, width, channels], [height, width, channels] or [height, width] with 1 to 4 channels, got \(images.shape)")
        }
        let floats = try sheet.converted(to: .float32), low = Float(range.lowerBound), scale = 1 / Float(range.upperBound - range.lowerBound)
        let pixels = floats.elements(Float.self).map { byte(($0 - low) * scale) }
        try PNG.write(pixels, width: sheet.shape[1], height: sheet.shape[0], channels: sheet.shape[2], text: text, to: path)
    }

    /// The byte of a brightness from 0 to 1: rounded to the nearest, a half upwards.
    static func byte(_ brightness: Float) -> UInt8 {
        // Written so that NaN takes the first way.
        brightness > 0 ? UInt8(min(brightness, 1) * 255 + 0.5) : 0
    }
}
