import CImage
import RiffleTensor

/// The weights by which a picture is resized, those of PIL: each is as many times wider as the picture shrinks.
package enum ResizeFilter: String, CaseIterable, Sendable {
    case box, bilinear, bicubic, lanczos

    fileprivate var kernel: ci_filter {
        switch self {
        case .box: CI_BOX
        case .bilinear: CI_BILINEAR
        case .bicubic: CI_BICUBIC
        case .lanczos: CI_LANCZOS
        }
    }
}

/// How pictures of any size become pictures of one: a part is cut out, its channels are converted, and it is resized.
package struct Fitting: Sendable {
    /// Which part: all of it, or the largest rectangle of the target's shape, from the middle or from anywhere.
    package enum Crop: String, CaseIterable, Sendable { case none, center, random }

    package let width: Int
    package let height: Int
    package let channels: Int
    package let crop: Crop
    package let filter: ResizeFilter
    package var size: PictureSize { PictureSize(width: width, height: height) }

    package init(width: Int, height: Int, channels: Int, crop: Crop = .none, filter: ResizeFilter = .lanczos) {
        self.width = width
        self.height = height
        self.channels = channels
        self.crop = crop
        self.filter = filter
    }

    /// The size of the largest rectangle of the target's shape in a picture.
    package func largest(inWidth width: Int, height: Int) -> (width: Int, height: Int) {
        // Sides are at most 2^31, and those of the target 2^16.
        let across = (2 * height * self.width + self.height) / (2 * self.height)
        if across <= width { return (max(1, across), height) }
        return (width, min(height, max(1, (2 * width * self.height + self.width) / (2 * self.width))))
    }

    /// A picture of bytes, fitted.
    /// - Parameter place: where a random crop lies, from 0 at the left or the top to 1.
    package func bytes(_ raster: Raster<UInt8>, place: Double = 0.5, name: String) throws -> Raster<UInt8> {
        let part = try cut(raster, place, name).with(channels: channels, name: name)
        if part.width == width, part.height == height { return part }
        let hasAlpha = channels % 2 == 0
        let resized = try resized(hasAlpha ? part.premultiplied(name) : part, name)
        return hasAlpha ? try resized.unpremultiplied(name) : resized
    }

    /// A picture of floats, fitted.
    package func floats(_ raster: Raster<Float>, place: Double = 0.5, name: String) throws -> Raster<Float> {
        let part = try cut(raster, place, name).with(channels: channels, name: name)
        if part.width == width, part.height == height { return part }
        try check(part, name)
        return try Raster(width: width, height: height, channels: part.channels, name: name) { target in
            let fits = ci_resize_floats(
                part.samples, part.size, target.baseAddress, pixels, part.channels, filter.kernel)
            if !fits { throw outOfMemory(name) }
        }
    }

    private var pixels: ci_size { ci_size(width: width, height: height) }

    private func cut<Sample>(_ raster: Raster<Sample>, _ place: Double, _ name: String) throws -> Raster<Sample> {
        guard crop != .none else { return raster }
        let part = largest(inWidth: raster.width, height: raster.height)
        func start(_ free: Int) -> Int { crop == .center ? free / 2 : min(free, Int(place * Double(free + 1))) }
        return try raster.cropped(
            x: start(raster.width - part.width), y: start(raster.height - part.height), width: part.width,
            height: part.height, name: name)
    }

    private func resized(_ part: Raster<UInt8>, _ name: String) throws -> Raster<UInt8> {
        try check(part, name)
        return try Raster(width: width, height: height, channels: part.channels, name: name) { target in
            let fits = ci_resize_bytes(
                part.samples, part.size, target.baseAddress, pixels, part.channels, filter.kernel)
            if !fits { throw outOfMemory(name) }
        }
    }

    /// Asks for the memory of the picture between rows and columns, and of the filter's weights.
    private func check<Sample>(_ part: Raster<Sample>, _ name: String) throws {
        let between = checkedProduct([part.height, width, part.channels, MemoryLayout<Sample>.stride]) ?? Int.max / 2
        let weights = 100 * (part.width + part.height + width + height)
        do { try Memory.check(between + weights) } catch let error as RiffleError {
            throw RiffleError("", "\(name), resized to \(size): \(error.message)", kind: error.kind)
        }
    }

    private func outOfMemory(_ name: String) -> RiffleError {
        RiffleError("", "\(name): out of memory for resizing", kind: .outOfMemory)
    }
}

extension Raster {
    fileprivate var size: ci_size { ci_size(width: width, height: height) }

    /// Writes the samples, mirrored left to right where asked.
    fileprivate func write(mirrored: Bool, to target: UnsafeMutableBufferPointer<Float>, _ level: (Sample) -> Float) {
        samples.withUnsafeBufferPointer { source in
            guard mirrored else {
                for index in source.indices { target[index] = level(source[index]) }
                return
            }
            for y in 0..<height {
                for x in 0..<width {
                    let from = (y * width + width - 1 - x) * channels, to = (y * width + x) * channels
                    for channel in 0..<channels { target[to + channel] = level(source[from + channel]) }
                }
            }
        }
    }
}

extension Raster<UInt8> {
    /// Writes the samples as numbers in [-1, 1].
    package func write(mirrored: Bool, to target: UnsafeMutableBufferPointer<Float>) {
        write(mirrored: mirrored, to: target) { Float($0) / 127.5 - 1 }
    }

    // Colours are resized with alpha as their weight: what cannot be seen does not leak into what can.
    fileprivate func premultiplied(_ name: String) throws -> Raster {
        try withColours(name) { colour, alpha in
            let product = colour * alpha + 128
            return ((product >> 8) + product) >> 8
        }
    }

    fileprivate func unpremultiplied(_ name: String) throws -> Raster {
        try withColours(name) { colour, alpha in
            alpha == 0 || alpha == 255 ? colour : Swift.min(255, 255 * colour / alpha)
        }
    }

    private func withColours(_ name: String, _ change: (_ colour: Int, _ alpha: Int) -> Int) throws -> Raster {
        try Raster(width: width, height: height, channels: channels, name: name) { target in
            for start in stride(from: 0, to: samples.count, by: channels) {
                let last = start + channels - 1, alpha = Int(samples[last])
                for index in start..<last { target[index] = UInt8(change(Int(samples[index]), alpha)) }
                target[last] = samples[last]
            }
        }
    }
}

extension Raster<Float> {
    /// Writes the samples as they are.
    package func write(mirrored: Bool, to target: UnsafeMutableBufferPointer<Float>) {
        write(mirrored: mirrored, to: target) { $0 }
    }
}
