import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// Losses with derivatives run through every network's attention and norms in float32, without a switch.
@Suite struct DerivativeTests {
    private static let image: Shape = [8, 8, 3]

    private static func network(_ name: String) throws -> Network {
        switch name {
        case "unet":
            var c = UNet.Configuration(image: image)
            (c.channels, c.multipliers, c.blocks, c.attention) = (32, [1, 2], 1, [8, 4])
            return try UNet(c)
        case "dit":
            var c = DiT.Configuration(image: image)
            (c.width, c.depth, c.heads) = (32, 2, 4)
            return try DiT(c)
        default:
            var c = MMDiT.Configuration(image: image)
            (c.depth, c.heads, c.headChannels, c.tokenWidth, c.summaryWidth, c.queryKeyNorm) = (2, 2, 16, 12, 10, true)
            return try MMDiT(c)
        }
    }

    @Test(arguments: ["unet", "dit", "mmdit"], ["lfmd", "efmd", "meanflow", "scm", "tvm"]) func runs(_ name: String, _ loss: String) throws {
        Context.current.random = RandomSource(seed: 31)
        let teacher = try Self.network(name)
        // Networks start with zeros in their last layers, which would hide the rest.
        for named in teacher.parameters { try named.parameter.assign(named.parameter.value + Tensor.randn(named.parameter.shape) * 0.05) }
        let student = try teacher.twoTimed(), x = try Tensor.randn(Shape([2] + Self.image.sizes))
        let condition = name == "mmdit" ? Condition([try .randn([2, 5, 12]), try .randn([2, 10])]) : nil
        let result = switch loss {
        case "lfmd": try LFMDLoss()(student, teacher, x, condition)
        case "efmd": try EFMDLoss()(student, teacher, x, condition)
        case "meanflow": try MeanFlowLoss()(student, teacher, x, condition)
        case "tvm": try TVMLoss()(student, nil, x, condition)
        default: try AYFLoss.consistency(student, teacher, x, condition)
        }
        try result.total.backward()
        #expect(try result.total.item().isFinite)
        for named in student.parameters {
            // The last block of MM-DiT lets its text go.
            guard let gradient = named.parameter.gradient else {
                #expect(name == "mmdit" && named.name.contains("transformer_blocks.1.attn"), "\(named.name) has no gradient")
                continue
            }
            let size = try gradient.abs().max().item()
            #expect(size.isFinite, "\(named.name)")
        }
    }
}
