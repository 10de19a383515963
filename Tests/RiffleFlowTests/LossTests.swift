import Glibc
@testable import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

@Suite struct LossTests {
    private let seed: UInt64 = 5

    private func data(_ n: Int) throws -> Tensor {
        Context.current.random = RandomSource(seed: seed)
        return try .randn([n, 1], .float64)
    }

    @Test(arguments: LossCase.exact) func vanishesOnTheExactMap(_ one: LossCase) throws {
        func value(_ error: Double) throws -> Double {
            let student = try GaussianFlow(times: 2, error: error)
            return try one.loss(student, GaussianFlow(times: 1), data(512), student).total.item()
        }
        #expect(try value(0) < 1e-20)
        #expect(try value(0.1) > 1e-4)
    }

    /// The loss and its gradient are those of the stated formula, where only the live networks take gradients.
    @Test(arguments: LossCase.exact + LossCase.approximate) func statesItsGradient(_ one: LossCase) throws {
        let (base, h, x) = (0.3, 1e-5, try data(256))
        let drawn = Context.current.random
        func stated(_ error: Double) throws -> Double {
            Context.current.random = drawn
            let setting = LossCase.Setting(
                live: try GaussianFlow(times: 2, error: error), held: try GaussianFlow(times: 2, error: base),
                target: try GaussianFlow(times: 2, error: 0.2), teacher: try GaussianFlow(times: 1),
                batch: try FlowBatch(
                    x, nil, LossOptions(), for: [("student", GaussianFlow(times: 2))], operation: "test",
                    times: one.times.map { try $0(x.shape[0]) }))
            return try one.residual(setting).square().mean().item()
        }
        Context.current.random = drawn
        let student = try GaussianFlow(times: 2, error: base)
        let networks = try [GaussianFlow(times: 1), GaussianFlow(times: 2, error: 0.2)]
        let loss = try one.loss(student, networks[0], x, networks[1])
        try loss.total.backward()
        let value = try stated(base), slope = try (stated(base + h) - stated(base - h)) / (2 * h)
        #expect(abs(try loss.total.item() - value) < 1e-10 * value, "value")
        let found = try #require(student.error.gradient).item()
        #expect(networks.allSatisfy { $0.error.gradient == nil }, "target and teacher are frozen")
        #expect(abs(found - slope) < 1e-6 * max(abs(slope), 1e-3), "gradient \(found), stated \(slope)")
    }

    /// Where the student is its own target, one evaluation serves for both and changes nothing.
    @Test(arguments: LossCase.exact + LossCase.approximate) func targetIsTheStudentByDefault(_ one: LossCase) throws {
        func slope(_ target: (GaussianFlow) throws -> GaussianFlow?) throws -> Double {
            let x = try data(128), student = try GaussianFlow(times: 2, error: 0.3)
            try one.loss(student, GaussianFlow(times: 1), x, target(student)).total.backward()
            return try #require(student.error.gradient).item()
        }
        let (own, none, twin) = (
            try slope { $0 }, try slope { _ in nil }, try slope { _ in try GaussianFlow(times: 2, error: 0.3) }
        )
        #expect(abs(own - twin) < 1e-12 && own == none)
    }

    /// From points of its own a student needs no data, and the exact map has nothing to learn there either.
    @Test(arguments: [0.0, 0.3]) func pointsOfOnesOwnNeedNoData(_ error: Double) throws {
        let (student, teacher) = (try GaussianFlow(times: 2, error: error), try GaussianFlow(times: 1))
        var lfmd = LFMDLoss()
        lfmd.options.points = .own
        func value(_ data: Tensor) throws -> Double {
            Context.current.random = RandomSource(seed: 2)
            return try lfmd(student, teacher, data).total.item()
        }
        let found = try value(.zeros([200, 1], .float64))
        #expect(try found == value(.full([200, 1], 40, .float64)) && (error == 0) == (found < 1e-20))
        // The points are those to which the student jumps: the loss is that of data-free jumps from there.
        Context.current.random = RandomSource(seed: 2)
        let (s, t) = try TimeSampling.uniform.pairs(200, .float64), z = try Tensor.randn([200, 1], .float64)
        let x = try z + s.alongside(z) * student.average(z, .zeros([200], .float64), s)
        let (u, du) = try jvp([t], [.ones([200], .float64)]) { try student.average(x, s, $0[0]) }
        let span = try (t - s).alongside(x), end = try teacher.velocity(x + span * u, t)
        #expect(try abs(found - (u + span * du - end).square().mean().item()) <= 1e-12 * max(found, 1e-12))
        var flow = MeanFlowLoss()
        flow.options.points = .own
        let mistake = #expect(throws: RiffleError.self) { try flow(student, nil, .zeros([4, 1], .float64)) }
        #expect(mistake?.description.contains("points = 'own' needs a teacher") ?? false)
    }

    /// The segment forms ask the student alone, which is exact; the others have the last step's error.
    @Test(arguments: ITVMLoss.Terminal.allCases, [ITVMLoss.LastStep.euler, .midpoint, .heun, .implicitMidpoint])
    func itvmShrinks(_ terminal: ITVMLoss.Terminal, _ lastStep: ITVMLoss.LastStep) throws {
        let values = try [0.1, 0.05].map { offset in
            var method = ITVMLoss()
            (method.terminal, method.lastStep, method.offset, method.offsetBase) = (terminal, lastStep, offset, .jump)
            return try method(GaussianFlow(times: 2), GaussianFlow(times: 1), data(4096))
        }
        let residuals = try values.map { try #require($0.parts.first { $0.name == "terminal" }).value.squareRoot() }
        #expect(values.allSatisfy { $0.parts[0].name == "initial" && $0.parts[0].value < 1e-20 }, "the initial term")
        if terminal == .segment || terminal == .segmentQuotient {
            #expect(residuals.allSatisfy { $0 < 1e-8 }, "\(residuals)")
            return
        }
        // Offsets relative to t - s: the error of w is O(offset^order), and `lagged` divides it by another offset's
        // worth.
        let expected = terminal == .tangent ? 1 : (lastStep == .euler ? 1.0 : 2) + (terminal == .lagged ? 1 : 0)
        // For this flow the midpoint rule does better than its order.
        let order = log2(residuals[0] / residuals[1])
        #expect(order > expected - 0.4, "measured order \(order), residuals \(residuals)")
    }

    /// Losses that follow the teacher by a solver, or skip a part of the way: exact but for an error of known order.
    @Test(arguments: [
        "pfmm euler", "pfmm heun", "progressive", "consistency euler", "consistency heun", "alphaflow",
        "consistency_fm",
    ])
    func shrinks(_ name: String) throws {
        let (student, teacher) = (try GaussianFlow(times: 2), try GaussianFlow(times: 1))
        func residual(_ level: Int) throws -> Double {
            let (x, method) = (try data(4096), name.hasSuffix("euler") ? FixedStepMethod.euler : .heun),
                steps = 8 << level
            let loss: Loss
            switch name.prefix(while: { $0 != " " }) {
            case "pfmm":
                var pfmm = PFMMLoss()
                (pfmm.steps, pfmm.method) = (steps, method)
                loss = try pfmm(student, teacher, x)
            case "progressive": loss = try ProgressiveLoss(steps: steps)(student, teacher, x)
            case "consistency":
                var consistency = ConsistencyLoss()
                (consistency.steps, consistency.method) = (steps, method)
                loss = try consistency(student, teacher, x)
            case "alphaflow": loss = try AlphaFlowLoss(alpha: 1 / Double(steps))(student, teacher, x)
            default:
                var consistency = ConsistencyFMLoss()
                (consistency.segments, consistency.gap, consistency.velocityWeight) = (1, 1 / Double(steps), 0)
                loss = try consistency(student, teacher, x)
            }
            return try #require(loss.parts.last).value.squareRoot()
        }
        let order = try log2(residual(0) / residual(1))
        let expected =
            ["pfmm heun": 2, "consistency euler": 2, "consistency heun": 3, "alphaflow": 1, "consistency_fm": 2][name]
            ?? 1
        #expect(abs(order - Double(expected)) < 0.4, "measured order \(order)")
    }

    /// A two-timed teacher is followed by its jumps, which are exact.
    @Test func roundsOfExactMapsAreExact() throws {
        let (student, teacher) = (try GaussianFlow(times: 2), try GaussianFlow(times: 2))
        var pfmm = PFMMLoss()
        pfmm.reach = 0.25
        #expect(try pfmm(student, teacher, data(256)).total.item() < 1e-20)
        #expect(try ProgressiveLoss(steps: 4)(student, teacher, data(256)).total.item() < 1e-20)
        var shortcut = ShortcutLoss()
        shortcut.depth = 20
        #expect(
            try shortcut(student, GaussianFlow(times: 1), data(256)).total.item() < 1e-9, "but for the shortest halves")
        #expect(try AYFLoss.consistency(student, GaussianFlow(times: 1), data(256)).total.item() < 1e-20)
        for (form, cut) in SelfDistillationLoss.Form.allCases.flatMap({ form in
            SelfDistillationLoss.Cut.allCases.map { (form, $0) }
        }) {
            var loss = SelfDistillationLoss(form)
            loss.cut = cut
            #expect(try loss(student, GaussianFlow(times: 1), data(256)).total.item() < 1e-20, "\(form) \(cut)")
        }
    }

    /// From data alone, the flow of the data is the minimiser: the loss is a parabola in an error, with its bottom at
    /// zero.
    @Test(arguments: ["matching", "fmm", "meanflow", "tvm", "lsd"]) func learnsFromData(_ name: String) throws {
        func value(_ error: Double) throws -> Double {
            let x = try data(40000).affine(0.5, 0.7), student = try GaussianFlow(times: 2, error: error)
            switch name {
            case "matching": return try MatchingLoss()(student, x).total.item()
            case "fmm": return try FMMLoss()(student, x).total.item()
            case "meanflow":
                // At the fixed point alone the semi-gradient's target is the velocity's mean.
                var loss = MeanFlowLoss()
                loss.options.adaptivePower = 0
                return try loss(student, nil, x, target: GaussianFlow(times: 2)).total.item()
            case "tvm":
                var loss = TVMLoss()
                loss.options.times = .uniform
                return try loss(student, nil, x, target: GaussianFlow(times: 2)).total.item()
            default:
                return try SelfDistillationLoss(.lagrangian)(student, nil, x, target: GaussianFlow(times: 2)).total
                    .item()
            }
        }
        let h = 0.1, (below, here, above) = (try value(-h), try value(0), try value(h))
        let bottom = h * (below - above) / (2 * (above + below - 2 * here))
        #expect(abs(bottom) < 0.03 && above + below > 2 * here, "bottom at \(bottom)")
    }

    /// FMM's second term is zero for a map that its backward jumps undo; its gradient is full.
    @Test func flowMapMatching() throws {
        let h = 1e-5
        func loss(_ error: Double) throws -> (loss: Loss, student: GaussianFlow) {
            let x = try data(256), student = try GaussianFlow(times: 2, error: error)
            return (try FMMLoss()(student, x), student)
        }
        #expect(try loss(0).loss.parts[1].value < 1e-20)
        let (here, student) = try loss(0.3)
        try here.total.backward()
        let slope = try (loss(0.3 + h).loss.total.item() - loss(0.3 - h).loss.total.item()) / (2 * h)
        #expect(abs(try #require(student.error.gradient).item() - slope) < 1e-6 * abs(slope))
    }

    /// Where methods draw their times.
    @Test func timesOfMethods() throws {
        Context.current.random = RandomSource(seed: 4)
        var pfmm = PFMMLoss()
        pfmm.reach = 0.25
        let (s, t) = try pfmm.times(20000, .float64), spans = try (t - s).doubles()
        #expect(try t.max().item() > 0.99 && s.min().item() < 0.01 && spans.max()! <= 0.25 + 1e-12 && spans.min()! >= 0)
        var consistency = ConsistencyLoss()
        consistency.stage = 0
        let (start, next, weight) = try consistency.times(2000, .float64)
        let (from, to) = (try start.doubles().map { (1 - $0) / $0 }, try next.doubles().map { (1 - $0) / $0 })
        for (index, sigma) in from.enumerated() {
            let stays = min(1, max(0, 1 - 0.5 * (1 + 8 / (1 + exp(sigma)))))
            #expect(abs(to[index] - sigma * stays) < 1e-9 * max(1, sigma))
        }
        #expect(try #require(weight).min().item() > 0)
        // The velocity of shortcuts is learned at all times, not on the grid of jumps.
        let seen = Watching(try GaussianFlow(times: 2))
        _ = try ShortcutLoss()(seen, GaussianFlow(times: 1), data(800))
        #expect(Set(seen.seenTimes).count > 600)
        #expect(try [0.0, 0.01, 0.5, 0.99, 1].map { try FlowBatch.part($0, of: 4) } == [0, 1, 2, 3, 4])
        #expect(abs(try (0..<400).map { _ in try FlowBatch.part(0.75, of: 1) }.reduce(0, +) - 300) < 35)
    }

    /// Phase one of consistency flow matching compares with the path's own points: it is flow matching to the end.
    @Test func consistencyBoundary() throws {
        var loss = ConsistencyFMLoss()
        (loss.segments, loss.boundary, loss.velocityWeight) = (1, 0, 1)
        let x = try data(64), student = try GaussianFlow(times: 2, error: 0.4), drawn = Context.current.random
        let value = try loss(student, nil, x)
        Context.current.random = drawn
        let s = try Tensor.rand([64], .float64), noise = try Tensor.randn([64, 1], .float64),
            point = try Path.linear.point(noise, x, s)
        let end = try student.jump(point, s, .ones([64], .float64))
        #expect(abs(try value.parts[0].value - (end - x).square().mean().item()) < 1e-12 && value.parts[1].value == 0)
    }

    /// Noise, coupling, path and weights: the options that every loss takes.
    @Test func options() throws {
        let x = try data(64), net = try GaussianFlow(times: 2, error: 0.1)
        func loss(_ change: (inout LossOptions) -> Void) throws -> Double {
            var method = SelfDistillationLoss(.progressive)
            change(&method.options)
            Context.current.random = RandomSource(seed: 8)
            return try method(net, GaussianFlow(times: 1), x).total.item()
        }
        let plain = try loss { _ in }
        #expect(try loss { $0.huber = 1e3 } < plain / 1000)
        let learned = try LearnedWeight()
        #expect(abs(try loss { $0.weight = learned } - plain) < 1e-6, "it starts as weight one")
        #expect(try loss { $0.adaptivePower = 1 } > plain)
        #expect(try loss { $0.path = .cosine } != plain)
        Context.current.random = RandomSource(seed: 8)
        let apart = try FlowBatch(x, nil, LossOptions(), for: [("student", net)], operation: "test")
        var options = LossOptions()
        options.coupling = .optimal
        let coupled = try FlowBatch(x, nil, options, for: [("student", net)], operation: "test")
        func distance(_ batch: FlowBatch) throws -> Double { try (batch.noise - batch.data).square().sum().item() }
        #expect(try distance(coupled) < distance(apart))
        let labels = Condition([try .ones([1000], .int32)])
        let kept = try labels.dropping(0.25, .classes(3, hasNull: true)).tensors[0].doubles().filter { $0 == 1 }.count
        #expect(abs(kept - 750) < 70)
    }

    @Test func mistakesNameTheRole() throws {
        let (student, teacher) = (try GaussianFlow(times: 1), try MLP(.init(dim: 3)))
        let data = try Tensor.randn([4, 2])
        let noJump = #expect(throws: RiffleError.self) { try ITVMLoss()(student, teacher, data) }
        #expect(noJump?.description.contains("two_timed") == true)
        let other = #expect(throws: RiffleError.self) { try ITVMLoss()(MLP(.init(times: 2)), teacher, data) }
        #expect(other?.description.contains("teacher") == true && other?.description.contains("must be [n, 3]") == true)
        let classes = #expect(throws: RiffleError.self) {
            try LFMDLoss()(MLP(.init(labels: ClassLabels(3), times: 2)), MLP(.init(labels: ClassLabels(4))), data)
        }
        #expect(classes?.description.contains("3 classes and the teacher 4") == true)
    }
}

/// A network that remembers the times it was asked for.
private final class Watching: Network {
    private let network: Network
    private(set) var seenTimes: [Double] = []
    init(_ network: Network) { self.network = network }
    override var times: Int { 2 }
    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        seenTimes += try times[0].doubles()
        return try network.evaluate(x, times, condition)
    }
}
