import CKernels

/// How those take tensor memory who can wait for room to be made.
package enum Memory {
    /// Runs `attempt`, which gives nil where memory ran out and has changed nothing then; a second time when the
    /// thread's collector has freed what nobody holds.
    ///
    /// Room is made where it is missing, in the middle of a call, so that no call with effects is ever run twice.
    package static func taking<Result>(_ attempt: () -> Result?) -> Result? {
        if let result = attempt() { return result }
        guard let reclaim = Context.current.reclaim else { return nil }
        reclaim()
        return attempt()
    }

    /// Runs a kernel that answers false where it lacks work space, and would write the same outputs again.
    package static func taking(workspace kernel: () -> Bool) throws {
        guard taking({ kernel() ? true : nil }) != nil else {
            throw RiffleError("", "out of memory for work space", kind: .outOfMemory)
        }
    }

    /// Makes sure that so many bytes, which somebody else is about to hold for a while, would fit beside the tensors:
    /// an array that does not fit ends the process.
    /// - Throws: `RiffleError` of kind `outOfMemory`.
    package static func check(_ bytes: Int) throws {
        let fits: Void? = taking {
            let memory = rk_memory_now()
            return bytes <= Int(memory.limit) - Int(memory.live) ? () : nil
        }
        if fits == nil { throw exhausted(bytes) }
    }

    static func exhausted(_ bytes: Int) -> RiffleError {
        let memory = rk_memory_now()
        return RiffleError(
            "",
            "out of memory: \(readable(bytes: bytes)) asked for, \(readable(bytes: memory.live)) in use"
                + " of a limit of \(readable(bytes: memory.limit))", kind: .outOfMemory)
    }
}
