import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

@Suite struct TensorFileTests {
    private static let forms = ["zip", "older", "protocol5", "older5"]

    private func isSame(_ a: Tensor, _ b: Tensor) throws -> Bool {
        try a.dtype == b.dtype && a.shape == b.shape && a.doubles() == b.doubles()
    }

    @Test(arguments: forms) func givesPyTorchsTensors(form: String) throws {
        let expected = try SafeTensors(fixture("weights.safetensors"))
        let file = try TensorFile(fixture("tensors-\(form).pt"))
        #expect(file.entries.count == 20)
        for name in file.names {
            #expect(try isSame(file.tensor(named: name), expected.tensor(named: name)), "\(name)")
        }
        #expect(file["bfloat16"]?.type == .bf16 && file["uint16"]?.type == .u16 && file["bool"]?.type == .bool)
    }

    @Test(arguments: forms) func givesPartsOfCheckpoints(form: String) throws {
        let path = fixture("checkpoint-\(form).pt"), expected = try SafeTensors(fixture("weights.safetensors"))
        let part = try TensorFile(path, part: .init(entry: "ema_model", strip: "module."))
        try part.requireTensorsAlone()
        #expect(Set(part.names) == ["first.weight", "first.bias", "last.weight", "last.bias"])
        for name in part.names {
            #expect(try isSame(part.tensor(named: name), expected.tensor(named: "ema_model.module.\(name)")))
        }
        #expect(try TensorFile(path, part: .init(entry: "ema_model.module")).names == part.names)
        #expect(try TensorFile(path, part: .init(entry: "optim.state.2")).names == ["step", "exp_avg", "exp_avg_sq"])
        let single = try TensorFile(path, part: .init(entry: "parameter"))
        #expect(try single.isSingle && single.tensor(named: single.names[0]).floats() == [0, 1, 2])

        let whole = try TensorFile(allOf: path)
        #expect(whole.entries.count == 21 && whole.metadata["step"] == "400000" && whole.metadata["note"] == "café")
        #expect(whole.metadata["args.model"] == "small" && whole.metadata["device"] == "cpu")
        #expect(Set(whole.refused.keys) == ["best", "large"])
        #expect(message { try whole.requireTensorsAlone() }.contains("'best' is a numpy"))
        #expect(message { _ = try whole.tensor(named: "best") }.contains("model.state_dict()"))
        for (entry, strip, words) in [
            (nil, nil, "net_model: 4 tensors, ema_model: 4 tensors, optim: 12 tensors; choose one"),
            ("optim", nil, "optim.state: 12 tensors"), ("ema_modle", nil, "did you mean 'ema_model'?"),
            ("ema_model", "modul_", "no name begins with 'modul_'"), ("best", nil, "numpy"),
        ] as [(String?, String?, String)] {
            let report = message { _ = try TensorFile(path, part: .init(entry: entry, strip: strip)) }
            #expect(report.contains(words) && report.contains(path), "\(report)")
        }
    }

    @Test func convertsWithoutChangingBytes() throws {
        let scratch = try Scratch()
        let expected = try SafeTensors(fixture("weights.safetensors"))
        var copies: [[UInt8]] = []
        for form in TensorFileTests.forms {
            let path = scratch("\(form).safetensors")
            try SafeTensors.write(TensorFile(fixture("tensors-\(form).pt")), to: path)
            copies.append(try contents(path))
            let copy = try SafeTensors(path)
            #expect(copy["float8"]?.type == .f8e4m3 && copy["float16"]?.type == .f16 && copy["int64"]?.type == .i64)
            for name in copy.names {
                #expect(try isSame(copy.tensor(named: name), expected.tensor(named: name)), "\(name)")
            }
        }
        #expect(Set(copies).count == 1)
        let path = scratch("wide.safetensors")
        try SafeTensors.write(TensorFile(fixture("tensors-zip.pt")), asFloat32: true, to: path)
        let wide = try SafeTensors(path)
        #expect(wide["float8"]?.type == .f32 && wide["float64"]?.type == .f32 && wide["int64"]?.type == .i64)
        #expect(message { try SafeTensors.write(TensorFile(path), to: scratch("a.npz")) }.contains(".npz"))
    }

    /// The bytes are turned, gathered and handed on by arrays of NumPy as well.
    @Test func readsArchivesOfArrays() throws {
        let file = try TensorFile(fixture("archive.npz"))
        #expect(try file.tensor(named: "labels").integers() == [1, 2, 3])
        #expect(try file.tensor(named: "words").integers() == (0..<5000).map { $0 / 7 })
        let scratch = try Scratch()
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n"
        let array = [0x93] + Array("NUMPY".utf8) + [1, 0] + little(header.utf8.count, 2) + Array(header.utf8)
        let bytes = array + (1...6).flatMap { [0, UInt8($0)] }
        let path = try scratch.file("a.npz", zip([ZipEntry("x.npy", bytes), ZipEntry("note.txt", [1])]))
        let turned = try TensorFile(path)
        #expect(turned.names == ["x"])
        #expect(try turned.tensor(named: "x").integers() == [1, 3, 5, 2, 4, 6])
        try SafeTensors.write(turned, to: scratch("b.safetensors"))
        let copy = try SafeTensors(scratch("b.safetensors"))
        #expect(try copy["x"]?.type == .i16 && copy.tensor(named: "x").integers() == [1, 3, 5, 2, 4, 6])
    }

    @Test(arguments: ["t10k-images-idx3-ubyte", "train-images-idx3-ubyte.gz"]) func readsIDX(name: String) throws {
        let path = fixture("pictures/\(name)"), file = try TensorFile(path)
        let expected = try IDX.stored(path).tensor()
        #expect(try file.isSingle && isSame(file.tensor(named: file.names[0]), expected))
    }

    @Test(arguments: ["float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"])
    func givesEveryFloatOfEightBits(type: String) throws {
        let file = try SafeTensors(fixture("float8.safetensors"))
        let values = try file.tensor(named: type).floats()
        let expected = try file.tensor(named: "\(type).expected").floats()
        #expect(file[type]?.type.word == type && values.count == 256)
        for (value, wanted) in zip(values, expected) {
            #expect(value.isNaN && wanted.isNaN || value.bitPattern == wanted.bitPattern)
        }
    }

    static let kinds: [(String, [UInt8], String)] = [
        (
            "a.safetensors", Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n".utf8),
            "git lfs pull"
        ),
        ("a.safetensors", Array("\n<!DOCTYPE html><html>404</html>".utf8), "a web page"),
        ("a.pt", Array("<html lang=en>".utf8), "a web page"), ("a.npz", [], "empty"),
        ("a.pt", [0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x2E], "a Python pickle"),
        ("a.npy", [0x89] + Array("PNG\r\n".utf8), "a PNG picture"), ("a.h5", [0x89] + Array("HDF\r\n".utf8), "HDF5"),
        ("a.bin", Array("GGUF".utf8), "GGUF"), ("a.gz", [0x1F, 0x8B, 8], "gunzip"),
        ("a.tar", [UInt8](repeating: 0, count: 257) + Array("ustar\0".utf8), "a tar archive"),
        ("a.zip", zip([ZipEntry("picture.png", [1])]), "neither PyTorch's data.pkl nor NumPy's"),
        ("a.NPY", [1, 2, 3], "not an npy file"), ("a.pth", [1, 2, 3], "of no known kind; read are safetensors"),
        ("a.safetensors", [1, 2, 3], "not a safetensors file"),
        ("a.safetensors", Array("{\"weight_map\": 1}".utf8), "weight_map"),
    ]

    @Test(arguments: kinds) func saysWhatAFileIs(name: String, bytes: [UInt8], words: String) throws {
        let scratch = try Scratch(), path = try scratch.file(name, bytes)
        let report = message { _ = try TensorFile(path) }
        #expect(report.contains(words) && report.contains("'\(path)'"), "\(report)")
    }

    @Test func readsShards() throws {
        let scratch = try Scratch(), one = try Tensor.ones([2]), two = try Tensor.full([3], 2)
        try SafeTensors.write([("a", one)], metadata: ["format": "pt"], to: scratch("1.safetensors"))
        try SafeTensors.write([("b", two)], to: scratch("2.safetensors"))
        func index(_ text: String) throws -> String {
            try scratch.file("model.safetensors.index.json", Array(text.utf8))
        }
        let path = try index(
            #"{"metadata": {"total_size": 20}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#)
        let file = try TensorFile(path)
        #expect(file.names == ["a", "b"] && file.metadata == ["format": "pt"])
        #expect(try file.tensor(named: "b").floats() == [2, 2, 2])
        for (text, words) in [
            (#"{"weight_map": {"a": "1.safetensors", "c": "2.safetensors"}}"#, "no tensor 'c'"),
            (#"{"weight_map": {"a": "1.safetensors", "b": "1.safetensors"}}"#, "no tensor 'b'"),
            (#"{"weight_map": {"a": "3.safetensors"}}"#, "No such file"),
            (#"{"weight_map": {"a": "../1.safetensors"}}"#, "expected .safetensors files beside it"),
            (#"{"weight_map": {"a": "/1.safetensors"}}"#, "expected .safetensors files beside it"),
            (#"{"weight_map": {"a": "1.pt"}}"#, "expected .safetensors files beside it"),
            (#"{"weight_map": {"a": 1}}"#, "weight_map"), (#"{"weight_map": {"#, "weight_map"),
            (#"{"weight_map":"# + String(repeating: "[", count: 1_000_000), "nested"),
            (#"{"weight_map":"# + String(repeating: "{\"a\":", count: 1_000_000), "nested"),
        ] {
            let wrong = try index(text)
            let report = message { _ = try TensorFile(wrong) }
            #expect(report.contains(words) && report.contains(scratch.path), "\(report)")
        }
        try SafeTensors.write([("a", one), ("b", two)], to: scratch("2.safetensors"))
        let doubled = try index(#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#)
        #expect(message { _ = try TensorFile(doubled) }.contains("'a' is listed by"))
    }

    @Test func namesSha256() throws {
        let scratch = try Scratch()
        #expect(
            try Digest.sha256(of: scratch.file("a", Array("abc".utf8)))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }
}
