import RiffleNN
import RiffleTensor

/// A file of adapters alone, as a network reads it.
///
/// Written are PEFT's names, `base_model.model.<layer>.lora_A.weight` and `lora_B`, with rank, alpha and PEFT's
/// configuration in the metadata; a file named `adapter_model.safetensors` gets the configuration beside it as
/// `adapter_config.json`, so that its folder is one of PEFT's. Read are those, and the names of diffusers and others:
/// `transformer.` or `unet.` in front, `lora.down.weight` and `lora.up.weight`, a layer's `alpha` as a tensor.
package struct AdapterFile {
    /// The adapters' forms by the full names of layers.
    let forms: [String: LowRank.Form]
    /// Parameters that the file holds whole.
    let whole: Set<String>
    /// The shapes of the tensors under the network's own names.
    let shapes: [String: Shape]
    private let tensors: [String: StoredTensor]
    private let file: TensorFile

    /// - Parameter network: the base, or the base with adapters.
    /// - Throws: `RiffleError` that names the file, and a layer that the network does not have or that lacks a half.
    init(_ file: TensorFile, for network: Module) throws {
        let config = try AdapterConfig(of: file)
        let names = try FileNames(file, network)
        guard !names.downs.isEmpty else {
            throw file.error(
                "it holds no adapters" + (file.names.first.map { ", but tensors such as '\($0)'" } ?? ""))
        }
        let weights = Dictionary(network.entries.map { ($0.name, $0.fileShape) }) { first, _ in first }
        var forms: [String: LowRank.Form] = [:], shapes = names.tensors.mapValues(\.shape)
        for (layer, down) in names.downs {
            guard let rank = down.shape.sizes.first, rank > 0, let weight = weights["\(layer).weight"] else {
                throw file.error("tensor '\(down.name)' is \(down.shape), which is no adapter")
            }
            let (a, b) = ("\(layer).\(LowRank.downName)", "\(layer).\(LowRank.upName)")
            guard shapes[b] != nil else { throw file.error("the adapter of '\(layer)' has no lora_B") }
            let ones = [Int](repeating: 1, count: weight.rank - 2)
            shapes[a] = shapes[a]?.taking(Shape([rank] + weight.sizes.dropFirst()))
            shapes[b] = shapes[b]?.taking(Shape([weight[0], rank] + ones))
            forms[layer] = LowRank.Form(
                rank: rank, alpha: names.alphas[layer] ?? config.alpha(layer, rank: rank) ?? Double(rank))
        }
        try config.checkPatterns(forms.keys, file)
        (self.forms, self.shapes, self.whole) = (forms, shapes, names.whole)
        (tensors, self.file) = (names.tensors, file)
    }

    /// - Parameter name: the network's own.
    func tensor(named name: String) throws -> Tensor? {
        guard let tensor = try tensors[name]?.tensor(), let shape = shapes[name] else { return nil }
        return try tensor.reshaped(to: shape)
    }

    /// Makes sure that a network's own adapters act with the factors of the file's.
    func checkForms(_ network: Module) throws {
        for (layer, form) in network.adapterForms.sorted(by: { $0.key < $1.key }) {
            guard let other = forms[layer], other.rank == form.rank, other.alpha != form.alpha else { continue }
            throw RiffleError(
                "", "alpha of '\(layer)' is \(riffleFormat(other.alpha)) there, and \(riffleFormat(form.alpha)) here")
        }
    }

    // MARK: - What files say

    static let prefix = "base_model.model."
    static let baseKey = "base"
    /// The metadata's text "riffle" of an adapted network's file.
    package static let mark = "lora"

    /// Whether tensors of these names are adapters.
    package static func areAdapters(_ names: [String]) -> Bool {
        names.contains { FileNames.parts($0)?.role == .down }
    }

    /// The network for which a file of `net:save` holds adapters, where it says so.
    package static func base(in file: SafeTensors) throws -> NetworkDescription? {
        guard let text = file.metadata[baseKey] else { return nil }
        do {
            return try NetworkDescription(JSON.value(Array(text.utf8), named: file.path))
        } catch let error as RiffleError where error.kind == .mistake {
            // A damaged description is worth no error of its own: it would only help to say what the base is.
            return nil
        }
    }

    /// Writes the configuration beside an adapted network's file that has PEFT's name.
    static func writeConfig(of network: Module, beside path: String) throws {
        guard let beside = AdapterConfig.path(beside: path) else { return }
        try JSON.write(AdapterConfig(of: network).value, to: beside)
    }

    /// The texts of an adapted network's file.
    /// - Parameter base: the description of the base, as JSON.
    static func metadata(of network: Module, base: String?) throws -> [String: String] {
        let config = AdapterConfig(of: network)
        return [
            "format": "pt", "riffle": mark, "rank": "\(config.form.rank)",
            "alpha": riffleExact(config.form.alpha), AdapterConfig.key: try JSON.text(config.value), baseKey: base,
        ].compactMapValues(\.self)
    }
}

extension Network {
    /// A copy with the adapters of a file, see `AdapterFile`; it shares this network's memory.
    /// - Parameter path: a file, or a folder of PEFT's.
    /// - Throws: `RiffleError` that names the file, where it cannot be read or does not fit.
    package func adapted(from path: String, part: TensorFile.Part = TensorFile.Part()) throws -> Network {
        let path = try isFolder(path) ? "\(path)/\(AdapterConfig.modelName)" : path
        let adapters = try AdapterFile(TensorFile(path, part: part), for: self)
        let copy = try withoutNumbers { try adapted(adapters.forms, whole: adapters.whole) }
        try copy.load(from: path, part: part)
        return copy
    }
}

/// The tensors of a file of adapters under a network's own names.
private struct FileNames {
    enum Role { case down, up, alpha }

    private(set) var tensors: [String: StoredTensor] = [:]
    private(set) var downs: [String: StoredTensor] = [:]
    private(set) var alphas: [String: Double] = [:]
    private(set) var whole: Set<String> = []

    init(_ file: TensorFile, _ network: Module) throws {
        let layers = Set(network.adaptableLayers.map(\.name)), parameters = Set(network.entries.map(\.name))
        for entry in file.entries {
            guard let (layer, role) = Self.parts(entry.name) else {
                let name = Self.candidates(Self.withoutWrappers(entry.name)).first(where: parameters.contains)
                if let name { whole.insert(name) }
                try add(name ?? entry.name, entry, file)
                continue
            }
            let candidates = Self.candidates(layer)
            guard let layer = candidates.first(where: layers.contains) else {
                throw file.error(
                    "it does not fit this \(network.kind), which has no linear layer or convolution '\(candidates[0])'"
                        + "\(suggestion(for: candidates[0], among: layers)) (\(entry.name) \(entry.shape))")
            }
            switch role {
            case .alpha: alphas[layer] = try entry.tensor().item()
            case .up: try add("\(layer).\(LowRank.upName)", entry, file)
            case .down:
                try add("\(layer).\(LowRank.downName)", entry, file)
                downs[layer] = entry
            }
        }
    }

    private mutating func add(_ name: String, _ entry: StoredTensor, _ file: TensorFile) throws {
        guard tensors.updateValue(entry, forKey: name) == nil else {
            throw file.error("two tensors stand for '\(name)'; one is '\(entry.name)'")
        }
    }

    private static let endings: [(ending: String, role: Role)] = [
        (".lora_A.weight", .down), (".lora_A.default.weight", .down), (".lora.down.weight", .down),
        (".lora_down.weight", .down), (".lora_B.weight", .up), (".lora_B.default.weight", .up),
        (".lora.up.weight", .up), (".lora_up.weight", .up), (".alpha", .alpha),
    ]

    /// The layer, as the file names it, and what the tensor is of its adapter; nil for what is of none.
    static func parts(_ name: String) -> (layer: String, role: Role)? {
        endings.first { name.hasSuffix($0.ending) }.map { (String(name.dropLast($0.ending.count)), $0.role) }
    }

    /// The names that a file's name may stand for.
    private static func candidates(_ name: String) -> [String] {
        let bare = name.hasPrefix(AdapterFile.prefix) ? String(name.dropFirst(AdapterFile.prefix.count)) : name
        let prefixes = AdapterConfig.modelPrefixes.filter(bare.hasPrefix)
        return [bare] + prefixes.map { String(bare.dropFirst($0.count)) }
    }

    /// A parameter's name without what PEFT puts around layers that it trains whole.
    private static func withoutWrappers(_ name: String) -> String {
        name.replacing(".modules_to_save.default.", with: ".").replacing(".base_layer.", with: ".")
    }
}

extension Shape {
    /// Another shape where the two differ in ones at their ends alone, else this one.
    fileprivate func taking(_ other: Shape) -> Shape {
        func sizes(_ shape: Shape) -> ArraySlice<Int> {
            shape.sizes[..<((shape.sizes.lastIndex { $0 != 1 } ?? -1) + 1)]
        }
        return sizes(self) == sizes(other) ? other : self
    }
}
