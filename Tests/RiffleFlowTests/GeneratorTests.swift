import Glibc
@testable import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// g(z) = a z + b, as a velocity at time 0: g(z) = z + v(z, 0).
private final class AffineGenerator: Network {
    let a: Parameter
    let b: Parameter

    init(_ a: Double, _ b: Double) throws {
        (self.a, self.b) = (Parameter(try .scalar(a, .float64)), Parameter(try .scalar(b, .float64)))
    }

    override var ownParameters: [NamedParameter] { [NamedParameter("a", a), NamedParameter("b", b)] }
    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        try (a.tensor - 1) * x + b.tensor
    }

    func gradients() throws -> [Double] { try [a, b].map { try #require($0.gradient).item() } }
}

/// One-step generators of a Gaussian, whose losses have a closed form.
@Suite struct GeneratorTests {
    private let mean = 0.7
    private let deviation = 0.5

    private func teacher() throws -> GaussianFlow { try GaussianFlow(times: 1, mean: mean, deviation: deviation) }

    /// The gradient in (a, b) of E |v* - v_g|^2 at time t, for the generator's own flow v_g: that of N(b, a^2).
    private func exact(_ a: Double, _ b: Double, _ t: Double) -> [Double] {
        func slope(_ d: Double) -> Double { (-(1 - t) + t * d * d) / ((1 - t) * (1 - t) + t * t * d * d) }
        func loss(_ a: Double, _ b: Double) -> Double {
            let k = slope(deviation), c = slope(a)
            return pow((b - mean) * (1 - k * t), 2) + pow(c - k, 2) * ((1 - t) * (1 - t) + t * t * a * a)
        }
        let h = 1e-5
        return [(loss(a + h, b) - loss(a - h, b)) / (2 * h), (loss(a, b + h) - loss(a, b - h)) / (2 * h)]
    }

    private func found(
        _ a: Double, _ b: Double, online: Network, shape: Shape = [1_000_000, 1],
        _ change: (inout FGMLoss) -> Void = { _ in }
    ) throws -> [Double] {
        Context.current.random = RandomSource(seed: 12)
        var loss = FGMLoss()
        change(&loss)
        let generator = try AffineGenerator(a, b)
        try loss(generator, online, teacher(), .randn(shape, .float64)).total.backward()
        return try generator.gradients()
    }

    /// Within 1 % of the closed form, over all times; either part alone is far from it.
    @Test func gradientOfFGM() throws {
        let (a, b, steps) = (0.8, 0.1, 2000), online = try GaussianFlow(times: 1, mean: 0.1, deviation: 0.8)
        let sums = (0..<steps).map { exact(a, b, (Double($0) + 0.5) / Double(steps)) }
        let wanted = [0, 1].map { index in sums.reduce(0) { $0 + $1[index] } / Double(steps) }
        let both = try found(a, b, online: online)
        for (got, exact) in zip(both, wanted) {
            #expect(abs(got - exact) < 0.01 * abs(exact), "\(both), exactly \(wanted)")
        }
        let second = try found(a, b, online: online, shape: [100_000, 1]) { $0.l1Weight = 0 },
            first = zip(both, second).map { $0 - $1 }
        for part in [first, second] {
            #expect(
                part[0] * wanted[0] > 0 && part[1] * wanted[1] > 0 && abs(part[0] - wanted[0]) > 0.05 * abs(wanted[0]),
                "\(part)")
        }
    }

    /// Parameters of teacher and online network take no gradient; a ratio scales the known velocity alone.
    @Test func frozenNetworksAndRatio() throws {
        let networks = try [MLP(.init(dim: 1, width: 8)), MLP(.init(dim: 1, width: 8))],
            generator = try MLP(.init(dim: 1, width: 8))
        let z = try Tensor.randn([64, 1])
        func loss(_ ratio: Double) throws -> Loss {
            Context.current.random = RandomSource(seed: 3)
            var loss = FGMLoss()
            loss.ratio = ratio
            return try loss(generator, networks[0], networks[1], z)
        }
        try loss(1).total.backward()
        #expect(networks.allSatisfy { $0.parameters.allSatisfy { $0.parameter.gradient == nil } })
        #expect(generator.parameters.allSatisfy { $0.parameter.gradient != nil })
        let parts = try [0.5, 1, 1.5].map { try loss($0).parts[1].value }
        #expect(abs(parts[0] + parts[2] - 2 * parts[1]) < 1e-5 && abs(parts[0] - parts[1]) > 1e-4)
    }

    /// SiD's alpha 1.2 is a weight of -0.4: the gradient is a line in the weight.
    @Test func weightOfL1MayBeNegative() throws {
        let online = try GaussianFlow(times: 1, mean: 0.1, deviation: 0.8)
        let slopes = try [1, 0, -0.4].map { weight in
            try found(0.8, 0.1, online: online, shape: [1000, 1]) { $0.l1Weight = weight }
        }
        for index in 0..<2 {
            let wanted = slopes[1][index] - 0.4 * (slopes[0][index] - slopes[1][index])
            #expect(abs(slopes[2][index] - wanted) < 1e-12 * abs(wanted))
        }
    }

    /// A generator that starts at t* takes the noise's part of the path's point there; steps go on from fresh noise.
    @Test func generatorsStartLater() throws {
        let (a, b, start) = (0.8, 0.1, 0.25), z = try Tensor.randn([500, 2], .float64)
        let generator = try AffineGenerator(a, b)
        let found = try Sampler.generate(generator, z, Generation(start: start))
        let x = try z * (1 - start), wanted = try x + (x * (a - 1) + b) * (1 - start)
        #expect(try (found - wanted).abs().max().item() < 1e-14)
        var loss = FGMLoss()
        loss.generation.start = start
        Context.current.random = RandomSource(seed: 4)
        let parts = try loss(generator, GaussianFlow(times: 1, mean: 0.1), teacher(), z).parts
        Context.current.random = RandomSource(seed: 4)
        // The same samples of a generator that makes them from the beginning.
        let same = try AffineGenerator((1 - start) * (1 + (1 - start) * (a - 1)), (1 - start) * b)
        let other = try FGMLoss()(same, GaussianFlow(times: 1, mean: 0.1), teacher(), z).parts
        #expect(zip(parts, other).allSatisfy { abs($0.value - $1.value) < 1e-12 * abs($1.value) })
        // An exact flow map keeps the distribution from step to step.
        let map = try GaussianFlow(times: 2, mean: mean, deviation: deviation)
        let many = try Sampler.generate(map, .randn([200_000, 1], .float64), Generation(steps: 3))
        let middle = try many.mean().item(), spread = try (many - middle).square().mean().item().squareRoot()
        #expect(abs(middle - mean) < 0.005 && abs(spread - deviation) < 0.005, "\(middle) \(spread)")
    }

    @Test func distillsOnPairs() throws {
        let (z, x) = (try Tensor.randn([400, 3], .float64), try Tensor.randn([400, 3], .float64))
        let generator = try AffineGenerator(0.8, 0.1), loss = try KDLoss()(generator, z, x)
        try loss.total.backward()
        let gap = try z * 0.8 + 0.1 - x
        let wanted = [try (gap * z).mean().item() * 2, try gap.mean().item() * 2]
        #expect(try abs(loss.total.item() - gap.square().mean().item()) < 1e-12)
        #expect(try zip(generator.gradients(), wanted).allSatisfy { abs($0 - $1) < 1e-12 })
    }

    /// FreeFlow's prediction is AYF's Lagrangian form from noise, without its norm, to the bit; its correction has the
    /// gradient of l (v - v*) along u(z, 0, 1), and both rest at the exact map.
    @Test func gradientOfFreeFlow() throws {
        let student = try GaussianFlow(times: 2, error: 0.3, mean: mean, deviation: deviation)
        let online = try GaussianFlow(times: 1, mean: 0.4, deviation: 0.6), n = 300
        func seeded<Result>(_ body: () throws -> Result) rethrows -> Result {
            Context.current.random = RandomSource(seed: 9)
            return try body()
        }
        let z = try seeded { () -> Tensor in
            _ = try Tensor.rand([n], .float64)
            return try .randn([n, 4], .float64)
        }
        func loss(_ correction: Double) throws -> (Loss, slope: Double) {
            var method = FreeFlowLoss()
            (method.correction, method.options.adaptivePower) = (correction, 0)
            student.error.gradient = nil
            let loss = try seeded { try method(student, online, teacher(), z) }
            try loss.total.backward()
            return (loss, try #require(student.error.gradient).item())
        }
        var ayf = AYFLoss()
        (ayf.form, ayf.normaliser, ayf.options.times) = (.lagrangian, 0, .start)
        let alone = try loss(0), both = try loss(0.5)
        let prediction = try seeded { try ayf(student, teacher(), .zeros([n, 4], .float64)) }.total.item()
        #expect(try alone.0.total.item() == prediction)
        // The formula's correction, a second time.
        let (zero, one) = (try Tensor.zeros([n], .float64), try Tensor.ones([n], .float64))
        let push = try seeded { () -> Tensor in
            _ = try Tensor.rand([n], .float64)
            let r = try Tensor.rand([n], .float64), e = try Tensor.randn([n, 4], .float64)
            let x = try Path.linear.point(e, z + student.average(z, zero, one).detach(), r)
            return try online.velocity(x, r).detach() - teacher().velocity(x, r).detach()
        }
        func length(_ x: Tensor) throws -> Double { try x.square().mean([1]).sqrt().mean().item() }
        let t = try seeded { try Tensor.rand([n], .float64) }
        let (u, du) = try jvp([t], [one]) { try student.average(z, zero, $0[0]) }
        let span = try t.alongside(z), end = try teacher().velocity(z + span * u, t)
        let size = try length((u - (end - span * du)).detach()) / (length(push) + 1e-6)
        // du/d(error) is cos (z - 3).
        let wanted = try (push * (z - 3).cos()).mean().item() * 2 * 0.5 * size
        #expect(abs(both.slope - alone.slope - wanted) < 1e-9, "\(both.slope - alone.slope), stated \(wanted)")

        let exact = try GaussianFlow(times: 2, mean: mean, deviation: deviation)
        let rests = try FreeFlowLoss()(exact, teacher(), GaussianFlow(times: 1, mean: mean, deviation: deviation), z)
        #expect(rests.parts.allSatisfy { abs($0.value) < 1e-20 }, "\(rests.parts)")
    }

    /// The forces of drifting models by loops over their formula.
    private func forces(_ made: [[Double]], _ data: [[Double]]) -> (forces: [[Double]], scale: Double) {
        let points = made + data, n = made.count, width = made[0].count
        func distance(_ x: [Double], _ y: [Double]) -> Double {
            let square = zip(x, y).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            return max(square, 1e-8).squareRoot()
        }
        let all = made.map { x in points.map { distance(x, $0) } }
        let mean = all.joined().reduce(0, +) / Double(n * points.count), scale = mean / Double(width).squareRoot()
        var total = made.map { $0.map { _ in 0.0 } }
        for radius in [0.02, 0.05, 0.2] {
            var e = all
            for i in 0..<n {
                for j in points.indices { e[i][j] = exp(-(all[i][j] / mean + (i == j ? 100 : 0)) / radius) }
            }
            let columns = points.indices.map { j in e.reduce(0.0) { $0 + $1[j] } }
            var force = total.map { $0.map { _ in 0.0 } }
            for i in 0..<n {
                let row = e[i].reduce(0, +)
                let a = points.indices.map { j in max(1e-6, e[i][j] / row * (e[i][j] / columns[j])).squareRoot() }
                let own = a[..<n].reduce(0, +), other = a[n...].reduce(0, +)
                for j in points.indices {
                    let pull = j < n ? -a[j] * other : a[j] * own
                    for k in 0..<width { force[i][k] += pull * (points[j][k] - made[i][k]) / scale }
                }
            }
            let square = force.joined().reduce(0.0) { $0 + $1 * $1 } / Double(n * width)
            for i in 0..<n { for k in 0..<width { total[i][k] += force[i][k] / max(square, 1e-8).squareRoot() } }
        }
        return (total, scale)
    }

    @Test func forcesOfDrifting() throws {
        let (n, m) = (5, 7), z = try Tensor.randn([n, 2], .float64), data = try Tensor.randn([m, 2], .float64) + 1
        let generator = try AffineGenerator(0.8, 0.1), loss = try DriftingLoss()(generator, z, data)
        func rows(_ x: Tensor) throws -> [[Double]] {
            let numbers = try x.doubles()
            return (0..<x.shape[0]).map { [numbers[2 * $0], numbers[2 * $0 + 1]] }
        }
        let (total, scale) = try forces(rows(z * 0.8 + 0.1), rows(data)), count = Double(2 * n)
        let wanted = total.joined().reduce(0.0) { $0 + $1 * $1 } / count
        let value = try loss.total.item()
        #expect(abs(value - wanted) < 1e-6 * wanted, "\(value), stated \(wanted)")
        try loss.total.backward()
        let along = zip(total.joined(), try z.doubles()).reduce(0.0) { $0 + $1.0 * $1.1 }
        let slope = -2 * along / (count * scale)
        #expect(abs(try generator.gradients()[0] - slope) < 1e-6 * abs(slope))
        #expect(throws: RiffleError.self) { try DriftingLoss()(generator, z, data.sliced(0, 0..<1)) }
    }

    /// DMD's gradient is that of w (d - d*), at the generator's samples: w = 1 / mean |x1 - d*|.
    @Test func gradientOfDMD() throws {
        let (a, b) = (0.8, 0.1), generator = try AffineGenerator(a, b),
            online = try GaussianFlow(times: 1, mean: b, deviation: a)
        let z = try Tensor.randn([500, 16], .float64)
        Context.current.random = RandomSource(seed: 5)
        try DMDLoss()(generator, online, teacher(), z).total.backward()
        Context.current.random = RandomSource(seed: 5)
        let x1 = try z * a + b, t = try Tensor.rand([500], .float64).affine(0.96, 0.02),
            e = try Tensor.randn(x1.shape, .float64)
        let x = try Path.linear.point(e, x1, t), left = try (1 - t).alongside(x)
        let (ownEnd, teachersEnd) = (try x + left * online.velocity(x, t), try x + left * teacher().velocity(x, t))
        let w = try (x1 - teachersEnd).abs().mean([1], keep: true), push = try (ownEnd - teachersEnd) / w
        let wanted = [try (push * z).mean().item(), try push.mean().item()]
        for (got, exact) in zip(try generator.gradients(), wanted) {
            #expect(abs(got - exact) < 1e-9, "\(got), by the formula \(exact)")
        }
    }

    /// A generator of the data's own distribution has nothing to learn, by FGM or DMD.
    @Test func restsAtTheData() throws {
        let online = try GaussianFlow(times: 1, mean: mean, deviation: deviation)
        for normalised in [false, true] {
            #expect(
                try found(deviation, mean, online: online, shape: [1000, 1]) { $0.isNormalised = normalised }.allSatisfy
                { abs($0) < 1e-12 })
        }
        let generator = try AffineGenerator(deviation, mean)
        try DMDLoss()(generator, online, teacher(), .randn([1000, 1], .float64)).total.backward()
        #expect(try generator.gradients().allSatisfy { abs($0) < 1e-12 })
    }

    /// SiD's normaliser divides by a mean over a sample's elements, which needs more than a few.
    @Test func movesToTheData() throws {
        for (a, b) in [(0.8, 0.1), (0.3, 1.2)] {
            let online = try GaussianFlow(times: 1, mean: b, deviation: a), generator = try AffineGenerator(a, b)
            Context.current.random = RandomSource(seed: 2)
            try DMDLoss()(generator, online, teacher(), .randn([2000, 64], .float64)).total.backward()
            let (down, normal) = (
                try generator.gradients(),
                try found(a, b, online: online, shape: [2000, 64]) { $0.isNormalised = true }
            )
            for gradient in [down, normal] {
                #expect(gradient[0] * (a - deviation) > 0 && gradient[1] * (b - mean) > 0, "\(gradient)")
            }
        }
    }

    /// With real data, and generated ones that are as good, the online network's loss is least at the teacher
    /// (RealUID).
    @Test(arguments: [(1.0, 1.0), (0.92, 0.94)]) func onlineLearnsTheFlow(_ alpha: Double, _ beta: Double) throws {
        func value(_ error: Double) throws -> Double {
            Context.current.random = RandomSource(seed: 21)
            var loss = FGMOnlineLoss()
            (loss.alpha, loss.beta) = (alpha, beta)
            let online = try GaussianFlow(times: 2, error: error), z = try Tensor.randn([40000, 1], .float64)
            let real = try Tensor.randn([40000, 1], .float64).affine(deviation, mean)
            return try loss(AffineGenerator(deviation, mean), online, z, data: alpha < 1 ? real : nil).total.item()
        }
        let h = 0.1, (below, here, above) = (try value(-h), try value(0), try value(h))
        #expect(abs(h * (below - above) / (2 * (above + below - 2 * here))) < 0.03)
    }
}

/// Paths, predictions and guidance.
@Suite struct TeacherTests {
    /// The derivative of each path's points is its velocity; the ends are noise and data.
    @Test(arguments: Path.allCases) func pathVelocity(_ path: Path) throws {
        let (x0, x1) = (try Tensor.randn([5, 3], .float64), try Tensor.randn([5, 3], .float64))
        let t = try Tensor([0.05, 0.3, 0.5, 0.8, 0.95], [5])
        let (_, slope) = try jvp([t], [.ones([5], .float64)]) { try path.point(x0, x1, $0[0]) }
        #expect(try (slope - path.velocity(x0, x1, t)).abs().max().item() < 1e-9)
        let margin = path == .variancePreserving ? 0.03 : 1e-12
        for (time, end) in [(0.0, x0), (1, x1)] {
            let gap = try (path.point(x0, x1, .full([5], time, .float64)) - end).abs().max().item()
            #expect(gap < margin, "time \(time)")
        }
    }

    /// The exact posterior means of a Gaussian as predictions give its velocity.
    @Test(arguments: [Prediction.noise, .data], [Path.linear, .cosine]) func predictions(
        _ prediction: Prediction, _ path: Path
    ) throws {
        let deviation = 0.5, x = try Tensor.randn([64, 1], .float64)
        let t = try Tensor.rand([64], .float64).affine(0.9, 0.05), c = try path.coefficients(t, along: x)
        let variance = try c.a.square() + c.b.square() * (deviation * deviation)
        let mean = Predicting { x, t in
            let c = try path.coefficients(t, along: x),
                variance = try c.a.square() + c.b.square() * (deviation * deviation)
            return prediction == .noise ? try x * c.a / variance : try x * c.b * (deviation * deviation) / variance
        }
        let wanted = try (c.a * c.da + c.b * c.db * (deviation * deviation)) / variance * x
        let got = try PredictedVelocity(mean, prediction, path).velocity(x, t)
        #expect(try (got - wanted).abs().max().item() < 1e-9)
    }

    @Test func guidance() throws {
        let net = try MLP(.init(width: 16, labels: ClassLabels(3, hasNull: true)))
        let (x, labels) = (try Tensor.randn([4, 2]), try Tensor([1, 2, 3, 1] as [Int32], [4]))
        let t = try Tensor([0.1, 0.4, 0.6, 0.9] as [Float], [4])
        let (given, none) = (Condition([labels]), Condition([try .full([4], 4, .int32)]))
        let (strong, weak) = (try net.velocity(x, t, given), try net.velocity(x, t, none))
        let guided = try GuidedNetwork(net, scale: 3, interval: 0.3...0.7).velocity(x, t, given)
        let inside = try Tensor([0, 1, 1, 0] as [Float], [4, 1])
        #expect(try (guided - (strong + inside * 2 * (strong - weak))).abs().max().item() < 1e-5)
        let other = try MLP(.init(width: 8, labels: ClassLabels(3, hasNull: true)))
        let conditioned = try GuidedNetwork(net, scale: 3, none: Condition([.full([1], 4, .int32)])).velocity(
            x, t, given)
        #expect(try (conditioned - (strong * 3 - weak * 2)).abs().max().item() < 1e-5)
        #expect(throws: RiffleError.self) { try GuidedNetwork(net, scale: 3, none: Condition([labels])) }
        let led = try GuidedNetwork(net, scale: 2, weak: other).velocity(x, t, given)
        #expect(try (led - (strong * 2 - other.velocity(x, t, given))).abs().max().item() < 1e-5)
        #expect(try GuidedNetwork(net, scale: 2).twoTimed().times == 2)
        for mistake in [MLP.Configuration(width: 8), MLP.Configuration(width: 8, labels: ClassLabels(3))] {
            #expect(throws: RiffleError.self) { try GuidedNetwork(MLP(mistake), scale: 2) }
        }
    }
}

private final class Predicting: Network {
    private let body: (Tensor, Tensor) throws -> Tensor
    init(_ body: @escaping (Tensor, Tensor) throws -> Tensor) { self.body = body }
    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        try body(x, times[0])
    }
}
