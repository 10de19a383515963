import Synchronization

/// A writer that streams to a file, and that may be forgotten before it is closed.
package protocol UnfinishedWriter: AnyObject {
    /// Puts a file that is whole at its path, and gives up another, which is reported.
    func settle()
}

/// Writers that stream to a file and that nobody closed: a file that is whole is put at its path, another is given up,
/// which is reported.
package enum UnfinishedWork {
    private struct Writer: @unchecked Sendable { weak var writer: (any UnfinishedWriter)? }
    private struct State {
        var open: [ObjectIdentifier: Writer] = [:]
        var hasLosses = false
        var report: @Sendable (String) -> Void = { _ in }
    }
    private static let state = Mutex(State())

    /// Sets the function that is called with a sentence for each file that is given up.
    package static func onLoss(_ report: @escaping @Sendable (String) -> Void) {
        state.withLock { $0.report = report }
    }

    /// Whether anything has been given up so far.
    package static var hasLosses: Bool { state.withLock { $0.hasLosses } }

    /// Settles everything that is open, before the process ends.
    package static func settle() { for entry in state.withLock({ Array($0.open.values) }) { entry.writer?.settle() } }

    package static func begin(_ writer: any UnfinishedWriter) {
        state.withLock { $0.open[ObjectIdentifier(writer)] = Writer(writer: writer) }
    }
    package static func end(_ writer: any UnfinishedWriter) {
        state.withLock { $0.open[ObjectIdentifier(writer)] = nil }
    }

    package static func lose(_ message: String) {
        let report = state.withLock { state in
            state.hasLosses = true
            return state.report
        }
        report(message)
    }
}
