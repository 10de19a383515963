import RiffleTensor

/// When Lua's garbage has to be collected for the sake of tensor memory, which Lua's own collector cannot see: at the
/// end of a call. A call that lacks memory has it collected at once (`Memory.taking`).
final class GarbagePolicy {
    /// Live bytes that the last collection left.
    private var left = 0

    /// Asked at the end of every call: half again what the last collection left may be in use, but at least 256 MB,
    /// and never more than half of what it left free.
    var isCollectionDue: Bool {
        let memory = Memory.now
        let free = max(0, memory.limit - left)
        return memory.live > min(max(256 << 20, left + left / 2), left + free / 2)
    }

    /// To be called after a full collection.
    func collected() { left = Memory.now.live }
}
