import RiffleTensor

/// Decides at the end of each call whether Lua's garbage has to be collected for the sake of tensor memory, which Lua's
/// own collector cannot see. A call that lacks memory has the garbage collected at once (`Memory.taking`).
final class GarbagePolicy {
    /// The live bytes after the last collection.
    private var liveAfterCollection = 0

    /// Whether the live bytes exceed 1.5 times those after the last collection, or 256 MB where that is more; or exceed
    /// those after the last collection by more than half of the memory that was free then.
    var isCollectionDue: Bool {
        let memory = Memory.now
        let free = max(0, memory.limit - liveAfterCollection)
        let usual = max(256 << 20, liveAfterCollection + liveAfterCollection / 2)
        return memory.live > min(usual, liveAfterCollection + free / 2)
    }

    /// Called after a full collection.
    func collected() { liveAfterCollection = Memory.now.live }
}
