import CKernels
import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

/// Pictures of `scripts/make_picture_fixtures.py`, and what PIL makes of them.
private enum Pictures {
    static let names =
        [
            "grey.jpg", "rgb.jpg", "whole.jpg", "half.jpg", "progressive.jpg", "inks.jpg", "turned6.png",
            "turned6.webp",
            "lossy.webp", "lossless.webp", "alpha.webp", "grey.png", "grey1.png", "palette.png", "palette-alpha.png",
            "grey-alpha.png", "rgba.png", "photo.png",
        ] + (1...8).map { "turned\($0).jpg" }

    static func path(_ name: String) -> String { fixture("pictures/\(name)") }
    static func source(_ name: String) throws -> InputFile { try InputFile(path(name)) }

    /// An array of PIL's: its shape and its bytes.
    static func expected(_ name: String) throws -> (shape: [Int], bytes: [UInt8]) {
        let array = try array(name)
        var bytes = [UInt8](repeating: 0, count: array.shape.count)
        try bytes.withUnsafeMutableBufferPointer { try array.read(from: 0, into: $0) }
        return (array.shape.sizes, bytes)
    }

    static func array(_ name: String) throws -> StoredTensor {
        try #require(TensorFile(path("expected.npz"))[name])
    }

    static func farthest(_ a: [UInt8], _ b: [UInt8]) -> Int { zip(a, b).map { abs(Int($0) - Int($1)) }.max() ?? 0 }
}

@Suite(.serialized) struct PictureTests {
    @Test(arguments: Pictures.names) func isReadAsPILReadsIt(name: String) throws {
        let expected = try Pictures.expected(name)
        let raster = try ImageFile.bytes(Pictures.source(name))
        #expect([raster.height, raster.width, raster.channels] == expected.shape)
        #expect(Pictures.farthest(raster.samples, expected.bytes) == 0)
        let header = try ImageFile.header(Pictures.source(name))
        #expect([header.height, header.width, header.channels] == expected.shape)
        let tensor = try ImageFile.load(Pictures.path(name))
        #expect(try tensor.floats() == raster.samples.map { Float($0) / 127.5 - 1 })
    }

    @Test(arguments: ResizeFilter.allCases, [[12, 12], [33, 20], [7, 40], [64, 48], [1, 1]])
    func isResizedAsPILResizesIt(filter: ResizeFilter, size: [Int]) throws {
        let raster = try ImageFile.bytes(Pictures.source("photo.png"))
        let fitting = Fitting(width: size[0], height: size[1], channels: 3, filter: filter)
        let expected = try Pictures.expected("\(filter.rawValue).\(size[0])x\(size[1])")
        #expect(Pictures.farthest(try fitting.bytes(raster, name: "photo").samples, expected.bytes) == 0)
    }

    @Test func alphaAndFloatsAreResizedAsPILResizesThem() throws {
        let rgba = try ImageFile.bytes(Pictures.source("rgba.png"))
        let small = try Fitting(width: 10, height: 9, channels: 4).bytes(rgba, name: "rgba")
        #expect(Pictures.farthest(small.samples, try Pictures.expected("alpha.10x9").bytes) == 0)
        let grey = try ImageFile.bytes(Pictures.source("photo.png")).with(channels: 1, name: "photo")
        let floats = try grey.mapped(name: "photo") { Float($0) / 127.5 - 1 }
        let fitted = try Fitting(width: 13, height: 11, channels: 1, filter: .bicubic).floats(floats, name: "photo")
        let expected = try Pictures.array("floats.13x11").tensor().floats()
        #expect(zip(fitted.samples, expected).allSatisfy { abs($0 - $1) < 1e-6 })
    }

    @Test func channelsAreThoseAskedFor() throws {
        for name in Pictures.names {
            for channels in 1...4 {
                #expect(try ImageFile.load(Pictures.path(name), channels: channels).shape[2] == channels, "\(name)")
            }
        }
        let scratch = try Scratch(), path = scratch("a.png")
        try ImageGrid.save(Tensor([255, 0, 0, 10, 20, 30] as [Int32], [1, 2, 3]), to: path)
        // 0.299 of 255, and 0.299, 0.587 and 0.114 of the second pixel's colours.
        #expect(try ImageFile.load(path, channels: 1).floats().map { (($0 + 1) * 127.5).rounded() } == [76, 18])
        #expect(try ImageFile.load(path, channels: 4).floats()[3] == 1)
    }

    @Test func theLargestRectangleIsCutOut() throws {
        for (width, height, target, part) in [
            (40, 30, (24, 24), (30, 30)), (30, 41, (24, 24), (30, 30)), (40, 30, (64, 32), (40, 20)),
            (40, 30, (32, 64), (15, 30)), (1, 900, (64, 64), (1, 1)), (7, 5, (7, 5), (7, 5)),
        ] {
            let fitting = Fitting(width: target.0, height: target.1, channels: 1, crop: .center)
            #expect(fitting.largest(inWidth: width, height: height) == part)
        }
        let ramp = try Raster<UInt8>(width: 9, height: 4, channels: 1, name: "ramp") { pixels in
            for index in pixels.indices { pixels[index] = UInt8(index % 9) }
        }
        for (place, first) in [(0.0, 0), (0.5, 3), (0.999, 5)] {
            let fitting = Fitting(width: 4, height: 4, channels: 1, crop: .random)
            #expect(try fitting.bytes(ramp, place: place, name: "ramp").samples[0] == first)
        }
        let middle = try Fitting(width: 4, height: 4, channels: 1, crop: .center).bytes(ramp, name: "ramp")
        #expect(middle.samples.prefix(4) == [2, 3, 4, 5])
    }

    // MARK: - Broken files

    @Test(arguments: Pictures.names) func cutFilesAreRefused(name: String) throws {
        let scratch = try Scratch(), whole = try contents(Pictures.path(name))
        for length in stride(from: 0, to: whole.count, by: max(1, whole.count / 50)) + [whole.count - 1] {
            let path = try scratch.file("cut", Array(whole[..<length]))
            #expect(message { _ = try ImageFile.load(path, channels: 3) }.contains("'\(path)': "), "\(length)")
        }
    }

    @Test(arguments: Pictures.names) func damagedFilesAreRefusedOrRead(name: String) throws {
        let scratch = try Scratch(), whole = try contents(Pictures.path(name))
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        let places = try random.integers([100], through: whole.count).integers()
        let bits = try random.integers([100], through: 8).integers()
        rk_memory_set_limit(Int(rk_memory_now().live) + 200_000_000)
        defer { rk_memory_set_limit(0) }
        for (place, bit) in zip(places, bits) {
            var broken = whole
            broken[place - 1] ^= 1 << UInt8(bit - 1)
            let path = try scratch.file("damaged", broken)
            do { _ = try ImageFile.load(path, channels: 3) } catch let error as RiffleError {
                #expect(error.description.contains("'\(path)'"), "seed \(seed): \(error)")
            }
        }
    }

    /// A header's size is believed as far as the file's size goes, and then asks for memory before anything is
    /// unpacked.
    @Test func picturesThatLieAboutTheirSizeAreRefused() throws {
        let scratch = try Scratch()
        var bytes = try contents(Pictures.path("rgb.jpg"))
        let frame = try #require(bytes.firstRange(of: [0xFF, 0xC0])).lowerBound
        bytes.replaceSubrange((frame + 5)..<(frame + 9), with: [0x75, 0x30, 0x75, 0x30])
        let path = try scratch.file("large.jpg", bytes)
        #expect(message { _ = try ImageFile.header(InputFile(path)) }.contains("too short for the size"))
        let padded = try scratch.file("padded.jpg", bytes + [UInt8](repeating: 0, count: 4_000_000))
        rk_memory_set_limit(Int(rk_memory_now().live) + 100_000_000)
        defer { rk_memory_set_limit(0) }
        #expect(message { _ = try ImageFile.load(padded) }.contains("30000 high and 30000 wide: out of memory: 2.7 GB"))
    }

    /// A chunk that claims a gigabyte is refused before there is memory for it.
    @Test func chunksThatLieAboutTheirLengthAreRefused() throws {
        let scratch = try Scratch()
        var bytes = try contents(Pictures.path("turned6.png"))
        let exif = try #require(bytes.firstRange(of: Array("eXIf".utf8))).lowerBound
        bytes.replaceSubrange((exif - 4)..<exif, with: [0x40, 0, 0, 0])
        let path = try scratch.file("long.png", bytes)
        #expect(message { _ = try ImageFile.load(path) }.contains("long.png': eXIf: chunk data is too large"))
    }

    /// Codes that need less than a bit for a block have bounds, too: arithmetic ones, and WebP's lossless ones.
    @Test func sizesThatNoFormatBoundsAreRefused() throws {
        let scratch = try Scratch()
        var jpeg = try contents(Pictures.path("rgb.jpg"))
        let frame = try #require(jpeg.firstRange(of: [0xFF, 0xC0])).lowerBound
        jpeg[frame + 1] = 0xC9
        jpeg.replaceSubrange((frame + 5)..<(frame + 9), with: [0xFF, 0, 0xFF, 0])
        var webp = try contents(Pictures.path("lossless.webp"))
        webp.replaceSubrange(21..<25, with: [0xFF, 0xFF, 0xFF, webp[24] | 0x0F])
        for bytes in [jpeg, webp] {
            let path = try scratch.file("large", bytes)
            let report = message { _ = try ImageFile.header(InputFile(path)) }
            #expect(report.contains("too short for the size in its header"), "\(report)")
        }
    }

    /// A progressive picture goes over the same blocks again, but not over the same bits of them, and not for ever.
    @Test func scansWithoutEndAreRefused() throws {
        let scratch = try Scratch(), whole = try contents(fixture("../ReaderFuzzer/seeds/jpeg/scans"))
        let scan = try #require(whole.lastRange(of: [0xFF, 0xDA])).lowerBound
        let scans = (0..<600).flatMap { _ in whole[scan..<(whole.count - 2)] }
        let path = try scratch.file("scans.jpg", whole[..<scan] + scans + [0xFF, 0xD9])
        #expect(message { _ = try ImageFile.load(path) }.contains("scans.jpg': "))
    }

    @Test func otherFilesAreNamed() throws {
        let scratch = try Scratch()
        for bytes in [[], [0x47, 0x49, 0x46, 0x38], Array("RIFF1234WAVEfmt ".utf8), [UInt8](repeating: 7, count: 99)] {
            let path = try scratch.file("a", bytes)
            #expect(message { _ = try ImageFile.load(path) }.contains("'\(path)': not a picture that can be read"))
        }
    }
}

@Suite struct IDXTests {
    @Test func compressedFilesHoldWhatPlainOnesHold() throws {
        let plain = try IDX.stored(fixture("pictures/t10k-images-idx3-ubyte"))
        let gzip = try IDX.stored(fixture("pictures/train-images-idx3-ubyte.gz"))
        #expect(try plain.shape == [6, 8, 10] && gzip.tensor().integers() == plain.tensor().integers())
        #expect(try plain.tensor().integers().map { UInt8($0) } == Pictures.expected("digits").bytes)
    }

    @Test(arguments: ["t10k-images-idx3-ubyte", "train-images-idx3-ubyte.gz"]) func cutFilesAreRefused(name: String)
        throws
    {
        let scratch = try Scratch(), whole = try contents(fixture("pictures/\(name)"))
        for length in 0..<whole.count {
            let path = try scratch.file("cut", Array(whole[..<length]))
            #expect(message { _ = try IDX.stored(path).tensor() }.contains("'\(path)'"), "\(length)")
        }
        for index in whole.indices {
            var broken = whole
            broken[index] ^= 0x10
            let path = try scratch.file("damaged", broken)
            do { _ = try IDX.stored(path).tensor() } catch let error as RiffleError {
                #expect(error.description.contains("'\(path)'"))
            }
        }
    }

    @Test func shapesThatLieAreRefused() throws {
        let scratch = try Scratch()
        let claim: [UInt8] = [0, 0, 8, 3] + [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1]
        let path = try scratch.file("large", claim + [1, 2, 3])
        #expect(message { _ = try IDX.stored(path) }.contains("'\(path)'"))
    }
}
