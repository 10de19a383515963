import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

@Suite struct NpyTests {
    /// The bytes of a file with this header, padded as NumPy does it.
    func npy(_ header: String, _ data: [UInt8], version: UInt8 = 1) -> [UInt8] {
        let prefix = version == 1 ? 10 : 12
        let padded =
            Array(header.utf8) + [UInt8](repeating: 0x20, count: 63 - (header.utf8.count + prefix) % 64) + [0x0A]
        return [0x93] + Array("NUMPY".utf8) + [version, 0, UInt8(padded.count & 255), UInt8(padded.count >> 8)]
            + (version == 1 ? [] : [0, 0]) + padded + data
    }

    @Test(arguments: DType.computed) func givesBackWhatWasWritten(dtype: DType) throws {
        let scratch = try Scratch()
        for shape in [[], [5], [2, 3], [0, 2], [1, 2, 3, 4]] as [Shape] {
            let tensor = try Tensor((0..<shape.count).map { Double($0) - 2 }, shape).converted(to: dtype)
            try Npy.write(tensor, to: scratch("a.npy"))
            let read = try Npy.read(scratch("a.npy"))
            #expect(try read.dtype == dtype && read.shape == shape && read.doubles() == tensor.doubles())
        }
    }

    @Test func readsOtherOrdersAndTypes() throws {
        let scratch = try Scratch()
        func read(_ header: String, _ data: [UInt8], version: UInt8 = 1) throws -> Tensor {
            try Npy.read(scratch.file("a.npy", npy(header, data, version: version)))
        }
        let fortran = try read("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", [1, 4, 2, 5, 3, 6])
        #expect(try fortran.shape == [2, 3] && fortran.integers() == [1, 2, 3, 4, 5, 6])
        #expect(
            try read("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", [0xFF, 0xFE, 1, 0], version: 2)
                .integers() == [-2, 256])
        #expect(try read("{\"shape\": (1,), 'fortran_order': False, 'descr': '<f2'}", [0, 0x3C]).floats() == [1])
        #expect(try read("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", [1]).item() == 1)
        #expect(
            message {
                _ = try read("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", [0, 0, 0, 0, 1, 0, 0, 0])
            }.contains("4294967296"))
    }

    @Test(arguments: ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]) func partsAreReadWithoutTheRest(type: String) throws {
        let scratch = try Scratch()
        func bytes<Bits: FixedWidthInteger>(_ bits: Bits) -> [UInt8] {
            withUnsafeBytes(of: type.hasPrefix(">") ? bits.bigEndian : bits.littleEndian) { Array($0) }
        }
        let data = (0..<12).flatMap { number in
            switch type.last {
            case "2": bytes(Float16(number).bitPattern)
            case "4": bytes(Float(number).bitPattern)
            default: bytes(Double(number).bitPattern)
            }
        }
        let path = try scratch.file("a.npy", npy("{'descr': '\(type)', 'fortran_order': False, 'shape': (4, 3)}", data))
        let array = try Npy.stored(in: InputFile(path))
        #expect(try array.rows([2, 3, 0]).doubles() == [6, 7, 8, 9, 10, 11, 0, 1, 2])
        var part: [Float] = [0, 0]
        try part.withUnsafeMutableBufferPointer { try array.read(from: 5, into: $0) }
        #expect(part == [5, 6])
        #expect(message { _ = try array.rows([3, 4]) }.contains("a.npy': expected"))
        var written: [UInt8] = []
        try array.pieces { written += $0 }
        #expect(
            written
                == stride(from: 0, to: data.count, by: data.count / 12).flatMap { start in
                    let element = data[start..<(start + data.count / 12)]
                    return type.hasPrefix(">") ? element.reversed() : Array(element)
                })
    }

    @Test(arguments: [
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "'|O' cannot be read"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "'<c8' cannot be read"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "records"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "should take 8 bytes, found 4"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }", "too large"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }", "too large"),
        ("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", "True or False"),
        ("{'descr': '<f4', 'fortran_order': False}", "missing"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "found 'x'"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1), }", "at most 8 dimensions"),
        ("{'descr': '<f4', ", "its end"),
    ]) func refusesWrongHeaders(header: String, expected: String) throws {
        let scratch = try Scratch(),
            report = message { _ = try Npy.read(scratch.file("a.npy", npy(header, [0, 0, 0, 0]))) }
        #expect(report.contains(expected) && report.contains("a.npy"), "\(report)")
    }

    @Test func refusesEveryFileThatWasCutOff() throws {
        let scratch = try Scratch(),
            whole = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", [1, 2, 3, 4, 5, 6, 7, 8])
        for length in 0..<whole.count {
            _ = message { _ = try Npy.read(scratch.file("a.npy", Array(whole[..<length]))) }
        }
        _ = message { _ = try Npy.read(scratch.file("a.npy", whole + [0])) }
    }
}
