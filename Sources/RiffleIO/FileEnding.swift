import RiffleTensor

/// Formats of files by the ending of their names: the text behind the last dot, in any case.
package enum FileEnding: String {
    case png, npy, npz, safetensors

    /// The format of a file of this name; nil where the ending is of no format that is read or written.
    package init?(of path: String) { self.init(rawValue: FileEnding.text(path)) }

    /// Refuses to write one format under the name of another.
    /// - Parameters:
    ///   - contents: the name of what is written, in the plural.
    ///   - endings: the endings that fit. An ending of no known format fits as well.
    package static func check(_ path: String, of contents: String, _ endings: [FileEnding]) throws {
        let ending = text(path)
        guard endings.allSatisfy({ $0.rawValue != ending }),
            FileEnding(rawValue: ending) != nil || others.contains(ending)
        else { return }
        let fitting = endings.map { ".\($0.rawValue)" }.joined(separator: " or ")
        throw RiffleError("", "cannot write '\(path)': \(contents) are written as \(fitting), not as .\(ending)")
    }

    private static func text(_ path: String) -> String {
        let name =
            path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).last ?? Substring(path).utf8
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")) else { return "" }
        return String(Substring(name[name.index(after: dot)...])).lowercased()
    }

    /// Endings of formats that are not written.
    private static let others: Set<String> = [
        // Pictures and films.
        "jpg", "jpeg", "jpe", "jfif", "jp2", "jxl", "gif", "bmp", "tif", "tiff", "webp", "avif", "heic", "heif", "ico",
        "tga", "exr", "hdr",
        "ppm", "pgm", "pbm", "pnm", "qoi", "pdf", "svg", "svgz", "eps", "ps", "mp4", "mov", "avi", "mkv", "webm",
        // Tensors and networks.
        "pt", "pth", "ckpt", "pkl", "pickle", "h5", "hdf5", "mat", "onnx", "gguf", "ggml", "msgpack", "tfrecord",
        "parquet", "arrow",
        // Texts and archives.
        "csv", "tsv", "txt", "json", "jsonl", "yaml", "yml", "toml", "xml", "html", "md", "lua", "py", "zip", "tar",
        "gz", "bz2", "xz", "zst", "7z",
    ]
}
