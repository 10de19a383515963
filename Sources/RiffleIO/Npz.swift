import RiffleTensor

/// NumPy's archive of arrays by name.
package struct Npz: Sendable {
    private let archive: ZipArchive

    /// Opens an archive and reads none of its arrays, which may be large.
    /// - Throws: `RiffleError` that names the file and says what it is instead, or how it is damaged.
    package init(_ path: String) throws {
        let file = try InputFile(path)
        let kind = try FileKind(file)
        guard kind == .zip else {
            throw file.error("not NumPy's archive of arrays (.npz)" + (kind.map { ": it is \($0.description)" } ?? ""))
        }
        archive = try ZipArchive(file)
    }

    /// The arrays' names, in the archive's order.
    package var names: [String] {
        archive.entries.compactMap { $0.name.hasSuffix(".npy") ? String($0.name.dropLast(4)) : nil }
    }

    /// Whether there is an array of that name.
    package func holds(_ name: String) -> Bool { archive[name + ".npy"] != nil }

    /// The bytes of an entry of any kind; nil where there is none of that name.
    package func entry(_ name: String) throws -> [UInt8]? { try archive[name].map(archive.read) }

    /// Reads an array.
    /// - Throws: `RiffleError` that names the file, where there is none of that name, or it is damaged.
    package func tensor(_ name: String) throws -> Tensor {
        guard let entry = archive[name + ".npy"] else {
            let held = names.isEmpty ? "it holds no arrays" : "it holds \(names.joined(separator: ", "))"
            throw archive.error("no array '\(name)'; \(held)")
        }
        return try Npy.stored(name, in: ZipEntryBytes(entry, of: archive, reading: .whole)).tensor()
    }

    /// An error that names the file.
    package func error(_ message: String) -> RiffleError { archive.error(message) }

    /// Writes tensors as f4, f8 and i4 without compression, as `numpy.savez` does; the file appears whole or not at
    /// all. The archive is made in memory first, which takes twice the tensors' bytes.
    /// - Parameters:
    ///   - tensors: by names that differ.
    ///   - texts: entries beside the arrays, by the names of files.
    package static func write(
        _ tensors: [(name: String, tensor: Tensor)], texts: [(name: String, text: String)] = [], to path: String
    ) throws {
        try FileEnding.check(path, of: "arrays by name", [.npz])
        guard !tensors.isEmpty else { throw RiffleError("", "cannot write '\(path)': there are no arrays") }
        try Memory.check(2 * tensors.reduce(0) { $0 + $1.tensor.count * $1.tensor.dtype.size })
        let writer = try ZipWriter { RiffleError("", "cannot write '\(path)': \($0)") }
        for (name, tensor) in tensors {
            let numbers = UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size)
            try Npy.header(of: tensor).withUnsafeBytes { try writer.add(name + ".npy", [$0, numbers]) }
        }
        for (name, text) in texts { try Array(text.utf8).withUnsafeBytes { try writer.add(name, [$0]) } }
        try AtomicFile.write(to: path) { try writer.finish($0) }
    }
}
