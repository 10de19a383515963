import RiffleNN
import RiffleTensor

/// Modules in files: written as safetensors, which other libraries can read.
extension Module {
    private static let updatesKey = "updates"

    /// Writes every parameter and buffer, the file whole or not at all. The file of an average also has the count of
    /// updates, that of a network its description as JSON, and that of an autoencoder diffusers' config.json. Of an
    /// adapted network what is not its base's is written, see `AdapterFile`.
    /// - Parameter metadata: texts that the file keeps beside the tensors.
    /// - Throws: `RiffleError` when the file cannot be written.
    package func save(to path: String, metadata: [String: String] = [:]) throws {
        let description = try NetworkDescription(self).map { try JSON.text($0.value) }
        var texts = ["format": "pt", "riffle": kind, Module.description: description].compactMapValues(\.self)
        if let autoencoder = self as? PictureAutoencoder {
            texts[PictureAutoencoder.configKey] = try JSON.text(autoencoder.config)
        }
        if adaptation != nil { texts = try AdapterFile.metadata(of: self, base: description) }
        if let updateCount { texts[Module.updatesKey] = "\(updateCount.updates)" }
        let tensors = try state().map { (namePrefix + $0.name, $0.tensor) }
        try SafeTensors.write(tensors, metadata: texts.merging(metadata) { $1 }, to: path)
        if adaptation != nil { try AdapterFile.writeConfig(of: self, beside: path) }
    }

    /// What stands before the names of tensors in this module's files.
    var namePrefix: String { adaptation == nil ? "" : AdapterFile.prefix }

    /// The SHA-256 of every parameter and buffer with its name, whatever file they came from.
    package func sha256() -> String { Module.sha256(entries) }

    /// The same of the base under an adapted network alone.
    package func baseSHA256() -> String { Module.sha256(baseEntries) }

    private static func sha256(_ entries: [NamedParameter]) -> String {
        var digest = Digest()
        for named in entries.sorted(by: { $0.name < $1.name }) {
            let value = named.parameter.value
            digest.add("\(named.name) \(value.dtype) \(value.shape) ")
            digest.add(UnsafeRawBufferPointer(start: value.pointer, count: value.count * value.dtype.size))
        }
        return digest.text()
    }

    /// Reads every parameter and buffer, or those of an adapted network that are not its base's: all or none. An
    /// average takes over the file's count of updates; where the file has none, the average's own count stays.
    /// - Parameters:
    ///   - part: which tensors of the file, which may be of any format of `TensorFile`.
    ///   - strict: whether every name has to be there, and no other.
    /// - Returns: the names that were missing and those that were unexpected.
    /// - Throws: `RiffleError` that names the file when it cannot be read or does not fit, or an average's count is no
    ///   count.
    @discardableResult
    package func load(from path: String, part: TensorFile.Part = TensorFile.Part(), strict: Bool = true) throws -> (
        missing: [String], unexpected: [String]
    ) {
        let file = try TensorFile(path, part: part)
        try file.requireTensorsAlone()
        let adapters = try adaptation.map { _ in try AdapterFile(file, for: self) }
        do {
            if !hasAdapters, AdapterFile.areAdapters(file.names) {
                throw RiffleError("", "it holds adapters, which net:lora { from = \"\(path)\" } puts on a network")
            }
            try adapters?.checkForms(self)
            let shapes =
                adapters?.shapes ?? Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, $0.shape) })
            // The count is read before any parameter changes, and by averages alone.
            let isCounted = updateCount != nil && file.kind == .safetensors
            let updates = isCounted ? try Module.updates(in: file.metadata) : nil
            let types = Dictionary(keptEntries.map { ($0.name, $0.parameter.dtype) }) { first, _ in first }
            let names = try load(shapes: shapes, strict: strict) {
                try adapters?.tensor(named: $0) ?? file.tensor(named: $0, as: types[$0] ?? .float32)
            }
            if let updates { updateCount?.updates = updates }
            return names
        } catch let error as RiffleError {
            throw RiffleError("load", "\(path) does not fit this \(kind): \(error.message)", kind: error.kind)
        }
    }

    /// The count of updates in a file's metadata, if any. Snapshots of power averages have it as their step.
    private static func updates(in metadata: [String: String]) throws -> Int? {
        let key = metadata[updatesKey] == nil && metadata["length"] != nil ? "step" : updatesKey
        guard let text = metadata[key] else { return nil }
        guard let updates = Int(text), UpdateCount.range.contains(updates) else {
            throw RiffleError(
                "", "its '\(key)' must be a whole number from 0 to \(UpdateCount.range.upperBound), got '\(text)'")
        }
        return updates
    }
}
