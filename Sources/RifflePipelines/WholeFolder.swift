import Foundation
import RiffleIO
import RiffleTensor

/// Folders of pipelines that appear whole or not at all.
enum WholeFolder {
    /// Makes the folder `target` of what `body` writes to a draft beside it, over an older pipeline.
    /// - Throws: `RiffleError` where something else is at the path, or the folder cannot be written.
    static func write(_ target: String, _ body: (_ draft: String) throws -> Void) throws {
        let isThere = fileExists(target)
        guard !isThere || fileExists("\(target)/model_index.json") else {
            throw RiffleError("save", "'\(target)' is there, and no pipeline that could be replaced")
        }
        let draft = "\(target).\(getpid()).part", older = "\(target).\(getpid()).older"
        defer { try? FileManager.default.removeItem(atPath: draft) }
        try writing(target) {
            try? FileManager.default.removeItem(atPath: draft)
            try makeFolder(draft)
            try body(draft)
            if isThere { try FileManager.default.moveItem(atPath: target, toPath: older) }
            do { try FileManager.default.moveItem(atPath: draft, toPath: target) } catch {
                if isThere { try? FileManager.default.moveItem(atPath: older, toPath: target) }
                throw error
            }
        }
        // The older pipeline goes last: where it could not be put back, it is the only one.
        try? FileManager.default.removeItem(atPath: older)
    }

    static func makeFolder(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    /// Runs `body`; what Foundation throws becomes an error that names the folder.
    private static func writing(_ path: String, _ body: () throws -> Void) throws {
        do { try body() } catch let error as RiffleError { throw error } catch {
            throw RiffleError("save", "cannot write '\(path)': \(error.localizedDescription)")
        }
    }
}
