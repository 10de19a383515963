import Foundation
import RiffleIO
import RiffleTensor

/// Folders of pipelines that appear whole or not at all.
enum WholeFolder {
    /// Makes the folder `target` of what `body` writes to a draft beside it, over an older pipeline.
    /// - Throws: `RiffleError` where something else is at the path, or the folder cannot be written.
    static func write(_ target: String, _ body: (_ draft: String) throws -> Void) throws {
        try check(target)
        let isThere = fileExists(target)
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

    /// Holds a path to what `write` needs of it, before long work.
    /// - Throws: `RiffleError` where something is there that is no pipeline of this family, or has other files in it,
    ///   or nothing can be written there.
    static func check(_ target: String) throws {
        guard fileExists(target) else {
            let draft = "\(target).\(getpid()).part"
            return try writing(target) {
                try makeFolder(draft)
                try FileManager.default.removeItem(atPath: draft)
            }
        }
        guard let index = try? PipelineIndex(folder: target, pipeline: StableDiffusion3.pipelineClass) else {
            throw RiffleError("save", "'\(target)' is there, and no pipeline that could be replaced")
        }
        let known = Set(index.parts + ["model_index.json", ".", ".."])
        if let odd = try namesInFolder(target).first(where: { !known.contains($0) }) {
            throw RiffleError("save", "'\(target)' is not replaced, since '\(odd)' in it is no part of a pipeline")
        }
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
