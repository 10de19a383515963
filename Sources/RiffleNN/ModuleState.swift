import RiffleTensor

/// A module's state: parameters and buffers, which of them are frozen, and which parts are evaluated without dropout.
/// The model of an average also has the count of updates, and a network its description, by which others can make it.
extension Module: Resumable {
    private static let frozen = "frozen"
    private static let evaluated = "evaluated"
    private static let updates = "updates"
    /// The name of a network's description in its state.
    package static let description = "network"
    /// The name of the adapters' alphas, by layers, in the state of an adapted network.
    package static let adapters = "adapters"

    package func saved() throws -> SavedState {
        // Checkpoints hold what operations compute in; bfloat16 comes back from that unchanged.
        let tensors = try state().map { ($0.name, try $0.tensor.widened()) }
        var values: [String: Value] = [
            Module.frozen: .list(parameters.filter { !$0.parameter.isTrainable }.map { .string($0.name) }),
            Module.evaluated: .list(namedModules.filter { !$0.module.trains }.map { .string($0.name) }),
        ]
        if let updateCount { values[Module.updates] = .integer(updateCount.updates) }
        if adaptation == nil {
            values[Module.description] = NetworkDescription(self)?.value
        } else {
            values[Module.adapters] = .table(adapterForms.mapValues { .number($0.alpha) })
        }
        return SavedState(tensors: Dictionary(tensors) { first, _ in first }, values: values)
    }

    package func resuming(from state: SavedState) throws -> () throws -> Void {
        let (_, _, load) = try loading(shapes: state.tensors.mapValues(\.shape), strict: true) {
            try state.tensor($0)
        }
        if adaptation != nil { try checkAlphas(state) }
        let frozen = Set(try state.texts(Module.frozen))
        let evaluated = Set(try state.texts(Module.evaluated))
        let updates = updateCount == nil ? nil : try state.integer(Module.updates, in: UpdateCount.range)
        return { [self] in
            try load()
            for named in parameters { named.parameter.isTrainable = !frozen.contains(named.name) }
            for (name, module) in namedModules { module.trains = !evaluated.contains(name) }
            if let updates { updateCount?.updates = updates }
        }
    }

    /// - Throws: `RiffleError` where the adapters of a state act with other factors than this network's.
    private func checkAlphas(_ state: SavedState) throws {
        guard case .table(let alphas) = state.values[Module.adapters] else {
            throw RiffleError("", "the state is not that of a network with adapters")
        }
        for (layer, form) in adapterForms.sorted(by: { $0.key < $1.key }) {
            let alpha = Arguments([alphas[layer] ?? .none]).optionalNumber(0)
            guard alpha == form.alpha else {
                throw RiffleError(
                    "",
                    "the adapter of '\(layer)' has alpha \(riffleFormat(form.alpha)), and in the state "
                        + (alpha.map(riffleFormat) ?? "none"))
            }
        }
    }

    /// This module, under an empty name, and all its parts under their full names.
    var namedModules: [(name: String, module: Module)] {
        [("", self)]
            + children.flatMap { child in
                child.module.namedModules.map {
                    ($0.name.isEmpty ? child.name : "\(child.name).\($0.name)", $0.module)
                }
            }
    }
}
