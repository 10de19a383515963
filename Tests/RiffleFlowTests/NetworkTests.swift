import CKernels
import RiffleNN
import Testing

@testable import RiffleFlow
@testable import RiffleTensor

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

    @Test(arguments: ["unet", "dit", "mmdit"], ["lfmd", "efmd", "meanflow", "scm", "tvm"]) func runs(
        _ name: String, _ loss: String
    ) throws {
        Context.current.random = RandomSource(seed: 31)
        let teacher = try Self.network(name)
        // Networks start with zeros in their last layers, which would hide the rest.
        for named in teacher.parameters {
            try named.parameter.assign(named.parameter.value + Tensor.randn(named.parameter.shape) * 0.05)
        }
        let student = try teacher.twoTimed(), x = try Tensor.randn(Shape([2] + Self.image.sizes))
        let condition = name == "mmdit" ? Condition([try .randn([2, 5, 12]), try .randn([2, 10])]) : nil
        let result =
            switch loss {
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
                #expect(
                    name == "mmdit" && named.name.contains("transformer_blocks.1.attn"), "\(named.name) has no gradient"
                )
                continue
            }
            let size = try gradient.abs().max().item()
            #expect(size.isFinite, "\(named.name)")
        }
    }

    /// Gradients of LFMD's loss, which asks for values, derivatives and their gradients, with every parameter away from
    /// zero.
    private static func gradients(_ name: String, _ precision: Precision) throws -> [Tensor] {
        Context.current.random = RandomSource(seed: 37)
        let teacher = try network(name)
        for named in teacher.parameters {
            try named.parameter.assign(named.parameter.value + Tensor.randn(named.parameter.shape) * 0.05)
        }
        teacher.precision = precision
        let student = try teacher.twoTimed(), copy = try #require(try student.copied() as? Network)
        #expect(copy.precision == precision)
        // A network inside another one keeps its own.
        let wrapped = try PredictedVelocity(teacher, .data, .linear), inner = try wrapped.copied().children[0].module
        #expect((inner as? Network)?.precision == precision)
        let condition = name == "mmdit" ? Condition([try .randn([2, 5, 12]), try .randn([2, 10])]) : nil
        try LFMDLoss()(copy, teacher, .randn(Shape([2] + image.sizes)), condition).total.backward()
        #expect(Context.current.precision == .float32)
        return copy.parameters.compactMap(\.parameter.gradient)
    }

    /// Nothing that training sees is far from float32 in bfloat16, and all of it is float32 where there are no tiles.
    @Test(arguments: ["unet", "dit", "mmdit"]) func bfloat16IsNearFloat32(_ name: String) throws {
        func distance(_ a: [Tensor], _ b: [Tensor]) throws -> Double {
            try #require(a.count == b.count)
            let sums = try zip(a, b).map { a, b in (try (a - b).square().sum().item(), try b.square().sum().item()) }
            return (sums.map(\.0).reduce(0, +) / sums.map(\.1).reduce(0, +)).squareRoot()
        }
        let best = rk_cpu()
        defer { rk_cpu_set(best) }
        let exact = try Self.gradients(name, .float32), rounded = try Self.gradients(name, .bfloat16)
        let difference = try distance(rounded, exact)
        #expect(difference < 0.05)
        #expect((difference > 1e-4) == (best == RK_CPU_AMX), "\(difference)")
        try #require(rk_cpu_set(RK_CPU_AVX512) != RK_CPU_AMX)
        #expect(try distance(Self.gradients(name, .bfloat16), Self.gradients(name, .float32)) == 0)
    }

    /// A network around others asks each in its own precision.
    @Test func guidanceKeepsPrecisions() throws {
        let (strong, weak) = (PrecisionWitness(.bfloat16), PrecisionWitness(.float32))
        let x = try Tensor.randn([2, 3]), t = try Tensor.zeros([2]), labels = Condition([try .ones([2], .int32)])
        _ = try GuidedNetwork(strong, scale: 2).velocity(x, t, labels)
        _ = try GuidedNetwork(strong, scale: 2, weak: weak).velocity(x, t, labels)
        _ = try GuidedNetwork(strong, scale: 1).velocity(x, t, labels)
        #expect(strong.seen == [.bfloat16, .bfloat16, .bfloat16] && weak.seen == [.float32])
    }
}

/// Notes the precision in which it is asked.
private final class PrecisionWitness: Network {
    private(set) var seen: [Precision] = []
    init(_ precision: Precision) {
        super.init()
        self.precision = precision
    }
    override var conditioning: Conditioning { .classes(2, hasNull: true) }
    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        seen.append(Context.current.precision)
        return x
    }
}
