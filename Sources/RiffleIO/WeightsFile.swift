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

    /// The file of weights in a folder, or the index of several.
    /// - Throws: `RiffleError` where the folder has none, with the names that were expected.
    package func file(in folder: String) throws -> String {
        guard let found = names.first(where: { fileExists("\(folder)/\($0)") }) else {
            throw RiffleError("", "'\(folder)' has no weights; expected \(names.joined(separator: " or "))")
        }
        return "\(folder)/\(found)"
    }
}
