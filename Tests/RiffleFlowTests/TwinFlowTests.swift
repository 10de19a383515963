@testable import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// TwinFlow's terms of one jump beside their formulas, whose gradients are those of all parameters.
@Suite struct TwinFlowTests {
    private let n = 24

    private func student() throws -> Network {
        Context.current.random = RandomSource(seed: 4)
        let network = try MLP(.init(dim: 3, width: 24)).twoTimed()
        for named in network.parameters { try named.parameter.assign(.randn(named.parameter.shape) * 0.2) }
        return network
    }

    private func gradients(_ network: Network) -> [Tensor] { network.parameters.compactMap { $0.parameter.gradient } }

    /// The gradient of a loss in which the whole batch jumps from noise to data.
    private func found(_ teacher: Network?, adversarial: Double, rectification: Double) throws -> [Tensor] {
        let student = try student(), data = try Tensor.randn([n, 3])
        var loss = TwinFlowLoss()
        (loss.oneStep, loss.adversarialWeight, loss.rectificationWeight) = (1, adversarial, rectification)
        loss.options.adaptivePower = 0
        Context.current.random = RandomSource(seed: 5)
        try loss(student, teacher, data).total.backward()
        return gradients(student)
    }

    /// The same gradient of the terms alone, by their formulas.
    private func wanted(_ teacher: Network?, adversarial: Double, rectification: Double) throws -> [Tensor] {
        let student = try student()
        Context.current.random = RandomSource(seed: 5)
        _ = try TimeSampling.uniform.pairs(n)
        let z = try Tensor.randn([n, 3]), zero = try Tensor.zeros([n]), one = try Tensor.ones([n])
        let u = try student.average(z, zero, one), made = try (z + u).detach()
        let r = try Tensor.rand([n]), e = try Tensor.randn([n, 3]), part = try r.alongside(z)
        let x = try (1 - part) * e + part * made, late = try 2 - r
        let own = try student.average(x, late, late)
        let known = try withoutGradient { try teacher?.velocity(x, r) ?? student.average(x, r, r) }
        let push = try (own.detach() - known).clamp(-1, 1)
        let total =
            try (own - (made - e)).square().mean() * adversarial + (u - (u.detach() - push)).square().mean()
            * rectification
        try total.backward()
        return gradients(student)
    }

    @Test(arguments: [(1.0, 0.0), (0, 1), (0.5, 2)], [false, true])
    func statesItsTerms(_ weights: (Double, Double), _ hasTeacher: Bool) throws {
        let teacher = hasTeacher ? try MLP(.init(dim: 3, width: 24)) : nil
        let base = try found(teacher, adversarial: 0, rectification: 0)
        let all = try found(teacher, adversarial: weights.0, rectification: weights.1)
        let stated = try wanted(teacher, adversarial: weights.0, rectification: weights.1)
        #expect(base.count == stated.count && all.count == stated.count)
        let size = try stated.map { try $0.abs().max().item() }.max() ?? 0
        #expect(size > 1e-3)
        for (index, gradient) in stated.enumerated() {
            let difference = try (all[index] - base[index] - gradient).abs().max().item()
            #expect(difference < 1e-5 * size, "\(difference) of \(size)")
        }
    }

    /// Jumps of no length learn the velocity, whatever the step.
    @Test func restsOnTheDiagonal() throws {
        var loss = TwinFlowLoss()
        (loss.oneStep, loss.diagonal) = (0, 1)
        let exact = try loss(GaussianFlow(times: 2), GaussianFlow(times: 1), .randn([64, 1], .float64))
        #expect(exact.parts.map(\.name) == ["base"] && exact.parts[0].value < 1e-20)
        let wrong = try loss(GaussianFlow(times: 2, error: 0.1), GaussianFlow(times: 1), .randn([64, 1], .float64))
        #expect(wrong.parts[0].value > 1e-4)
    }
}
