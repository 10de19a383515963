import CImage
import RiffleTensor

/// Pictures in files of PNG, JPEG and WebP, by libpng, libjpeg-turbo and libwebp.
package enum ImageFile {
    /// What a picture's header says; width and height are those of the picture as it is shown.
    package struct Header: Equatable, Sendable {
        package let width: Int
        package let height: Int
        package let channels: Int
    }

    /// Samples as a file has them, turned as EXIF says.
    package enum Pixels {
        case bytes(Raster<UInt8>)
        case words(Raster<UInt16>)
    }

    /// Reads the header alone.
    /// - Throws: `RiffleError` that names the file, for a broken header or one that the file is too short for.
    package static func header(_ source: any ByteSource) throws -> Header {
        try withPicture(source) { form, _ in Header(form) }
    }

    /// Reads a picture of any of the formats.
    package static func pixels(_ source: any ByteSource) throws -> Pixels {
        try withPicture(source) { form, read in
            let (width, height, channels) = (Int(form.width), Int(form.height), Int(form.channels))
            let turn = Int(form.orientation)
            if let work = Int(exactly: form.work) { try check(work, form, source) }
            guard form.bits == 16 else {
                let raster = try Raster<UInt8>(
                    width: width, height: height, channels: channels, name: source.name, read)
                return .bytes(try raster.turned(turn, name: source.name))
            }
            let raster = try Raster<UInt16>(width: width, height: height, channels: channels, name: source.name) {
                words in
                try UnsafeMutableRawBufferPointer(words).withMemoryRebound(to: UInt8.self) { try read($0) }
            }
            return .words(try raster.turned(turn, name: source.name))
        }
    }

    /// Reads a picture with 8 bits a sample; of 16 bits, the nearest byte.
    package static func bytes(_ source: any ByteSource) throws -> Raster<UInt8> {
        switch try pixels(source) {
        case .bytes(let raster): raster
        case .words(let raster): try raster.mapped(name: source.name) { UInt8((Int($0) * 255 + 32767) / 65535) }
        }
    }

    /// Reads a picture as float32 `[height, width, channels]` in [-1, 1].
    /// - Parameter channels: 1 (grey), 2 (grey and alpha), 3 or 4; the file's own where nil.
    package static func load(_ path: String, channels: Int? = nil) throws -> Tensor {
        let source = try InputFile(path)
        if channels == nil, try FileKind(source) == .png,
            try withPicture(source, { form, _ in form.orientation == 1 })
        {
            return try PNG.read(path)
        }
        let name = source.name
        switch try pixels(source) {
        case .bytes(let raster):
            let wanted = try raster.with(channels: channels ?? raster.channels, name: name)
            return try tensor(wanted) { Float($0) / 127.5 - 1 }
        case .words(let raster):
            let wanted = try raster.with(channels: channels ?? raster.channels, name: name)
            return try tensor(wanted) { Float($0) / 32767.5 - 1 }
        }
    }

    private static func tensor<Sample>(_ raster: Raster<Sample>, _ level: (Sample) -> Float) throws -> Tensor {
        let tensor = try Tensor(uninitialized: [raster.height, raster.width, raster.channels])
        let numbers = tensor.elements(Float.self)
        for (index, sample) in raster.samples.enumerated() { numbers[index] = level(sample) }
        return tensor
    }

    // MARK: - Decoders

    /// Writes all samples of a picture as they are stored.
    private typealias Reading = (UnsafeMutableBufferPointer<UInt8>) throws -> Void

    private static func withPicture<Result>(_ source: any ByteSource, _ body: (ci_form, Reading) throws -> Result)
        throws
        -> Result
    {
        let kind = try FileKind(source)
        switch kind {
        case .png: return try withPNG(source, body)
        case .jpeg: return try withJPEG(source, body)
        case .webp: return try withWebP(source, body)
        default:
            let found = kind.map { ", and it is \($0.description)" } ?? ""
            throw source.error("not a picture that can be read: expected PNG, JPEG or WebP\(found)")
        }
    }

    private static func withPNG<Result>(_ source: any ByteSource, _ body: (ci_form, Reading) throws -> Result) throws
        -> Result
    {
        let stream = CStream(reading: source)
        var form = ci_form()
        let picture = try stream.run(source.error) { ci_png_open($0, source.size, &form, $1) }
        defer { ci_png_close(picture) }
        return try body(form) { samples in
            try stream.run(source.error) { ci_png_read(picture, samples.baseAddress, $1) ? () : nil }
        }
    }

    private static func withJPEG<Result>(_ source: any ByteSource, _ body: (ci_form, Reading) throws -> Result) throws
        -> Result
    {
        let stream = CStream(reading: source)
        var form = ci_form()
        let picture = try stream.run(source.error) { ci_jpeg_open($0, source.size, &form, $1) }
        defer { ci_jpeg_close(picture) }
        return try body(form) { samples in
            try stream.run(source.error) { ci_jpeg_read(picture, samples.baseAddress, $1) ? () : nil }
        }
    }

    private static func withWebP<Result>(_ source: any ByteSource, _ body: (ci_form, Reading) throws -> Result) throws
        -> Result
    {
        var form = ci_form()
        var isWhole = true
        func header(_ bytes: [UInt8]) throws {
            try withMessage(source.error) { ci_webp_header(bytes, bytes.count, &form, &isWhole, $0) ? () : nil }
        }
        let start = try source.bytes(min(source.size, 4096))
        let length = start.dropFirst(4).prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= source.size - 8 else { throw source.error("the file ends too early") }
        do { try header(start) } catch { if isWhole || start.count == source.size { throw error } }
        if !isWhole, start.count < source.size { try header(source.bytes(source.size)) }
        // The lossless form writes a picture of one colour in 40 bytes, whatever its size; the other form, in our
        // measurements, makes 400 pixels of a byte at most.
        guard Int(form.width) * Int(form.height) <= (1 << 24) + 4096 * source.size else {
            let size = PictureSize(width: form.width, height: form.height)
            throw source.error("the file is too short for the size in its header, \(size)")
        }
        return try body(form) { samples in
            let bytes = try source.bytes(source.size)
            try withMessage(source.error) {
                ci_webp_read(bytes, bytes.count, &form, samples.baseAddress, $0) ? () : nil
            }
        }
    }

    /// Asks whether there is memory for what a decoder takes itself.
    private static func check(_ work: Int, _ form: ci_form, _ source: any ByteSource) throws {
        do { try Memory.check(work) } catch let error as RiffleError {
            let size = PictureSize(width: form.width, height: form.height)
            throw RiffleError("", "\(source.name), \(size): \(error.message)", kind: error.kind)
        }
    }
}

extension ImageFile.Header {
    init(_ form: ci_form) {
        let turns = form.orientation >= 5
        self.init(
            width: Int(turns ? form.height : form.width), height: Int(turns ? form.width : form.height),
            channels: Int(form.channels))
    }
}
