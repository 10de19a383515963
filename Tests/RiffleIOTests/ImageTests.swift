import Foundation
import RiffleTensor
import Testing

@testable import RiffleIO

@Suite struct ImageTests {
    @Test(arguments: 1...4) func everyByteSurvives(channels: Int) throws {
        let scratch = try Scratch(), path = scratch("a.png")
        let bytes = (0..<(16 * 16 * channels)).map { UInt8(truncatingIfNeeded: $0 * 7 / channels) }
        try PNG.write(bytes, width: 16, height: 16, channels: channels, text: ["step": "7", "note": "é"], to: path)
        let picture = try PNG.read(path)
        #expect(picture.shape == [16, 16, channels])
        #expect(try picture.floats().map { ImageGrid.byte(($0 + 1) / 2) } == bytes)
        let first = try contents(path)
        #expect(first.firstRange(of: Array("tEXtstep\u{0}7".utf8)) != nil)
        try ImageGrid.save(picture, to: path, text: ["step": "7", "note": "é"])
        #expect(try contents(path) == first)
    }

    @Test func brightnessIsRoundedOnce() {
        let half: Float = 0.5 / 255
        let brightness: [Float] = [-1, 0, half - 1e-6, half + 1e-6, 0.5, 1, 2, .infinity, -.infinity, .nan]
        #expect(brightness.map(ImageGrid.byte) == [0, 0, 0, 1, 128, 255, 255, 255, 0, 0])
    }

    /// Two pixels of 16-bit grey, 0x0102 and 0xFFFF, and two of a palette with one bit each.
    @Test func deepAndPaletteFilesAreRead() throws {
        let scratch = try Scratch()
        let deep = try PNG.read(scratch.file("deep", png(width: 2, depth: 16, colour: 0, row: [0x01, 0x02, 0xFF, 0xFF])))
        #expect(deep.shape == [1, 2, 1])
        #expect(try deep.floats() == [Float(0x0102) / 32767.5 - 1, 1])
        let palette = try PNG.read(scratch.file("palette", png(width: 2, depth: 1, colour: 3, row: [0b0100_0000], palette: [255, 0, 0, 0, 0, 255])))
        #expect(palette.shape == [1, 2, 3])
        #expect(try palette.floats() == [1, -1, -1, -1, -1, 1])
    }

    @Test func brokenFilesAreRefused() throws {
        let scratch = try Scratch(), whole = png(width: 2, depth: 16, colour: 0, row: [1, 2, 3, 4])
        for length in 0..<whole.count {
            _ = message { _ = try PNG.read(scratch.file("cut", Array(whole[..<length]))) }
        }
        // Most of these are told by a checksum, some change nothing that is read: none may crash.
        for place in whole.indices {
            var broken = whole
            broken[place] ^= 0x40
            _ = try? PNG.read(scratch.file("broken", broken))
        }
        #expect(message { _ = try PNG.read(scratch.file("huge", png(width: 900_000, height: 900_000, depth: 8, colour: 6, row: []))) }.contains("too short for the size"))
        #expect(message { _ = try PNG.read(scratch.file("text", Array("hello, world".utf8))) }.contains("not a PNG file"))
        #expect(message { _ = try PNG.read(scratch("none")) }.contains("No such file"))
    }

    @Test func gridsAreLaidOutInRows() throws {
        let images = try Tensor((0..<6).map { Float($0) }, [3, 1, 2, 1])
        let grid = try ImageGrid.grid(images, columns: 2, padding: 1)
        #expect(grid.shape == [5, 7, 1])
        let black = Float(-1)
        #expect(try grid.floats() == [
            black, black, black, black, black, black, black, black, 0, 1, black, 2, 3, black, black, black, black, black, black, black,
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

/// A PNG of one row of samples (or none), with a stored stream inside.
private func png(width: Int, height: Int = 1, depth: UInt8, colour: UInt8, row: [UInt8], palette: [UInt8] = []) -> [UInt8] {
    func big(_ number: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }
    func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(name.utf8) + data
        let crc = body.reduce(UInt32.max) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return big(data.count) + body + big(Int(~crc))
    }
    let raw = [0] + row
    let adler = raw.reduce((a: 1, b: 0)) { sum, byte in
        let a = (sum.a + Int(byte)) % 65521
        return (a, (sum.b + a) % 65521)
    }
    let length = UInt8(raw.count)
    let stream = [0x78, 0x01, 1, length, 0, ~length, 0xFF] + raw + big(adler.b << 16 | adler.a)
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + chunk("IHDR", big(width) + big(height) + [depth, colour, 0, 0, 0])
        + (palette.isEmpty ? [] : chunk("PLTE", palette)) + chunk("IDAT", stream) + chunk("IEND", [])
}
