@testable import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// Losses with a discriminator, beside their formulas written a second time.
@Suite struct AdversarialTests {
    private let network: Network
    private let generator: Network
    private let critic: Discriminator
    private let z: Tensor
    private let data: Tensor

    init() throws {
        Context.current.random = RandomSource(seed: 5)
        network = try MLP(.init(dim: 3, width: 16, depth: 3))
        generator = try MLP(.init(dim: 3, width: 8, depth: 2))
        critic = try Discriminator(network, at: ["hidden.0", "hidden.2"], width: 8)
        (z, data) = (try .randn([12, 3]), try .randn([10, 3]))
    }

    private func seeded<Result>(_ body: () throws -> Result) rethrows -> Result {
        Context.current.random = RandomSource(seed: 9)
        return try body()
    }

    /// The discriminator's numbers of samples at fresh points of the path.
    private func judged(_ samples: Tensor, _ t: Tensor) throws -> (d: Tensor, x: Tensor) {
        let x = try Path.linear.point(.randn(samples.shape), samples, t)
        return (try critic(x, [t], nil), x)
    }

    private func made(_ z: Tensor) throws -> Tensor { try z + generator.velocity(z, .zeros([z.shape[0]])) }

    private func clear() {
        for module in [network, generator, critic] { for named in module.parameters { named.parameter.gradient = nil } }
    }

    private func gradients(_ module: Module) -> [Double] {
        module.parameters.flatMap { named in named.parameter.gradient.map { (try? $0.doubles()) ?? [] } ?? [] }
    }

    private func expectSame(_ found: [Double], _ wanted: [Double], _ size: Double = 1e-5) {
        #expect(found.count == wanted.count && !wanted.isEmpty && wanted.contains { $0 != 0 })
        #expect(largest(zip(found, wanted).map { abs($0 - $1) }) < size * largest(wanted.map(abs)))
    }

    /// Gradients pass through points and network into the generator alone.
    @Test(arguments: AdversarialForm.allCases) func generatorsDeceive(_ form: AdversarialForm) throws {
        var loss = AdversarialLoss()
        loss.form = form
        clear()
        let found = try seeded { try loss(generator, critic, z) }
        try found.total.backward()
        let slopes = gradients(generator)
        #expect(gradients(network).isEmpty && gradients(critic).isEmpty)
        clear()
        let wanted = try seeded { () -> Tensor in
            let t = try Tensor.rand([12]), d = try judged(made(z), t).d
            return try form == .hinge ? (d * -1).mean() : ((d * -1).exp() + 1).log().mean()
        }
        try wanted.backward()
        expectSame(slopes, gradients(generator))
        #expect(try abs(found.total.item() - wanted.item()) < 1e-6)
    }

    /// Gradients reach the heads, and the network where it learns with them; never the generator.
    @Test(arguments: AdversarialForm.allCases, [false, true])
    func discriminatorsLearn(_ form: AdversarialForm, _ trains: Bool) throws {
        let critic = trains ? try Discriminator(network, at: self.critic.names, width: 8, trainsNetwork: true) : critic
        for (to, from) in zip(critic.parameters, self.critic.parameters) {
            try to.parameter.assign(from.parameter.value)
        }
        var loss = DiscriminatorLoss()
        (loss.form, loss.r1) = (form, 30)
        clear()
        let found = try seeded { try loss(critic, generator, z, data) }
        try found.total.backward()
        let (slopes, inner) = (gradients(critic), gradients(network))
        #expect(gradients(generator).isEmpty && inner.isEmpty != trains)
        clear()
        let wanted = try seeded { () -> Tensor in
            func part(_ d: Tensor) throws -> Tensor {
                try form == .hinge ? (d + 1).relu().mean() : (d.exp() + 1).log().mean()
            }
            let t = try Tensor.rand([12]), d = try judged(withoutGradient { try made(z) }, t).d
            let s = try Tensor.rand([10]), (real, x) = try judged(data, s)
            let near = try self.critic(x + Tensor.randn(x.shape) * 0.1, [s], nil)
            return try part(d) + part(real * -1) + (real - near).square().mean() * 30
        }
        try wanted.backward()
        expectSame(slopes, gradients(self.critic))
        if trains { expectSame(inner, gradients(network)) }
        #expect(try abs(found.total.item() - wanted.item()) < 1e-5)
        #expect(found.parts.map(\.name) == ["made", "real", "r1"])
    }

    /// f-distill's weights of DMD's gradient.
    @Test(arguments: DMDLoss.Divergence.allCases) func divergencesWeigh(_ divergence: DMDLoss.Divergence) throws {
        let (online, teacher) = (try MLP(.init(dim: 3, width: 8)), network)
        func slopes(_ change: (inout DMDLoss) -> Void, _ z: Tensor, _ critic: Discriminator?) throws -> Loss {
            var loss = DMDLoss()
            change(&loss)
            clear()
            return try seeded { try loss(generator, online, teacher, z, discriminator: critic) }
        }
        let isPlain = divergence == .reverseKL
        let found = try slopes({ $0.divergence = divergence }, z, isPlain ? nil : critic)
        // Each sample's own part, from the loss without weights.
        let parts = try (0..<12).map { row -> Double in
            try slopes({ loss in loss.options.weight = OneSample(row) }, z, nil).total.item() * 12
        }
        let ratios = try seeded { () -> [Double] in
            // The batch draws its times between 0.02 and 0.98.
            let t = try DMDLoss().options.times.sample(12, .float32)
            return try judged(withoutGradient { try made(z) }, t).d.mean([1]).exp().doubles()
        }
        let h = ratios.map { r -> Double in
            switch divergence {
            case .reverseKL: 1.0
            case .forwardKL: r
            case .jensenShannon: 1 - 1 / (1 + r)
            case .softenedReverseKL: 1 / (1 + r)
            case .neyman: 1 / r
            case .hellinger: r.squareRoot()
            case .jeffreys: 1 + r
            }
        }
        let sum = h.reduce(0, +), wanted = zip(h, parts).map { $0 * $1 / sum }.reduce(0, +)
        #expect(try abs(found.total.item() - wanted) < 1e-4 * abs(wanted), "\(divergence)")
    }

    @Test func mistakesAreSaid() throws {
        var loss = DMDLoss()
        loss.divergence = .jeffreys
        #expect(
            message { _ = try loss(generator, network.copy(), network, z) }.contains(
                "divergence 'jeffreys' needs a discriminator"))
        #expect(
            message { _ = try DMDLoss()(generator, network.copy(), network, z, discriminator: critic) }.contains(
                "counts for nothing with divergence 'reverse_kl'"))
        #expect(
            message { _ = try AdversarialLoss()(network, critic, z) }.contains(
                "the generator and the discriminator's network are the same network"))
        #expect(
            message { _ = try DiscriminatorLoss()(critic, generator, z, .zeros([4, 2])) }.contains(
                "z and x hold samples of one shape (z [12, 3], x [4, 2])"))
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return ""
    }
}

/// Weighs one sample of a batch alone.
private final class OneSample: LossWeight {
    private let row: Int

    init(_ row: Int) { self.row = row }

    override func weigh(_ losses: Tensor, _ s: Tensor, _ t: Tensor) throws -> Tensor {
        let chosen = (0..<losses.count).map { index -> Float in index == row ? 1 : 0 }
        return try losses * Tensor(chosen, [losses.count])
    }
}

extension Network {
    fileprivate func copy() throws -> Network { try #require(try copied() as? Network) }
}
