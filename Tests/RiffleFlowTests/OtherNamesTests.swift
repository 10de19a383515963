import Glibc
import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// Methods that papers name otherwise and that options of losses make: each is written a second time from its paper's
/// definition, which groups the same terms in another way. So values and gradients are equal but for float64's
/// rounding, which divisions by the smallest jumps of a batch enlarge.
@Suite struct OtherNamesTests {
    /// A student and what its loss is made of, with the numbers that the library draws. Papers have noise at time 1;
    /// here it is at 0, and jumps go to later times.
    private struct Setting {
        let live: GaussianFlow
        let held: GaussianFlow
        let x: Tensor
        let s: Tensor
        let t: Tensor
        /// x1 - x0, what the velocity is of the path.
        let v: Tensor
        /// The samples that learn the velocity, and the others.
        let first: Range<Int>
        let rest: Range<Int>

        /// The part's mean over samples and numbers, as it counts in the whole batch.
        func mean(_ squares: Tensor, of range: Range<Int>) throws -> Tensor {
            try squares.sliced(0, range).sum() / Double(x.count)
        }
        /// |u(x, s, s) - v|^2 of the samples that learn the velocity.
        func velocity() throws -> Tensor { try mean((live.average(x, s, s) - v).square(), of: first) }
    }

    private static let count = 256

    private func setting(_ diagonal: Double, seed: UInt64) throws -> Setting {
        Context.current.random = RandomSource(seed: seed)
        let n = Self.count, data = try Tensor.randn([n, 1], .float64)
        let (a, b) = (try Tensor.rand([n], .float64), try Tensor.rand([n], .float64))
        let s = try a.minimum(b), t = try a.maximum(b), noise = try Tensor.randn([n, 1], .float64)
        let part = try s.alongside(noise), k = Int(Double(n) * diagonal)
        return Setting(
            live: try GaussianFlow(times: 2, error: 0.3), held: try GaussianFlow(times: 2, error: 0.3),
            x: try (1 - part) * noise + part * data, s: s, t: t, v: try data - noise, first: 0..<k, rest: k..<n)
    }

    /// Compares a loss of the library with a total that was written for the same random numbers.
    private func compare(
        _ loss: some LossFromData, diagonal: Double, seed: UInt64, _ stated: (Setting) throws -> Tensor
    ) throws {
        let setting = try setting(diagonal, seed: seed), wanted = try stated(setting)
        try wanted.backward()
        Context.current.random = RandomSource(seed: seed)
        let data = try Tensor.randn([Self.count, 1], .float64), student = try GaussianFlow(times: 2, error: 0.3)
        let found = try loss(student, nil, data, target: nil, nil).total
        try found.backward()
        let slopes = try [student, setting.live].map { try #require($0.error.gradient).item() }
        #expect(try abs(found.item() - wanted.item()) < 1e-12 * wanted.item())
        #expect(abs(slopes[0] - slopes[1]) < 1e-11 * abs(slopes[1]), "\(slopes)")
        #expect(setting.held.error.gradient == nil)
    }

    /// SoFlow (2512.15657) trains a solution f(x, s, t) = x + (t - s) u(x, s, t): f(x_s, s, t) equals f(x_l, l, t) at
    /// the point x_l = x_s + (l - s) v of a time l = s + r (t - s). The difference is divided by l - s; the gradient is
    /// that quotient's, times du. r falls from 0.1 to 0.002, and 3/4 of the batch learn the velocity.
    @Test(arguments: [0.1, 0.014, 0.002]) func soFlowIsAlphaFlow(_ r: Double) throws {
        var loss = AlphaFlowLoss(alpha: r)
        loss.diagonal = 0.75
        try compare(loss, diagonal: 0.75, seed: 21) { setting in
            let (x, s, t) = (setting.x, setting.s, setting.t), l = try s + (t - s) * r
            func solution(_ network: Network, _ x: Tensor, _ s: Tensor) throws -> Tensor {
                try x + (t - s).alongside(x) * network.average(x, s, t)
            }
            let step = try (l - s).alongside(x), span = try (t - s).alongside(x)
            let later = try solution(setting.held, x + setting.v * step, l).detach()
            let difference = try solution(setting.live, x, s) - later
            return try setting.velocity() + setting.mean(difference.square() / (step * span), of: setting.rest)
        }
    }

    /// SplitMeanFlow (2507.16884, algorithm 1) splits an interval at l = (1 - r) s + r t with r uniform:
    /// (t - s) u(x_s, s, t) = (l - s) u(x_s, s, l) + (t - l) u(x_l, l, t), and the target is held.
    @Test(arguments: [0.25, 0.75]) func splitMeanFlowIsPSD(_ diagonal: Double) throws {
        var loss = SelfDistillationLoss(.progressive)
        (loss.cut, loss.diagonal) = (.uniform, diagonal)
        try compare(loss, diagonal: diagonal, seed: 22) { setting in
            let rows = setting.rest
            let (x, s, t) = (
                try setting.x.sliced(0, rows), try setting.s.sliced(0, rows), try setting.t.sliced(0, rows)
            )
            let r = try Tensor.rand([rows.count], .float64), l = try (1 - r) * s + r * t
            let (before, after) = (try (l - s).alongside(x), try (t - l).alongside(x))
            let first = try setting.held.average(x, s, l)
            let second = try setting.held.average(x + before * first, l, t)
            let wanted = try ((before * first + after * second) / (t - s).alongside(x)).detach()
            let squares = try (setting.live.average(x, s, t) - wanted).square()
            return try setting.velocity() + squares.sum() / Double(Self.count)
        }
    }
}
