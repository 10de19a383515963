import RiffleIO
import RiffleNN
import RiffleTensor

/// A network of a pipeline that is known by its configuration and the headers of its files, and whose numbers are read
/// when it is needed.
struct StoredPart<Part: Module> {
    /// The network without its numbers.
    let form: Part
    /// The file of weights, or the index of several.
    let weights: String
    let shapes: [String: Shape]
    private let types: Set<String>
    /// How its numbers are kept in memory, float32 or bfloat16.
    private let storage: DType
    private let make: () throws -> Part

    /// - Parameters:
    ///   - library: the one that wrote the folder.
    ///   - storage: how the numbers are kept in memory, float32 or bfloat16.
    ///   - make: makes the network that the folder's config.json describes.
    /// - Throws: `RiffleError` that names what is missing, not known, or does not fit.
    init(
        _ folder: String, of library: WeightsLibrary, in storage: DType = .float32,
        _ make: @escaping (Value, String) throws -> Part
    ) throws {
        self.storage = storage
        let (config, path) = try ConfigTable.config(in: folder)
        self.make = { try withoutNumbers { try make(config, path) } }
        form = try self.make()
        weights = try library.file(in: folder)
        let opened = try TensorFile(weights)
        try opened.requireTensorsAlone()
        shapes = Dictionary(uniqueKeysWithValues: opened.entries.map { ($0.name, $0.shape) })
        types = Set(opened.entries.map(\.type.word))
        do { try form.checkNames(shapes, strict: true) } catch let error as RiffleError {
            throw RiffleError("", "'\(weights)' does not fit '\(path)': \(error.message)")
        }
    }

    /// How many numbers it has.
    var count: Int { shapes.values.reduce(0) { $0 + $1.count } }

    /// The bytes that its numbers take in memory.
    var bytes: Int { count * storage.size }

    /// The network with its numbers. Nothing but the network and the tensor that is being read is in memory.
    func loaded() throws -> Part {
        let network = try make()
        try network.store(as: storage)
        try network.load(from: weights)
        return network
    }

    /// Kind, sizes and numbers, in a line.
    var line: String {
        let files = types.sorted().joined(separator: " and ")
        return "\(form.kind) \(form.summary), \(readable(bytes: bytes)) in memory as \(storage), \(files) in files"
    }
}

extension StoredPart {
    /// - Parameter configured: reads a network's configuration.
    init<Configuration>(
        _ folder: String, of library: WeightsLibrary, in storage: DType = .float32,
        _ configured: @escaping (inout ConfigTable) throws -> Configuration,
        _ make: @escaping (Configuration) throws -> Part
    ) throws {
        try self.init(folder, of: library, in: storage) { config, path in
            var table = try ConfigTable(config, named: path)
            let configuration = try configured(&table)
            do { return try make(configuration) } catch let error as RiffleError { throw table.error(error.message) }
        }
    }
}
