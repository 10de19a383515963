import RiffleNN
import RiffleTensor

/// The libraries that publish networks as folders, each with its names for the files of weights.
package enum WeightsLibrary: Sendable {
    case diffusers, transformers

    private var names: [String] {
        switch self {
        case .diffusers:
            let name = "diffusion_pytorch_model"
            return [
                "\(name).safetensors", "\(name).safetensors.index.json", "\(name).fp16.safetensors", "\(name).bin",
            ]
        case .transformers:
            return ["model.safetensors", "model.safetensors.index.json", "model.fp16.safetensors", "pytorch_model.bin"]
        }
    }

    /// Writes a network's numbers into a folder, under the name and with the mark that the library expects.
    package func write(_ network: Module, to folder: String) throws {
        try SafeTensors.write(
            network.state().map { ($0.name, $0.tensor) }, metadata: ["format": "pt"], to: "\(folder)/\(names[0])")
    }

    /// The file of weights in a folder, or the index of several.
    /// - Throws: `RiffleError` where the folder has none, with the names that were expected.
    package func file(in folder: String) throws -> String {
        guard let found = names.first(where: { fileExists("\(folder)/\($0)") }) else {
            throw RiffleError("", "'\(folder)' has no weights; expected \(names.joined(separator: " or "))")
        }
        return "\(folder)/\(found)"
    }
}
