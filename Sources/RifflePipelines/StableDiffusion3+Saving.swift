import Foundation
import RiffleIO
import RiffleNN
import RiffleTensor

/// The folder written again, so that diffusers loads it.
extension StableDiffusion3 {
    /// Copies the folder, with the network's numbers as they are now or another network; whole or not at all, over an
    /// older pipeline.
    ///
    /// A network that was not read yet is copied as its files are; one that was read is written as it is kept.
    /// - Parameters:
    ///   - network: of the form of this folder's; adapters are merged.
    ///   - start: the time at which the network takes its noise, where it is a one-step generator.
    /// - Throws: `RiffleError` where the network has another form, something else is at the path, or the folder cannot
    ///   be written.
    package func save(to path: String, network: Network? = nil, start: Double? = nil) throws {
        try WholeFolder.write(target(path)) { draft in
            let network = try network.map(fitting) ?? loadedNetwork
            try copyParts(to: draft, withWeights: network == nil)
            if let start { try note(start: start, in: draft) }
            if let network { try write(network, to: draft) }
        }
    }

    /// Throws what `save` would of the path, before long work.
    package func checkSave(to path: String) throws { try WholeFolder.check(target(path)) }

    /// The folder to write.
    /// - Throws: `RiffleError` where it is the one that is read from.
    private func target(_ path: String) throws -> String {
        let target = Self.withoutSlash(path)
        guard !fileExists(target) || realPath(target) != realPath(folder) else {
            throw RiffleError("save", "'\(target)' is the folder that is read from; save to another one")
        }
        return target
    }

    /// The network without adapters.
    /// - Throws: `RiffleError` where it is no network that the folder's configuration describes.
    private func fitting(_ network: Network) throws -> MMDiT {
        let plain = network.hasAdapters ? try network.merged() : network
        let own = NetworkDescription(transformer.form)?.lua, given = NetworkDescription(plain)?.lua
        guard let plain = plain as? MMDiT, given == own else {
            throw RiffleError(
                "save",
                "the folder's network is \(own ?? transformer.form.kind), and this one is \(given ?? plain.kind)")
        }
        return plain
    }

    /// All that belongs to the pipeline.
    /// - Parameter withWeights: whether the network is among it.
    private func copyParts(to draft: String, withWeights: Bool) throws {
        try copy("model_index.json", to: draft)
        for part in parts where part != "transformer" || withWeights {
            try WholeFolder.makeFolder("\(draft)/\(part)")
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

    private func note(start: Double, in draft: String) throws {
        let path = "\(draft)/model_index.json"
        guard case .table(var table) = try JSON.read(path) else { return }
        table[PipelineIndex.generator] = .table(["start": .number(start)])
        try JSON.write(.table(table), to: path)
    }

    private func write(_ network: MMDiT, to draft: String) throws {
        try WholeFolder.makeFolder("\(draft)/transformer")
        try copy("transformer/config.json", to: draft)
        try WeightsLibrary.diffusers.write(network, to: "\(draft)/transformer")
    }

    private func realPath(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }
}
