import RiffleTensor

/// The width and height of a picture. Shapes name the height first and most programs the width, so messages name both.
package struct PictureSize: Equatable, Sendable, CustomStringConvertible {
    package let width: Int
    package let height: Int
    package var description: String { "\(height) high and \(width) wide" }

    package init(width: some BinaryInteger, height: some BinaryInteger) {
        self.width = Int(width)
        self.height = Int(height)
    }
}

/// A sample of a pixel's channel.
package protocol PixelSample: BitwiseCopyable, Sendable {
    /// The alpha of a pixel that hides what is behind it.
    static var opaque: Self { get }
    /// The grey of a colour, by the weights of ITU-R 601.
    static func grey(_ red: Self, _ green: Self, _ blue: Self) -> Self
}

/// Weights of 16 bits, and half a step for rounding: the numbers of PIL.
private func grey(_ red: Int, _ green: Int, _ blue: Int) -> Int {
    (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
}

extension UInt8: PixelSample {
    package static var opaque: UInt8 { 255 }
    package static func grey(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> UInt8 {
        UInt8(RiffleIO.grey(Int(red), Int(green), Int(blue)))
    }
}

extension UInt16: PixelSample {
    package static var opaque: UInt16 { 65535 }
    package static func grey(_ red: UInt16, _ green: UInt16, _ blue: UInt16) -> UInt16 {
        UInt16(RiffleIO.grey(Int(red), Int(green), Int(blue)))
    }
}

/// Floats of pictures are in [-1, 1].
extension Float: PixelSample {
    package static var opaque: Float { 1 }
    package static func grey(_ red: Float, _ green: Float, _ blue: Float) -> Float {
        (red * 19595 + green * 38470 + blue * 7471) / 65536
    }
}

/// A picture in memory: samples `[height][width][channels]`; 1 channel is grey, 2 are grey and alpha, 3 RGB, 4 RGBA.
package struct Raster<Sample: PixelSample>: Sendable {
    package let width: Int
    package let height: Int
    package let channels: Int
    package private(set) var samples: [Sample]

    /// - Parameters:
    ///   - name: the picture's name in messages, in quotes.
    ///   - fill: writes all samples.
    /// - Throws: `RiffleError` when there is no memory for so many samples, or what `fill` throws.
    package init(
        width: Int, height: Int, channels: Int, name: String,
        _ fill: (UnsafeMutableBufferPointer<Sample>) throws -> Void
    ) throws {
        guard let count = checkedProduct([width, height, channels]),
            let bytes = checkedProduct([count, MemoryLayout<Sample>.stride])
        else { throw RiffleError("", "\(name): a picture \(PictureSize(width: width, height: height)) is too large") }
        do { try Memory.check(bytes) } catch let error as RiffleError {
            throw RiffleError(
                "", "\(name), \(PictureSize(width: width, height: height)): \(error.message)", kind: error.kind)
        }
        self.width = width
        self.height = height
        self.channels = channels
        samples = try [Sample](unsafeUninitializedCapacity: count) { buffer, initialized in
            try fill(UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
            initialized = count
        }
    }

    /// The part of a rectangle that lies inside the picture.
    package func cropped(x: Int, y: Int, width: Int, height: Int, name: String) throws -> Raster {
        if width == self.width, height == self.height { return self }
        return try Raster(width: width, height: height, channels: channels, name: name) { target in
            samples.withUnsafeBufferPointer { source in
                for row in 0..<height {
                    let start = ((y + row) * self.width + x) * channels
                    for index in 0..<(width * channels) {
                        target[row * width * channels + index] = source[start + index]
                    }
                }
            }
        }
    }

    /// The picture as EXIF's orientation, 1 to 8, says that it is to be shown.
    package func turned(_ orientation: Int, name: String) throws -> Raster {
        guard (2...8).contains(orientation) else { return self }
        let (swaps, right, bottom) = (orientation >= 5, width - 1, height - 1)
        return try Raster(width: swaps ? height : width, height: swaps ? width : height, channels: channels, name: name)
        {
            target in
            samples.withUnsafeBufferPointer { source in
                let line = swaps ? height : width
                for y in 0..<(swaps ? width : height) {
                    for x in 0..<line {
                        let from: (x: Int, y: Int) =
                            switch orientation {
                            case 2: (right - x, y)
                            case 3: (right - x, bottom - y)
                            case 4: (x, bottom - y)
                            case 5: (y, x)
                            case 6: (y, bottom - x)
                            case 7: (right - y, bottom - x)
                            default: (right - y, x)
                            }
                        for channel in 0..<channels {
                            target[(y * line + x) * channels + channel] =
                                source[(from.y * width + from.x) * channels + channel]
                        }
                    }
                }
            }
        }
    }

    /// The picture with another number of channels. Alpha is dropped, as PIL's `convert` does, or is opaque where there
    /// is none; colours become grey by their luminance, grey a colour of three equal parts.
    package func with(channels wanted: Int, name: String) throws -> Raster {
        guard wanted != channels, (1...4).contains(wanted), (1...4).contains(channels) else { return self }
        let (has, count, colours) = (channels, width * height, channels >= 3)
        return try Raster(width: width, height: height, channels: wanted, name: name) { target in
            samples.withUnsafeBufferPointer { source in
                for pixel in 0..<count {
                    let from = pixel * has, to = pixel * wanted
                    if wanted >= 3 {
                        for channel in 0..<3 { target[to + channel] = source[from + (colours ? channel : 0)] }
                    } else {
                        target[to] =
                            colours ? Sample.grey(source[from], source[from + 1], source[from + 2]) : source[from]
                    }
                    if wanted % 2 == 0 { target[to + wanted - 1] = has % 2 == 0 ? source[from + has - 1] : .opaque }
                }
            }
        }
    }

    /// The picture with each sample replaced.
    package func mapped<Other: PixelSample>(name: String, _ change: (Sample) -> Other) throws -> Raster<Other> {
        try Raster<Other>(width: width, height: height, channels: channels, name: name) { target in
            samples.withUnsafeBufferPointer { for index in $0.indices { target[index] = change($0[index]) } }
        }
    }
}
