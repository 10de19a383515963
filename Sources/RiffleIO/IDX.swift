import RiffleTensor

/// MNIST's file of one array: a type, one to four sizes, and the numbers, big end first.
package enum IDX {
    /// The array of a file, compressed by gzip or not. A compressed one is inflated as a whole.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package static func stored(_ path: String) throws -> StoredTensor {
        let file = try InputFile(path)
        guard try FileKind(file) == .gzip else {
            let header = try Header(file) { try file.read(into: $0, at: $1) }
            guard header.size + header.numbers == file.size else {
                throw file.error(
                    "\(header.shape) should take \(header.size + header.numbers) bytes, found \(file.size)")
            }
            return header.tensor(in: file, at: header.size)
        }
        let gzip = try Gzip(file)
        let header = try Header(file) { target, _ in try gzip.read(into: target) }
        // Deflate makes at most 1032 bytes of one.
        guard header.numbers / 1032 <= file.size else {
            throw file.error("the file is too short for \(header.shape)")
        }
        let numbers = try MemoryBytes(header.numbers, name: file.name) { try gzip.read(into: $0) }
        try gzip.expectEnd()
        return header.tensor(in: numbers, at: 0)
    }

    /// Whether a file begins as these files do: two zeros, a type, and a number of dimensions.
    static func begins(_ first: [UInt8]) -> Bool {
        first.count >= 4 && first[0] == 0 && first[1] == 0 && types[first[2]] != nil && (1...4).contains(first[3])
    }

    /// Whether a gzip file has such a file in it.
    static func isCompressed(in file: InputFile) -> Bool {
        var start = [UInt8](repeating: 0, count: 4)
        do { try start.withUnsafeMutableBytes { try Gzip(file).read(into: $0) } } catch { return false }
        return begins(start)
    }

    private static let types: [UInt8: ElementType] = [8: .u8, 9: .i8, 11: .i16, 12: .i32, 13: .f32, 14: .f64]

    private struct Header {
        let type: ElementType
        let shape: Shape
        /// The header's own bytes, and those of the numbers behind it.
        let size: Int, numbers: Int

        /// - Parameter read: fills a buffer with the bytes from an offset on; the offsets follow one another.
        init(_ file: InputFile, _ read: (UnsafeMutableRawBufferPointer, Int) throws -> Void) throws {
            var start = [UInt8](repeating: 0, count: 4)
            try start.withUnsafeMutableBytes { try read($0, 0) }
            guard IDX.begins(start), let type = IDX.types[start[2]] else {
                throw file.error("not an IDX file: expected 0, 0, a type and 1 to 4 dimensions, found \(start)")
            }
            var sizes = [UInt32](repeating: 0, count: Int(start[3]))
            try sizes.withUnsafeMutableBytes { try read($0, 4) }
            self.type = type
            shape = Shape(sizes.map { Int($0.bigEndian) })
            size = 4 + 4 * sizes.count
            guard let numbers = checkedProduct(shape.sizes + [type.bits / 8]), numbers < Int.max - size else {
                throw file.error("the shape is too large: \(shape)")
            }
            self.numbers = numbers
        }

        func tensor(in source: any ByteSource, at offset: Int) -> StoredTensor {
            StoredTensor("", type, shape, in: source, at: offset, isBigEndian: true)
        }
    }
}
