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

    /// Reads the tensor as bfloat16 has it, floats of other types rounded.
    package func bfloat16() throws -> Tensor {
        guard type.dtype?.isFloating == true else { return try tensor().converted(to: .bfloat16) }
        try checkShape(shape)
        let result = try Tensor(uninitialized: shape, .bfloat16)
        let target = result.elements(UInt16.self)
        if type == .bf16 {
            try copy(from: 0, into: target)
        } else {
            nonisolated(unsafe) let target = target
            let source = try gathered()
            try source.inPieces(from: 0, count: target.count) { _, _, range in
                try withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { floats in
                    try source.read(from: range.lowerBound, into: floats)
                    if let start = target.baseAddress {
                        Half.round(UnsafeBufferPointer(floats), toBFloat16: start + range.lowerBound)
                    }
                }
            }
        }
        return result
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
        case .f16: try convert(from: first, into: target, kernel: { Half.widen(float16: $0, into: $1) })
        case .bf16: try convert(from: first, into: target, kernel: { Half.widen(bfloat16: $0, into: $1) })
        case .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz:
            let values = SmallFloat.values(of: type)
            try convert(from: first, into: target) { (bits: UInt8, _) in values[Int(bits)] }
        default: throw error("expected floats, found \(title) of type \(type.word)")
        }
    }

    /// Reads integers of any size, or booleans as 0 and 1.
    package func read(from first: Int, into target: UnsafeMutableBufferPointer<Int32>) throws {
        func integers<Raw: FixedWidthInteger & Sendable>(_ raw: Raw.Type) throws {
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
        try checkShape(shape)
        return try Tensor(uninitialized: shape, dtype)
    }

    private func checkShape(_ shape: Shape) throws {
        do { try shape.checked("") } catch let failure as RiffleError { throw error("\(title): \(failure.message)") }
    }

    private func fill(_ tensor: Tensor, _ range: Range<Int>, from first: Int) throws {
        func part<Element>(_ elements: UnsafeMutableBufferPointer<Element>) -> UnsafeMutableBufferPointer<Element> {
            UnsafeMutableBufferPointer(rebasing: elements[range])
        }
        switch tensor.dtype {
        case .float32: try read(from: first, into: part(tensor.elements(Float.self)))
        case .float64: try copy(from: first, into: part(tensor.elements(Double.self)))
        case .int32: try read(from: first, into: part(tensor.elements(Int32.self)))
        case .bfloat16: try copy(from: first, into: part(tensor.elements(UInt16.self)))
        }
    }

    /// Reads elements that are in memory what they are in the file.
    private func copy<Element>(from first: Int, into target: UnsafeMutableBufferPointer<Element>) throws {
        nonisolated(unsafe) let target = target
        try inPieces(from: first, count: target.count) { source, offset, range in
            let bytes = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: target[range]))
            try source.read(into: bytes, at: offset)
            turn(bytes)
        }
    }

    /// Reads elements, each of them converted.
    private func convert<Raw: FixedWidthInteger & Sendable, Element>(
        from first: Int, into target: UnsafeMutableBufferPointer<Element>,
        _ change: @escaping @Sendable (_ number: Raw, _ index: Int) throws -> Element
    ) throws {
        nonisolated(unsafe) let target = target
        try convert(from: first, count: target.count) { (part: UnsafeBufferPointer<Raw>, start) in
            for (index, number) in part.enumerated() {
                target[start + index] = try change(number, start + index)
            }
        }
    }

    /// Reads elements, converted by a kernel.
    private func convert<Raw: FixedWidthInteger & Sendable, Element>(
        from first: Int, into target: UnsafeMutableBufferPointer<Element>,
        kernel: @escaping @Sendable (UnsafeBufferPointer<Raw>, UnsafeMutablePointer<Element>) -> Void
    ) throws {
        guard let begin = target.baseAddress else { return }
        nonisolated(unsafe) let start = begin
        try convert(from: first, count: target.count) { kernel($0, start + $1) }
    }

    /// Passes elements on as the file has them, and the index from which they stand in the target. The bytes are read a
    /// piece at a time, so that no second copy is held.
    private func convert<Raw: FixedWidthInteger & Sendable>(
        from first: Int, count: Int,
        _ body: @escaping @Sendable (_ part: UnsafeBufferPointer<Raw>, _ start: Int) throws -> Void
    ) throws {
        try inPieces(from: first, count: count) { source, offset, range in
            let part = UnsafeMutableBufferPointer<Raw>.allocate(capacity: range.count)
            defer { part.deallocate() }
            let bytes = UnsafeMutableRawBufferPointer(part)
            try source.read(into: bytes, at: offset)
            turn(bytes)
            try body(UnsafeBufferPointer(part), range.lowerBound)
        }
    }

    /// Runs `body` over stretches of elements, with where their bytes are; of a file, whose bytes can be read in any
    /// order, on all threads.
    private func inPieces(
        from first: Int, count: Int,
        _ body: @escaping @Sendable (_ source: any ByteSource, _ offset: Int, _ range: Range<Int>) throws -> Void
    ) throws {
        let (source, offset) = try inOrder(), size = type.bits / 8, most = 1 << 15
        @Sendable func piece(_ range: Range<Int>) throws {
            try body(source, offset + (first + range.lowerBound) * size, range)
        }
        if source is InputFile {
            try Processor.spread(count, grain: most, piece)
        } else {
            for start in stride(from: 0, to: count, by: most) { try piece(start..<min(start + most, count)) }
        }
    }

    /// Turns the bytes of each element round where the file has the big end first.
    private func turn(_ bytes: UnsafeMutableRawBufferPointer) {
        let size = type.bits / 8
        guard isBigEndian, size > 1 else { return }
        for start in stride(from: 0, to: bytes.count, by: size) { bytes[start..<(start + size)].reverse() }
    }
}
