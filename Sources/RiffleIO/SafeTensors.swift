import Foundation
import RiffleTensor

/// A file of named tensors in the safetensors format, read strictly.
///
/// Opening reads the header alone and checks all of it: a file that opens is complete, and its tensors cover its bytes
/// without holes or overlaps. The numbers are read when asked for.
package final class SafeTensors: Sendable {
    /// What the header says of one tensor.
    package struct Entry: Sendable {
        package let name: String
        /// The type's name in the file, such as `F32` or `BF16`.
        package let type: String
        package let shape: Shape
        /// The range of its bytes behind the header.
        package let range: Range<Int>
    }

    /// The tensors in the order of their bytes in the file.
    package let entries: [Entry]
    package let metadata: [String: String]
    package var names: [String] { entries.map(\.name) }

    private let file: InputFile
    private let buffer: Int
    private let indices: [String: Int]

    /// Reads and checks a file's header.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package init(_ path: String) throws {
        file = try InputFile(path)
        guard file.size >= 8 else {
            throw file.error(
                "not a safetensors file: expected the header's length in 8 bytes, found \(file.size) bytes in all")
        }
        let length = try file.bytes(8, at: 0).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= SafeTensors.largestHeader else {
            throw file.error(
                "not a safetensors file: a header of \(length) bytes, expected at most \(SafeTensors.largestHeader)")
        }
        buffer = 8 + Int(length)
        guard buffer <= file.size else {
            throw file.error("the header should have \(length) bytes, found \(file.size - 8) behind its length")
        }
        // An entry takes several times the memory of its text.
        try Memory.check(8 * Int(length))
        let header = try file.bytes(Int(length), at: 8)
        guard header.first == UInt8(ascii: "{") else {
            throw file.error("not a safetensors file: the header does not begin with '{'")
        }
        var parser = HeaderParser(header, file: file)
        try parser.parse()
        entries = parser.entries.sorted {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        metadata = parser.metadata
        indices = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })

        var end = 0
        for entry in entries {
            guard entry.range.lowerBound == end else {
                throw file.error(
                    "tensor '\(entry.name)' should begin at byte \(end) of the data, found \(entry.range.lowerBound)")
            }
            end = entry.range.upperBound
        }
        guard end == file.size - buffer else {
            throw file.error("the tensors take \(end) bytes, found \(file.size - buffer) behind the header")
        }
    }

    /// What the header says of a tensor; nil where there is none of that name.
    package subscript(_ name: String) -> Entry? { indices[name].map { entries[$0] } }

    /// Reads a tensor. F16 and BF16 become float32, I64 int32.
    /// - Throws: `RiffleError` when there is none of that name, its type has no counterpart, or a number passes int32.
    package func tensor(named name: String) throws -> Tensor {
        guard let entry = self[name] else {
            throw file.error("no tensor '\(name)'" + suggestion(for: name, among: names))
        }
        let shape = try entry.shape.checked("'\(file.path)': tensor '\(name)'")
        let offset = buffer + entry.range.lowerBound
        func copy(_ dtype: DType) throws -> Tensor {
            let tensor = try Tensor(uninitialized: shape, dtype)
            try file.read(
                into: UnsafeMutableRawBufferPointer(start: tensor.pointer, count: entry.range.count), at: offset)
            return tensor
        }
        func read<Raw: FixedWidthInteger, Element>(_ dtype: DType, _ convert: (Raw, Int) throws -> Element) throws
            -> Tensor
        {
            let tensor = try Tensor(uninitialized: shape, dtype)
            try file.read(Raw.self, at: offset, into: tensor.elements(Element.self), convert)
            return tensor
        }
        switch entry.type {
        case "F32": return try copy(.float32)
        case "F64": return try copy(.float64)
        case "I32": return try copy(.int32)
        case "F16": return try read(.float32) { (bits: UInt16, _) in Float(Float16(bitPattern: bits)) }
        case "BF16": return try read(.float32) { (bits: UInt16, _) in Float(bitPattern: UInt32(bits) << 16) }
        case "I64":
            return try read(.int32) { (number: Int64, index) in
                guard let small = Int32(exactly: number) else {
                    throw self.file.error(
                        "element \(index + 1) of the I64 tensor '\(name)' is \(number), which int32 cannot hold")
                }
                return small
            }
        default:
            throw file.error(
                "tensor '\(name)' has the type \(entry.type); F32, F64, F16, BF16, I32 and I64 can be read")
        }
    }

    /// Reads rows of a tensor, along its first dimension, as the file has them: no type is converted.
    package func read(rows: Range<Int>, of entry: Entry, into target: UnsafeMutableRawPointer) throws {
        let row = entry.range.count / max(1, entry.shape[0])
        try file.read(
            into: UnsafeMutableRawBufferPointer(start: target, count: rows.count * row),
            at: buffer + entry.range.lowerBound + rows.lowerBound * row)
    }

    /// An error that names the file.
    package func error(_ message: String) -> RiffleError { file.error(message) }

    // MARK: - Header

    static let largestHeader: UInt64 = 100_000_000

    /// Bits per element.
    static let bits = [
        "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
        "F32": 32,
        "C64": 64, "F64": 64, "I64": 64, "U64": 64,
    ]

    // MARK: - Writing

    /// Writes tensors under their names, with texts beside them; the file appears whole or not at all.
    ///
    /// Wide types come first, then names in order, so that every tensor is aligned and the same tensors give the same
    /// bytes.
    /// - Throws: `RiffleError` when a name occurs twice or is `__metadata__`, or the file cannot be written.
    package static func write(_ tensors: [(String, Tensor)], metadata: [String: String] = [:], to path: String) throws {
        try FileEnding.check(path, of: "tensors by name", [.safetensors])
        let sorted = tensors.sorted { ($1.1.dtype.size, $0.0) < ($0.1.dtype.size, $1.0) }
        let (header, _) = try header(sorted.map { ($0, $1.dtype, $1.shape) }, metadata: metadata, path)
        try AtomicFile.write(to: path) { file in
            try file.write(header)
            for (_, tensor) in sorted {
                try file.write(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
            }
        }
    }

    /// The header of tensors that follow one another, and the range of bytes that each tensor takes in the file.
    package static func header(
        _ tensors: [(name: String, dtype: DType, shape: Shape)], metadata: [String: String], _ path: String
    ) throws -> (bytes: [UInt8], ranges: [Range<Int>]) {
        for text in tensors.map(\.name) + metadata.flatMap({ [$0.key, $0.value] }) where !text.isUnicode {
            throw RiffleError(
                "", "cannot write '\(path)': names and metadata of tensors are UTF-8, and '\(text)' is not")
        }
        var items: [String] = []
        if !metadata.isEmpty {
            let texts = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
            items.append("\"__metadata__\":{\(texts.joined(separator: ","))}")
        }
        var seen: Set = ["__metadata__"]
        var ranges: [Range<Int>] = []
        for (name, dtype, shape) in tensors {
            guard seen.insert(name).inserted else {
                throw RiffleError("", "cannot write '\(path)': two tensors have the name '\(name)', or it is reserved")
            }
            let type =
                switch dtype {
                case .float32: "F32"
                case .float64: "F64"
                case .int32: "I32"
                }
            let sizes = shape.sizes.map(String.init).joined(separator: ",")
            let begin = ranges.last?.upperBound ?? 0
            let end = begin + shape.count * dtype.size
            ranges.append(begin..<end)
            items.append(
                "\(quoted(name)):{\"dtype\":\"\(type)\",\"shape\":[\(sizes)],\"data_offsets\":[\(begin),\(end)]}")
        }
        var text = Array("{\(items.joined(separator: ","))}".utf8)
        text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
        guard text.count <= largestHeader else {
            throw RiffleError("", "cannot write '\(path)': names and metadata pass 100 MB")
        }
        let bytes = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
        return (bytes, ranges.map { ($0.lowerBound + bytes.count)..<($0.upperBound + bytes.count) })
    }
}

/// Reads the header's JSON, which has one form: names with a type, a shape and two offsets each, and a map of texts.
private struct HeaderParser {
    private(set) var entries: [SafeTensors.Entry] = []
    private(set) var metadata: [String: String] = [:]
    private var scanner: TextScanner
    private let file: InputFile

    init(_ header: [UInt8], file: InputFile) {
        self.file = file
        scanner = TextScanner(header) { file.error($0) }
    }

    mutating func parse() throws {
        var entries: [SafeTensors.Entry] = []
        var metadata: [String: String] = [:]
        var names: Set<String> = []
        let file = file
        try scanner.list("{", "}") { scanner in
            let name = try scanner.string()
            guard names.insert(name).inserted else { throw file.error("the name '\(name)' occurs twice in the header") }
            try scanner.expect(":")
            if name == "__metadata__" {
                metadata = try HeaderParser.texts(&scanner, file)
            } else {
                entries.append(try HeaderParser.entry(name, &scanner, file))
            }
        }
        if scanner.peek() != nil { throw scanner.error(expected: "the end of the header") }
        self.entries = entries
        self.metadata = metadata
    }

    private static func texts(_ scanner: inout TextScanner, _ file: InputFile) throws -> [String: String] {
        var texts: [String: String] = [:]
        try scanner.list("{", "}") { scanner in
            let key = try scanner.string()
            try scanner.expect(":")
            guard texts.updateValue(try scanner.string(), forKey: key) == nil else {
                throw file.error("the key '\(key)' occurs twice in the metadata")
            }
        }
        return texts
    }

    private static func entry(_ name: String, _ scanner: inout TextScanner, _ file: InputFile) throws
        -> SafeTensors.Entry
    {
        var type: String?
        var shape: [Int]?
        var offsets: [Int]?
        func once(_ value: Any?, _ key: String) throws {
            if value != nil { throw file.error("'\(key)' occurs twice for tensor '\(name)'") }
        }
        func sizes(_ scanner: inout TextScanner) throws -> [Int] {
            var sizes: [Int] = []
            try scanner.list("[", "]") { sizes.append(try $0.size()) }
            return sizes
        }
        try scanner.list("{", "}") { scanner in
            let key = try scanner.string()
            try scanner.expect(":")
            switch key {
            case "dtype":
                try once(type, key)
                type = try scanner.string()
            case "shape":
                try once(shape, key)
                shape = try sizes(&scanner)
            case "data_offsets":
                try once(offsets, key)
                offsets = try sizes(&scanner)
            default: throw file.error("expected dtype, shape and data_offsets for tensor '\(name)', found '\(key)'")
            }
        }
        guard let type, let shape, let offsets else {
            throw file.error("dtype, shape or data_offsets is missing for tensor '\(name)'")
        }
        guard let bits = SafeTensors.bits[type] else {
            throw file.error("tensor '\(name)' has the unknown type '\(type)'")
        }
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw file.error("the data_offsets of tensor '\(name)' should be a begin and an end, found \(offsets)")
        }
        guard let wanted = checkedProduct(shape + [bits]) else {
            throw file.error("the shape of tensor '\(name)' is too large: \(shape)")
        }
        let found = offsets[1] - offsets[0]
        guard wanted % 8 == 0, wanted / 8 == found else {
            throw file.error(
                "tensor '\(name)', \(type) \(Shape(shape)), should take \(riffleFormat(Double(wanted) / 8)) bytes, "
                    + "found \(found)"
            )
        }
        return SafeTensors.Entry(name: name, type: type, shape: Shape(shape), range: offsets[0]..<offsets[1])
    }
}
