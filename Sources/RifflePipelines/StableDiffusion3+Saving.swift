import Foundation
import RiffleIO
import RiffleNN
import RiffleTensor

/// The folder written again, so that diffusers loads it.
extension StableDiffusion3 {
    /// Copies the folder, with the network's numbers as they are now; whole or not at all, over an older pipeline.
    ///
    /// A network that was not read yet is copied as its files are; one that was read is written as float32.
    /// - Throws: `RiffleError` where something else is at the path, or the folder cannot be written.
    package func save(to path: String) throws {
        let target = Self.withoutSlash(path)
        let isThere = fileExists(target)
        guard !isThere || fileExists("\(target)/model_index.json") else {
            throw RiffleError("save", "'\(target)' is there, and no pipeline that could be replaced")
        }
        guard !isThere || realPath(target) != realPath(folder) else {
            throw RiffleError("save", "'\(target)' is the folder that is read from; save to another one")
        }
        let draft = "\(target).\(getpid()).part", older = "\(target).\(getpid()).older"
        defer { try? FileManager.default.removeItem(atPath: draft) }
        try writing(target) {
            try? FileManager.default.removeItem(atPath: draft)
            try FileManager.default.createDirectory(atPath: draft, withIntermediateDirectories: false)
            try copyParts(to: draft)
        }
        if let loadedNetwork { try write(loadedNetwork, to: draft) }
        try writing(target) {
            if isThere { try FileManager.default.moveItem(atPath: target, toPath: older) }
            do { try FileManager.default.moveItem(atPath: draft, toPath: target) } catch {
                if isThere { try? FileManager.default.moveItem(atPath: older, toPath: target) }
                throw error
            }
        }
        // The older pipeline goes last: where it could not be put back, it is the only one.
        try? FileManager.default.removeItem(atPath: older)
    }

    /// All that belongs to the pipeline, but the weights of a network that was read.
    private func copyParts(to draft: String) throws {
        try copy("model_index.json", to: draft)
        for part in parts where part != "transformer" || loadedNetwork == nil {
            try FileManager.default.createDirectory(atPath: "\(draft)/\(part)", withIntermediateDirectories: false)
            for name in try namesInFolder("\(folder)/\(part)") where !name.hasPrefix(".") {
                try copy("\(part)/\(name)", to: draft)
            }
        }
    }

    /// A file of the folder, which may be a link to a cache.
    private func copy(_ name: String, to draft: String) throws {
        let source = URL(fileURLWithPath: "\(folder)/\(name)").resolvingSymlinksInPath()
        try FileManager.default.copyItem(at: source, to: URL(fileURLWithPath: "\(draft)/\(name)"))
    }

    private func write(_ network: MMDiT, to draft: String) throws {
        let part = "\(draft)/transformer"
        try writing(part) {
            try FileManager.default.createDirectory(atPath: part, withIntermediateDirectories: false)
            try copy("transformer/config.json", to: draft)
        }
        try SafeTensors.write(
            network.state().map { ($0.name, $0.tensor) }, metadata: ["format": "pt"],
            to: "\(part)/diffusion_pytorch_model.safetensors")
    }

    private func realPath(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }

    /// Runs `body`; what Foundation throws becomes an error that names the folder.
    private func writing(_ path: String, _ body: () throws -> Void) throws {
        do { try body() } catch let error as RiffleError { throw error } catch {
            throw RiffleError("save", "cannot write '\(path)': \(error.localizedDescription)")
        }
    }
}
