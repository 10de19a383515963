import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

/// The bytes of a file with this header and this many bytes of data.
func safetensors(_ header: String, data: Int, length: UInt64? = nil) -> [UInt8] {
    withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Array($0) } + Array(header.utf8)
        + [UInt8](repeating: 0, count: data)
}

@Suite struct SafeTensorsTests {
    @Test func givesBackWhatWasWritten() throws {
        let scratch = try Scratch(), path = scratch("a.safetensors")
        let tensors: [(String, Tensor)] = [
            ("b.weight", try Tensor((0..<6).map(Float.init), [2, 3])),
            ("a", try Tensor([Int32.min, 7, Int32.max], [3])),
            ("wide", try Tensor([1e300, -.infinity], [2, 1])), ("scalar", try .scalar(0.5)),
            ("none", try .zeros([0, 4])),
            ("odd \"name\"\n\\ é 🙂", try .ones([1])),
        ]
        try SafeTensors.write(tensors, metadata: ["step": "7", "note": "a \"quoted\"\tword"], to: path)
        let file = try SafeTensors(path)
        #expect(file.metadata == ["step": "7", "note": "a \"quoted\"\tword"])
        #expect(Set(file.names) == Set(tensors.map(\.0)) && file.names.first == "wide")
        for (name, tensor) in tensors {
            let read = try file.tensor(named: name)
            #expect(try read.shape == tensor.shape && read.dtype == tensor.dtype && read.doubles() == tensor.doubles())
        }
        #expect(try contents(path).count % 8 == 4)
        #expect(message { _ = try file.tensor(named: "b.wieght") }.contains("did you mean 'b.weight'?"))
    }

    @Test func bytesAreTheFormats() throws {
        let scratch = try Scratch(), path = scratch("w.safetensors")
        try SafeTensors.write([("w", Tensor([Float(1), -2], [2]))], to: path)
        let header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  "
        #expect(try contents(path) == safetensors(header, data: 0) + [0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0])
        #expect(header.utf8.count == 56)
    }

    @Test func halvesAndLongsAreConverted() throws {
        let scratch = try Scratch()
        let header =
            #"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"#
            + #""b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},"#
            + #""l":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},"#
            + #""u":{"dtype":"U8","shape":[1],"data_offsets":[16,17]},"#
            + #""big":{"dtype":"I64","shape":[1],"data_offsets":[17,25]}}"#
        let data: [UInt8] =
            [0, 0x3C, 0x01, 0, 0xC0, 0x3F, 0x80, 0xFF] + [0xFE] + [UInt8](repeating: 0xFF, count: 7) + [9] + [
                0, 0, 0, 0, 1, 0, 0, 0,
            ]
        let file = try SafeTensors(scratch.file("a", safetensors(header, data: 0) + data))
        #expect(try file.tensor(named: "h").floats() == [1, 0x1p-24])
        #expect(try file.tensor(named: "b").floats() == [1.5, -.infinity])
        #expect(try file.tensor(named: "l").integers() == [-2])
        #expect(try file.tensor(named: "u").integers() == [9])
        #expect(message { _ = try file.tensor(named: "big") }.contains("4294967296, which int32 cannot hold"))
    }

    /// Tensors of several pieces, wide and as bfloat16, whatever floats the file has.
    @Test func floatsAreReadAsBFloat16() throws {
        let scratch = try Scratch(), path = scratch("w.safetensors")
        var random = RandomSource(seed: 3)
        let wide = try random.normal([300, 401]), narrow = try wide.converted(to: .bfloat16)
        try SafeTensors.write([("f32", wide), ("bf16", narrow), ("f64", wide.cast(.float64))], to: path)
        let file = try SafeTensors(path)
        #expect(file["bf16"]?.type == .bf16 && file["f64"]?.type == .f64)
        for entry in file.tensors {
            let kept = try entry.bfloat16()
            #expect(try kept.dtype == .bfloat16 && kept.doubles() == narrow.doubles(), "\(entry.name)")
        }
        #expect(try file.tensor(named: "bf16").doubles() == narrow.doubles())
        #expect(try file.tensor(named: "f32").floats() == wide.floats())
        let integers = scratch("i.safetensors")
        try SafeTensors.write([("i", Tensor([1, 300] as [Int32], [2]))], to: integers)
        #expect(try SafeTensors(integers)["i"]?.bfloat16().doubles() == [1, 300])
    }

    /// One type that cannot be read keeps no other tensor of its file out of reach.
    @Test func readsEveryTypeOfIntegers() throws {
        let scratch = try Scratch()
        let types: [(String, Int, [UInt8], Int?)] = [
            ("BOOL", 1, [1], 1), ("U8", 1, [255], 255), ("I8", 1, [255], -1), ("I16", 2, [0, 0x80], -32768),
            ("U16", 2, [255, 255], 65535), ("U32", 4, [1, 0, 0, 0x80], nil), ("U64", 8, [7, 0, 0, 0, 0, 0, 0, 0], 7),
            ("I64", 8, [UInt8](repeating: 255, count: 8), -1), ("C64", 8, [0, 0, 0, 0, 0, 0, 0, 0], nil),
        ]
        var items: [String] = [], data: [UInt8] = []
        for (type, size, bytes, _) in types {
            items.append(
                #""\#(type)":{"dtype":"\#(type)","shape":[1],"data_offsets":[\#(data.count),\#(data.count + size)]}"#)
            data += bytes
        }
        let header = "{\(items.joined(separator: ","))}"
        let file = try SafeTensors(scratch.file("a", safetensors(header, data: 0) + data))
        for case let (type, _, _, value?) in types { #expect(try file.tensor(named: type).integers() == [value]) }
        #expect(
            message { _ = try file.tensor(named: "U32") }.contains(
                "element 1 of tensor 'U32', uint32, is 2147483649, which int32 cannot hold"))
        #expect(message { _ = try file.tensor(named: "C64") }.contains("'C64' has the type complex64"))
    }

    /// Headers that are wrong in one way each, with 8 bytes of data behind them, and what the error has to say.
    static let attacks: [(String, String)] = [
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#, "expected '}'"),
        (#" {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "does not begin with '{'"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}x"#, "the end of the header"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}"#, "expected '\"'"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#
                + #""a":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}"#,
            "'a' occurs twice"
        ),
        (#"{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}"#, "'shape' occurs twice"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, "found 'x'"),
        (#"{"a":{"dtype":"F32","data_offsets":[0,8]}}"#, "missing"),
        (#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, "unknown type 'F33'"),
        (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, "should take 12 bytes, found 8"),
        (#"{"a":{"dtype":"F4","shape":[17],"data_offsets":[0,8]}}"#, "should take 8.5 bytes"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "a begin and an end"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}"#, "a begin and an end"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, "should begin at byte 0 of the data, found 4"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#
                + #""b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            "'b' should begin at byte 8"
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
                + #""b":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}"#,
            "'b' should begin at byte 4"
        ),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, "take 4 bytes, found 8"),
        (#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, "take 16 bytes, found 8"),
        (#"{}"#, "take 0 bytes, found 8"),
        (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, "too large"),
        (#"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}"#, "too large"),
        (
            #"{"a":{"dtype":"F32","shape":[1099511627776,1],"data_offsets":[0,4398046511104]}}"#,
            "take 4398046511104 bytes, found 8"
        ),
        (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, "a whole number"),
        (#"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, "expected ']'"),
        (#"{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}"#, "begins with 0"),
        (#"{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}"#, "a whole number"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"k":1}}"#, "expected '\"'"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"k":"1","k":"2"}}"#,
            "'k' occurs twice"
        ),
        (#"{"a\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "surrogate"),
        (#"{"a\x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "an escape"),
        ("{\"a\u{1}\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "the end of the string"),
        (String(repeating: "[", count: 100_000), "does not begin with '{'"),
        ("{\"a\":" + String(repeating: "{\"a\":", count: 100_000), "found 'a'"),
    ]

    @Test(arguments: attacks) func refusesWrongHeaders(header: String, expected: String) throws {
        let scratch = try Scratch(), path = try scratch.file("bad.safetensors", safetensors(header, data: 8))
        let report = message { _ = try SafeTensors(path) }
        #expect(report.contains(expected) && report.contains("bad.safetensors"), "\(report)")
    }

    @Test func refusesFalseLengths() throws {
        let scratch = try Scratch(), header = "{}"
        for length in [3, 1 << 20, 99_999_999, 100_000_000, 100_000_001, UInt64(Int.max), .max - 7, .max] {
            let report = message {
                _ = try SafeTensors(scratch.file("a", safetensors(header, data: 0, length: length)))
            }
            #expect(
                report.contains(
                    length <= 100_000_000
                        ? "the header should have \(length) bytes, found 2 behind its length"
                        : "a header of \(length) bytes, expected at most"))
        }
        #expect(
            message { _ = try SafeTensors(scratch.file("a", safetensors("{\"", data: 0, length: 4) + [0xFF, 0x22])) }
                .contains("UTF-8"))
    }

    @Test func refusesEveryFileThatWasCutOff() throws {
        let scratch = try Scratch(), path = scratch("a")
        try SafeTensors.write(
            [("w", Tensor([Float(1), -2], [2])), ("v", .zeros([3], .int32))], metadata: ["a": "b"], to: path)
        let whole = try contents(path)
        for length in 0..<whole.count {
            let cut = try scratch.file("cut", Array(whole[..<length]))
            #expect(message { _ = try SafeTensors(cut) }.contains("'\(cut)'"))
        }
        #expect(message { _ = try SafeTensors(scratch.file("long", whole + [0])) }.contains("found 21"))
    }

    @Test func refusesWhatIsNoFile() throws {
        let scratch = try Scratch()
        #expect(message { _ = try SafeTensors(scratch("none")) }.contains("No such file"))
        #expect(message { _ = try SafeTensors(scratch.path) }.contains("not a regular file"))
        #expect(message { _ = try SafeTensors("a\0b") }.contains("zero byte"))
        mkfifo(scratch("pipe"), 0o600)
        #expect(message { _ = try SafeTensors(scratch("pipe")) }.contains("not a regular file"))
    }

    @Test func refusesNamesThatOccurTwice() throws {
        let scratch = try Scratch(), one = try Tensor.ones([1])
        #expect(message { try SafeTensors.write([("a", one), ("a", one)], to: scratch("a")) }.contains("'a'"))
        #expect(message { try SafeTensors.write([("__metadata__", one)], to: scratch("a")) }.contains("reserved"))
        #expect(scratch.names.isEmpty)
    }
}
