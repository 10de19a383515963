import CKernels

/// A block of tensor memory, counted by the allocator and given back when the last user is gone.
package final class Storage: @unchecked Sendable {
    package let pointer: UnsafeMutableRawPointer
    package let bytes: Int

    /// - Throws: `RiffleError` of kind `outOfMemory` when the memory limit would be passed.
    package init(bytes: Int) throws {
        guard let pointer = Memory.taking({ rk_alloc(bytes) }) else { throw Memory.exhausted(bytes) }
        self.pointer = pointer
        self.bytes = bytes
    }

    private init() {
        pointer = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        bytes = 0
    }

    /// The storage of a tensor whose numbers the tape does not keep, and of a parameter that was made without numbers.
    package static let none = Storage()

    deinit { rk_free(pointer, bytes) }

    package func copy() throws -> Storage {
        let storage = try Storage(bytes: bytes)
        storage.pointer.copyMemory(from: pointer, byteCount: bytes)
        return storage
    }
}
