import RiffleNN
import RiffleTensor

/// PEFT's configuration of adapters, adapter_config.json, as far as the function depends on it.
struct AdapterConfig {
    /// Rank and alpha of layers that have none of their own.
    private(set) var form = LowRank.Form(rank: 0, alpha: 0)
    private var forms: [String: LowRank.Form] = [:]
    private var whole: Set<String> = []
    /// Of a file that was read; nil where it says nothing.
    private var alpha: Double?
    /// Alphas by the ends of layers' names.
    private var patterns: [String: Double] = [:]
    /// Whether the change is alpha / sqrt(rank) B A.
    private var usesRoot = false

    /// The key of the configuration in the metadata of our files.
    static let key = "adapter_config"
    /// PEFT's name of the file with the adapters.
    static let modelName = "adapter_model.safetensors"
    /// What stands before layers in the names of diffusers and others.
    static let modelPrefixes = ["transformer.", "unet.", "diffusion_model.", "model."]
    /// Values of "init_lora_weights" by which the base stays as it was.
    private static let startsThatLeaveBases: Set = ["gaussian", "eva", "orthogonal"]
    private static let diffusersKey = "lora_adapter_metadata"

    /// The path of the configuration beside a file that has PEFT's name; nil for other files.
    static func path(beside path: String) -> String? {
        guard path == modelName || path.hasSuffix("/" + modelName) else { return nil }
        return path.dropLast(modelName.count) + "adapter_config.json"
    }

    // MARK: - Read

    /// What a file says of its adapters: in its metadata, or in the configuration beside it.
    /// - Throws: `RiffleError` where the configuration is none, or its adapters are of a kind that is not known.
    init(of file: TensorFile) throws {
        if let text = file.metadata[Self.key] ?? file.metadata[Self.diffusersKey] {
            try read(JSON.value(Array(text.utf8), named: file.path), file)
        } else if let path = Self.path(beside: file.path), fileExists(path) {
            try read(JSON.read(path), file)
        }
    }

    private mutating func read(_ value: Value, _ file: TensorFile) throws {
        guard case .table(let texts) = value else { throw file.error("its configuration of adapters is no table") }
        let table = Dictionary(
            texts.map { key, value in
                let prefix = Self.modelPrefixes.first(where: key.hasPrefix) ?? ""
                return (String(key.dropFirst(prefix.count)), value)
            }
        ) { first, _ in first }
        func number(_ value: Value?) throws -> Double? {
            guard let value, Arguments([value]).has(0) else { return nil }
            guard let number = Arguments([value]).optionalNumber(0), number.isFinite else {
                throw file.error("its configuration of adapters has an alpha that is no number")
            }
            return number
        }
        if case .boolean(true) = table["use_dora"] {
            throw file.error("its adapters are DoRA's, which also scale weights; LoRA's are read")
        }
        if case .string(let start) = table["init_lora_weights"], !Self.startsThatLeaveBases.contains(start) {
            throw file.error(
                "its adapters began with a change of the base ('\(start)'); let PEFT save them as plain LoRA")
        }
        if case .boolean(true) = table["use_rslora"] { usesRoot = true }
        alpha = try number(table["lora_alpha"])
        if case .table(let alphas) = table["alpha_pattern"] {
            for (pattern, value) in alphas {
                patterns[pattern.hasPrefix("^") ? String(pattern.dropFirst()) : pattern] = try number(value)
            }
        }
    }

    /// The alpha of a layer, such that the change is alpha / rank B A; nil where nothing is said of it.
    func alpha(_ layer: String, rank: Int) -> Double? {
        let own = patterns.first { Self.fits($0.key, layer) }?.value
        return (own ?? alpha).map { usesRoot ? $0 * Double(rank).squareRoot() : $0 }
    }

    /// - Throws: `RiffleError` for a pattern that fits no layer, as one that is more than the end of a name.
    func checkPatterns(_ layers: some Collection<String>, _ file: TensorFile) throws {
        for pattern in patterns.keys.sorted() where !layers.contains(where: { Self.fits(pattern, $0) }) {
            throw file.error("its configuration's alpha_pattern '\(pattern)' is the end of no layer's name")
        }
    }

    private static func fits(_ pattern: String, _ layer: String) -> Bool {
        layer == pattern || layer.hasSuffix("." + pattern)
    }

    // MARK: - Written

    /// The configuration of an adapted network; the form that most layers have is that of all others.
    init(of network: Module) {
        forms = network.adapterForms
        let counts = Dictionary(grouping: forms.values) { $0 }.mapValues(\.count)
        form = counts.max { ($0.value, $1.key.rank) < ($1.value, $0.key.rank) }?.key ?? form
        whole = network.adaptation?.whole ?? []
    }

    /// As PEFT writes it.
    var value: Value {
        let others = forms.filter { $0.value != form }
        let modules = Set(whole.map { $0.split(separator: ".").dropLast().joined(separator: ".") }).sorted()
        return .table([
            "peft_type": .string("LORA"), "task_type": .none, "base_model_name_or_path": .none,
            "inference_mode": .boolean(true), "r": .integer(form.rank), "lora_alpha": Self.plain(form.alpha),
            "rank_pattern": .table(others.mapValues { .integer($0.rank) }),
            "alpha_pattern": .table(others.mapValues { Self.plain($0.alpha) }),
            "target_modules": .list(forms.keys.sorted().map(Value.string)),
            "modules_to_save": modules.isEmpty ? .none : .list(modules.map(Value.string)),
            "lora_dropout": .number(0), "bias": .string("none"), "fan_in_fan_out": .boolean(false),
            "use_rslora": .boolean(false), "use_dora": .boolean(false), "init_lora_weights": .boolean(true),
        ])
    }

    /// A whole number as one, as PEFT writes it.
    private static func plain(_ number: Double) -> Value { Int(exactly: number).map(Value.integer) ?? .number(number) }
}
