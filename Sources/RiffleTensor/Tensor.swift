import CKernels

/// A contiguous, row-major, immutable array of numbers that knows how it was computed.
///
/// Operations are methods and operators that return new tensors; see `Op` for what each one does.
public final class Tensor: @unchecked Sendable {
    package let shape: Shape
    package let dtype: DType
    package let storage: Storage
    /// Where a gradient that reaches this tensor goes next.
    package private(set) var origin: Origin = .constant
    /// The derivative that forward mode carries along with the value.
    package private(set) var dual: Dual?

    package init(storage: Storage, shape: Shape, dtype: DType) {
        self.storage = storage
        self.shape = shape
        self.dtype = dtype
    }

    deinit {
        if case .node(let node) = origin { node.tape.release(node.index) }
    }

    /// An uninitialised tensor, to be filled before anyone else sees it.
    /// - Throws: `RiffleError` when the shape has too many dimensions or elements, or memory runs out.
    package convenience init(uninitialized shape: Shape, _ dtype: DType = .float32) throws {
        try shape.checked("")
        try self.init(storage: Storage(bytes: shape.count * dtype.size), shape: shape, dtype: dtype)
    }

    /// The same numbers in another shape of as many elements, without origin.
    package func viewed(as shape: Shape) -> Tensor { Tensor(storage: storage, shape: shape, dtype: dtype) }

    /// Makes this tensor, which nobody else has seen, an output of a record on the tape.
    package func attach(_ node: Node) {
        node.tape.retain(node.index)
        origin = .node(node)
    }

    package func attach(_ parameter: Parameter) { origin = .leaf(parameter) }

    /// This value with `tangent` at a level of forward mode.
    package func dual(_ level: Int, tangent: Tensor) -> Tensor {
        let result = viewed(as: shape)
        result.dual = Dual(level: level, primal: self, tangent: tangent)
        return result
    }

    package var rank: Int { shape.rank }
    package var count: Int { shape.count }
    package var pointer: UnsafeMutableRawPointer {
        assert(storage.bytes >= count * dtype.size, "a rule reads numbers that the tape does not keep")
        return storage.pointer
    }

    /// Whether a gradient can flow through this tensor.
    package var needsGradient: Bool {
        if let dual { return dual.primal.needsGradient || dual.tangent.needsGradient }
        if case .constant = origin { return false }
        return true
    }

    /// The same numbers, cut off from how they were computed.
    package func detach() -> Tensor { viewed(as: shape) }
}

/// Where a gradient goes: nowhere, to a parameter, or to a record on the tape.
package enum Origin {
    case constant
    case leaf(Parameter)
    case node(Node)
}

/// One output of one record. A node keeps the tape alive, since a tensor may outlive its thread; there is no cycle, as
/// the tape holds no tensors.
package struct Node {
    package let tape: Tape
    package let index: Int
    package let output: Int
}

/// A value with its derivative at one level of forward mode.
package final class Dual: Sendable {
    package let level: Int
    package let primal: Tensor
    package let tangent: Tensor

    init(level: Int, primal: Tensor, tangent: Tensor) {
        self.level = level
        self.primal = primal
        self.tangent = tangent
    }
}

// MARK: - Making and reading

extension Tensor {
    /// A tensor of the given numbers in row-major order.
    package convenience init(_ values: [Float], _ shape: Shape) throws {
        try self.init(copying: values, shape, .float32)
    }
    package convenience init(_ values: [Double], _ shape: Shape) throws {
        try self.init(copying: values, shape, .float64)
    }
    package convenience init(_ values: [Int32], _ shape: Shape) throws {
        try self.init(copying: values, shape, .int32)
    }

    private convenience init<Element>(copying values: [Element], _ shape: Shape, _ dtype: DType) throws {
        guard try values.count == shape.checked("tensor").count else {
            throw RiffleError("tensor", "\(values.count) numbers do not fill \(shape)")
        }
        try self.init(uninitialized: shape, dtype)
        values.withUnsafeBytes { if let base = $0.baseAddress { pointer.copyMemory(from: base, byteCount: $0.count) } }
    }

    package static func full(_ shape: Shape, _ value: Double, _ dtype: DType = .float32) throws -> Tensor {
        let tensor = try Tensor(uninitialized: shape, dtype)
        rk_fill(dtype.kernel, value, tensor.pointer, tensor.count)
        return tensor
    }
    package static func zeros(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor { try full(shape, 0, dtype) }
    package static func ones(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor { try full(shape, 1, dtype) }
    package static func scalar(_ value: Double, _ dtype: DType = .float32) throws -> Tensor {
        try full([], value, dtype)
    }

    /// Converts the elements, without a record; `cast` is the operation.
    package func converted(to dtype: DType) throws -> Tensor {
        if dtype == self.dtype { return self }
        // Beside float32 nothing knows bfloat16.
        if self.dtype == .bfloat16 && dtype != .float32 || dtype == .bfloat16 && self.dtype != .float32 {
            return try converted(to: .float32).converted(to: dtype)
        }
        let result = try Tensor(uninitialized: shape, dtype)
        rk_cast(self.dtype.kernel, pointer, dtype.kernel, result.pointer, count)
        return result
    }

    /// The numbers as float32 where they are bfloat16, which are constants; else the tensor itself.
    package func widened() throws -> Tensor { dtype == .bfloat16 ? try converted(to: .float32) : self }

    /// The elements in row-major order, converted to Double.
    package func doubles() throws -> [Double] { try copied(.float64) }
    package func floats() throws -> [Float] { try copied(.float32) }
    package func integers() throws -> [Int] { try (copied(.int32) as [Int32]).map(Int.init) }

    private func copied<Element>(_ dtype: DType) throws -> [Element] {
        let tensor = try converted(to: dtype)
        try Memory.check(count * MemoryLayout<Element>.stride)
        return withExtendedLifetime(tensor) { Array(tensor.elements(Element.self)) }
    }

    /// How many numbers are NaN or infinite; int32 holds none, and operations see no bfloat16.
    package var nonfiniteCount: Int {
        dtype.isFloating && dtype != .bfloat16 ? Int(rk_count_nonfinite(dtype.kernel, pointer, count)) : 0
    }

    /// The elements in the tensor's own memory. `Element` has to be the type that `dtype` names.
    ///
    /// Valid while the tensor lives: bind the tensor to a name first, since a temporary dies before its pointer is
    /// used.
    package func elements<Element>(_ type: Element.Type) -> UnsafeMutableBufferPointer<Element> {
        UnsafeMutableBufferPointer(start: pointer.assumingMemoryBound(to: Element.self), count: count)
    }

    /// The number in a tensor of one element.
    /// - Throws: `RiffleError` when there are more or none.
    package func item() throws -> Double {
        guard count == 1 else { throw RiffleError("item", "the tensor has \(count) elements, not one (\(shape))") }
        return element(0)
    }

    /// The element at an index in row-major order.
    package func element(_ index: Int) -> Double {
        switch dtype {
        case .float32: Double(pointer.load(fromByteOffset: 4 * index, as: Float.self))
        case .float64: pointer.load(fromByteOffset: 8 * index, as: Double.self)
        case .int32: Double(pointer.load(fromByteOffset: 4 * index, as: Int32.self))
        case .bfloat16:
            Double(Float(bitPattern: UInt32(pointer.load(fromByteOffset: 2 * index, as: UInt16.self)) << 16))
        }
    }
}
