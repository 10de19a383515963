import RiffleTensor

/// What an adapted network has of its own beside its adapters.
package struct Adaptation: Sendable {
    /// The full names of parameters that are trained whole.
    package var whole: Set<String>

    /// Whether a parameter of this full name is the network's own, and not the base's.
    func owns(_ name: String) -> Bool {
        name.hasSuffix("." + LowRank.downName) || name.hasSuffix("." + LowRank.upName) || whole.contains(name)
    }
}

/// Adapted networks: copies of a base whose memory they share, since nobody changes the base.
extension Network {
    /// A copy with adapters on some layers, which alone take gradients. It equals this network at first.
    /// - Parameters:
    ///   - alpha: the change is alpha / rank B A; the rank where nil.
    ///   - match: layers whose full names contain one of these texts; where nil, all whose weight can have the rank.
    ///   - train: parameters whose full names contain one of these texts are trained whole, and files hold them.
    /// - Throws: `RiffleError` where there are adapters already, a text is in no name, no layer is chosen, or one that
    ///   `match` names cannot have the rank.
    package func adapted(
        rank: Int, alpha: Double? = nil, match: [String]? = nil, train: [String] = []
    ) throws -> Network {
        let whole = try Set(Self.chosen(parameters.map(\.name), by: train, "train", "parameter"))
        let layers = adaptableLayers.filter { !whole.contains("\($0.name).weight") }
        let wanted = try match.map { Set(try Self.chosen(layers.map(\.name), by: $0, "match", "layer")) }
        let form = LowRank.Form(rank: rank, alpha: alpha ?? Double(rank))
        var forms: [String: LowRank.Form] = [:]
        for (name, layer) in layers where wanted?.contains(name) ?? true {
            let refusal = layer.refusal(of: rank)
            if wanted != nil, let refusal { throw RiffleError("lora", "layer '\(name)': \(refusal)") }
            if refusal == nil { forms[name] = form }
        }
        guard !forms.isEmpty else {
            throw RiffleError("lora", "no layer of this \(kind) can have an adapter of rank \(rank)")
        }
        return try adapted(forms, whole: whole)
    }

    /// A copy with adapters of these forms on the layers of these names.
    package func adapted(_ forms: [String: LowRank.Form], whole: Set<String>) throws -> Network {
        guard !hasAdapters else {
            throw RiffleError(
                "lora", "this \(kind) has adapters already; adapt its base, or a copy that net:merge_lora() gives")
        }
        let copy = try copiedNetwork()
        for (name, layer) in copy.adaptableLayers where layer.adapter == nil {
            layer.adapter = try forms[name].map { try LowRank($0, of: layer.weight.shape) }
        }
        copy.adaptation = Adaptation(whole: whole)
        copy.isTraining = true
        copy.freezeBases()
        return copy
    }

    /// A network without adapters, whose weights have the adapters' changes in them. Weights that are kept as bfloat16,
    /// which would round the changes off, become float32.
    /// - Parameter scale: of the changes; -1 takes out what was merged before.
    /// - Throws: `RiffleError` where there are no adapters.
    package func merged(scale: Double = 1) throws -> Network {
        guard hasAdapters else {
            throw RiffleError("merge_lora", "this \(kind) has no adapters; net:lora { ... } makes a copy with some")
        }
        let copy = try copiedNetwork()
        try withoutGradient {
            for named in copy.parameters where named.parameter.dtype == .bfloat16 {
                try named.parameter.store(as: .float32)
            }
            for (_, layer) in copy.adaptableLayers {
                guard let adapter = layer.adapter else { continue }
                try layer.weight.assign(layer.weight.value + adapter.change() * scale)
                layer.adapter = nil
            }
        }
        for module in copy.everyModule { module.adaptation = nil }
        for named in copy.parameters { named.parameter.isTrainable = true }
        return copy
    }

    private func copiedNetwork() throws -> Network {
        guard let copy = try copied() as? Network else { throw RiffleError("copy", "a \(kind) cannot be copied") }
        return copy
    }

    /// The names that contain one of some texts.
    /// - Throws: `RiffleError` for a text that is in none.
    private static func chosen(_ names: [String], by texts: [String], _ option: String, _ what: String) throws
        -> [String]
    {
        if let text = texts.first(where: { text in !names.contains { $0.contains(text) } }) {
            let shown = names.prefix(8).joined(separator: ", ")
            throw RiffleError(
                "lora",
                "\(option): '\(text)' is in no \(what)'s name; "
                    + (names.isEmpty ? "there are none" : "they are \(shown)")
                    + (names.count > 8 ? " and \(names.count - 8) more" : ""))
        }
        return names.filter { name in texts.contains { name.contains($0) } }
    }
}

extension Module {
    /// The layers that adapters can change, under their full names.
    package var adaptableLayers: [(name: String, layer: any AdaptableLayer)] {
        namedModules.compactMap { name, module in module.adaptable.map { (name, $0) } }
    }

    package var hasAdapters: Bool { everyModule.contains { $0.adaptable?.adapter != nil } }

    /// The adapters' forms under the full names of their layers.
    package var adapterForms: [String: LowRank.Form] {
        let forms = adaptableLayers.compactMap { name, layer in layer.adapter.map { (name, $0.form) } }
        return Dictionary(forms) { first, _ in first }
    }

    /// What the files and checkpoints of this module hold: all entries; of an adapted network those that are not the
    /// base's.
    package var keptEntries: [NamedParameter] {
        adaptation.map { own in entries.filter { own.owns($0.name) } } ?? entries
    }

    /// What an adapted network leaves to its base's file.
    package var baseEntries: [NamedParameter] {
        guard adaptation != nil else { return [] }
        let own = Set(keptEntries.map { ObjectIdentifier($0.parameter) })
        return entries.filter { !own.contains(ObjectIdentifier($0.parameter)) }
    }

    /// The parameters that training changes: all but those of bases under adapters.
    package var learnedParameters: [NamedParameter] {
        let bases = Set(everyModule.flatMap(\.baseEntries).map { ObjectIdentifier($0.parameter) })
        return parameters.filter { !bases.contains(ObjectIdentifier($0.parameter)) }
    }

    /// Lets adapters, and what is trained whole beside them, alone take gradients.
    func freezeBases() {
        for named in everyModule.flatMap(\.baseEntries) { named.parameter.isTrainable = false }
    }

    /// Takes over adapters of the same forms, with numbers of their own that don't matter, from the layers of a module
    /// that have the same names.
    func takeAdapters(of other: Module) throws {
        let forms = other.adapterForms
        for (name, layer) in adaptableLayers {
            layer.adapter = try forms[name].map { form in
                try withoutNumbers { try LowRank(form, of: layer.weight.shape) }
            }
        }
    }
}
