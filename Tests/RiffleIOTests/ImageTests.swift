import CKernels
import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

@Suite(.serialized) struct ImageTests {
    @Test(arguments: 1...4) func everyByteSurvives(channels: Int) throws {
        let scratch = try Scratch(), path = scratch("a.png")
        let bytes = (0..<(16 * 16 * channels)).map { UInt8(truncatingIfNeeded: $0 * 7 / channels) }
        try PNG.write(width: 16, height: 16, channels: channels, text: ["step": "7", "note": "é"], to: path) {
            row, pixels in
            for index in pixels.indices { pixels[index] = bytes[row * pixels.count + index] }
        }
        let picture = try PNG.read(path)
        #expect(picture.shape == [16, 16, channels])
        #expect(try picture.floats().map { PixelBytes.byte(($0 + 1) / 2) } == bytes)
        let first = try contents(path)
        #expect(first.firstRange(of: Array("tEXtstep\u{0}7".utf8)) != nil)
        try ImageGrid.save(picture, to: path, text: ["step": "7", "note": "é"])
        #expect(try contents(path) == first)
    }

    @Test func brightnessIsRoundedOnce() {
        let half: Float = 0.5 / 255
        let brightness: [Float] = [-1, 0, half - 1e-6, half + 1e-6, 0.5, 1, 2, .infinity, -.infinity, .nan]
        #expect(brightness.map(PixelBytes.byte) == [0, 0, 0, 1, 128, 255, 255, 255, 0, 0])
    }

    /// Two pixels of 16-bit grey, 0x0102 and 0xFFFF, and two of a palette with one bit each.
    @Test func deepAndPaletteFilesAreRead() throws {
        let scratch = try Scratch()
        let deep = try PNG.read(
            scratch.file("deep", png(width: 2, depth: 16, colour: 0, row: [0x01, 0x02, 0xFF, 0xFF])))
        #expect(deep.shape == [1, 2, 1])
        #expect(try deep.floats() == [Float(0x0102) / 32767.5 - 1, 1])
        let palette = try PNG.read(
            scratch.file(
                "palette", png(width: 2, depth: 1, colour: 3, row: [0b0100_0000], palette: [255, 0, 0, 0, 0, 255])))
        #expect(palette.shape == [1, 2, 3])
        #expect(try palette.floats() == [1, -1, -1, -1, -1, 1])
    }

    @Test func interlacedFilesAreRead() throws {
        let scratch = try Scratch()
        // The first pass holds the first column, the sixth the second.
        let grey = try PNG.read(
            scratch.file("grey", png(width: 2, depth: 8, colour: 0, interlaced: true, row: [51, 0, 204])))
        #expect(try grey.floats() == [51 / 127.5 - 1, 204 / 127.5 - 1])
        let deep = try PNG.read(
            scratch.file("deep", png(width: 2, depth: 16, colour: 0, interlaced: true, row: [1, 2, 0, 3, 4])))
        #expect(try deep.floats() == [Float(0x0102) / 32767.5 - 1, Float(0x0304) / 32767.5 - 1])
    }

    /// Whatever stands beside the pixels is neither kept nor unpacked, and a length that it claims is not believed.
    @Test func chunksNobodyAskedForArePassedOver() throws {
        let scratch = try Scratch()
        let kinds = [
            "tEXt", "zTXt", "iTXt", "iCCP", "eXIf", "sPLT", "bKGD", "cHRM", "gAMA", "hIST", "oFFs", "pCAL", "pHYs",
            "sBIT", "sCAL", "sRGB", "sTER", "tIME", "acTL", "fcTL", "fdAT", "unKn",
        ]
        for kind in kinds {
            let junk = Array("key\0\0".utf8) + (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 31) }
            let picture = try PNG.read(
                scratch.file("a", png(width: 2, depth: 8, colour: 0, row: [0, 255], beside: chunk(kind, junk))))
            #expect(try picture.floats() == [-1, 1], "\(kind)")
            let claim = png(
                width: 2, depth: 8, colour: 0, row: [0, 255], beside: [0x7F, 0xFF, 0xFF, 0xFF] + Array(kind.utf8))
            #expect(message { _ = try PNG.read(scratch.file("b", claim)) }.contains("\(kind): chunk data is too large"))
        }
        for kind in ["PLTE", "ABCD", "IEND"] {
            let junk = png(
                width: 2, depth: 8, colour: 3, row: [0, 1], beside: chunk(kind, [UInt8](repeating: 1, count: 1000)))
            #expect(!message { _ = try PNG.read(scratch.file("c", junk)) }.isEmpty)
        }
    }

    /// A header is believed as far as the file's size goes, and then asks for memory before anything is unpacked.
    @Test func aPictureTakesItsMemoryFirst() throws {
        let scratch = try Scratch(), padding = chunk("paDd", [UInt8](repeating: 0, count: 900_000))
        let path = try scratch.file(
            "large", png(width: 30_000, height: 30_000, depth: 8, colour: 0, row: [], beside: padding))
        rk_memory_set_limit(Int(rk_memory_now().live) + 100_000_000)
        defer { rk_memory_set_limit(0) }
        let report = message { _ = try PNG.read(path) }
        #expect(report.contains("large', 30000 high and 30000 wide: out of memory: 3.6 GB asked for"), "\(report)")
    }

    @Test func sidesMayPassAMillion() throws {
        let scratch = try Scratch(), path = scratch("long.png")
        try ImageGrid.save(.ones([1, 1_200_000]), to: path)
        #expect(try PNG.read(path).shape == [1, 1_200_000, 1])
        #expect(
            message { _ = try PNG.read(scratch.file("none", png(width: 0, depth: 8, colour: 0, row: []))) }.contains(
                "width is zero"))
    }

    @Test func wholeNumbersAreBytes() throws {
        let scratch = try Scratch(), path = scratch("a.png"), numbers: [Int32] = [0, 1, 64, 128, 255, 7]
        func back() throws -> [Int] { try PNG.read(path).floats().map { Int(PixelBytes.byte(($0 + 1) / 2)) } }
        try ImageGrid.save(Tensor(numbers, [1, 6]), to: path)
        #expect(try back() == numbers.map(Int.init))
        let sheet = try ImageGrid.grid(Tensor(numbers, [2, 1, 3, 1]), columns: 2, padding: 1)
        #expect(
            try sheet.dtype == .int32
                && sheet.integers()[9...] == [0, 0, 1, 64, 0, 128, 255, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        try ImageGrid.save(Tensor([0, 2, 4] as [Int32], [1, 3]), to: path, range: 0...4)
        #expect(try back() == [0, 128, 255])
        for stranger: Int32 in [-1, 256] {
            #expect(
                message { try ImageGrid.save(Tensor([5, stranger] as [Int32], [1, 2]), to: path) }.contains(
                    "0 to 255, and one is \(stranger)"))
        }
    }

    @Test func namesOfOtherFormatsAreRefused() throws {
        let scratch = try Scratch(), picture = try Tensor.ones([2, 2])
        for name in ["a.jpg", "a.JPEG", "a.tar.gz", "a.npy", "b.c/d.Tiff"] {
            let report = message { try ImageGrid.save(picture, to: scratch(name)) }
            #expect(
                report.contains(
                    "pictures are written as .png, not as .\(name.split(separator: ".").last?.lowercased() ?? "")"),
                "\(report)")
        }
        for name in ["a", "a.PNG", "a.7", ".png", "a.png.bak"] { try ImageGrid.save(picture, to: scratch(name)) }
        #expect(
            message { try SafeTensors.write([("a", picture)], to: scratch("a.npz")) }.contains(
                "tensors by name are written as .safetensors, not as .npz"))
        #expect(scratch.names.allSatisfy { $0.hasPrefix("a") || $0 == ".png" })
    }

    @Test func textsThatNoPictureHoldsAreRefused() throws {
        let scratch = try Scratch(), picture = try Tensor.ones([2, 2])
        #expect(
            message { try ImageGrid.save(picture, to: scratch("a.png"), text: ["note": "a\0b"]) }.contains(
                "'note' holds a zero byte"))
        #expect(scratch.names.isEmpty)
    }

    @Test func brokenFilesAreRefused() throws {
        let scratch = try Scratch(), whole = png(width: 2, depth: 16, colour: 0, row: [1, 2, 3, 4])
        for length in 0..<whole.count {
            _ = message { _ = try PNG.read(scratch.file("cut", Array(whole[..<length]))) }
        }
        // A checksum finds most of these, and some change nothing that is read: none may crash.
        for index in whole.indices {
            var broken = whole
            broken[index] ^= 0x40
            _ = try? PNG.read(scratch.file("broken", broken))
        }
        #expect(
            message {
                _ = try PNG.read(
                    scratch.file("huge", png(width: 900_000, height: 900_000, depth: 8, colour: 6, row: [])))
            }.contains("too short for the size"))
        #expect(
            message { _ = try PNG.read(scratch.file("text", Array("hello, world".utf8))) }.contains("not a PNG file"))
        #expect(message { _ = try PNG.read(scratch("none")) }.contains("No such file"))
    }

    @Test func gridsAreLaidOutInRows() throws {
        let images = try Tensor((0..<6).map { Float($0) }, [3, 1, 2, 1])
        let grid = try ImageGrid.grid(images, columns: 2, padding: 1)
        #expect(grid.shape == [5, 7, 1])
        let black = Float(-1)
        #expect(
            try grid.floats() == [
                black, black, black, black, black, black, black, black, 0, 1, black, 2, 3, black, black, black, black,
                black, black, black,
                black, black, 4, 5, black, black, black, black, black, black, black, black, black, black, black,
            ])
        #expect(message { _ = try ImageGrid.grid(.zeros([2, 3]), columns: 2) }.contains("[2, 3]"))
        #expect(message { _ = try ImageGrid.grid(images, columns: 0) }.contains("at least 1 column"))
        #expect(message { _ = try ImageGrid.grid(.zeros([0, 3, 3, 1])) }.contains("nothing to show"))
        #expect(message { try ImageGrid.save(.zeros([2, 2, 5]), to: "/dev/null") }.contains("[2, 2, 5]"))
        #expect(message { try ImageGrid.save(.zeros([2, 2, 3]), to: "/dev/null", range: 1...1) }.contains("range"))
        #expect(message { try ImageGrid.save(.zeros([2, 2, 3]), to: "/dev/null", text: ["": "a"]) }.contains("key"))
    }
}

private func big(_ number: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }

private func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    func shifted(_ crc: UInt32) -> UInt32 { crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
    let table: [UInt32] = (0..<256).map { first in (0..<8).reduce(UInt32(first)) { crc, _ in shifted(crc) } }
    let body = Array(name.utf8) + data
    var crc = UInt32.max
    for byte in body { crc = table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ (crc >> 8) }
    return big(data.count) + body + big(Int(~crc))
}

/// A PNG of one row of samples (or none), with a stored stream inside, and chunks before the palette.
private func png(
    width: Int, height: Int = 1, depth: UInt8, colour: UInt8, interlaced: Bool = false, row: [UInt8],
    palette: [UInt8] = [],
    beside: [UInt8] = []
) -> [UInt8] {
    let raw = [0] + row
    let adler = raw.reduce((a: 1, b: 0)) { sum, byte in
        let a = (sum.a + Int(byte)) % 65521
        return (a, (sum.b + a) % 65521)
    }
    let length = UInt8(raw.count)
    let stream: [UInt8] = [0x78, 0x01, 1, length, 0, ~length, 0xFF] + raw + big(adler.b << 16 | adler.a)
    let header: [UInt8] = big(width) + big(height) + [depth, colour, 0, 0, interlaced ? 1 : 0]
    let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A],
        colours = palette.isEmpty ? [] : chunk("PLTE", palette)
    return [signature, chunk("IHDR", header), beside, colours, chunk("IDAT", stream), chunk("IEND", [])].flatMap { $0 }
}
