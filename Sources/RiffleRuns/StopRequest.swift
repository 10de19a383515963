import Synchronization

/// The wish, brought by a signal, that a run finish its step, write a checkpoint and end.
///
/// A handler of signals asks; the loop of a run looks between its steps.
package enum StopRequest {
    private static let loops = Atomic<Int>(0)
    private static let asked = Atomic<Int32>(0)

    /// The signal that asked; 0 where none has.
    package static var signal: Int32 { asked.load(ordering: .relaxed) }

    /// Notes a signal's wish, for handlers.
    /// - Returns: false where no loop of a run would heed it, or one was asked before.
    package static func ask(_ signal: Int32) -> Bool {
        loops.load(ordering: .relaxed) > 0
            && asked.compareExchange(expected: 0, desired: signal, ordering: .relaxed).exchanged
    }

    static func beginLoop() { loops.add(1, ordering: .relaxed) }

    /// - Returns: whether a signal has asked since, which nobody heeds from now on.
    static func endLoop() -> Bool {
        loops.subtract(1, ordering: .relaxed).newValue == 0 && asked.exchange(0, ordering: .relaxed) != 0
    }
}
