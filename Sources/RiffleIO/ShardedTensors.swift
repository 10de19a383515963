import RiffleTensor

/// Tensors in several safetensors files, listed by a `.safetensors.index.json` beside them.
enum ShardedTensors {
    private static let largestIndex = 64 << 20

    /// The tensors of all files, and the texts beside them.
    /// - Throws: `RiffleError` when a file lacks a tensor that the index lists, has one that the index does not list
    ///   there, or lies in another folder.
    static func open(_ index: InputFile) throws -> (tensors: [StoredTensor], metadata: [String: String]) {
        let map = try read(index)
        let folder = index.path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(index.path[...$0]) } ?? ""
        var tensors: [StoredTensor] = [], metadata: [String: String] = [:]
        for (name, listed) in Dictionary(grouping: map, by: \.value).sorted(by: { $0.key < $1.key }) {
            let parts = name.split(separator: "/", omittingEmptySubsequences: false)
            guard name.hasSuffix(".safetensors"), !parts.contains(".."), parts.first != "", !name.contains("\0") else {
                throw index.error("its weight_map names the file '\(name)', expected .safetensors files beside it")
            }
            let shard = try SafeTensors(folder + name)
            for (tensor, _) in listed.sorted(by: { $0.key < $1.key }) where shard[tensor] == nil {
                throw shard.error("no tensor '\(tensor)', which '\(index.path)' lists there")
            }
            for tensor in shard.names where map[tensor] != name {
                throw shard.error(
                    "its tensor '\(tensor)' is listed by '\(index.path)' "
                        + (map[tensor].map { "in the file '\($0)'" } ?? "in no file"))
            }
            tensors += shard.tensors
            metadata.merge(shard.metadata) { first, _ in first }
        }
        return (tensors, metadata)
    }

    /// The file of each tensor.
    private static func read(_ file: InputFile) throws -> [String: String] {
        let wanted = "an index of safetensors files is a JSON text with a table weight_map of files by tensors' names"
        let index: Value
        do { index = try JSON.read(file, limit: largestIndex) } catch let error as RiffleError {
            throw RiffleError("", "\(error.message); \(wanted)", kind: error.kind)
        }
        guard case .table(let table) = index, case .table(let map)? = table["weight_map"] else {
            throw file.error("it has no weight_map; \(wanted)")
        }
        return try map.mapValues { value in
            guard case .string(let name) = value else { throw file.error("its weight_map is none; \(wanted)") }
            return name
        }
    }
}
