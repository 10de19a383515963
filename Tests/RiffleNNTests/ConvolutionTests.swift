import RiffleTensor
import Testing

@testable import RiffleNN

/// Convolutions with norms, whose numbers go into the weight.
@Suite struct ConvolutionTests {
    private static func layers() throws -> [ConvNorm] {
        [
            try ConvNorm(Conv2d(6, 8, kernel: Sides(1, 7), padding: Sides(0, 3), bias: false), eps: 1e-3),
            try ConvNorm(Conv2d(6, 8, stride: 2, padding: 0, groups: 2, bias: true), activation: .none),
            try ConvNorm(Conv2d(6, 6, kernel: 5, groups: 6, bias: false), activation: .relu6),
        ]
    }

    /// Values of parameters and statistics as training leaves them, and the same seen as a file.
    private func fill(_ layer: Module, seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        for entry in layer.entries where entry.parameter.dtype == .float32 {
            let value = try random.normal(entry.parameter.shape, .float32)
            try entry.parameter.assign(entry.name.hasSuffix("var") ? value.square() + 0.1 : value * 2)
        }
    }

    @Test(arguments: 0..<3) func normGoesIntoTheWeight(_ number: Int) throws {
        let layer = try Self.layers()[number]
        try fill(layer, seed: UInt64(number))
        var random = RandomSource(seed: 9)
        let x = try random.normal([2, 9, 9, 6], .float32)
        func value(_ name: String) throws -> Tensor {
            try #require(layer.norm.entries.first { $0.name == name }).parameter.value
        }
        let eps = number == 0 ? 1e-3 : 1e-5
        let deviation = try (value("running_var") + eps).sqrt()
        var wanted = try (layer.conv(x) - value("running_mean")) / deviation * value("weight") + value("bias")
        wanted = try number == 0 ? wanted.relu() : number == 2 ? wanted.clamp(0, 6) : wanted
        let apart = try layer.norm(layer.conv(x))
        for isTraining in [true, false] {
            layer.isTraining = isTraining
            let found = try layer(x)
            let size = try wanted.abs().max().item()
            #expect(try (found - wanted).abs().max().item() < 1e-5 * size)
            if number == 1 { #expect(try (found - apart).abs().max().item() < 1e-5 * size) }
        }
        // Weight, scale and shift learn, the statistics do not.
        try (layer(x) * x.sum()).sum().backward()
        #expect(layer.parameters.allSatisfy { $0.parameter.gradient != nil })
        #expect(layer.parameters.count == (number == 1 ? 4 : 3) && layer.entries.count == layer.parameters.count + 3)
    }

    /// PyTorch's files have a whole number of batches, or none.
    @Test(arguments: [true, false]) func loadsPyTorchsNorms(_ counts: Bool) throws {
        let source = try Self.layers()[0], target = try Self.layers()[0]
        try fill(source, seed: 5)
        var state = try Dictionary(uniqueKeysWithValues: source.state())
        #expect(state["conv.weight"]?.shape == [8, 6, 1, 7] && state["bn.num_batches_tracked"]?.dtype == .int32)
        state["bn.num_batches_tracked"] = try counts ? Tensor([7 as Int32], []) : nil
        let (missing, unexpected) = try target.load(shapes: state.mapValues(\.shape)) { try #require(state[$0]) }
        #expect(missing.isEmpty && unexpected.isEmpty)
        for (from, to) in zip(source.entries, target.entries) where to.parameter.dtype == .float32 {
            #expect(try from.parameter.value.doubles() == to.parameter.value.doubles())
        }
        let tracked = try #require(target.copied().entries.first { $0.name == "bn.num_batches_tracked" })
        #expect(try tracked.parameter.value.doubles() == [counts ? 7 : 0])
        state["bn.running_mean"] = nil
        #expect(throws: RiffleError.self) { try target.load(shapes: state.mapValues(\.shape)) { state[$0]! } }
    }

    @Test func refusesGroupsThatAreNotEqual() {
        #expect(throws: RiffleError.self) { try Conv2d(6, 8, groups: 4) }
        #expect(throws: RiffleError.self) { try BatchNorm(3)(.ones([2, 4])) }
    }
}
