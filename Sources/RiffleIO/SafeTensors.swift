import Foundation
import RiffleTensor

/// A file of named tensors in the safetensors format, read strictly.
///
/// Opening reads the header alone and checks all of it: a file that opens is complete, and its tensors cover its bytes
/// without holes or overlaps. The numbers are read when asked for.
package final class SafeTensors: Sendable {
    /// The tensors in the order of their bytes in the file, to be read when asked for.
    package let tensors: [StoredTensor]
    package let metadata: [String: String]
    package var names: [String] { tensors.map(\.name) }
    package var path: String { file.path }

    private let file: InputFile
    private let indices: [String: Int]

    /// Reads and checks a file's header.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package convenience init(_ path: String) throws { try self.init(InputFile(path)) }

    package init(_ file: InputFile) throws {
        self.file = file
        if let kind = try FileKind(file), kind != .safetensors, kind != .index {
            throw file.error("not a safetensors file: it is \(kind.description)")
        }
        guard file.size >= 8 else {
            throw file.error(
                "not a safetensors file: expected the header's length in 8 bytes, found \(file.size) bytes in all")
        }
        let length = try file.bytes(8, at: 0).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= SafeTensors.largestHeader else {
            throw file.error(
                "not a safetensors file: a header of \(length) bytes, expected at most \(SafeTensors.largestHeader)")
        }
        let buffer = 8 + Int(length)
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
        let entries = parser.entries.sorted {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        metadata = parser.metadata
        indices = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })
        tensors = entries.map {
            StoredTensor($0.name, $0.type, $0.shape, in: file, at: buffer + $0.range.lowerBound)
        }

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

    /// The tensor of that name, to be read when asked for; nil where there is none.
    package subscript(_ name: String) -> StoredTensor? { indices[name].map { tensors[$0] } }

    /// Reads a tensor. Halves and smaller floats become float32, integers and booleans int32.
    /// - Throws: `RiffleError` when there is none of that name, its type has no counterpart, or a number passes int32.
    package func tensor(named name: String) throws -> Tensor {
        guard let tensor = self[name] else {
            throw file.error("no tensor '\(name)'" + suggestion(for: name, among: names))
        }
        return try tensor.tensor()
    }

    /// An error that names the file.
    package func error(_ message: String) -> RiffleError { file.error(message) }

    /// The most bytes of a header.
    static let largestHeader = 100_000_000
}

/// What the header says of one tensor.
private struct Entry {
    let name: String
    let type: ElementType
    let shape: Shape
    /// The range of its bytes behind the header.
    let range: Range<Int>
}

/// Reads the header's JSON, which has one form: names with a type, a shape and two offsets each, and a map of texts.
private struct HeaderParser {
    private(set) var entries: [Entry] = []
    private(set) var metadata: [String: String] = [:]
    private var scanner: TextScanner
    private let file: InputFile

    init(_ header: [UInt8], file: InputFile) {
        self.file = file
        scanner = TextScanner(header) { file.error($0) }
    }

    mutating func parse() throws {
        var entries: [Entry] = []
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
        -> Entry
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
        guard let type = ElementType(rawValue: type), type.isInSafeTensors else {
            throw file.error("tensor '\(name)' has the unknown type '\(type)'")
        }
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw file.error("the data_offsets of tensor '\(name)' should be a begin and an end, found \(offsets)")
        }
        guard let wanted = checkedProduct(shape + [type.bits]) else {
            throw file.error("the shape of tensor '\(name)' is too large: \(shape)")
        }
        let found = offsets[1] - offsets[0]
        guard wanted % 8 == 0, wanted / 8 == found else {
            throw file.error(
                "tensor '\(name)', \(type.rawValue) \(Shape(shape)), should take "
                    + "\(riffleFormat(Double(wanted) / 8)) bytes, found \(found)"
            )
        }
        return Entry(name: name, type: type, shape: Shape(shape), range: offsets[0]..<offsets[1])
    }
}
