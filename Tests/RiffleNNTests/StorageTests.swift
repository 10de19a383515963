import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO
@testable import RiffleNN

/// Networks that are kept as bfloat16.
@Suite(.serialized) struct StorageTests {
    /// A network of layers of all kinds, rounded to bfloat16's numbers; and the same numbers as bfloat16.
    private func networks(_ kind: String) throws -> (wide: Network, kept: Network, inputs: [Tensor]) {
        func make() throws -> Network {
            if kind == "unet" {
                var c = UNet.Configuration(image: [4, 4, 2])
                (c.channels, c.multipliers, c.blocks, c.attention) = (32, [1, 2], 1, [2])
                (c.scaleShift, c.labels) = (true, ClassLabels(3))
                return try UNet(c)
            }
            var c = MMDiT.Configuration(image: [4, 4, 2])
            (c.depth, c.heads, c.headChannels, c.tokenWidth, c.summaryWidth) = (2, 2, 8, 6, 5)
            (c.queryKeyNorm, c.dualBlocks, c.tableSize) = (true, [0], 8)
            return try MMDiT(c)
        }
        func values(_ name: String, _ shape: Shape) throws -> Tensor {
            try Tensor(drawn(name, shape.count).map { Float(2 * $0 - 1) }, shape)
        }
        let wide = try make(), kept = try make()
        try fill(wide)
        for entry in wide.entries {
            try entry.parameter.assign(entry.parameter.value.converted(to: .bfloat16).converted(to: .float32))
        }
        let state = try Dictionary(uniqueKeysWithValues: wide.state().map { ($0.name, $0.tensor) })
        try kept.store(as: .bfloat16)
        try kept.load(shapes: state.mapValues(\.shape)) { try #require(state[$0]) }
        let condition =
            kind == "unet"
            ? [try Tensor([1, 3] as [Int32], [2])] : [try values("tokens", [2, 3, 6]), try values("summary", [2, 5])]
        return (wide, kept, [try values("x", [2, 4, 4, 2]), try Tensor([0.1, 0.6] as [Float], [2])] + condition)
    }

    private func gap(_ a: Tensor, _ b: Tensor) throws -> Double { try (a - b).abs().max().item() }

    /// Values, gradients of the input and of adapters, and tangents are those of float32 numbers.
    @Test(arguments: ["mmdit", "unet"]) func computesAsFloat32(kind: String) throws {
        let (wide, kept, inputs) = try networks(kind)
        #expect(kept.entries.allSatisfy { $0.parameter.dtype == .bfloat16 && !$0.parameter.isTrainable })
        #expect(try gap(wide.forward(inputs), kept.forward(inputs)) < 1e-5)
        var results: [[Tensor]] = []
        for base in [wide, kept] {
            let net = try base.adapted(rank: 2)
            try fill(net)
            let x = Parameter(inputs[0]), rest = Array(inputs.dropFirst())
            try (net.forward([x.tensor] + rest).square()).mean().backward()
            let learned = net.learnedParameters.compactMap(\.parameter.gradient)
            #expect(learned.count > 10 && base.parameters.allSatisfy { $0.parameter.gradient == nil })
            let tangent = try jvp([inputs[0]], [inputs[0].square()]) { try net.forward([$0[0]] + rest) }.tangent
            let merged = try net.merged(), parameters = merged.parameters.map(\.parameter)
            #expect(parameters.allSatisfy { $0.dtype == .float32 && $0.isTrainable })
            results.append([try #require(x.gradient), tangent, try merged.forward(inputs)] + learned)
        }
        #expect(results[0].count == results[1].count)
        for (a, b) in zip(results[0], results[1]) {
            #expect(try gap(a, b) < 1e-5 * Swift.max(1, a.abs().max().item()))
        }
    }

    /// Copies, students and averages share the memory; what would change the numbers says why it cannot.
    @Test func standsStill() throws {
        let kept = try networks("mmdit").kept, copy = try kept.copied()
        for (a, b) in zip(kept.entries, copy.entries) { #expect(a.parameter.shares(b.parameter)) }
        #expect(copy.parameters.allSatisfy { !$0.parameter.isTrainable })
        #expect(
            message { _ = try AdamW(copy.parameters.map(\.parameter), .usual) }.contains("kept as bfloat16 stand still")
        )
        #expect(message { _ = try EMA(copy, decay: 0.9) }.contains("is bfloat16"))
        let net = try kept.adapted(rank: 2)
        let optimizer = try AdamW(net.learnedParameters.map(\.parameter), .usual), average = try EMA(net, decay: 0.9)
        let inputs = try networks("mmdit").inputs
        try optimizer.step(net.forward(inputs).square().mean())
        try average.update()
        for module in [net, average.model] {
            let base = module.entries.filter { $0.parameter.dtype == .bfloat16 }
            #expect(base.count == kept.entries.count)
            for (a, b) in zip(base, kept.entries) { #expect(a.name == b.name && a.parameter.shares(b.parameter)) }
        }
    }

    /// Files have the numbers as bfloat16, and checkpoints bring them back.
    @Test func savesWhatItHolds() throws {
        let (wide, kept, inputs) = try networks("unet"), scratch = try Scratch(), path = scratch("a.safetensors")
        try kept.save(to: path)
        let file = try TensorFile(path)
        #expect(file.entries.allSatisfy { $0.type == .bf16 })
        for (name, tensor) in try wide.state() { #expect(try gap(file.tensor(named: name), tensor) == 0, "\(name)") }
        let answer = try kept.forward(inputs), state = try kept.saved()
        try kept.load(from: path)
        #expect(try gap(kept.forward(inputs), answer) == 0)
        try kept.resuming(from: state)()
        #expect(try gap(kept.forward(inputs), answer) == 0)
        #expect(kept.entries.allSatisfy { $0.parameter.dtype == .bfloat16 })
    }

    /// A network that was made without numbers says which of them nothing gave.
    @Test func numbersThatAreMissingAreNamed() throws {
        let net = try withoutNumbers { try Linear(2, 3) }
        let said = message { try net.load(shapes: ["bias": [3]], strict: false) { _ in try .ones([3]) } }
        #expect(said.contains("weight was made without numbers"), "\(said)")
    }
}
