import Foundation
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleNN

/// Text encoders against transformers' in float64 (scripts/make_encoder_fixtures.py): outputs, gradients and names.
@Suite struct TextEncoderTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    struct Reference {
        private let file: SafeTensors
        let settings: [String: Any]

        init(_ name: String) throws {
            file = try SafeTensors(fixture("encoder-\(name).safetensors"))
            settings = try file.metadata.mapValues { text in
                (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)) ?? text
            }
        }

        func tensor(_ name: String) throws -> Tensor { try file.tensor(named: name) }
        var names: [String] { settings["names"] as? [String] ?? [] }
        var hasSummary: Bool { file.names.contains("summary") }

        /// The reference's tokens, which count from 0, as ours.
        func ids() throws -> Tensor { try tensor("ids").cast(.int32).affine(1, 1) }

        private func number(_ key: String) throws -> Int { try #require(settings[key] as? Int, "\(key)") }

        func encoder() throws -> TextEncoder {
            guard settings["length"] != nil else {
                var c = T5Encoder.Configuration()
                (c.vocabulary, c.width, c.depth) = (try number("vocabulary"), try number("width"), try number("depth"))
                (c.heads, c.headWidth) = (try number("heads"), try number("head_width"))
                c.feedForward = try number("feed_forward")
                return try T5Encoder(c)
            }
            var c = CLIPText.Configuration()
            (c.vocabulary, c.width, c.depth) = (try number("vocabulary"), try number("width"), try number("depth"))
            (c.heads, c.length) = (try number("heads"), try number("length"))
            c.feedForward = settings["feed_forward"] as? Int
            c.projection = settings["projection"] as? Int
            c.endToken = settings["end_token"] as? Int
            c.activation = try #require(CLIPText.Activation(rawValue: settings["activation"] as? String ?? ""))
            return try CLIPText(c)
        }
    }

    static let names = ["clip-quick", "clip-gelu", "t5", "t5-long"]

    /// The largest difference, relative to the largest number of the reference.
    private func difference(_ got: Tensor, _ wanted: Tensor) throws -> Double {
        try #require(got.shape == wanted.shape)
        return try (got - wanted).abs().max().item() / wanted.abs().max().item()
    }

    private func noise(_ name: String, _ shape: Shape) throws -> Tensor {
        try Tensor(drawn(name, shape.count).map { Float((2 * $0 - 1) * 3.0.squareRoot()) }, shape)
    }

    @Test(arguments: names) func valuesAndGradientsAreTheReferences(name: String) throws {
        let reference = try Reference(name), encoder = try reference.encoder()
        #expect(encoder.parameters.map(\.name).sorted() == reference.names)
        try fill(encoder)
        let values = try encoder(reference.ids())
        #expect(try difference(values.tokens, reference.tensor("tokens")) < 1e-5)
        var loss = try (values.tokens * noise("c.tokens", values.tokens.shape)).sum()
        #expect((values.summary != nil) == reference.hasSummary)
        if let summary = values.summary {
            #expect(try difference(summary, reference.tensor("summary")) < 1e-5)
            loss = try loss + (summary * noise("c.summary", summary.shape)).sum()
        }
        try loss.backward()
        let parameters = Dictionary(uniqueKeysWithValues: encoder.parameters.map { ($0.name, $0.parameter) })
        let norms = try reference.tensor("norms").doubles(), dots = try reference.tensor("dots").doubles()
        for (index, name) in reference.names.enumerated() {
            let parameter = try #require(parameters[name])
            let gradient = try parameter.gradient ?? .zeros(parameter.shape)
            let norm = try gradient.square().sum().item().squareRoot()
            let dot = try (gradient * noise("probe.\(name)", gradient.shape)).sum().item()
            let margin = 2e-5 * max(1, norms[index])
            #expect(abs(norm - norms[index]) < margin && abs(dot - dots[index]) < margin, "\(name)")
        }
    }

    /// Copies, files and averages of encoders are as those of all modules; files may hold names without a use.
    @Test(arguments: ["clip-quick", "t5"]) func copiesAndFiles(name: String) throws {
        let reference = try Reference(name), encoder = try reference.encoder(), ids = try reference.ids()
        func values(_ encoder: TextEncoder) throws -> [[Double]] { try encoder(ids).tensors.map { try $0.doubles() } }
        encoder.precision = .bfloat16
        let copy = try #require(try encoder.copied(trainable: false) as? TextEncoder)
        #expect(try values(copy) == values(encoder) && copy.precision == .bfloat16)
        #expect(encoder.description.contains(", bf16, ") && copy.parameters.allSatisfy { !$0.parameter.isTrainable })
        try encoder.save(to: scratch("encoder.safetensors"))
        let again = try reference.encoder()
        again.precision = .bfloat16
        #expect(try values(again) != values(encoder))
        try again.load(from: scratch("encoder.safetensors"))
        #expect(try values(again) == values(encoder))
        var shapes = Dictionary(uniqueKeysWithValues: try encoder.state().map { ($0.name, $0.tensor.shape) })
        let tensors = Dictionary(uniqueKeysWithValues: try encoder.state().map { ($0.name, $0.tensor) })
        let unused = try #require(encoder.namesWithoutUse.first)
        shapes[unused] = [1, 77]
        try again.load(shapes: shapes) { try #require(tensors[$0]) }
        shapes["\(unused)2"] = [1]
        #expect(message { try again.load(shapes: shapes) { tensors[$0]! } }.contains("unexpected: \(unused)2"))
    }

    /// A token sees none behind it in CLIP, and all of them in T5.
    @Test(arguments: names) func tokensThatFollow(name: String) throws {
        let reference = try Reference(name), encoder = try reference.encoder(), ids = try reference.ids()
        let last = ids.shape[1] - 1, other = try Tensor([Int32](repeating: 5, count: ids.shape[0]), [ids.shape[0], 1])
        let changed = try Tensor.cat([ids.sliced(1, 0..<last), other], 1)
        let before = try encoder(ids).tokens.sliced(1, 0..<last).doubles()
        let after = try encoder(changed).tokens.sliced(1, 0..<last).doubles()
        #expect((before == after) == (encoder is CLIPText))
    }

    /// Weights that are read a layer at a time give the same bits, and little of them is in memory at a time.
    @Test func layersMayBeReadOneAtATime() throws {
        var c = T5Encoder.Configuration()
        (c.vocabulary, c.width, c.depth, c.heads, c.headWidth, c.feedForward) = (20, 64, 12, 2, 32, 256)
        let encoder = try T5Encoder(c), ids = try Tensor([3, 7, 20, 1, 5, 2] as [Int32], [2, 3])
        try encoder.save(to: scratch("t5.safetensors"))
        let whole = try encoder(ids).tokens.doubles()
        let file = try SafeTensors(scratch("t5.safetensors"))
        let shapes = Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, $0.shape) })
        Memory.resetPeak()
        let before = Memory.now.live
        let values = try T5Encoder.values(ids, c, shapes: shapes) { try file.tensor(named: $0) }
        #expect(try values.doubles() == whole)
        #expect(Memory.now.peak - before < 4 * encoder.count / 4)
        c.width = 32
        #expect(
            message { _ = try T5Encoder.values(ids, c, shapes: shapes) { try file.tensor(named: $0) } }
                .contains("of another shape: shared.weight is [20, 64], not [20, 32]"))
    }

    @Test func mistakesAreNamed() throws {
        let encoder = try Reference("clip-quick").encoder()
        #expect(
            message { _ = try encoder(.ones([2, 13], .int32)) }
                == "clip_text: texts have at most 12 tokens, got 13 (ids [2, 13])")
        #expect(message { _ = try encoder(.full([1, 2], 41, .int32)) }.contains("tokens must be from 1 to 40, got 41"))
        #expect(message { _ = try encoder(.zeros([1, 2], .int32)) }.contains("got 0"))
        #expect(message { _ = try encoder(.ones([1, 2])) }.contains("must be int32 [n, length] (ids float32 [1, 2])"))
        var c = CLIPText.Configuration()
        (c.width, c.heads) = (10, 3)
        #expect(message { _ = try CLIPText(c) } == "clip_text: a width of 10 does not make 3 equal heads")
        (c.heads, c.endToken) = (2, 50_000)
        #expect(message { _ = try CLIPText(c) }.contains("the end token 50000 is beyond the vocabulary of 49408"))
    }
}
