import CKernels

/// A block of tensor memory, counted by the allocator and given back when the last user is gone.
public final class Storage: @unchecked Sendable {
    public let pointer: UnsafeMutableRawPointer
    public let bytes: Int

    /// - Throws: `RiffleError` of kind `outOfMemory` when the memory limit would be passed.
    public init(bytes: Int) throws {
        guard let pointer = Memory.taking({ rk_alloc(bytes) }) else { throw Memory.exhausted(bytes) }
        self.pointer = pointer
        self.bytes = bytes
    }

    private init() {
        pointer = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        bytes = 0
    }

    /// What a tensor has whose numbers were not kept.
    package static let none = Storage()

    deinit { rk_free(pointer, bytes) }

    package func copy() throws -> Storage {
        let storage = try Storage(bytes: bytes)
        storage.pointer.copyMemory(from: pointer, byteCount: bytes)
        return storage
    }
}

/// Bytes in words, such as `4.0 MB`.
public func readable(bytes: Int) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"]
    var (value, unit) = (Double(bytes), 0)
    while value >= 1000, unit < units.count - 1 { (value, unit) = (value / 1000, unit + 1) }
    if unit == 0 { return "\(bytes) bytes" }
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
