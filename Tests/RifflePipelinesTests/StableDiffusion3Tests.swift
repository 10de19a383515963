import Foundation
import RiffleFlow
import RiffleIO
import RiffleNN
import RiffleTensor
import TestSupport
import Testing

@testable import RifflePipelines

/// A tiny pipeline against diffusers' own (scripts/make_sd3_fixture.py).
@Suite struct StableDiffusion3Tests {
    private let scratch: Scratch
    private let reference: SafeTensors

    init() throws {
        scratch = try Scratch()
        reference = try SafeTensors(fixture("sd3-outputs.safetensors"))
    }

    /// The largest difference from a tensor of the reference, whose channels stand second where it is of images.
    private func difference(_ got: Tensor, _ name: String) throws -> Double {
        let file = try reference.tensor(named: name)
        let wanted = file.rank == 4 ? try file.permuted([0, 2, 3, 1]) : file
        try #require(got.shape == wanted.shape)
        return try (got - wanted).abs().max().item()
    }

    /// Every so-manieth token.
    private func some(_ tokens: Tensor, step: Int) throws -> Tensor {
        let rows = stride(from: 1, through: tokens.shape[1], by: step).map(Int32.init)
        return try tokens.permuted([1, 0, 2]).take(Tensor(rows, [rows.count])).permuted([1, 0, 2])
    }

    private func picture(_ model: StableDiffusion3) throws -> (latents: Tensor, pictures: Tensor) {
        let prompt = try #require(reference.metadata["prompt"]), steps = try #require(reference.metadata["steps"])
        let guided = try GuidedNetwork(
            model.network(), scale: #require(reference.metadata["guidance"].flatMap(Double.init)),
            none: model.encode([""]))
        let noise = try reference.tensor(named: "noise").permuted([0, 2, 3, 1])
        #expect(try noise.shape == model.latents(1, height: 16, width: 16))
        let times = try shiftedGrid(steps: #require(Int(steps)), shift: model.shift)
        let (latents, _) = try Sampler.ode(guided, noise, along: times, .euler, model.encode([prompt]))
        return (latents, try model.decode(latents))
    }

    @Test func textsLatentsAndPicturesAreDiffusers() throws {
        let model = try StableDiffusion3(folder: fixture("sd3"))
        let condition = try model.encode([#require(reference.metadata["prompt"])])
        #expect(try difference(some(condition.tensors[0], step: 4), "tokens") < 1e-5)
        #expect(try difference(condition.tensors[1], "summary") < 1e-5)
        let (latents, pictures) = try picture(model)
        #expect(try difference(latents, "latents") < 1e-4)
        #expect(try difference(pictures, "pictures") < 1e-4)
    }

    /// A folder that is written has the picture of the one that was read, whether its network was read or not, and
    /// takes an older one's place; files are copied where a cache has links, and nothing else is left.
    @Test(arguments: [false, true]) func foldersWrittenAgainGiveTheSame(isRead: Bool) throws {
        let folder = try copy(), path = scratch("saved")
        for (index, link) in ["vae/diffusion_pytorch_model.safetensors", "transformer/config.json"].enumerated() {
            let blob = "blob\(index)"
            try FileManager.default.moveItem(atPath: "\(folder)/\(link)", toPath: "\(folder)/\(blob)")
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/\(link)", withDestinationPath: "../\(blob)")
        }
        let model = try StableDiffusion3(folder: folder)
        if isRead { _ = try model.network() }
        for _ in 0..<2 { try model.save(to: path) }
        #expect(scratch.names == [URL(fileURLWithPath: folder).lastPathComponent, "saved"].sorted())
        let saved = try StableDiffusion3(folder: path)
        #expect(try picture(saved).pictures.doubles() == picture(model).pictures.doubles())
        #expect(message { try saved.save(to: path + "/") }.contains("is the folder that is read from"))
        #expect(message { try saved.save(to: scratch.path) }.contains("no pipeline that could be replaced"))
        try saved.save(to: scratch("kept"))
        let notes = scratch("kept/notes.txt")
        try AtomicFile.write("mine".utf8, to: notes)
        #expect(message { try saved.save(to: scratch("kept")) }.contains("since 'notes.txt' in it is no part"))
        #expect(message { try saved.checkSave(to: scratch("none/kept")) }.contains("cannot write"))
        #expect(try InputFile(notes).size == 4)
        #expect(message { try saved.save(to: scratch("a/b")) }.contains("cannot write"))
    }

    /// What is kept as bfloat16 computes what float32 does with the same numbers, in the memory that is said, and is
    /// written as its files had it.
    @Test func weightsKeptAsBFloat16AreThoseOfTheFiles() throws {
        let wide = try StableDiffusion3(folder: fixture("sd3"))
        let kept = try StableDiffusion3(folder: fixture("sd3"), storage: .bfloat16)
        #expect(kept.transformer.bytes * 2 == wide.transformer.bytes && kept.description.contains("as bfloat16"))
        let text = try wide.encode(["a red car"]).tensors, x = try reference.tensor(named: "noise")
        let inputs = try [x.permuted([0, 2, 3, 1]), Tensor([0.3] as [Float], [1])] + text
        let other = try kept.network().forward(inputs)
        #expect(try (wide.network().forward(inputs) - other).abs().max().item() < 1e-5)
        // The encoders' numbers of the files, which are float16, are rounded.
        let rounded = try kept.encode(["a red car"]).tensors
        let gaps = try zip(text, rounded).map { try ($0 - $1).abs().max().item() }
        #expect(gaps.allSatisfy { $0 > 0 && $0 < 0.05 }, "\(gaps)")

        try kept.save(to: scratch("saved"))
        let before = try TensorFile(kept.transformer.weights)
        let after = try TensorFile(scratch("saved/transformer/diffusion_pytorch_model.safetensors"))
        #expect(Set(before.names) == Set(after.names))
        for entry in before.entries { #expect(try bytes(entry) == after[entry.name].map(bytes), "\(entry.name)") }
    }

    private func bytes(_ tensor: StoredTensor) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try tensor.pieces { bytes += $0 }
        return bytes
    }

    /// Memory that does not suffice is named before anything is read, with what each way takes.
    @Test func tooLittleMemoryIsSaid() throws {
        let model = try StableDiffusion3(folder: fixture("sd3"))
        defer { Memory.setLimit(0) }
        Memory.setLimit(Memory.now.live + model.transformer.bytes - 1)
        let said = message { _ = try model.network() }
        for part in [
            "the network takes \(readable(bytes: model.transformer.bytes)), and", "are free",
            "storage = \"bfloat16\": ", "\(readable(bytes: model.transformer.bytes / 2)) for the network",
        ] { #expect(said.contains(part), "\(said)") }
        Memory.setLimit(Memory.now.live + 10)
        #expect(message { _ = try model.encode([""]) }.contains("encoding texts takes"))
        #expect(message { _ = try model.autoencoder() }.contains("the autoencoder takes"))
        Memory.setLimit(0)
        let half = try StableDiffusion3(folder: fixture("sd3"), storage: .bfloat16)
        Memory.setLimit(Memory.now.live + model.transformer.bytes - 1)
        _ = try half.network()
    }

    // MARK: - Changed folders

    /// A copy of the fixture's folder.
    private func copy() throws -> String {
        let path = scratch(UUID().uuidString)
        try FileManager.default.copyItem(atPath: fixture("sd3"), toPath: path)
        return path
    }

    /// Replaces a text in a file.
    private func change(_ path: String, _ from: String, _ to: String) throws {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try #require(text.contains(from))
        try text.replacingOccurrences(of: from, with: to).write(toFile: path, atomically: true, encoding: .utf8)
    }

    private static let withoutT5 = ("\"transformers\",\n    \"T5EncoderModel\"", "null,\n    null")

    /// Without T5 there are zeros.
    @Test func foldersWithoutT5HaveZeros() throws {
        let folder = try copy()
        try change("\(folder)/model_index.json", Self.withoutT5.0, Self.withoutT5.1)
        try FileManager.default.removeItem(atPath: "\(folder)/text_encoder_3")
        let model = try StableDiffusion3(folder: folder)
        let condition = try model.encode([#require(reference.metadata["prompt"])])
        #expect(try difference(some(condition.tensors[0], step: 8), "without") < 1e-5)
        // Its tokenizer is listed all the same.
        try model.save(to: scratch("saved"))
        #expect(fileExists(scratch("saved/tokenizer_3")) && !fileExists(scratch("saved/text_encoder_3")))
    }

    /// Stable Diffusion 3 has neither norms of queries and keys nor dual layers; the weights say so when they differ.
    @Test func settingsOfTheTransformerDecideItsForm() throws {
        let path = fixture("sd3/transformer/config.json")
        guard case .table(var settings) = try JSON.read(path) else { return }
        settings["qk_norm"] = Value.none
        settings["dual_attention_layers"] = .list([])
        var table = try ConfigTable(.table(settings), named: path)
        let c = try MMDiT.Configuration(&table)
        #expect(!c.queryKeyNorm && c.dualBlocks.isEmpty && c.tableSize == 16 && c.image == [16, 16, 4])
    }

    struct Damage: CustomTestStringConvertible {
        let file: String
        /// Nil where the file is removed.
        let change: (from: String, to: String)?
        let says: [String]
        var testDescription: String { "\(file) \(change?.to ?? "")" }
    }

    static let damages = [
        Damage(file: "model_index.json", change: nil, says: ["has no model_index.json"]),
        Damage(
            file: "model_index.json", change: ("StableDiffusion3Pipeline", "FluxPipeline"),
            says: ["_class_name is FluxPipeline", "StableDiffusion3Pipeline"]),
        Damage(
            file: "model_index.json", change: ("AutoencoderKL", "VQModel"),
            says: ["its vae is a VQModel", "AutoencoderKL"]),
        Damage(
            file: "model_index.json", change: ("\"transformers\",\n    \"CLIPTokenizer\"", "null,\n    null"),
            says: ["lists no tokenizer"]),
        Damage(file: "vae", change: nil, says: ["/vae' is missing", "model_index.json"]),
        Damage(file: "vae/diffusion_pytorch_model.safetensors", change: nil, says: ["/vae' has no weights"]),
        Damage(
            file: "transformer/diffusion_pytorch_model-00002-of-00002.safetensors", change: nil,
            says: ["diffusion_pytorch_model-00002-of-00002.safetensors", "No such file"]),
        Damage(
            file: "transformer/config.json", change: ("SD3Transformer2DModel", "FluxTransformer2DModel"),
            says: ["transformer/config.json", "FluxTransformer2DModel", "SD3Transformer2DModel is read here"]),
        Damage(
            file: "transformer/config.json", change: ("\"patch_size\"", "\"guidance_embeds\": true, \"patch_size\""),
            says: ["the setting guidance_embeds = true is not known"]),
        Damage(
            file: "transformer/config.json", change: ("\"num_layers\": 2", "\"num_layers\": 3"),
            says: ["does not fit", "missing: transformer_blocks"]),
        Damage(
            file: "text_encoder_2/config.json", change: ("\"gelu\"", "\"relu\""), says: ["hidden_act is relu"]),
        Damage(
            file: "text_encoder_3/config.json", change: ("gated-gelu", "relu"),
            says: ["feed_forward_proj is relu", "gated-gelu"]),
        Damage(
            file: "tokenizer/vocab.json", change: ("\"<|endoftext|>\":663", "\"<|endoftext|>\":663,\"<zebra>\":664"),
            says: ["665 tokens", "knows 664"]),
        Damage(
            file: "scheduler/scheduler_config.json",
            change: ("\"use_dynamic_shifting\": false", "\"use_dynamic_shifting\": true"),
            says: ["use_dynamic_shifting = true is not known"]),
    ]

    /// All of these are found before any number is read.
    @Test(arguments: damages) func damageIsNamed(damage: Damage) throws {
        let folder = try copy(), path = "\(folder)/\(damage.file)"
        if let (from, to) = damage.change {
            try change(path, from, to)
        } else {
            try FileManager.default.removeItem(atPath: path)
        }
        let text = message { _ = try StableDiffusion3(folder: folder) }
        for part in damage.says { #expect(text.contains(part), "\(text)") }
    }

    @Test func sizesThatDoNotFitAreNamed() throws {
        let model = try StableDiffusion3(folder: fixture("sd3"))
        #expect(message { _ = try model.latents(1, height: 16, width: 18) }.contains("multiple of 4 up to 64"))
        #expect(message { _ = try model.latents(1, height: 68, width: 16) }.contains("height must be"))
        #expect(
            try model.cuts(["red", String(repeating: "a car ", count: 60)]).map { $0?.hasPrefix("a car") } == [
                nil, true,
            ])
        #expect(message { _ = try model.encode([]) }.contains("at least one text"))
        let text = try model.encode([""]).tensors
        for shape in [[1, 7, 8, 4], [1, 8, 34, 4], [1, 8, 8, 16]] as [Shape] {
            let said = message { _ = try model.network().forward([.zeros(shape), .zeros([1])] + text) }
            #expect(said.contains("sides in multiples of 2 up to 32"), "\(said)")
        }
    }
}
