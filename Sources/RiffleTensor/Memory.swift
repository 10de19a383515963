import CKernels

/// The memory of tensors: how much there is, and how to take some where garbage may have to be collected first.
package enum Memory {
    /// Bytes in use, the most that were ever in use, freed bytes kept for reuse, and the limits on use and on keeping.
    package struct Statistics {
        package let live: Int
        package let peak: Int
        package let cached: Int
        package let limit: Int
        package let cacheLimit: Int
    }

    package static var now: Statistics {
        let memory = rk_memory_now()
        return Statistics(
            live: Int(memory.live), peak: Int(memory.peak), cached: Int(memory.cached), limit: Int(memory.limit),
            cacheLimit: Int(memory.cache_limit))
    }

    /// - Parameter bytes: the most that tensors may use; 0 for four fifths of what there is.
    package static func setLimit(_ bytes: Int) { rk_memory_set_limit(bytes) }

    /// - Parameter bytes: the most that are kept for reuse.
    package static func setCacheLimit(_ bytes: Int) { rk_memory_set_cache_limit(bytes) }

    /// Gives the bytes kept for reuse back to the system.
    package static func clearCache() { rk_memory_clear_cache() }

    /// Counts the peak from now on.
    package static func resetPeak() { rk_memory_reset_peak() }

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
            let memory = now
            return bytes <= memory.limit - memory.live ? () : nil
        }
        if fits == nil { throw exhausted(bytes) }
    }

    /// The bytes that tensors may still take: up to the limit, and as many as the machine has left beside other
    /// programs. Where that is less than `wanted`, the thread's collector frees what nobody holds before.
    package static func available(wanted: Int) -> Int {
        func free() -> Int { min(now.limit - now.live, Int(clamping: rk_memory_available()) + now.cached) }
        if free() < wanted { Context.current.reclaim?() }
        return free()
    }

    static func exhausted(_ bytes: Int) -> RiffleError {
        let memory = now
        return RiffleError(
            "",
            "out of memory: \(readable(bytes: bytes)) asked for, \(readable(bytes: memory.live)) in use"
                + " of a limit of \(readable(bytes: memory.limit))", kind: .outOfMemory)
    }
}
