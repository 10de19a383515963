import CKernels

/// When Lua's garbage has to be collected for the sake of tensor memory, which Lua's own collector cannot see: at the
/// end of a call. A call that lacks memory has it collected at once (`Memory.taking`).
final class GarbagePolicy {
    /// Live bytes that the last collection left.
    private var left = 0

    /// Asked at the end of every call: half again what the last collection left may be in use, but at least 256 MB,
    /// and never more than half of what it left free.
    var isCollectionDue: Bool {
        let memory = rk_memory_now()
        let room = max(0, Int(memory.limit) - left)
        return Int(memory.live) > min(max(256 << 20, left + left / 2), left + room / 2)
    }

    /// Told after a full collection.
    func collected() { left = Int(rk_memory_now().live) }
}
