import RiffleTensor

/// NumPy's file of one array.
package enum Npy {
    /// Reads an array of floats, integers or booleans, of either byte order and either memory order.
    ///
    /// f4 and f2 become float32, f8 float64, integers and booleans int32.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found; also for Python objects,
    ///   complex numbers and integers that int32 cannot hold.
    package static func read(_ path: String) throws -> Tensor {
        let file = try InputFile(path)
        let start = try file.bytes(min(file.size, 12), at: 0)
        guard start.count == 12, start.starts(with: magic) else {
            throw file.error("not an npy file: expected it to begin with \\x93NUMPY")
        }
        guard (1...3).contains(start[6]) else {
            throw file.error("expected version 1 to 3 of the npy format, found \(start[6])")
        }
        let prefix = start[6] > 1 ? 12 : 10
        let length = start[8..<prefix].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= largestHeader else {
            throw file.error("a header of \(length) bytes, expected at most \(largestHeader)")
        }
        let header = try Header(file.bytes(length, at: prefix), file)

        let (kind, size) = try header.element(file)
        guard let count = checkedProduct(header.shape), let bytes = checkedProduct([count, size]) else {
            throw file.error("the shape is too large: \(header.shape)")
        }
        let offset = prefix + length
        guard bytes == file.size - offset else {
            throw file.error(
                "\(header.type) \(Shape(header.shape)) should take \(bytes) bytes, found \(file.size - offset) behind "
                    + "the header"
            )
        }
        let shape = try Shape(header.isFortran ? header.shape.reversed() : header.shape).checked("'\(path)'")
        let tensor = try numbers(kind, shape, header, file, at: offset)
        return header.isFortran ? try tensor.permuted((0..<shape.rank).reversed()) : tensor
    }

    /// Writes a tensor as f4, f8 or i4; the file appears whole or not at all.
    package static func write(_ tensor: Tensor, to path: String) throws {
        let type =
            switch tensor.dtype {
            case .float32: "<f4"
            case .float64: "<f8"
            case .int32: "<i4"
            }
        let sizes = tensor.shape.sizes.map { "\($0)," }.joined(separator: " ")
        var header = Array("{'descr': '\(type)', 'fortran_order': False, 'shape': (\(sizes)), }".utf8)
        header += [UInt8](repeating: 0x20, count: 63 - (header.count + 10) % 64) + [0x0A]
        try AtomicFile.write(to: path) { file in
            try file.write(magic + [1, 0, UInt8(header.count & 0xFF), UInt8(header.count >> 8)] + header)
            try file.write(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
        }
    }

    private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// The longest header that NumPy itself reads.
    private static let largestHeader = 10_000

    private static func numbers(_ kind: Kind, _ shape: Shape, _ header: Header, _ file: InputFile, at offset: Int)
        throws -> Tensor
    {
        func read<Raw: FixedWidthInteger, Element>(_ dtype: DType, _ convert: (Raw, Int) throws -> Element) throws
            -> Tensor
        {
            let tensor = try Tensor(uninitialized: shape, dtype), swaps = header.isBigEndian
            try file.read(Raw.self, at: offset, into: tensor.elements(Element.self)) {
                try convert(swaps ? $0.byteSwapped : $0, $1)
            }
            return tensor
        }
        func integers<Raw: FixedWidthInteger>(_ raw: Raw.Type) throws -> Tensor {
            try read(.int32) { (number: Raw, index) in
                guard let small = Int32(exactly: number) else {
                    throw file.error("element \(index + 1) is \(number), which int32 cannot hold")
                }
                return small
            }
        }
        switch kind {
        case .f2: return try read(.float32) { (bits: UInt16, _) in Float(Float16(bitPattern: bits)) }
        case .f4: return try read(.float32) { (bits: UInt32, _) in Float(bitPattern: bits) }
        case .f8: return try read(.float64) { (bits: UInt64, _) in Double(bitPattern: bits) }
        case .b1: return try read(.int32) { (byte: UInt8, _) in byte == 0 ? Int32(0) : 1 }
        case .i1: return try integers(Int8.self)
        case .i2: return try integers(Int16.self)
        case .i4: return try integers(Int32.self)
        case .i8: return try integers(Int64.self)
        case .u1: return try integers(UInt8.self)
        case .u2: return try integers(UInt16.self)
        case .u4: return try integers(UInt32.self)
        case .u8: return try integers(UInt64.self)
        }
    }
}

/// Types of elements that have a counterpart here.
private enum Kind: String, CaseIterable {
    case f2, f4, f8, b1, i1, i2, i4, i8, u1, u2, u4, u8
}

/// The Python dict in front of the numbers.
private struct Header {
    /// The elements' type, such as `<f4`.
    var type = ""
    var isFortran = false
    var shape: [Int] = []
    var isBigEndian: Bool { type.hasPrefix(">") }

    init(_ bytes: [UInt8], _ file: InputFile) throws {
        var scanner = TextScanner(bytes) { file.error($0) }
        var keys = Set<String>()
        var header = (type: "", fortran: false, shape: [Int]())
        try scanner.list("{", "}", trailingComma: true) { scanner in
            let key = try scanner.pythonString()
            guard keys.insert(key).inserted else { throw file.error("'\(key)' occurs twice in the header") }
            try scanner.expect(":")
            switch key {
            case "descr":
                guard scanner.peek() != UInt8(ascii: "[") else {
                    throw file.error("an array of records cannot be read")
                }
                header.type = try scanner.pythonString()
            case "fortran_order":
                let word = try scanner.word()
                guard word == "True" || word == "False" else {
                    throw file.error("fortran_order should be True or False, found \(word)")
                }
                header.fortran = word == "True"
            case "shape": try scanner.list("(", ")", trailingComma: true) { header.shape.append(try $0.size()) }
            default: throw file.error("expected descr, fortran_order and shape in the header, found '\(key)'")
            }
        }
        if scanner.peek() != nil { throw scanner.error(expected: "the end of the header") }
        guard keys.count == 3 else { throw file.error("descr, fortran_order or shape is missing in the header") }
        (type, isFortran, shape) = header
    }

    /// The elements' kind, and their size in bytes.
    func element(_ file: InputFile) throws -> (Kind, Int) {
        guard let order = type.first, "<>|=".contains(order), let kind = Kind(rawValue: String(type.dropFirst())),
            let size = Int(type.suffix(1))
        else {
            let kinds = Kind.allCases.map(\.rawValue).joined(separator: ", ")
            throw file.error("elements of type '\(type)' cannot be read; expected one of \(kinds)")
        }
        return (kind, size)
    }
}

extension TextScanner {
    /// A string in single or double quotes.
    fileprivate mutating func pythonString() throws -> String { try string(peek() == UInt8(ascii: "\"") ? "\"" : "'") }
}
