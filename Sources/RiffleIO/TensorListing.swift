import RiffleTensor

/// What a file of tensors holds, as its format's reader lists it.
struct TensorListing: Sendable {
    var tensors: [StoredTensor] = []
    var metadata: [String: String] = [:]
    /// Values that are not read, by name: what they are.
    var refused: [String: String] = [:]
    /// Whether the file holds one tensor without a name.
    var isSingle = false

    /// The name of a file's only tensor, which has none of its own.
    static let onlyName = "tensor"

    /// What stands below an entry, under the rest of the names.
    /// - Throws: an error made by `error` where nothing does.
    func below(_ entry: String, _ error: (String) -> RiffleError) throws -> TensorListing {
        if let tensor = tensors.first(where: { $0.name == entry }) {
            return TensorListing(tensors: [tensor.renamed(TensorListing.onlyName)], isSingle: true)
        }
        if let found = refused[entry] { throw error(TensorListing.refusal(entry, found)) }
        let prefix = entry + "."
        func rest(_ name: String) -> String? {
            name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : nil
        }
        func rest(_ texts: [String: String]) -> [String: String] {
            Dictionary(texts.compactMap { key, value in rest(key).map { ($0, value) } }) { first, _ in first }
        }
        let chosen = tensors.compactMap { tensor in rest(tensor.name).map(tensor.renamed) }
        let listing = TensorListing(tensors: chosen, metadata: rest(metadata), refused: rest(refused))
        guard !chosen.isEmpty || !listing.refused.isEmpty else {
            let names = parts(below: "").map(\.name)
            let hint = names.isEmpty ? "; its tensors stand in no entries" : "; " + counted(parts(below: ""))
            throw error("no entry '\(entry)'" + suggestion(for: entry, among: names) + hint)
        }
        try listing.requireOnePart(below: entry, error)
        return listing
    }

    /// Refuses tensors that stand in tables below `entry` rather than in the table itself: which of them are meant is
    /// for the caller to say.
    func requireOnePart(below entry: String, _ error: (String) -> RiffleError) throws {
        let parts = parts(below: entry)
        guard let first = parts.first else { return }
        throw error(
            "\(entry.isEmpty ? "its" : "the entry's") tensors stand in \(counted(parts)); choose one, such as "
                + "{ entry = \"\(first.name)\" }")
    }

    /// Without a prefix of names.
    func stripped(of prefix: String, _ error: (String) -> RiffleError) throws -> TensorListing {
        guard tensors.contains(where: { $0.name.hasPrefix(prefix) }) else {
            throw error("no name begins with '\(prefix)'" + (tensors.first.map { "; the first is '\($0.name)'" } ?? ""))
        }
        func rest(_ name: String) -> String { name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name }
        var result = self
        result.tensors = tensors.map { $0.renamed(rest($0.name)) }
        result.refused = Dictionary(refused.map { (rest($0), $1) }) { first, _ in first }
        return result
    }

    static func refusal(_ name: String, _ what: String) -> String {
        let subject = name.isEmpty ? "it holds" : "its '\(name)' is"
        return
            "\(subject) a \(what), which is no tensor that can be read; save the weights alone "
            + "(torch.save(model.state_dict(), ...))"
    }

    // MARK: - Parts

    /// The tables that hold tensors below `entry`, one step down, in the file's order.
    private func parts(below entry: String) -> [(name: String, count: Int)] {
        var order: [String] = [], counts: [String: Int] = [:]
        for tensor in tensors where !tensor.containers.isEmpty {
            var path = ""
            for container in tensor.containers {
                path += (path.isEmpty ? "" : ".") + container
                if path.utf8.count > entry.utf8.count { break }
            }
            guard path.utf8.count > entry.utf8.count else { continue }
            if counts[path] == nil { order.append(path) }
            counts[path, default: 0] += 1
        }
        return order.map { ($0, counts[$0] ?? 0) }
    }

    private func counted(_ parts: [(name: String, count: Int)]) -> String {
        let shown = parts.prefix(12).map { "\($0.name): \($0.count) tensor\($0.count == 1 ? "" : "s")" }
        return shown.joined(separator: ", ") + (parts.count > 12 ? " and \(parts.count - 12) more" : "")
    }
}
