import RiffleTensor

/// NumPy's file of one array.
package enum Npy {
    /// Reads an array of floats, integers or booleans, of either byte order and either memory order.
    ///
    /// f4 and f2 become float32, f8 float64, integers and booleans int32.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found; also for Python objects,
    ///   complex numbers and integers that int32 cannot hold.
    package static func read(_ path: String) throws -> Tensor { try stored(in: InputFile(path)).tensor() }

    /// The array of a file, or of an archive's entry, to be read when asked for.
    package static func stored(_ name: String = "", in source: any ByteSource) throws -> StoredTensor {
        let start = try source.bytes(min(source.size, 12), at: 0)
        guard start.count == 12, start.starts(with: magic) else {
            let kind = try FileKind(source).flatMap { $0 == .npy ? nil : ": it is \($0.description)" }
            throw source.error("not an npy file\(kind ?? ": expected it to begin with \\x93NUMPY")")
        }
        guard (1...3).contains(start[6]) else {
            throw source.error("expected version 1 to 3 of the npy format, found \(start[6])")
        }
        let prefix = start[6] > 1 ? 12 : 10
        let length = start[8..<prefix].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= largestHeader else {
            throw source.error("a header of \(length) bytes, expected at most \(largestHeader)")
        }
        let header = try Header(source.bytes(length, at: prefix), source)

        let type = try header.element(source)
        guard let count = checkedProduct(header.shape), let bytes = checkedProduct([count, type.bits / 8]) else {
            throw source.error("the shape is too large: \(header.shape)")
        }
        let offset = prefix + length, shape = Shape(header.shape)
        guard bytes == source.size - offset else {
            throw source.error(
                "\(header.type) \(shape) should take \(bytes) bytes, found \(source.size - offset) behind the header")
        }
        let columns = header.isFortran ? Array(Shape(header.shape.reversed()).strides.reversed()) : nil
        return StoredTensor(
            name, type, shape, in: source, at: offset, strides: columns, isBigEndian: header.isBigEndian)
    }

    /// The arrays of an archive, as `numpy.savez` writes it; entries of other kinds are passed over.
    static func stored(in archive: ZipArchive) throws -> [StoredTensor] {
        try archive.entries.filter { $0.name.hasSuffix(".npy") }.map { entry in
            try stored(String(entry.name.dropLast(4)), in: ZipEntryBytes(entry, of: archive, reading: .whole))
        }
    }

    /// Writes a tensor as f4, f8 or i4; the file appears whole or not at all.
    package static func write(_ tensor: Tensor, to path: String) throws {
        let tensor = try tensor.widened()
        try AtomicFile.write(to: path) { file in
            try file.write(header(of: tensor))
            try file.write(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
        }
    }

    /// What stands in front of a tensor's numbers.
    static func header(of tensor: Tensor) -> [UInt8] {
        let type =
            switch tensor.dtype {
            case .float32, .bfloat16: "<f4"
            case .float64: "<f8"
            case .int32: "<i4"
            }
        return header(type: type, shape: tensor.shape.sizes)
    }

    /// What stands in front of numbers in an npy file, in row-major order.
    /// - Parameter type: the elements' type, such as `<f4`.
    package static func header(type: String, shape: [Int]) -> [UInt8] {
        let sizes = shape.map { "\($0)," }.joined(separator: " ")
        var header = Array("{'descr': '\(type)', 'fortran_order': False, 'shape': (\(sizes)), }".utf8)
        header += [UInt8](repeating: 0x20, count: 63 - (header.count + 10) % 64) + [0x0A]
        return magic + [1, 0, UInt8(header.count & 0xFF), UInt8(header.count >> 8)] + header
    }

    private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// The longest header that NumPy itself reads.
    private static let largestHeader = 10_000

    /// NumPy's names of types that can be read.
    fileprivate static let types: [(name: String, type: ElementType)] = [
        ("f2", .f16), ("f4", .f32), ("f8", .f64), ("b1", .bool), ("i1", .i8), ("i2", .i16), ("i4", .i32), ("i8", .i64),
        ("u1", .u8), ("u2", .u16), ("u4", .u32), ("u8", .u64),
    ]
}

/// The Python dict in front of the numbers.
private struct Header {
    /// The elements' type, such as `<f4`.
    var type = ""
    var isFortran = false
    var shape: [Int] = []
    var isBigEndian: Bool { type.hasPrefix(">") }

    init(_ bytes: [UInt8], _ file: any ByteSource) throws {
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

    func element(_ file: any ByteSource) throws -> ElementType {
        guard let order = type.first, "<>|=".contains(order),
            let known = Npy.types.first(where: { $0.name == type.dropFirst() })
        else {
            let names = Npy.types.map(\.name).joined(separator: ", ")
            throw file.error("elements of type '\(type)' cannot be read; expected one of \(names)")
        }
        return known.type
    }
}

extension TextScanner {
    /// A string in single or double quotes.
    fileprivate mutating func pythonString() throws -> String { try string(peek() == UInt8(ascii: "\"") ? "\"" : "'") }
}
