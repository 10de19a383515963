import Synchronization

/// Work that streams to a file and that nobody finished: what is whole is put in its place, the rest is given up and
/// told.
package enum UnfinishedWork {
    private struct Writer: @unchecked Sendable { weak var writer: PairWriter? }
    private struct State {
        var open: [ObjectIdentifier: Writer] = [:]
        var hasLosses = false
        var tell: @Sendable (String) -> Void = { _ in }
    }
    private static let state = Mutex(State())

    /// Has whatever is given up from now on told, a sentence each.
    package static func onLoss(_ tell: @escaping @Sendable (String) -> Void) { state.withLock { $0.tell = tell } }

    /// Whether anything has been given up so far.
    package static var hasLosses: Bool { state.withLock { $0.hasLosses } }

    /// Settles everything that is open, before the process ends.
    package static func settle() { for entry in state.withLock({ Array($0.open.values) }) { entry.writer?.settle() } }

    static func begin(_ writer: PairWriter) {
        state.withLock { $0.open[ObjectIdentifier(writer)] = Writer(writer: writer) }
    }
    static func end(_ writer: PairWriter) { state.withLock { $0.open[ObjectIdentifier(writer)] = nil } }

    static func lose(_ message: String) {
        let tell = state.withLock { state in
            state.hasLosses = true
            return state.tell
        }
        tell(message)
    }
}
