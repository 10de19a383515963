import RiffleTensor

/// The file of weights, or the index of several, in the folder of a published network.
/// - Parameter name: without its ending; diffusers and transformers have one each.
/// - Throws: `RiffleError` where the folder has none, with the names that were expected.
package func weightsFile(in folder: String, _ name: String) throws -> String {
    let names = ["safetensors", "safetensors.index.json", "fp16.safetensors", "bin"].map { "\(name).\($0)" }
    guard let found = names.first(where: { fileExists("\(folder)/\($0)") }) else {
        throw RiffleError("", "'\(folder)' has no weights; expected \(names.joined(separator: " or "))")
    }
    return "\(folder)/\(found)"
}
