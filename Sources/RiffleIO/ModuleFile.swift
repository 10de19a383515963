import RiffleNN
import RiffleTensor

/// Modules in safetensors files, as other libraries read them too.
extension Module {
    private static let updatesKey = "updates"

    /// Writes every parameter and buffer, the file whole or not at all. The file of an average also tells its updates.
    /// - Parameter metadata: texts that the file keeps beside the tensors.
    /// - Throws: `RiffleError` when the file cannot be written.
    public func save(to path: String, metadata: [String: String] = [:]) throws {
        var texts = ["format": "pt", "riffle": kind]
        if let updateCount { texts[Module.updatesKey] = "\(updateCount.updates)" }
        try SafeTensors.write(state(), metadata: texts.merging(metadata) { $1 }, to: path)
    }

    /// Reads every parameter and buffer: all or none. An average goes on with the updates that the file tells; where it tells
    /// none, the average's own count stays.
    /// - Parameter strict: whether every name has to be there, and no other.
    /// - Returns: the names that were missing and those that were unexpected.
    /// - Throws: `RiffleError` that names the file when it cannot be read or does not fit.
    @discardableResult
    public func load(from path: String, strict: Bool = true) throws -> (missing: [String], unexpected: [String]) {
        let file = try SafeTensors(path)
        let shapes = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, $0.shape) })
        do {
            let names = try load(shapes: shapes, strict: strict) { try file.tensor(named: $0) }
            if let updates = Module.updates(in: file.metadata) { updateCount?.updates = updates }
            return names
        } catch let error as RiffleError {
            throw RiffleError("load", "\(path) does not fit this \(kind): \(error.message)", kind: error.kind)
        }
    }

    /// Snapshots of power averages always told their updates, as their step.
    private static func updates(in metadata: [String: String]) -> Int? {
        let text = metadata[updatesKey] ?? (metadata["length"] == nil ? nil : metadata["step"])
        return text.flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }
}
