/// How those take tensor memory who can wait for room to be made.
package enum Memory {
    /// Runs `attempt`, which gives nil where memory ran out and has changed nothing then; a second time when the thread's
    /// collector has freed what nobody holds.
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
}
