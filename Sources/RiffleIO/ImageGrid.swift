import RiffleTensor

/// Sheets of images, and images as files.
package enum ImageGrid {
    /// Lays images out in rows, from left to right, with black between and around them.
    ///
    /// - Parameters:
    ///   - images: `[n, height, width, channels]`.
    ///   - columns: images per row, at least 1; the last row may be shorter.
    ///   - padding: pixels between and around images.
    ///   - range: the values of black and white; -1 and 1 where nil, but for int32 images, whose numbers are bytes.
    /// - Returns: float32, or int32 where the images are and no range is given, `[rows * (height + padding) + padding,
    ///   columns * (width + padding) + padding, channels]`.
    package static func grid(_ images: Tensor, columns: Int = 8, padding: Int = 2, range: ClosedRange<Double>? = nil)
        throws -> Tensor
    {
        guard images.rank == 4 else {
            throw RiffleError(
                "", "images are [n, height, width, channels], got \(images.shape)\(hint(for: images.shape))")
        }
        guard columns >= 1, (0...1000).contains(padding) else {
            throw RiffleError(
                "", "a grid has at least 1 column and a padding of 0 to 1000 pixels, got \(columns) and \(padding)")
        }
        let count = images.shape[0]
        let height = images.shape[1]
        let width = images.shape[2]
        let channels = images.shape[3]
        guard images.count > 0 else {
            throw RiffleError("", "there is nothing to show in images of the shape \(images.shape)")
        }
        let across = min(columns, count)
        let down = (count + across - 1) / across
        let stepX = width + padding, stepY = height + padding
        let sheet = try Shape([down * stepY + padding, across * stepX + padding, channels]).checked("grid")
        let areBytes = PixelBytes.areBytes(images, range)
        let source = areBytes ? images : try images.converted(to: .float32)
        let result = try Tensor.full(sheet, areBytes ? 0 : range?.lowerBound ?? -1, source.dtype)
        // The numbers have four bytes each, and are copied as they are.
        let from = source.elements(UInt32.self)
        let to = result.elements(UInt32.self)
        let line = width * channels
        for image in 0..<count {
            let left = (image % across) * stepX + padding, top = (image / across) * stepY + padding
            for y in 0..<height {
                let start = ((top + y) * sheet[1] + left) * channels, first = (image * height + y) * line
                for offset in 0..<line { to[start + offset] = from[first + offset] }
            }
        }
        return result
    }

    /// Writes images as one PNG.
    ///
    /// Numbers become bytes by the rule of `PixelBytes`. Reading a file and writing it again changes no byte.
    ///
    /// - Parameters:
    ///   - images: `[n, height, width, channels]` for a grid, or one picture `[height, width, channels]` or `[height,
    ///   width]`; 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA) channels.
    ///   - range: the values of black and white; -1 and 1 where nil, but for int32 images, whose numbers are bytes.
    ///   - text: texts that the file keeps, by key.
    /// - Throws: `RiffleError` for other shapes, NaN, whole numbers that are no bytes, or when the file cannot be
    ///   written.
    package static func save(
        _ images: Tensor, to path: String, columns: Int = 8, padding: Int = 2, range: ClosedRange<Double>? = nil,
        text: [String: String] = [:]
    ) throws {
        try withRows(images, columns, padding, range) { size, row in
            try PNG.write(
                width: size.width, height: size.height, channels: size.channels, text: text, to: path, row: row)
        }
    }

    /// The bytes of the file that `save` would write, and the size of its picture. Numbers that are not finite become
    /// bytes of 0, and are counted.
    package static func encoded(
        _ images: Tensor, columns: Int = 8, padding: Int = 2, range: ClosedRange<Double>? = nil,
        text: [String: String] = [:]
    ) throws -> (bytes: [UInt8], size: Size, notFinite: Int) {
        let (images, notFinite) = try finite(images, orElse: range?.lowerBound ?? -1)
        return try withRows(images, columns, padding, range) { size, row in
            let bytes = try PNG.encoded(
                width: size.width, height: size.height, channels: size.channels, text: text, row: row)
            return (bytes, size, notFinite)
        }
    }

    /// The images, with another value for numbers that are not finite, and how many those are.
    private static func finite(_ images: Tensor, orElse value: Double) throws -> (Tensor, Int) {
        guard images.dtype.isFloating else { return (images, 0) }
        let floats = try images.converted(to: .float32)
        let strangers = floats.nonfiniteCount
        guard strangers > 0 else { return (floats, 0) }
        let result = try Tensor(uninitialized: images.shape)
        let (from, to) = (floats.elements(Float.self), result.elements(Float.self))
        for index in from.indices { to[index] = from[index].isFinite ? from[index] : Float(value) }
        return (result, strangers)
    }

    package typealias Size = (width: Int, height: Int, channels: Int)

    /// Checks images and lays them out; `body` gets the size of the picture and the bytes of its rows.
    private static func withRows<Result>(
        _ images: Tensor, _ columns: Int, _ padding: Int, _ range: ClosedRange<Double>?,
        _ body: (Size, PNG.Row) throws -> Result
    ) throws -> Result {
        let sheet =
            switch images.rank {
            case 2: images.viewed(as: images.shape.inserting(1, at: 2))
            case 4: try grid(images, columns: columns, padding: padding, range: range)
            default: images
            }
        guard sheet.rank == 3, (1...4).contains(sheet.shape[2]), sheet.count > 0 else {
            throw RiffleError(
                "",
                "a picture is [n, height, width, channels], [height, width, channels] or [height, width] with 1 to 4 "
                    + "channels, got \(images.shape)\(hint(for: images.shape))"
            )
        }
        let size = (width: sheet.shape[1], height: sheet.shape[0], channels: sheet.shape[2])
        let line = size.width * size.channels
        let bytes = try PixelBytes(sheet, of: images.shape, range: range)
        return try body(size) { row, pixels in bytes.write((row * line)..<((row + 1) * line), to: pixels) }
    }

    /// Advice where channels come first, as in PyTorch, or where one picture is given instead of a list of pictures.
    private static func hint(for shape: Shape) -> String {
        let sizes = shape.sizes
        let isPicture = sizes.count == 3
        guard isPicture || sizes.count == 4, let last = sizes.last else { return "" }
        if (1...4).contains(sizes[sizes.count - 3]), last > 4 {
            return "; x:permute { \(isPicture ? "2, 3, 1" : "1, 3, 4, 2") } puts channels last"
        }
        return isPicture && (1...4).contains(last) ? "; x:unsqueeze(1) is a list of one picture" : ""
    }
}
