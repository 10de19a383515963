import CImage
import RiffleTensor

/// Pictures as PNG files, by libpng.
package enum PNG {
    /// Reads a picture of 8 or 16 bits: grey, palette or colour, with or without alpha.
    ///
    /// Takes the memory of the result and no more, and takes it before anything is unpacked.
    /// - Returns: float32 `[height, width, channels]` in [-1, 1], with 1 (grey), 2 (grey and alpha), 3 or 4 channels.
    /// - Throws: `RiffleError` that names the file and what is wrong with it.
    package static func read(_ path: String) throws -> Tensor {
        let file = try InputFile(path)
        let stream = CStream(reading: file)
        func failure(_ message: String) -> any Error { file.error(message) }

        var form = ci_form()
        let picture = try stream.run(failure) { ci_png_open($0, file.size, &form, $1) }
        defer { ci_png_close(picture) }
        let height = Int(form.height)
        let width = Int(form.width)
        let bits = Int(form.bits)
        let tensor: Tensor
        do { tensor = try Tensor(uninitialized: Shape([height, width, Int(form.channels)])) } catch let error
            as RiffleError
        {
            throw RiffleError(
                "", "'\(path)', \(PictureSize(width: width, height: height)): \(error.message)", kind: error.kind)
        }
        // The samples go to the end of the tensor's memory, where no number overwrites one that has still to be read.
        let samples = tensor.pointer + tensor.count * (4 - bits / 8)
        try stream.run(failure) { ci_png_read(picture, samples.assumingMemoryBound(to: UInt8.self), $1) ? () : nil }
        for index in 0..<tensor.count {
            let number =
                bits == 16
                ? Float(samples.load(fromByteOffset: 2 * index, as: UInt16.self)) / 32767.5 - 1
                : Float(samples.load(fromByteOffset: index, as: UInt8.self)) / 127.5 - 1
            tensor.pointer.storeBytes(of: number, toByteOffset: 4 * index, as: Float.self)
        }
        return tensor
    }

    /// Writes 8-bit pixels row by row; the file appears whole or not at all.
    /// - Parameters:
    ///   - channels: bytes a pixel: 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA.
    ///   - text: texts that the file keeps, by key (1 to 79 ASCII characters).
    ///   - row: writes the pixels of row `number`, counted from 0, to `pixels`.
    package static func write(
        width: Int, height: Int, channels: Int, text: [String: String] = [:], to path: String, row: Row
    ) throws {
        try FileEnding.check(path, of: "pictures", [.png])
        let form = try form(width: width, height: height, channels: channels)
        try check(text)
        try AtomicFile.write(to: path) { output in
            let stream = CStream { try output.write(UnsafeRawBufferPointer($0)) }
            try encode(form, text, to: stream, "cannot write '\(path)': ", row)
        }
    }

    /// The bytes of the file that `write` would write.
    package static func encoded(width: Int, height: Int, channels: Int, text: [String: String] = [:], row: Row) throws
        -> [UInt8]
    {
        let form = try form(width: width, height: height, channels: channels)
        try check(text)
        // What cannot be compressed grows by less than a thousandth.
        try Memory.check((checkedProduct([width, height, channels]) ?? .max / 4) / 4 * 5)
        var bytes: [UInt8] = []
        try encode(form, text, to: CStream { bytes += $0 }, "a picture cannot be encoded: ", row)
        return bytes
    }

    /// Writes the pixels of row `number`, counted from 0, to `pixels`.
    package typealias Row = (_ number: Int, _ pixels: UnsafeMutableBufferPointer<UInt8>) -> Void

    private static func form(width: Int, height: Int, channels: Int) throws -> ci_form {
        guard (1...largestSide).contains(width), (1...largestSide).contains(height) else {
            throw RiffleError(
                "",
                "a picture \(PictureSize(width: width, height: height)) cannot be written as PNG; sides go from 1 to "
                    + "\(largestSide)")
        }
        return ci_form(
            width: UInt32(width), height: UInt32(height), channels: UInt32(channels), bits: 8, orientation: 1,
            work: 0)
    }

    private static func encode(
        _ form: ci_form, _ text: [String: String], to stream: CStream, _ complaint: String, _ row: Row
    ) throws {
        func failure(_ message: String) -> any Error { stream.failure ?? RiffleError("", complaint + message) }
        var form = form
        let picture = try withTexts(text) { texts in
            try stream.run(failure) { ci_png_create($0, &form, texts, texts.count, $1) }
        }
        defer { ci_png_close(picture) }
        var pixels = [UInt8](repeating: 0, count: Int(form.width) * Int(form.channels))
        for number in 0..<Int(form.height) {
            pixels.withUnsafeMutableBufferPointer { row(number, $0) }
            try stream.run(failure) { ci_png_write_row(picture, pixels, $1) ? () : nil }
        }
        try stream.run(failure) { ci_png_finish(picture, $1) ? () : nil }
    }

    /// The longest side that the format holds.
    private static let largestSide = Int(Int32.max)

    private static func check(_ text: [String: String]) throws {
        for (key, value) in text {
            guard (1...79).contains(key.utf8.count), key.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                throw RiffleError("", "a text in a PNG has a key of 1 to 79 ASCII characters, got '\(key)'")
            }
            guard !value.utf8.contains(0) else {
                throw RiffleError("", "the text '\(key)' holds a zero byte, which no PNG can hold")
            }
        }
    }

    /// Texts as C strings, in the order of their keys.
    private static func withTexts<Result>(_ text: [String: String], _ body: ([ci_text]) throws -> Result) rethrows
        -> Result
    {
        func next(_ rest: ArraySlice<(key: String, value: String)>, _ texts: [ci_text]) throws -> Result {
            guard let first = rest.first else { return try body(texts) }
            return try first.key.withCString { key in
                try first.value.repaired.withCString {
                    try next(rest.dropFirst(), texts + [ci_text(key: key, text: $0)])
                }
            }
        }
        return try next(text.sorted { $0.key < $1.key }[...], [])
    }
}
