import CKernels

/// Takes tensor memory; where memory runs out, garbage is collected first.
package enum Memory {
    /// Runs `attempt`, which returns nil where memory runs out, and then has changed nothing. In that case the thread's
    /// collector frees the tensors that nobody holds, and `attempt` runs a second time.
    ///
    /// Memory is freed where it is needed, in the middle of a call, so that no call with effects ever runs twice.
    package static func taking<Result>(_ attempt: () -> Result?) -> Result? {
        if let result = attempt() { return result }
        guard let reclaim = Context.current.reclaim else { return nil }
        reclaim()
        return attempt()
    }

    /// Runs a kernel that returns false where it lacks work space; a second run writes the same outputs again.
    package static func taking(workspace kernel: () -> Bool) throws {
        guard taking({ kernel() ? true : nil }) != nil else {
            throw RiffleError("", "out of memory for work space", kind: .outOfMemory)
        }
    }

    /// Makes sure that `bytes` more bytes, which an array of Swift is about to take, fit beside the tensors: an array
    /// that does not fit would end the process.
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
