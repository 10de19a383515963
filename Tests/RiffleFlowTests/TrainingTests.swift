import RiffleFlow
import RiffleData
import RiffleIO
import RiffleMetrics
@testable import RiffleNN
import RiffleTensor
import Testing

/// A short run of the main job: students with one evaluation are about as good as their teacher with many.
@Suite struct TrainingTests {
    private let set = PlaneSet.moons

    private func train(_ network: Network, steps: Int, peak: Double, _ loss: (Tensor) throws -> Loss) throws -> Network
    {
        let average = try EMA(network, decay: 0.98)
        let optimizer = try AdamW(network.parameters.map(\.parameter), AdamW.Settings(learningRate: peak, clip: 1))
        for step in 1...steps {
            try optimizer.set(learningRate: Schedule.cosine(step, peak: peak, warmup: 20, total: steps))
            try optimizer.step(loss(set.sample(256)).total)
            try average.update()
        }
        return try #require(average.model as? Network)
    }

    /// A conditional teacher that is trained with an optimal coupling has the right distribution in each of two
    /// classes, of which one is rare and narrow; a coupling over the whole batch would give each a part of the noise.
    @Test func couplingKeepsClasses() throws {
        Context.current.random = RandomSource(seed: 3)
        let classes: [(share: Double, mean: Double, deviation: Double)] = [(0.2, -2, 0.3), (0.8, 1.5, 0.8)]
        let net = try MLP(.init(dim: 1, width: 64, labels: .init(2)))
        var options = LossOptions()
        options.coupling = .optimal
        let average = try EMA(net, decay: 0.98)
        let optimizer = try AdamW(net.parameters.map(\.parameter), AdamW.Settings(learningRate: 4e-3, clip: 1))
        for step in 1...1000 {
            try optimizer.set(learningRate: Schedule.cosine(step, peak: 4e-3, warmup: 20, total: 1000))
            let rare = try Tensor.rand([256]).lt(.scalar(classes[0].share))
            let noise = try Tensor.randn([256])
            let x = try (noise * 0.3 - 2).where(rare, else: noise * 0.8 + 1.5).reshaped(to: [256, 1])
            let labels = try (2 - rare.converted(to: .float32)).converted(to: .int32)
            try optimizer.step(MatchingLoss(options)(net, x, Condition([labels])).total)
            try average.update()
        }
        let model = try #require(average.model as? Network)
        for (index, wanted) in classes.enumerated() {
            let labels = try Tensor.full([4000], Double(index + 1), .int32)
            let x = try Sampler.ode(
                model, .randn([4000, 1]), along: evenGrid(from: 0, to: 1, steps: 20), .heun, Condition([labels])
            ).x
            let mean = try x.mean().item(), deviation = try (x - mean).square().mean().item().squareRoot()
            #expect(
                abs(mean - wanted.mean) < 0.15 && abs(deviation / wanted.deviation - 1) < 0.2,
                "class \(index + 1): \(mean) +- \(deviation)")
        }
    }

    @Test func studentsReachTheirTeacher() throws {
        Context.current.random = RandomSource(seed: 11)
        let net = try MLP(.init(width: 64))
        let teacher = try train(net, steps: 800, peak: 4e-3) { try MatchingLoss()(net, $0) }
        let (noise, truth) = (try Tensor.randn([4000, 2]), try set.sample(4000))
        func distance(_ x: Tensor) throws -> Double { try Metrics.slicedWasserstein(x, truth) }
        let many = try distance(Sampler.ode(teacher, noise, along: evenGrid(from: 0, to: 1, steps: 50), .heun).x)
        let one = try distance(Sampler.ode(teacher, noise, along: [0, 1], .euler).x)
        #expect(many < 0.1 && one > 0.5, "teacher: \(many) with many evaluations, \(one) with one")

        for name in ["lfmd", "itvm"] {
            let student = try teacher.twoTimed(), target = try EMA(student, decay: 0.95)
            let average = try train(student, steps: 500, peak: 2e-3) { data in
                try target.update()
                let guide = try #require(target.model as? Network)
                return name == "lfmd"
                    ? try LFMDLoss()(student, teacher, data) : try ITVMLoss()(student, teacher, data, target: guide)
            }
            let reached = try distance(Sampler.jump(average, noise, along: [0, 1]).x)
            #expect(reached < 1.5 * many + 0.02, "\(name): \(reached), teacher \(many)")
        }
    }
}
