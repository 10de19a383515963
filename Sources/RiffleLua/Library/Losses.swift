import RiffleFlow
import RiffleTensor

/// The losses of two-timed students and of generators, `flow.loss`, each as it declares itself.
enum LossLibrary {
    /// The parts of the loss that was computed last, for reports on a step whose numbers went wrong. The thread of Lua
    /// alone uses them.
    nonisolated(unsafe) static var lastParts: [String: Value] = [:]

    static let functions = LossMethod.all.map { method in
        Function("flow.loss.\(method.name)", method.arguments, method.doc) { arguments in
            let loss = try method(arguments)
            let parts = loss.parts.map { ($0.name, Value.number($0.value)) }
            lastParts = Dictionary(parts, uniquingKeysWith: { first, _ in first })
            return [.tensor(loss.total), .table(lastParts)]
        }
    }
}
