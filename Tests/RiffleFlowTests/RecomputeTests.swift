import RiffleFlow
import Testing

@testable import RiffleNN
@testable import RiffleTensor

/// Networks that compute their blocks again train to the same bits in less memory.
@Suite(.serialized) struct RecomputeTests {
    private static let names = ["unet", "unet with resampling", "dit", "mmdit", "unet with adapters"]
    private static let image: Shape = [16, 16, 3]

    private static func network(_ name: String) throws -> Network {
        Context.current.random = RandomSource(seed: 31)
        let network: Network
        switch name {
        case "dit":
            var c = DiT.Configuration(image: image)
            (c.width, c.depth, c.heads, c.labels) = (64, 6, 4, ClassLabels(3, hasNull: true))
            network = try DiT(c)
        case "mmdit":
            var c = MMDiT.Configuration(image: image)
            (c.depth, c.heads, c.headChannels, c.tokenWidth, c.summaryWidth) = (6, 2, 32, 12, 10)
            (c.queryKeyNorm, c.dualBlocks) = (true, [0])
            network = try MMDiT(c)
        default:
            var c = UNet.Configuration(image: image)
            (c.channels, c.multipliers, c.blocks, c.attention) = (32, [1, 2], 2, [8])
            (c.dropout, c.labels) = (0.2, ClassLabels(3, hasNull: true))
            if name == "unet with resampling" { (c.residualResampling, c.scaleShift) = (true, true) }
            network = try UNet(c)
        }
        // Networks start with zeros in their last layers, which would hide the rest.
        for named in network.parameters {
            try named.parameter.assign(named.parameter.value + Tensor.randn(named.parameter.shape) * 0.05)
        }
        return name == "unet with adapters" ? try network.adapted(rank: 4) : network
    }

    private static func condition(_ network: Network) throws -> Condition {
        if case .text(let tokens, let summary) = network.conditioning {
            return Condition([try .randn([4, 5, tokens]), try .randn([4, summary])])
        }
        return Condition([try Context.current.random.integers([4], through: 3)])
    }

    private static func loss(_ name: String, _ student: Network, _ teacher: Network) throws -> Loss {
        let x = try Tensor.randn(image.inserting(4, at: 0)), condition = try condition(student)
        var options = LossOptions()
        options.labelDropout = 0.3
        switch name {
        case "lfmd":
            var loss = LFMDLoss()
            (loss.options, loss.gradient, loss.initialWeight) = (options, .full, 1)
            return try loss(student, teacher, x, condition)
        case "meanflow":
            var loss = MeanFlowLoss()
            loss.options.labelDropout = 0.3
            return try loss(student, nil, x, condition)
        default: return try MatchingLoss(options)(student, x, condition)
        }
    }

    /// Two steps, since a second one begins with what the first did to parameters and the source of randomness.
    @Test(arguments: names, ["matching", "lfmd", "meanflow"]) func sameBits(_ name: String, _ loss: String) throws {
        let runs = try [false, true].map { recomputes in
            let teacher = try Self.network(name)
            teacher.recomputes = recomputes
            if name == "dit" { teacher.precision = .bfloat16 }
            let student = try teacher.twoTimed(), optimizer = try AdamW(student.parameters.map(\.parameter))
            #expect(student.recomputes == recomputes && student.description.contains("recompute") == recomputes)
            let reports = try (0..<2).map { _ in
                let report = try optimizer.step(Self.loss(loss, student, teacher).total)
                return [try #require(report.loss), report.gradientNorm]
            }
            let numbers = try student.parameters.flatMap { try $0.parameter.value.floats() }
            return (reports, numbers, Context.current.random.stream)
        }
        #expect(runs[0].0 == runs[1].0 && runs[0].1 == runs[1].1 && runs[0].2 == runs[1].2)
        #expect(runs[0].1.allSatisfy { $0.isFinite })
    }

    /// What the tape holds after the loss, and what forward and backward pass need beside the gradients.
    @Test(arguments: names, ["matching", "lfmd"]) func lessMemory(_ name: String, _ loss: String) throws {
        let needs = try [false, true].map { recomputes in
            let teacher = try Self.network(name)
            teacher.recomputes = recomputes
            let student = try teacher.twoTimed(), before = Memory.now.live
            Memory.resetPeak()
            let loss = try Self.loss(loss, student, teacher).total
            let held = Memory.now.live - before
            try loss.backward()
            let gradients = student.parameters.compactMap(\.parameter.gradient).reduce(0) { $0 + $1.storage.bytes }
            return (held: held, peak: Memory.now.peak - before - gradients)
        }
        #expect(2 * needs[1].held < needs[0].held && 2 * needs[1].peak < needs[0].peak, "\(needs)")
    }

    @Test func errorsNameTheBlock() throws {
        let network = try Self.network("dit"), condition = try Self.condition(network)
        network.recomputes = true
        let x = try Tensor.randn(Self.image.inserting(4, at: 0)), t = try Tensor.rand([4])
        defer { Memory.setLimit(0) }
        var errors: [RiffleError] = []
        for size in 1...8 {
            let loss = try network.velocity(x, t, condition).square().mean()
            Memory.setLimit(Memory.now.live + size * 300_000)
            do { try loss.backward() } catch let error as RiffleError { errors.append(error) }
            Memory.setLimit(0)
            #expect(errors.count < size || network.parameters.allSatisfy { $0.parameter.gradient == nil })
        }
        #expect(!errors.isEmpty && errors.allSatisfy { $0.kind == .outOfMemory }, "\(errors)")
        #expect(errors.contains { $0.path.first?.hasPrefix("blocks.") == true }, "\(errors)")
    }
}
