import RiffleFlow
import RiffleTensor

/// The losses of two-timed students and of generators, `flow.loss`, each as it declares itself.
enum LossLibrary {
    static let functions = LossMethod.all.map { method in
        Function("flow.loss.\(method.name)", method.arguments, method.doc) { arguments in
            let loss = try method(arguments)
            let parts = loss.parts.map { ($0.name, Value.number($0.value)) }
            return [.tensor(loss.total), .table(Dictionary(parts, uniquingKeysWith: { first, _ in first }))]
        }
    }
}
