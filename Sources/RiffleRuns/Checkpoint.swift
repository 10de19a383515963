import RiffleIO
import RiffleTensor

/// The state of several objects in one file, from which a program goes on to the same bits.
///
/// The file is a safetensors file of data alone: tensors under `<name>.<tensor>`, and in the metadata, as JSON, the
/// values that are no tensors and a record of what they belong to. It appears whole, on the disk, or not at all.
package struct Checkpoint {
    /// What the writer noted beside the state: step, configuration, hash of the script.
    package let record: [String: Value]
    let file: SafeTensors
    /// What is no tensor of the objects' states, under `<name>.<value>`.
    let values: [String: Value]

    /// The metadata's text "riffle", by which a checkpoint is known.
    static let mark = "checkpoint"
    private static let version = "1"
    private static let largestText = 100_000_000

    /// Writes the states of all tracked objects.
    /// - Throws: `RiffleError` when a state cannot be had or the file cannot be written; an older file is as it was.
    package static func write(_ tracked: Tracked, record: [String: Value] = [:], to path: String) throws {
        let state = try tracked.saved()
        var metadata = [
            "riffle": mark, "version": version,
            "values": try JSON.text(sealed(.table(state.values))),
            "record": try JSON.text(sealed(.table(record))),
        ]
        metadata["sha256"] = digest(state.tensors, metadata)
        try SafeTensors.write(state.tensors.map { ($0, $1) }, metadata: metadata, to: path)
    }

    /// Opens a checkpoint, and reads all of it but the tensors.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package init(_ path: String) throws { try self.init(SafeTensors(path)) }

    init(_ file: SafeTensors) throws {
        self.file = file
        guard file.metadata["riffle"] == Checkpoint.mark else {
            throw file.error("it is no checkpoint, but a file of tensors alone")
        }
        guard file.metadata["version"] == Checkpoint.version else {
            throw file.error(
                "it is a checkpoint of version '\(file.metadata["version"] ?? "")', and \(Checkpoint.version) can be "
                    + "read"
            )
        }
        values = try Checkpoint.table("values", file)
        record = try Checkpoint.table("record", file)
    }

    /// Sets all tracked objects and the random numbers to the file's state: all of them or none.
    /// - Parameter allowsChanges: whether batches may go on in another size.
    /// - Throws: `RiffleError` that names the file and the object that does not fit.
    package func restore(_ tracked: Tracked, allowsChanges: Bool = false) throws {
        var state = SavedState(values: values)
        state.allowsChanges = allowsChanges
        do {
            for name in file.names { state.tensors[name] = try file.tensor(named: name) }
            guard Checkpoint.digest(state.tensors, file.metadata) == file.metadata["sha256"] else {
                throw RiffleError("", Checkpoint.otherBytes)
            }
            try tracked.resuming(from: state)()
        } catch let error as RiffleError where error.kind == .mistake {
            throw RiffleError("", "'\(file.path)' does not fit: \(error.description)")
        }
    }

    private static let otherBytes = "its bytes are not those that were written, by their SHA-256"

    /// The SHA-256 of tensors and texts, in the order of their names.
    private static func digest(_ tensors: [String: Tensor], _ metadata: [String: String]) -> String {
        var digest = Digest(texts: metadata)
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            digest.add(name, tensor.dtype, tensor.shape)
            digest.add(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
        }
        return digest.text()
    }

    /// Reads all of the file, a piece at a time, for callers that do not restore it.
    /// - Throws: `RiffleError` where the bytes are not those that were written.
    func checkBytes() throws {
        var digest = Digest(texts: file.metadata)
        for tensor in file.tensors.sorted(by: { $0.name < $1.name }) {
            digest.add(tensor.name, tensor.type.dtype, tensor.shape)
            try tensor.pieces { digest.add($0) }
        }
        guard digest.text() == file.metadata["sha256"] else { throw file.error(Checkpoint.otherBytes) }
    }

    private static func table(_ name: String, _ file: SafeTensors) throws -> [String: Value] {
        let bytes = Array((file.metadata[name] ?? "").utf8)
        guard case .table(let table) = try opened(JSON.value(bytes, named: file.path, limit: largestText)) else {
            throw file.error("it is a checkpoint whose '\(name)' is no table")
        }
        return table
    }

    // MARK: - Numbers that JSON lacks

    private static let strangers: [(text: String, number: Double)] = [
        ("#inf", .infinity), ("#-inf", -.infinity), ("#nan", .nan),
    ]

    /// A value without numbers that JSON lacks, which become texts; texts that begin with # get another in front.
    private static func sealed(_ value: Value) -> Value {
        switch value {
        case .number(let number) where number.isNaN: .string("#nan")
        case .number(let number) where number.isInfinite: .string(number > 0 ? "#inf" : "#-inf")
        case .string(let text) where text.hasPrefix("#"): .string("#" + text)
        case .list(let items): .list(items.map(sealed))
        case .table(let table): .table(table.mapValues(sealed))
        default: value
        }
    }

    private static func opened(_ value: Value) -> Value {
        switch value {
        case .string(let text) where text.hasPrefix("##"): .string(String(text.dropFirst()))
        case .string(let text) where text.hasPrefix("#"):
            strangers.first { $0.text == text }.map { .number($0.number) } ?? value
        case .list(let items): .list(items.map(opened))
        case .table(let table): .table(table.mapValues(opened))
        default: value
        }
    }
}

extension Digest {
    /// A digest that begins with a checkpoint's texts.
    fileprivate init(texts metadata: [String: String]) {
        self.init()
        for name in ["values", "record"] { add(metadata[name] ?? "") }
    }

    /// Adds what a tensor is; its numbers follow.
    fileprivate mutating func add(_ name: String, _ dtype: DType?, _ shape: Shape) {
        add("\(name) \(dtype.map { "\($0)" } ?? "") \(shape) ")
    }
}
