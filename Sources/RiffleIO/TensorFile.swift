import RiffleTensor

/// A file of tensors in any format that is read: safetensors, also in several files with an index; NumPy's .npy and
/// .npz; PyTorch's .pt, .pth and .ckpt in both of their forms; MNIST's IDX. The file's bytes say which one it is.
///
/// Opening reads names, types and shapes; the numbers are read when asked for, without those of other tensors.
package final class TensorFile: Sendable {
    /// Which tensors of a file are meant, and under which names.
    package struct Part: Sendable {
        /// The table that holds them, as a path of names with dots between; nil for the file itself.
        package var entry: String?
        /// What is taken off the beginning of names.
        package var strip: String?

        package init(entry: String? = nil, strip: String? = nil) {
            self.entry = entry
            self.strip = strip
        }
    }

    package let kind: FileKind
    package let entries: [StoredTensor]
    /// Texts beside the tensors; of PyTorch's files, the texts and numbers.
    package let metadata: [String: String]
    /// Whether there is one tensor without a name.
    package let isSingle: Bool
    /// Values that are no tensors and are not read, by name: what they are.
    package let refused: [String: String]
    private let file: InputFile
    private let indices: [String: Int]

    /// Opens a part of a file, in which every tensor has a name of its own.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found; also where a PyTorch file's
    ///   tensors stand in several tables, and no entry was named.
    package convenience init(_ path: String, part: Part = Part()) throws {
        let file = try InputFile(path)
        let (kind, whole) = try TensorFile.list(file)
        var listing = whole
        if let entry = part.entry {
            listing = try whole.below(entry, file.error)
        } else {
            try whole.requireOnePart(below: "", file.error)
        }
        if let strip = part.strip { listing = try listing.stripped(of: strip, file.error) }
        try self.init(file, kind, listing)
    }

    /// Opens all parts of a file, each tensor under its whole name.
    package convenience init(allOf path: String) throws {
        let file = try InputFile(path)
        let (kind, listing) = try TensorFile.list(file)
        try self.init(file, kind, listing)
    }

    private init(_ file: InputFile, _ kind: FileKind, _ listing: TensorListing) throws {
        self.file = file
        self.kind = kind
        entries = listing.tensors
        metadata = listing.metadata
        isSingle = listing.isSingle
        refused = listing.refused
        var indices: [String: Int] = [:]
        for (index, entry) in entries.enumerated() {
            guard indices.updateValue(index, forKey: entry.name) == nil else {
                throw file.error("two tensors have the name '\(entry.name)'")
            }
        }
        self.indices = indices
    }

    package var names: [String] { entries.map(\.name) }
    package var path: String { file.path }

    /// The tensor of that name, to be read when asked for; nil where there is none.
    package subscript(_ name: String) -> StoredTensor? { indices[name].map { entries[$0] } }

    /// Reads a tensor. Halves and smaller floats become float32, integers and booleans int32.
    /// - Parameter dtype: bfloat16 for a tensor of that type, without a wider copy on the way.
    /// - Throws: `RiffleError` when there is none of that name, or it cannot be read.
    package func tensor(named name: String, as dtype: DType = .float32) throws -> Tensor {
        guard let entry = self[name] else {
            if let found = refused[name] { throw file.error(TensorListing.refusal(name, found)) }
            throw file.error("no tensor '\(name)'" + suggestion(for: name, among: names))
        }
        return try dtype == .bfloat16 ? entry.bfloat16() : entry.tensor()
    }

    /// Makes sure that the part holds tensors alone, beside texts and numbers, for callers that take all of it.
    /// - Throws: `RiffleError` that names a value of another class.
    package func requireTensorsAlone() throws {
        if let (name, what) = refused.min(by: { $0.key < $1.key }) {
            throw file.error(TensorListing.refusal(name, what))
        }
        guard !entries.isEmpty || kind == .safetensors else { throw file.error("it holds no tensors") }
    }

    /// An error that names the file.
    package func error(_ message: String) -> RiffleError { file.error(message) }

    // MARK: - Formats

    private static let kinds =
        "safetensors and its index.json, NumPy's .npy and .npz, PyTorch's .pt, .pth and .ckpt, and MNIST's IDX, also "
        + "compressed by gzip"

    private static func list(_ file: InputFile) throws -> (FileKind, TensorListing) {
        guard let kind = try FileKind(file) else {
            // The file's name may say what was meant, and that format's reader what is wrong.
            switch FileEnding(of: file.path) {
            case .npy: return (.npy, try single(Npy.stored(in: file)))
            case .safetensors: return (.safetensors, try safetensors(file))
            default: throw file.error("a file of no known kind; read are \(kinds)")
            }
        }
        switch kind {
        case .safetensors: return (kind, try safetensors(file))
        case .npy: return (kind, try single(Npy.stored(in: file)))
        case .idx: return (kind, try single(IDX.stored(file.path)))
        case .gzip where IDX.isCompressed(in: file): return (kind, try single(IDX.stored(file.path)))
        case .index:
            let (tensors, metadata) = try ShardedTensors.open(file)
            return (kind, TensorListing(tensors: tensors, metadata: metadata))
        case .zip:
            let archive = try ZipArchive(file)
            if let torch = try TorchArchive(archive) { return (kind, try torch.listing()) }
            let arrays = try Npy.stored(in: archive)
            guard !arrays.isEmpty else {
                throw file.error("a ZIP archive with neither PyTorch's data.pkl nor NumPy's arrays in it")
            }
            return (kind, TensorListing(tensors: arrays))
        case .pickle: return (kind, try TorchStream.listing(of: file))
        default: throw file.error("not a file of tensors: it is \(kind.description)")
        }
    }

    private static func safetensors(_ file: InputFile) throws -> TensorListing {
        let whole = try SafeTensors(file)
        return TensorListing(tensors: whole.tensors, metadata: whole.metadata)
    }

    private static func single(_ tensor: StoredTensor) -> TensorListing {
        TensorListing(tensors: [tensor.renamed(TensorListing.onlyName)], isSingle: true)
    }
}
