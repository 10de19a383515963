/// What changes while a program trains, as a checkpoint keeps it: tensors and plain values, each under a name.
package struct SavedState {
    /// Tensors by name, in the layout of files.
    package var tensors: [String: Tensor]
    /// Numbers, truths, texts, and lists and tables of them.
    package var values: [String: Value]

    package init(tensors: [String: Tensor] = [:], values: [String: Value] = [:]) {
        self.tensors = tensors
        self.values = values
    }
}

/// What has a state that a checkpoint keeps, so that a program can stop and go on to the same bits.
package protocol Resumable: AnyObject {
    /// The whole state, as it is now.
    func saved() throws -> SavedState
    /// Checks a state that `saved` returned, here or in another process, and changes nothing.
    /// - Returns: what sets this object to the state. Several objects are checked first and set afterwards, so that
    ///   either all of them are set or none.
    /// - Throws: `RiffleError` that names what does not fit.
    func resuming(from state: SavedState) throws -> () throws -> Void
}
