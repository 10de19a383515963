import Glibc
import Testing

@testable import RiffleTensor

/// The tape holds what is needed and no more, and says so when it is gone.
@Suite struct TapeTests {
    private var live: Int { Context.current.tape.liveCount }
    private func parameter() throws -> Parameter { Parameter(try Tensor([2, 3] as [Double], [2])) }

    @Test func nothingIsLeft() throws {
        let (before, w) = (live, try parameter())
        var held: Tensor? = try w.tensor * 2
        for _ in 0..<100 { try (w.tensor * w.tensor).sum().backward() }
        #expect(live == before + 1)
        var chain: [Tensor] = [try w.tensor.exp()]
        for _ in 0..<50 { chain.append(try chain[chain.count - 1] * 1.01) }
        chain.removeFirst(50)
        #expect(live > before + 50, "records that a living tensor needs")
        chain.removeAll()
        #expect(live == before + 1)
        held = nil
        #expect(live == before && held == nil)
    }

    /// A tensor outlives the thread on whose tape it is, and can still be differentiated.
    @Test func tensorsOutliveTheirThread() throws {
        final class Made {
            var parameter: Parameter?, loss: Tensor?
        }
        let made = Made()
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { pointer in
                let made = Unmanaged<Made>.fromOpaque(pointer!).takeUnretainedValue()
                made.parameter = (try? Tensor([3] as [Double], [1])).map { Parameter($0) }
                made.loss = try? made.parameter.map { try ($0.tensor * $0.tensor).sum() }
                return nil
            }, Unmanaged.passUnretained(made).toOpaque())
        try #require(code == 0)
        pthread_join(thread, nil)
        try #require(made.loss).backward()
        #expect(try made.parameter?.gradient?.doubles() == [6])
    }

    /// A loss that is kept after its backward pass keeps one record, not all that led to it.
    @Test func spentRecordsLetGo() throws {
        let (before, w) = (live, try parameter())
        let losses = try (0..<10).map { _ in
            let loss = try (w.tensor.exp() * 2).square().sum()
            try loss.backward()
            return loss
        }
        #expect(live == before + losses.count)
        let error = #expect(throws: RiffleError.self) { try losses[0].backward() }
        #expect(error?.description.contains("differentiated before") == true)
    }

    @Test func retainAndSharedTrunk() throws {
        let w = try parameter()
        let trunk = try w.tensor.square()
        let loss = try trunk.sum()
        try loss.backward(retain: true)
        try loss.backward()
        #expect(try #require(w.gradient).doubles() == [8, 12])
        let (a, b) = (try w.tensor.square(), try w.tensor.square())
        try a.sum().backward()
        try (b * 2).sum().backward()
        #expect(try #require(w.gradient).doubles() == [8 + 4 + 8, 12 + 6 + 12])
    }

    @Test func levelsNestAndClose() throws {
        let x = try Tensor([0.7], [1]), one = try Tensor.ones([1], .float64)
        // d/dx (x d/dy (x + y) at y = 1) = 1: tangents of the two levels must not mix.
        let outer = try jvp([x], [one]) { x in
            try x[0] * jvp([one], [one]) { y in try x[0] + y[0] }.tangent
        }
        #expect(try outer.tangent.item() == 1)
        var third = { (x: Tensor) in try x.square().sin() }
        for _ in 0..<3 {
            let inner = third
            third = { x in try jvp([x], [one]) { try inner($0[0]) }.tangent }
        }
        // The third derivative of sin(x^2) is -12 x sin(x^2) - 8 x^3 cos(x^2).
        #expect(try Swift.abs(third(x).item() - -6.3743788246639) < 1e-9)
        var leaked = x
        _ = try jvp([x], [one]) { inputs in
            leaked = inputs[0]
            return inputs[0]
        }
        #expect(try leaked.exp().item() == x.exp().item(), "a level that is closed leaves a plain value")
        let w = try parameter()
        #expect(throws: RiffleError.self) {
            try jvp([w.tensor], [.ones([2], .float64)]) { try gradients(of: $0[0].square().sum(), for: [$0[0]])[0] }
        }
    }

    /// Gradients arrive in the parameter's own type, whatever it was mixed with.
    @Test func mixedTypes() throws {
        let (x, weight) = (
            Parameter(try Tensor.randn([4, 6])), Parameter(try Tensor([1, 2, 3, 4, 5, 6] as [Double], [6]))
        )
        let bias = Parameter(try Tensor.zeros([6], .float64))
        try (x.tensor.layerNorm(weight.tensor, bias.tensor) * Tensor.randn([4, 6])).sum().backward()
        #expect(x.gradient?.dtype == .float32 && weight.gradient?.dtype == .float64)
        let again = Parameter(x.value), single = Parameter(try weight.value.cast(.float32))
        Context.current.random = RandomSource(seed: 1)
        let c = try Tensor.randn([4, 6])
        x.gradient = nil
        try (x.tensor.layerNorm(weight.tensor, bias.tensor) * c).sum().backward()
        try (again.tensor.layerNorm(single.tensor, bias.tensor.cast(.float32)) * c).sum().backward()
        #expect(try distance(#require(x.gradient), #require(again.gradient)) < 1e-6)
        // A tangent has its value's type, and a cotangent is taken in its result's.
        let dual = try jvp([bias.value], [.ones([6], .float64)]) {
            try x.tensor.layerNorm(again.value.mean([0]), $0[0])
        }
        #expect(dual.value.dtype == .float32 && dual.tangent.dtype == .float32)
        let y = Parameter(try Tensor.randn([2, 3], .float64))
        #expect(
            try gradients(of: y.tensor.softmax(), for: [y.tensor], cotangent: .ones([2, 3]))[0].doubles().allSatisfy {
                abs($0) < 1e-15
            })
    }

    @Test func linearTakesTheActivationsItKnows() throws {
        let (x, weight) = (try Tensor.randn([2, 3]), try Tensor.randn([4, 3]))
        #expect(try x.linear(weight, nil, after: .silu).doubles() == x.silu().linear(weight, nil).doubles())
        #expect(throws: RiffleError.self) { try x.linear(weight, nil, after: .tanh) }
    }
}
