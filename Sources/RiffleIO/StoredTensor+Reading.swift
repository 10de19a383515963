import RiffleTensor

/// Numbers out of a file: all of a tensor, some of its rows, or elements that follow one another.
extension StoredTensor {
    /// Reads the tensor. Halves and smaller floats become float32, integers and booleans int32.
    /// - Throws: `RiffleError` that names the file, when it is damaged, the type has no counterpart, or int32 cannot
    ///   hold an element.
    package func tensor() throws -> Tensor {
        let tensor = try empty(shape)
        try fill(tensor, 0..<tensor.count, from: 0)
        return tensor
    }

    /// Reads rows along the first dimension, counted from 0, in the order given. Rows that follow one another are read
    /// at once.
    package func rows(_ numbers: [Int]) throws -> Tensor {
        let tensor = try empty(shape.replacing(0, with: numbers.count))
        let size = tensor.count / max(1, numbers.count)
        var done = 0
        while done < numbers.count {
            let first = numbers[done]
            let length = zip(first..., numbers[done...]).prefix { $0 == $1 }.count
            try fill(tensor, (done * size)..<((done + length) * size), from: first * size)
            done += length
        }
        return tensor
    }

    /// Reads floats of any size.
    /// - Parameters:
    ///   - first: the element to begin with, counted from 0 in the tensor's order.
    ///   - target: is filled.
    package func read(from first: Int, into target: UnsafeMutableBufferPointer<Float>) throws {
        switch type {
        case .f32: try copy(from: first, into: target)
        case .f64: try convert(from: first, into: target) { (bits: UInt64, _) in Float(Double(bitPattern: bits)) }
        case .f16: try convert(from: first, into: target) { (bits: UInt16, _) in Float(Float16(bitPattern: bits)) }
        case .bf16:
            try convert(from: first, into: target) { (bits: UInt16, _) in Float(bitPattern: UInt32(bits) << 16) }
        case .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz:
            let values = SmallFloat.values(of: type)
            try convert(from: first, into: target) { (bits: UInt8, _) in values[Int(bits)] }
        default: throw error("expected floats, found \(title) of type \(type.word)")
        }
    }

    /// Reads integers of any size, or booleans as 0 and 1.
    package func read(from first: Int, into target: UnsafeMutableBufferPointer<Int32>) throws {
        func integers<Raw: FixedWidthInteger>(_ raw: Raw.Type) throws {
            try convert(from: first, into: target) { (number: Raw, index) in
                guard let small = Int32(exactly: number) else {
                    throw error(
                        "element \(first + index + 1) of \(title), \(type.word), is \(number), which int32 cannot hold")
                }
                return small
            }
        }
        switch type {
        case .i32: try copy(from: first, into: target)
        case .bool: try convert(from: first, into: target) { (byte: UInt8, _) in byte == 0 ? 0 : 1 }
        case .u8: try integers(UInt8.self)
        case .i8: try integers(Int8.self)
        case .i16: try integers(Int16.self)
        case .u16: try integers(UInt16.self)
        case .u32: try integers(UInt32.self)
        case .i64: try integers(Int64.self)
        case .u64: try integers(UInt64.self)
        default: throw error("expected integers, found \(title) of type \(type.word)")
        }
    }

    /// Reads bytes, as uint8 has them.
    package func read(from first: Int, into target: UnsafeMutableBufferPointer<UInt8>) throws {
        guard type == .u8 else { throw error("expected bytes, found \(title) of type \(type.word)") }
        try copy(from: first, into: target)
    }

    /// Passes the bytes of the elements on, as the file's type has them, one element behind the other, little end
    /// first.
    package func pieces(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let (source, offset) = try inOrder()
        try source.pieces(byteCount, at: offset) { piece in
            turn(piece)
            try body(UnsafeRawBufferPointer(piece))
        }
    }

    // MARK: - Parts

    private var title: String { name.isEmpty ? "the tensor" : "tensor '\(name)'" }

    /// A tensor without numbers, of the type that the elements become.
    private func empty(_ shape: Shape) throws -> Tensor {
        guard let dtype = type.dtype else {
            throw error("\(title) has the type \(type.word), which has no counterpart in Riffle")
        }
        do { try shape.checked("") } catch let failure as RiffleError { throw error("\(title): \(failure.message)") }
        return try Tensor(uninitialized: shape, dtype)
    }

    private func fill(_ tensor: Tensor, _ range: Range<Int>, from first: Int) throws {
        func part<Element>(_ elements: UnsafeMutableBufferPointer<Element>) -> UnsafeMutableBufferPointer<Element> {
            UnsafeMutableBufferPointer(rebasing: elements[range])
        }
        switch tensor.dtype {
        case .float32: try read(from: first, into: part(tensor.elements(Float.self)))
        case .float64: try copy(from: first, into: part(tensor.elements(Double.self)))
        case .int32: try read(from: first, into: part(tensor.elements(Int32.self)))
        }
    }

    /// Reads elements that are in memory what they are in the file.
    private func copy<Element>(from first: Int, into target: UnsafeMutableBufferPointer<Element>) throws {
        let (source, offset) = try inOrder(), bytes = UnsafeMutableRawBufferPointer(target)
        try source.read(into: bytes, at: offset + first * MemoryLayout<Element>.size)
        turn(bytes)
    }

    /// Reads elements, each of them converted. The bytes are read a piece at a time, so that no second copy is held.
    private func convert<Raw: FixedWidthInteger, Element>(
        from first: Int, into target: UnsafeMutableBufferPointer<Element>,
        _ change: (_ number: Raw, _ index: Int) throws -> Element
    ) throws {
        let (source, offset) = try inOrder(), size = MemoryLayout<Raw>.size
        let piece = UnsafeMutableBufferPointer<Raw>.allocate(capacity: min(target.count, 1 << 16))
        defer { piece.deallocate() }
        for start in stride(from: 0, to: target.count, by: max(1, piece.count)) {
            let part = UnsafeMutableBufferPointer(rebasing: piece[..<min(piece.count, target.count - start)])
            try source.read(into: UnsafeMutableRawBufferPointer(part), at: offset + (first + start) * size)
            for (index, number) in part.enumerated() {
                target[start + index] = try change(isBigEndian ? number.byteSwapped : number, start + index)
            }
        }
    }

    /// Turns the bytes of each element round where the file has the big end first.
    private func turn(_ bytes: UnsafeMutableRawBufferPointer) {
        let size = type.bits / 8
        guard isBigEndian, size > 1 else { return }
        for start in stride(from: 0, to: bytes.count, by: size) { bytes[start..<(start + size)].reverse() }
    }
}
