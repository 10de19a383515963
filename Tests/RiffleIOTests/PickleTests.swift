import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

/// Instructions of pickles, written by hand.
private enum Code {
    static func text(_ text: String) -> [UInt8] { [0x58] + little(text.utf8.count, 4) + Array(text.utf8) }
    static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
    static func integer(_ number: Int) -> [UInt8] { [0x4A] + little(number, 4) }
    static func long(_ number: Int) -> [UInt8] { [0x8A, 8] + little(number, 8) }
    static func tuple(_ items: [UInt8]...) -> [UInt8] { [0x28] + items.flatMap { $0 } + [0x74] }
    static func dict(_ items: [UInt8]...) -> [UInt8] { [0x7D, 0x28] + items.flatMap { $0 } + [0x75] }
    static func call(_ function: [UInt8], _ arguments: [UInt8]) -> [UInt8] { function + arguments + [0x52] }

    static func storage(_ type: String = "FloatStorage", key: String = "0", count: Int = 4) -> [UInt8] {
        tuple(text("storage"), global("torch", type), text(key), text("cpu"), long(count)) + [0x51]
    }
    static func tensor(_ storage: [UInt8], offset: Int = 0, sizes: [Int], strides: [Int]) -> [UInt8] {
        func numbers(_ numbers: [Int]) -> [UInt8] { [0x28] + numbers.flatMap(long) + [0x74] }
        return call(
            global("torch._utils", "_rebuild_tensor_v2"),
            tuple(storage, long(offset), numbers(sizes), numbers(strides), [0x89], [0x7D]))
    }
    /// A table that holds the tensor `w` and another value.
    static func beside(_ value: [UInt8]) -> [UInt8] {
        dict(text("net"), dict(text("w"), tensor(storage(), sizes: [4], strides: [1])), text("other"), value)
    }
}

@Suite struct PickleTests {
    /// An archive as `torch.save` writes it, with a storage of 16 bytes.
    private func archive(_ pickle: [UInt8], _ scratch: Scratch, protocol version: UInt8 = 2) throws -> String {
        let storage: [UInt8] = [0, 0, 0x80, 0x3F] + [UInt8](repeating: 0, count: 12)
        return try scratch.file(
            "hostile.pt",
            zip([
                ZipEntry("archive/data.pkl", [0x80, version] + pickle + [0x2E]), ZipEntry("archive/data/0", storage),
                ZipEntry("archive/byteorder", Array("little".utf8)),
            ]))
    }

    /// What stands beside the weights is neither run nor in their way.
    @Test(arguments: [
        Code.call(Code.global("os", "system"), Code.tuple(Code.text("touch hostile"))),
        Code.call(Code.global("builtins", "eval"), Code.tuple(Code.text("1/0"))),
        Code.call(Code.call(Code.global("builtins", "getattr"), [0x29]), Code.tuple(Code.text("x"))),
        Code.global("my.module", "Config") + [0x29, 0x81] + Code.dict(Code.text("a"), [0x4E]) + [0x62],
        Code.call(
            Code.global("numpy.core.multiarray", "scalar"), Code.tuple([0x4E], [0x42] + little(3, 4) + [1, 2, 3])),
        [0x8F, 0x28, 0x4E, 0x90], [0x28, 0x4E, 0x91], Code.storage(),
        Code.call(
            Code.global("torch._utils", "_rebuild_sparse_tensor"),
            Code.tuple(Code.global("torch", "sparse_coo"), [0x29])),
        Code.tensor(Code.storage("QInt8Storage"), sizes: [4], strides: [1]),
        [0x8B] + little(100, 4) + [UInt8](repeating: 1, count: 100),
    ])
    func keepsOtherClassesOpaque(value: [UInt8]) throws {
        let scratch = try Scratch(), path = try archive(Code.beside(value), scratch)
        let file = try TensorFile(path, part: .init(entry: "net"))
        #expect(try file.tensor(named: "w").floats() == [1, 0, 0, 0])
        #expect(scratch.names == ["hostile.pt"])
        let report = message { _ = try TensorFile(allOf: path).requireTensorsAlone() }
        #expect(report.contains("its 'other' is a") && report.contains("hostile.pt"), "\(report)")
    }

    private static let far = Int.max / 2
    static let attacks: [([UInt8], String)] = [
        (Code.tensor(Code.storage(), sizes: [5], strides: [1]), "does not fit its storage"),
        (Code.tensor(Code.storage(), offset: 1, sizes: [4], strides: [1]), "does not fit its storage"),
        (Code.tensor(Code.storage(), offset: far, sizes: [4], strides: [1]), "does not fit its storage"),
        (Code.tensor(Code.storage(), offset: far, sizes: [4], strides: [far]), "does not fit its storage"),
        (Code.tensor(Code.storage(), sizes: [2, 2], strides: [far, far]), "does not fit its storage"),
        (Code.tensor(Code.storage(), sizes: [1 << 40, 1 << 40], strides: [0, 0]), "too large"),
        (Code.tensor(Code.storage(), sizes: [1 << 50], strides: [0]), "repeats the 4 elements of its storage"),
        (Code.tensor(Code.storage(), sizes: [-1], strides: [1]), "wrong size"),
        (Code.tensor(Code.storage(), offset: -1, sizes: [1], strides: [1]), "without a storage"),
        (Code.tensor(Code.storage(), sizes: [4], strides: [1, 1]), "1 sizes and 2 strides"),
        (
            Code.tensor(Code.storage(), sizes: [Int](repeating: 1, count: 9), strides: [Int](repeating: 0, count: 9)),
            "at most 8 dimensions"
        ),
        (
            Code.tensor(Code.storage(count: 1 << 40), sizes: [4], strides: [1]),
            "expected a storage of 1099511627776 elements, found 16 bytes"
        ),
        (Code.tensor(Code.storage(count: far), sizes: [4], strides: [1]), "elements, found 16"),
        (Code.tensor(Code.storage(key: "../../x"), sizes: [4], strides: [1]), "lacks the entry"),
        (Code.tensor([0x4E], sizes: [4], strides: [1]), "without a storage"),
        (Code.tuple(Code.text("storage")) + [0x51], "names no storage"),
        (Code.call(Code.text("os.system"), [0x29]), "no function"),
        (Code.call(Code.global("os", "system"), Code.tuple(Code.text("touch hostile"))), "it holds a os.system"),
        ([UInt8](repeating: 0x28, count: 100_000), "a value is missing"),
        // Lists, tuples and tables in one another.
        ([UInt8](repeating: 0x5D, count: 300_000) + [UInt8](repeating: 0x61, count: 299_999), "in one another"),
        ([0x4E] + [UInt8](repeating: 0x85, count: 300_000), "in one another"),
        ((0..<65).reduce([0x4E]) { inner, _ in Code.dict(Code.text("a"), inner) }, "in one another"),
        // A list in itself, and a list twice in a list twice in a list.
        ([0x5D, 0x71, 0, 0x68, 0, 0x61], "in one another"),
        (
            [0x5D] + (0..<60).flatMap { [0x71, UInt8($0), 0x30, 0x5D, 0x28, 0x68, UInt8($0), 0x68, UInt8($0), 0x65] },
            "values"
        ),
        ([0x6A, 0xFF, 0xFF, 0xFF, 0xFF], "4294967295 was never stored"),
        ([0x4E, 0x72, 0xFF, 0xFF, 0xFF, 0xFF, 0x6A, 0xFF, 0xFF, 0xFF, 0xFF, 0x30], "it holds no tensors"),
        ([0x8B] + little(2_000_000_000, 4), "2000000000 bytes"), ([0x58] + little(0xFFFF_FFFF, 4), "4294967295 bytes"),
        ([0x8D] + little(-1, 8), "18446744073709551615 bytes"), ([0x8E] + little(Int.max, 8), "bytes"),
        (Array("cos\n".utf8) + [UInt8](repeating: 0x61, count: 5000), "a name without end"),
        (Code.global("os", "system"), "it holds no tensors"), ([0x32], "instruction '2'"),
        (Array("S'a'\n".utf8), "instruction 'S'"), ([0x82, 1], "instruction 130"), ([], "a value is missing"),
        ([0x30], "a value is missing"), ([0x31], "a mark is missing"), ([0x74], "a mark is missing"),
        ([0x28, 0x4E, 0x75], "a value is missing"), ([0x7D, 0x28, 0x4E, 0x75], "items without"),
        ([0x61], "a value is missing"),
        ([0x80, 9], "protocol 9"), ([0x62], "a value is missing"), ([0x52], "a value is missing"),
    ]

    @Test(arguments: attacks) func refuses(pickle: [UInt8], words: String) throws {
        let scratch = try Scratch(), path = try archive(pickle, scratch)
        let report = message {
            let file = try TensorFile(path)
            try file.requireTensorsAlone()
            for name in file.names { _ = try file.tensor(named: name) }
        }
        #expect(report.contains(words), "\(report)")
        #expect(report.contains("hostile.pt") || report.contains("out of memory"), "\(report)")
        #expect(scratch.names == ["hostile.pt"])
    }

    /// Few bytes that refer to many values over and over: tables of the same pairs, tables that take over the same
    /// attributes, and one long text as the name of many values.
    @Test(arguments: ["pairs", "attributes", "names"]) func refusesAmplification(kind: String) throws {
        func stored(_ value: [UInt8], _ index: UInt8) -> [UInt8] { value + [0x71, index, 0x30] }
        func repeated(_ part: [UInt8], _ count: Int = 5000) -> [UInt8] { (0..<count).flatMap { _ in part } }
        let pair = stored([0x4B, 1, 0x4B, 1, 0x86], 1)
        let pickle =
            switch kind {
            case "pairs":
                stored(Code.global("collections", "OrderedDict"), 0) + pair
                    + stored([0x5D, 0x28] + repeated([0x68, 1]) + [0x65, 0x85], 2) + repeated([0x68, 0, 0x68, 2, 0x52])
            case "attributes":
                stored([0x7D, 0x28] + repeated([0x4E, 0x4E]) + [0x75], 0) + repeated([0x7D, 0x68, 0, 0x62])
            default:
                stored(Code.text(String(repeating: "a", count: 100_000)), 0)
                    + [0x7D, 0x28] + repeated([0x68, 0, 0x4E]) + [0x75]
            }
        let scratch = try Scratch(), path = try archive(pickle, scratch)
        let report = message { _ = try TensorFile(allOf: path) }
        #expect(report.contains(kind == "names" ? "far more names" : "few bytes") && report.contains("hostile.pt"))
    }

    /// A file that was cut off is refused; a file with a wrong bit is refused or gives tensors of what it says.
    /// - Parameter step: from one byte that is damaged to the next.
    @Test(arguments: [("small.pt", 1), ("checkpoint-older5.pt", 11), ("tensors-older.pt", 11), ("tensors-zip.pt", 11)])
    func survivesDamage(name: String, step: Int) throws {
        let scratch = try Scratch(), whole = try contents(fixture(name))
        func read(_ bytes: [UInt8]) throws -> Bool {
            let path = try scratch.file("damaged.pt", bytes)
            do {
                let file = try TensorFile(allOf: path)
                for entry in file.entries { _ = try entry.tensor() }
                return true
            } catch let error as RiffleError {
                #expect(error.description.contains("damaged.pt") || error.kind == .outOfMemory, "\(error)")
                return false
            }
        }
        #expect(try read(whole) && !read(whole + [0]))
        for length in stride(from: 0, to: whole.count, by: step) {
            #expect(try !read(Array(whole[..<length])), "cut off at \(length)")
        }
        var damaged = 0, accepted = 0
        for index in stride(from: 0, to: whole.count, by: step) {
            for bit in step == 1 ? 0..<8 : (index % 8)..<(index % 8 + 1) {
                var bytes = whole
                bytes[index] ^= 1 << UInt8(bit)
                damaged += 1
                if try read(bytes) { accepted += 1 }
            }
        }
        // Checksums cover an archive's entries: what is left are times, alignment and the like.
        #expect(accepted < damaged && (!name.contains("zip") || accepted < damaged / 2), "\(accepted) of \(damaged)")
    }
}
