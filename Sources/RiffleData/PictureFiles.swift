import RiffleIO
import RiffleTensor

/// The one reader of pictures in files: looks at what a path leads to, and opens it.
package enum PictureFiles {
    /// Opens a folder of pictures, a ZIP archive of them, arrays in npy, npz and IDX files, CIFAR-10, CIFAR-100, or
    /// latents in a safetensors file.
    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package static func open(_ path: String, _ options: PictureOptions) throws -> any SampleSource {
        if try isFolder(path) { return try PictureSet(folder(path, options), options) }
        let file = try InputFile(path)
        let kind = try FileKind(file)
        if FileEnding(of: path) == .safetensors || kind == .safetensors { return try latents(path, options) }
        return try PictureSet(pictures(in: file, kind, options), options)
    }

    private static func pictures(in file: InputFile, _ kind: FileKind?, _ options: PictureOptions) throws
        -> any PictureSource
    {
        let path = file.path
        if kind == .zip {
            let archive = try ZipArchive(file)
            let holdsArrays = archive.entries.allSatisfy { $0.name.hasSuffix(".npy") } && !archive.entries.isEmpty
            guard holdsArrays else { return try noSplit(path, options) { try ZipSource(archive, options) } }
            try checkLabels(path, options)
            return try ArraySource.npz(archive, options)
        }
        if path.hasSuffix(".bin"), let kind = CIFAR.kind(ofSize: file.size) { return try cifar(path, kind, options) }
        try checkLabels(path, options)
        return try noSplit(path, options) {
            switch kind {
            case .npy: return try ArraySource.npy(path, options)
            case .idx, .gzip: return try ArraySource.idx(path, options)
            case let kind? where kind.isPicture:
                throw file.error("it is \(kind.description), which riffle.image.load reads; a set is a folder of them")
            default:
                throw file.error(
                    "expected a folder, or a file of pictures: ZIP, npy, npz, IDX, CIFAR-10, CIFAR-100 or safetensors"
                        + (kind.map { "; it is \($0.description)" } ?? ""))
            }
        }
    }

    private static func folder(_ path: String, _ options: PictureOptions) throws -> any PictureSource {
        let names = try namesInFolder(path).filter { !$0.hasPrefix(".") }
        if let kind = CIFAR.isIn(names) { return try cifar(path, kind, options) }
        let split = options.split ?? "train"
        let parts = ["train": ["train"], "test": ["t10k", "test"]]
        let idx = names.filter { $0.contains("images-idx3-ubyte") }
        if !idx.isEmpty {
            try checkLabels(path, options)
            guard let name = idx.first(where: { name in (parts[split] ?? []).contains { name.contains($0) } }) else {
                throw RiffleError(
                    "", "'\(path)' has no IDX file of the part '\(split)', found \(idx.joined(separator: ", "))")
            }
            return try ArraySource.idx("\(path)/\(name)", options)
        }
        let tests = ["test", "val", "valid", "validation"].filter(names.contains)
        if names.contains("train"), let test = tests.first, names.count == 1 + tests.count,
            try isFolder("\(path)/train"), try isFolder("\(path)/\(test)")
        {
            return try FolderSource("\(path)/\(split == "test" ? test : "train")", options)
        }
        return try noSplit(path, options) { try FolderSource(path, options) }
    }

    private static func cifar(_ path: String, _ kind: CIFAR.Kind, _ options: PictureOptions) throws -> CIFAR {
        switch options.labels {
        case nil, .fine, .file: return try CIFAR(path, kind, split: options.split ?? "train")
        case .coarse where kind == .hundred: return try CIFAR(path, .hundredCoarse, split: options.split ?? "train")
        case .none?: return try CIFAR(path, kind, split: options.split ?? "train", isLabelled: false)
        case .coarse, .folders:
            throw RiffleError(
                "", "the labels of '\(path)' are in its files\(kind == .hundred ? ": 'fine' or 'coarse'" : "")")
        }
    }

    private static func latents(_ path: String, _ options: PictureOptions) throws -> LatentSource {
        guard options.size == nil, options.channels == nil, options.crop == .none else {
            throw RiffleError("", "'\(path)' holds tensors, which are taken as they are: no size, crop or channels")
        }
        return try noSplit(path, options) { try LatentSource(path) }
    }

    private static func noSplit<Source>(_ path: String, _ options: PictureOptions, _ open: () throws -> Source) throws
        -> Source
    {
        guard options.split == nil else {
            throw RiffleError("", "'\(path)' is not published in parts; set:split { test = 0.1 } makes two of it")
        }
        return try open()
    }

    private static func checkLabels(_ path: String, _ options: PictureOptions) throws {
        guard options.wantsFileLabels || options.labels == PictureOptions.LabelRule.none else {
            throw RiffleError(
                "", "the labels of '\(path)', where it has some, are in its files: labels = 'file' or 'none'")
        }
    }
}
