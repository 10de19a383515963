import RiffleIO
import RiffleNN
import RiffleTensor

/// A file that says what networks it holds, so that they are made from the file alone: one that a network or an average
/// was saved to, or a run's checkpoint.
package struct NetworkFile {
    /// A network of the file.
    package struct Entry {
        /// The name of the tracked network or average in a checkpoint; empty where the file is one network's. The
        /// averages of several lengths have theirs in it, `average.0.05`.
        package let name: String
        package let description: NetworkDescription
    }

    /// In the order of their names; at least one.
    package let entries: [Entry]
    private let file: SafeTensors
    private let checkpoint: Checkpoint?

    /// Reads what the file says of its networks, and no numbers.
    /// - Throws: `RiffleError` that names the file, where it does not say what it holds, or is damaged.
    package init(_ path: String) throws {
        let opened = try InputFile(path)
        if let kind = try FileKind(opened), kind != .safetensors {
            throw opened.error("it is \(kind.description), which does not say what network it holds; \(Self.advice)")
        }
        file = try SafeTensors(opened)
        if file.metadata["riffle"] == Checkpoint.mark {
            let checkpoint = try Checkpoint(file)
            self.checkpoint = checkpoint
            entries = try Self.entries(of: checkpoint)
        } else {
            checkpoint = nil
            entries = [try Self.entry(of: file)]
        }
    }

    /// Makes a network of the file, as if a script had made it: all parameters take gradients. No random number is
    /// drawn.
    /// - Parameter name: which network of a checkpoint; nil where there is one alone.
    /// - Throws: `RiffleError` that names the file, where there is no such network or several to choose from, tensors
    ///   do not fit the description, or a checkpoint's bytes are not those that were written.
    package func network(_ name: String? = nil) throws -> Network {
        let entry = try entry(name)
        try checkpoint?.checkBytes()
        let prefix = entry.name.isEmpty ? "" : entry.name + "."
        let tensors = file.tensors.filter { $0.name.hasPrefix(prefix) }
        let shapes = tensors.map { (String($0.name.dropFirst(prefix.count)), $0.shape) }
        do {
            return try entry.description.network(shapes: Dictionary(uniqueKeysWithValues: shapes)) {
                try file.tensor(named: prefix + $0)
            }
        } catch let error as RiffleError where error.kind == .mistake {
            throw file.error("its tensors do not fit its network, \(entry.description.lua): \(error.message)")
        }
    }

    private func entry(_ name: String?) throws -> Entry {
        if let entry = entries.first(where: { name == nil ? entries.count == 1 : $0.name == name }) { return entry }
        guard checkpoint != nil else { throw file.error("it is one network's file, without entries") }
        let list = entries.map { "\($0.name) (\($0.description.lua))" }.joined(separator: ", ")
        guard let name else {
            throw file.error(
                "it holds \(entries.count) networks; choose one, such as { entry = \"\(entries[0].name)\" }: \(list)")
        }
        if checkpoint?.values["\(name).\(Module.adapters)"] != nil { throw file.error(Self.adaptedInRun) }
        if file.names.contains(where: { $0.hasPrefix(name + ".") }) {
            throw file.error("it does not say what network its '\(name)' is; \(Self.advice). It says so of \(list)")
        }
        throw file.error(
            "no network '\(name)'" + suggestion(for: name, among: entries.map(\.name)) + "; it has \(list)")
    }

    // MARK: - Descriptions

    private static let advice =
        "make the network in a script, such as riffle.nn.unet { ... }, and read the numbers with net:load(path)"

    /// - Parameter base: the network that the adapters were made for, where the file says so.
    private static func adapters(_ base: NetworkDescription?) -> String {
        let network = base.map { "the base, \($0.lua)," } ?? "the base"
        return "these are adapters, and no whole network; load \(network) and then base:lora { from = path }"
    }

    private static let adaptedInRun =
        "its network has adapters, and the base is not in the checkpoint; let the run's script go on, and write the "
        + "adapters with net:save(path) or the whole with net:merge_lora():save(path)"

    private static func entry(of file: SafeTensors) throws -> Entry {
        guard let text = file.metadata[Module.description] else {
            if file.metadata["riffle"] ?? AdapterFile.mark == AdapterFile.mark, AdapterFile.areAdapters(file.names) {
                throw try file.error(adapters(AdapterFile.base(in: file)))
            }
            let reason =
                switch file.metadata["riffle"] {
                case nil: "it was not written by net:save"
                case let kind? where NetworkForm.all.contains { $0.name == kind }: "an earlier version wrote it"
                case let kind?: "its \(kind) is no network of riffle.nn"
                }
            throw file.error("it does not say what network it holds, as \(reason); \(advice)")
        }
        return try described(file, "") { try JSON.value(Array(text.utf8), named: file.path, limit: largestText) }
    }

    private static func entries(of checkpoint: Checkpoint) throws -> [Entry] {
        let suffix = "." + Module.description
        let entries = try checkpoint.values.filter { $0.key.hasSuffix(suffix) }.sorted { $0.key < $1.key }.map {
            key, value in try described(checkpoint.file, String(key.dropLast(suffix.count))) { value }
        }
        guard !entries.isEmpty else {
            if checkpoint.values.keys.contains(where: { $0.hasSuffix("." + Module.adapters) }) {
                throw checkpoint.file.error(adaptedInRun)
            }
            throw checkpoint.file.error(
                "none of its objects says what network it is; \(advice), { entry = \"net\" } for the object's name")
        }
        return entries
    }

    private static func described(_ file: SafeTensors, _ name: String, _ value: () throws -> Value) throws -> Entry {
        do { return Entry(name: name, description: try NetworkDescription(value())) } catch let error as RiffleError {
            let whose = name.isEmpty ? "" : " of '\(name)'"
            throw file.error("its description\(whose) is none: \(error.message)")
        }
    }

    /// The most bytes of a description.
    private static let largestText = 1 << 20
}
