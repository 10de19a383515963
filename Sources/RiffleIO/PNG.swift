import CImage
import RiffleTensor

/// Pictures as PNG files, by libpng.
public enum PNG {
    /// Reads a picture of 8 or 16 bits: grey, palette or colour, with or without alpha.
    /// - Returns: float32 `[height, width, channels]` in [-1, 1], with 1 (grey), 2 (grey and alpha), 3 or 4 channels.
    /// - Throws: `RiffleError` that names the file and what is wrong with it.
    public static func read(_ path: String) throws -> Tensor {
        let file = try InputFile(path)
        let bytes = try file.bytes(file.size, at: 0)
        var image = ci_image()
        let failure = withMessage { ci_png_read(bytes, bytes.count, &image, $0) }
        if let failure { throw file.error(failure) }
        defer { ci_free(image.pixels) }

        let tensor = try Tensor(uninitialized: Shape([Int(image.height), Int(image.width), Int(image.channels)]))
        let places = tensor.elements(Float.self)
        if image.bits == 16 {
            let samples = UnsafeRawPointer(image.pixels).assumingMemoryBound(to: UInt16.self)
            for place in places.indices { places[place] = Float(samples[place]) / 32767.5 - 1 }
        } else {
            for place in places.indices { places[place] = Float(image.pixels[place]) / 127.5 - 1 }
        }
        return tensor
    }

    /// Writes 8-bit pixels; the file appears whole or not at all.
    /// - Parameters:
    ///   - pixels: rows of `width` pixels of `channels` bytes each: 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA.
    ///   - text: what to note in the file, by key (1 to 79 ASCII characters).
    static func write(_ pixels: [UInt8], width: Int, height: Int, channels: Int, text: [String: String] = [:], to path: String) throws {
        guard (1...largestSide).contains(width), (1...largestSide).contains(height) else {
            throw RiffleError("", "a picture of \(width) x \(height) pixels cannot be written as PNG; sides go from 1 to \(largestSide)")
        }
        for key in text.keys where !(1...79).contains(key.utf8.count) || !key.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) {
            throw RiffleError("", "a text in a PNG has a key of 1 to 79 ASCII characters, got '\(key)'")
        }
        var encoded: UnsafeMutablePointer<UInt8>?
        var count = 0
        var pixels = pixels
        let failure = pixels.withUnsafeMutableBufferPointer { buffer in
            var image = ci_image()
            (image.width, image.height, image.channels, image.bits) = (UInt32(width), UInt32(height), UInt32(channels), 8)
            image.pixels = buffer.baseAddress
            return withTexts(text) { texts in withMessage { ci_png_write(&image, texts, text.count, &encoded, &count, $0) } }
        }
        if let failure { throw RiffleError("", "cannot write '\(path)': \(failure)") }
        defer { ci_free(encoded) }
        try AtomicFile.write(to: path) { try $0.write(UnsafeRawBufferPointer(start: encoded, count: count)) }
    }

    /// What libpng writes at most.
    private static let largestSide = 1_000_000

    /// The message that `body` left when it failed.
    private static func withMessage(_ body: (UnsafeMutablePointer<CChar>?) -> Bool) -> String? {
        var message = [CChar](repeating: 0, count: Int(CI_MESSAGE))
        if message.withUnsafeMutableBufferPointer({ body($0.baseAddress) }) { return nil }
        return String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Texts as C strings, in the order of their keys.
    private static func withTexts<Result>(_ text: [String: String], _ body: ([ci_text]) -> Result) -> Result {
        func next(_ rest: ArraySlice<(key: String, value: String)>, _ texts: [ci_text]) -> Result {
            guard let first = rest.first else { return body(texts) }
            return first.key.withCString { key in
                first.value.withCString { next(rest.dropFirst(), texts + [ci_text(key: key, text: $0)]) }
            }
        }
        return next(text.sorted { $0.key < $1.key }[...], [])
    }
}
