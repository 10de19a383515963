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
