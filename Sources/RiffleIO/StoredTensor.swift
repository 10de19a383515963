import RiffleTensor

/// A tensor in a file: what it is, and where its bytes are. They are read when asked for.
package struct StoredTensor: Sendable {
    package let name: String
    package let type: ElementType
    package let shape: Shape
    /// The names of the tables around it, in files whose tensors stand in tables of tables.
    let containers: [String]
    package let source: any ByteSource
    /// Where its first element is.
    let offset: Int
    /// Steps between neighbours along each dimension, in elements; nil where elements follow one another in order.
    let strides: [Int]?
    let isBigEndian: Bool

    init(
        _ name: String, _ type: ElementType, _ shape: Shape, in source: any ByteSource, at offset: Int,
        strides: [Int]? = nil, isBigEndian: Bool = false, containers: [String] = []
    ) {
        self.name = name
        self.type = type
        self.shape = shape
        self.source = source
        self.offset = offset
        self.strides = strides
        self.isBigEndian = isBigEndian
        self.containers = containers
    }

    /// The number of its bytes, one element behind the other.
    package var byteCount: Int { (shape.count * type.bits + 7) / 8 }

    func renamed(_ name: String) -> StoredTensor {
        StoredTensor(
            name, type, shape, in: source, at: offset, strides: strides, isBigEndian: isBigEndian,
            containers: containers)
    }

    /// An error that names the file.
    package func error(_ message: String) -> RiffleError { source.error(message) }

    // MARK: - Order

    /// Whether the elements follow one another, so that a part of them is read without the rest.
    package var isInOrder: Bool { strides.map { $0 == shape.strides || shape.count == 0 } ?? true }

    /// The same tensor with its elements one behind the other, in memory where the file has them in another order.
    package func gathered() throws -> StoredTensor {
        let (source, offset) = try inOrder()
        return StoredTensor(
            name, type, shape, in: source, at: offset, isBigEndian: isBigEndian, containers: containers)
    }

    /// Bytes in which the elements follow one another: the file's own where it has them so.
    func inOrder() throws -> (any ByteSource, offset: Int) {
        guard !isInOrder, let strides else { return (source, offset) }
        let size = type.bits / 8
        // How far the last element is from the first; the format's reader has checked that the source holds all of it.
        let span = zip(shape.sizes, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 } + 1
        let from = try source.bytes(span * size, at: offset)
        let bytes = try MemoryBytes(shape.count * size, name: source.name) { target in
            from.withUnsafeBytes { from in
                for (position, index) in StridedIndices(shape.sizes, strides).enumerated() {
                    for byte in 0..<size { target[position * size + byte] = from[index * size + byte] }
                }
            }
        }
        return (bytes, 0)
    }
}

/// The positions of elements, in the order of their indices.
private struct StridedIndices: Sequence, IteratorProtocol {
    private let sizes: [Int], strides: [Int]
    private var counts: [Int]
    private var position: Int? = 0

    init(_ sizes: [Int], _ strides: [Int]) {
        self.sizes = sizes
        self.strides = strides
        counts = [Int](repeating: 0, count: sizes.count)
    }

    mutating func next() -> Int? {
        guard let current = position else { return nil }
        var following = current, dim = sizes.count - 1
        while dim >= 0 {
            counts[dim] += 1
            following += strides[dim]
            if counts[dim] < sizes[dim] {
                position = following
                return current
            }
            following -= sizes[dim] * strides[dim]
            counts[dim] = 0
            dim -= 1
        }
        position = nil
        return current
    }
}
