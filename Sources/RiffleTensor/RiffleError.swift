/// An error in words, with names and shapes: what the caller asked for, and what is wrong with that.
///
/// Everything in Riffle that can fail for a reason outside its own code throws a `RiffleError` and nothing else.
package struct RiffleError: Error, CustomStringConvertible, Sendable {
    package enum Kind: Sendable {
        case mistake
        /// Memory would pass its limit, and no more could be freed. Nothing was changed.
        case outOfMemory
        /// The user asked the computation to stop.
        case interrupted
        /// A loss or a gradient is not finite. Nothing was changed.
        case notFinite
    }

    package let kind: Kind
    /// The operation or function, such as `matmul`; empty when the message stands alone.
    package var operation: String
    package let message: String
    /// Names of the modules in which the error happened, outermost first.
    package private(set) var path: [String] = []

    package init(_ operation: String = "", _ message: String, kind: Kind = .mistake) {
        self.operation = operation
        self.message = message
        self.kind = kind
    }

    /// The same error, seen from inside the module `name`.
    package func within(_ name: String) -> RiffleError {
        var error = self
        if !name.isEmpty { error.path.insert(name, at: 0) }
        return error
    }

    package var description: String {
        let location = path.isEmpty ? "" : " in \(path.joined(separator: "."))"
        return (operation.isEmpty ? message : "\(operation): \(message)") + location
    }
}
