import Foundation
import RiffleIO
import RiffleTensor

/// The folder of a run, which one process uses at a time.
package final class RunFolder {
    package let path: String
    /// Nil once the folder is given free.
    private var lock: RunLock?

    /// Makes the folder where it is missing, and takes its lock.
    /// - Throws: `RiffleError` when it cannot be made or written to, or another process uses it.
    package init(_ path: String) throws {
        self.path = path
        try makeFolders(path)
        let strangers = try namesInFolder(path).filter { !$0.hasPrefix(".") && !RunFile.all.contains($0) }
        guard strangers.isEmpty || fileExists(self(RunFile.status)) else {
            throw RiffleError(
                "",
                "'\(path)' is no run's folder: '\(strangers[0])' is there, and no \(RunFile.status); take another one")
        }
        lock = try RunLock(path)
    }

    /// Gives the folder free.
    package func close() { lock = nil }

    package func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    // MARK: - Files of JSON

    /// The value of a file of JSON; nil where there is no file of that name.
    package func read(_ name: String) throws -> Value? {
        fileExists(self(name)) ? try JSON.read(self(name)) : nil
    }

    package func write(_ value: Value, to name: String) throws { try JSON.write(value, to: self(name)) }

    // MARK: - Checkpoints

    /// A checkpoint's file by its step.
    package struct Saved: Equatable {
        package let step: Int
        package let path: String
    }

    /// The checkpoints that are there, by step.
    package func checkpoints() throws -> [Saved] {
        guard fileExists(self(RunFile.checkpoints)) else { return [] }
        return try namesInFolder(self(RunFile.checkpoints)).compactMap { name in
            RunFile.step(ofCheckpoint: name).map { Saved(step: $0, path: self("\(RunFile.checkpoints)/\(name)")) }
        }.sorted { $0.step < $1.step }
    }

    /// The path of a file in this folder from here; nil for other files.
    func relative(_ file: String) -> String? {
        file.hasPrefix(path + "/") ? String(file.dropFirst(path.count + 1)) : nil
    }

    /// Whether a file is one of the folder's checkpoints, whatever its path is called.
    func owns(_ path: String) throws -> Bool {
        func identity(_ path: String) -> (dev_t, ino_t)? {
            var status = stat()
            return stat(path.systemName, &status) == 0 ? (status.st_dev, status.st_ino) : nil
        }
        guard let wanted = identity(path) else { return false }
        return try checkpoints().contains { identity($0.path).map { $0 == wanted } ?? false }
    }

    /// The bytes of this folder's log that belong to a checkpoint; none to one of another folder, which has its own
    /// log.
    func logBytes(of checkpoint: Checkpoint, at path: String) throws -> Int {
        try owns(path) ? SavedState(values: checkpoint.record).integer("log_bytes") : 0
    }

    /// Removes all that a test has left.
    func removeAll() throws {
        for name in try namesInFolder(path) where ![".", "..", RunFile.lock].contains(name) {
            try FileManager.default.removeItem(atPath: self(name))
        }
    }

    /// Puts files aside into a folder of their own beside them, where nothing is written over.
    package func setAside(_ saved: [Saved]) throws {
        guard !saved.isEmpty else { return }
        let aside = try freshFolder("\(RunFile.checkpoints)/aside")
        for file in saved { try RunFolder.rename(file.path, to: "\(aside)/\(RunFolder.lastName(of: file.path))") }
    }

    /// Puts all that an earlier run has left aside, into `earlier/1` and so on.
    /// - Returns: where it went; nil where there was nothing.
    package func setAsideAll() throws -> String? {
        let names = try namesInFolder(path).filter { ![".", "..", RunFile.lock, RunFile.earlier].contains($0) }
        guard !names.isEmpty else { return nil }
        let aside = try freshFolder(RunFile.earlier)
        for name in names { try RunFolder.rename(self(name), to: "\(aside)/\(name)") }
        return aside
    }

    package func makeFolder(_ name: String) throws { try makeFolders(self(name)) }

    /// A folder that was not there, with the next free number as its name.
    private func freshFolder(_ parent: String) throws -> String {
        try makeFolder(parent)
        var number = 1
        while mkdir("\(self(parent))/\(number)".systemName, 0o777) != 0 {
            guard errno == EEXIST else {
                throw RiffleError("", "cannot make a folder in '\(self(parent))': \(systemMessage())")
            }
            number += 1
        }
        return "\(self(parent))/\(number)"
    }

    private static func rename(_ from: String, to target: String) throws {
        guard Foundation.rename(from.systemName, target.systemName) == 0 else {
            throw RiffleError("", "cannot rename '\(from)' to '\(target)': \(systemMessage())")
        }
    }

    package static func lastName(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}
