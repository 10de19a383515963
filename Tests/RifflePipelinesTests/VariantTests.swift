import Foundation
import RiffleFlow
import RiffleIO
import RiffleNN
import RiffleTensor
import TestSupport
import Testing

@testable import RifflePipelines

/// Folders of the forms that are published, in each type of weights, against diffusers' pictures of 28 steps with
/// guidance (scripts/make_sd3_fixture.py --variants).
@Suite struct VariantTests {
    private let scratch: Scratch
    private let reference: SafeTensors
    private let base = fixture("sd3")

    init() throws {
        scratch = try Scratch()
        reference = try SafeTensors(fixture("sd3-variants.safetensors"))
    }

    static let forms = ["medium", "medium35", "large35"], types: [ElementType] = [.f32, .f16, .bf16]

    @Test(arguments: forms, types) func picturesAreDiffusers(form: String, type: ElementType) throws {
        let model = try StableDiffusion3(folder: folder(form, type))
        #expect(model.transformer.line.contains("\(type.word) in files"))
        let prompt = try #require(reference.metadata["prompt"])
        let steps = try #require(reference.metadata["steps"].flatMap { Int($0) })
        let guidance = try #require(reference.metadata["guidance"].flatMap { Double($0) })
        let guided = try GuidedNetwork(model.network(), scale: guidance, none: model.encode([""]))
        let noise = try reference.tensor(named: "noise").permuted([0, 2, 3, 1])
        let times = try shiftedGrid(steps: steps, shift: model.shift)
        let latents = try Sampler.ode(guided, noise, along: times, .euler, model.encode([prompt])).0
        for (got, name) in [(latents, "latents"), (try model.decode(latents), "pictures")] {
            let wanted = try reference.tensor(named: "\(form).\(type.word).\(name)").permuted([0, 2, 3, 1])
            try #require(got.shape == wanted.shape)
            let gap = try (got - wanted).abs().max().item()
            #expect(gap < 1e-4, "\(name): \(gap)")
        }
    }

    /// The fixture's folder with a transformer of another form, and all weights in one type.
    private func folder(_ form: String, _ type: ElementType) throws -> String {
        let path = scratch("\(form) \(type.word)"), part = "\(path)/transformer"
        try FileManager.default.copyItem(atPath: base, toPath: path)
        for name in [
            "text_encoder/model", "text_encoder_2/model", "text_encoder_3/model", "vae/diffusion_pytorch_model",
        ] {
            let file = try TensorFile("\(base)/\(name).safetensors")
            try write(file.names.map { ($0, try file.tensor(named: $0)) }, type, to: "\(path)/\(name).safetensors")
        }
        let source = try TensorFile("\(base)/transformer/diffusion_pytorch_model.safetensors.index.json")
        for name in try namesInFolder(part) where name.hasPrefix("diffusion") {
            try FileManager.default.removeItem(atPath: "\(part)/\(name)")
        }
        let config = try settings(form)
        try JSON.text(config).write(toFile: "\(part)/config.json", atomically: true, encoding: .utf8)
        var table = try ConfigTable(config, named: "config.json")
        let network = try withoutNumbers { try MMDiT(.init(&table)) }
        let tensors = try network.entries.map { entry in
            (
                entry.name,
                entry.name == "pos_embed.pos_embed"
                    ? try source.tensor(named: entry.name) : try weight(entry.name, entry.fileShape)
            )
        }
        try write(tensors, type, to: "\(part)/diffusion_pytorch_model.safetensors")
        return path
    }

    /// The fixture's config.json with the settings of a form.
    private func settings(_ form: String) throws -> Value {
        let text = try #require(reference.metadata[form]), wanted = try JSON.value(Array(text.utf8), named: form)
        guard case .table(var settings) = try JSON.read("\(base)/transformer/config.json"),
            case .table(let changed) = wanted
        else { throw RiffleError("", "no settings") }
        for key in ["num_layers", "qk_norm", "dual_attention_layers", "num_attention_heads", "attention_head_dim"] {
            if let value = changed[key] { settings[key] = value }
        }
        if text.contains("\"qk_norm\": null") { settings["qk_norm"] = nil }
        return .table(settings)
    }

    /// As numbers_by_name.py draws them.
    private func weight(_ name: String, _ shape: Shape) throws -> Tensor {
        let numbers = drawn("transformer.\(name)", shape.count), isMatrix = shape.rank > 1
        let scale = isMatrix ? (3 / Double(shape.sizes.dropFirst().reduce(1, *))).squareRoot() : 0.2
        let middle = !isMatrix && name.hasSuffix(".weight") ? 1.0 : 0
        return try Tensor(numbers.map { Float(middle + scale * (2 * $0 - 1)) }, shape)
    }

    private func write(_ tensors: [(String, Tensor)], _ type: ElementType, to path: String) throws {
        if type != .f16 {
            let dtype: DType = type == .bf16 ? .bfloat16 : .float32
            try SafeTensors.write(tensors.map { ($0, try $1.converted(to: dtype)) }, to: path)
            return
        }
        var bytes = try SafeTensors.header(tensors.map { ($0, .f16, $1.shape) }, metadata: [:], path).bytes
        for (_, tensor) in tensors {
            for number in try tensor.floats() { withUnsafeBytes(of: Float16(number)) { bytes += $0 } }
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }
}
