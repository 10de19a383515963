import RiffleTensor
import TestSupport
import Testing

@testable import RiffleNN

/// Values of networks' blocks, taken on the way.
@Suite struct InnerValuesTests {
    /// A small network of a kind, one block in its middle, and the shape of that block's value for two samples.
    struct Case: Sendable, CustomTestStringConvertible {
        let kind: String
        let block: String
        let shape: Shape
        let network: @Sendable () throws -> Network
        var testDescription: String { kind }
    }

    static let cases = [
        Case(kind: "mlp", block: "hidden.1", shape: [2, 8]) { try MLP(.init(dim: 3, width: 8, depth: 3)) },
        Case(kind: "unet", block: "middle_block", shape: [2, 4, 4, 64]) {
            var c = UNet.Configuration(image: [8, 8, 3])
            (c.channels, c.multipliers, c.blocks) = (32, [1, 2], 1)
            return try UNet(c)
        },
        Case(kind: "dit", block: "blocks.0", shape: [2, 4, 4, 16]) {
            var c = DiT.Configuration(image: [8, 8, 3])
            (c.width, c.depth, c.heads, c.labels.count) = (16, 2, 2, 3)
            return try DiT(c)
        },
        Case(kind: "mmdit", block: "transformer_blocks.0", shape: [2, 2, 2, 16]) {
            var c = MMDiT.Configuration(image: [4, 4, 2])
            (c.depth, c.heads, c.headChannels, c.tokenWidth, c.summaryWidth) = (2, 2, 8, 6, 5)
            return try MMDiT(c)
        },
    ]

    private func condition(of network: Network) throws -> Condition? {
        switch network.conditioning {
        case .none, .tokens: nil
        case .classes: Condition([try Tensor([Int32(1), 2], [2])])
        case .text(let tokens, let summary):
            Condition([try .randn([2, 3, tokens]), try .randn([2, summary])])
        }
    }

    /// A value has its shape, no block behind it is evaluated, and it takes gradients; also where blocks are computed
    /// again.
    @Test(arguments: cases) func valuesAreTaken(_ item: Case) throws {
        Context.current.random = RandomSource(seed: 3)
        let network = try item.network(), condition = try condition(of: network)
        for named in network.parameters where !named.name.hasPrefix("lora") {
            try named.parameter.assign(.randn(named.parameter.shape) * 0.2)
        }
        let x = try Tensor.randn(Shape([2] + (network.sampleShape ?? []).sizes)), t = try Tensor.rand([2])
        func value(_ names: [String]) throws -> [Tensor] { try network.innerValues(at: names, x, [t], condition) }
        let found = try value([item.block])[0]
        #expect(found.shape == item.shape && found.nonfiniteCount == 0)
        #expect(network.blockNames.contains(item.block) && network.blockNames.count >= 2)
        // All blocks in any order; none of the values are equal.
        let names = Array(network.blockNames.reversed()), all = try value(names)
        #expect(all.count == names.count)
        let index = try #require(names.firstIndex(of: item.block))
        #expect(try all[index].doubles() == found.doubles())
        let last = try #require(network.parameters.last { $0.name.contains("out") || $0.name.contains("final") })
        let kept = last.parameter.value
        try last.parameter.assign(kept * Double.nan)
        #expect(try value([item.block])[0].doubles() == found.doubles())
        try last.parameter.assign(kept)
        // The network is as before, and gradients reach what is in front of the block.
        #expect(try network.velocity(x, t, condition).nonfiniteCount == 0)
        try value([item.block])[0].square().sum().backward()
        let slopes = try network.parameters.map { try $0.parameter.gradient?.doubles() }
        #expect(slopes.contains { $0 != nil } && slopes.contains { $0 == nil })
        guard type(of: network).hasBlocks else { return }
        for named in network.parameters { named.parameter.gradient = nil }
        network.recomputes = true
        try value([item.block])[0].square().sum().backward()
        #expect(try network.parameters.map { try $0.parameter.gradient?.doubles() } == slopes)
    }

    @Test func unknownBlocksAreRefused() throws {
        let network = try MLP(.init(dim: 3, width: 8, depth: 2)), x = try Tensor.zeros([2, 3]),
            t = try Tensor.zeros([2])
        #expect(
            message { _ = try network.innerValues(at: ["hiden.1"], x, [t]) }.contains(
                "this mlp has no block 'hiden.1', did you mean 'hidden.1'?; there are hidden.0, hidden.1"))
        #expect(message { _ = try network.innerValues(at: [], x, [t]) }.contains("one name of a block or more"))
        #expect(message { _ = try network.innerValues(at: ["hidden.1"], x, [t, t]) }.contains("takes 1 times, got 2"))
        #expect(
            message { _ = try Discriminator(LearnedVelocity(), at: ["a"]) }.contains("does not know the shape"))
        final class LearnedVelocity: Network {}
    }
}
