import Synchronization

/// The user's wish that a long computation stop. Set from a signal handler, polled by loops between steps.
package enum Interrupt {
    private static let flag = Atomic<Bool>(false)

    package static var requested: Bool { flag.load(ordering: .relaxed) }
    package static func request() { flag.store(true, ordering: .relaxed) }
    package static func clear() { flag.store(false, ordering: .relaxed) }

    /// - Throws: `RiffleError` of kind `interrupted` when the user has asked to stop.
    package static func check() throws {
        if requested { throw RiffleError("", "interrupted", kind: .interrupted) }
    }
}
