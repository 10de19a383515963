import Glibc
@testable import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// Inductive moment matching beside its formula, by loops.
@Suite struct IMMTests {
    private let target: GaussianFlow
    private let data: Tensor

    init() throws {
        target = try GaussianFlow(times: 2, error: 0.3)
        Context.current.random = RandomSource(seed: 6)
        data = try .randn([12, 3], .float64)
    }

    private func found(_ error: Double, target: Network?) throws -> (loss: Double, slope: Double) {
        let student = try GaussianFlow(times: 2, error: error)
        Context.current.random = RandomSource(seed: 7)
        let loss = try IMMLoss()(student, data, target: target)
        try loss.total.backward()
        return (try loss.total.item(), try #require(student.error.gradient).item())
    }

    /// The formula for students of some error, a number at a time.
    private func formula(_ error: Double) throws -> Double {
        Context.current.random = RandomSource(seed: 7)
        var times = TimeSampling.uniform
        times.from = 0.006
        let (s, t) = try times.pairs(3, .float64), noise = try Tensor.randn([12, 3], .float64)
        let (starts, ends) = (try s.doubles(), try t.doubles())
        let student = try GaussianFlow(times: 2, error: error)
        func arrivals(_ network: Network, _ from: [Double]) throws -> [[Double]] {
            try (0..<12).map { row in
                let (time, end) = (from[row / 4], ends[row / 4])
                let x1 = try data.sliced(0, row..<(row + 1)), x0 = try noise.sliced(0, row..<(row + 1))
                let x = try x0 * (1 - time) + x1 * time
                let u = try network.average(x, .full([1], time, .float64), .full([1], end, .float64))
                return try (x + u * (end - time)).doubles()
            }
        }
        let later = zip(starts, ends).map { s, t in min(max(1 / (1 / s - 160.0 / 4096), s), t) }
        let (y, z) = (try arrivals(student, starts), try arrivals(target, later))
        var sum = 0.0
        for group in 0..<3 {
            let (s, t) = (starts[group], ends[group])
            func kernel(_ a: [Double], _ b: [Double]) -> Double {
                exp(-max(sqrt(zip(a, b).map { ($0 - $1) * ($0 - $1) }.reduce(0, +)), 1e-8) / (t - s) / 3)
            }
            var part = 0.0
            for j in (4 * group)..<(4 * group + 4) {
                for k in (4 * group)..<(4 * group + 4) {
                    part += kernel(y[j], y[k]) + kernel(z[j], z[k]) - 2 * kernel(y[j], z[k])
                }
            }
            let ratio = 2 * log(s / (1 - s)), slope = 2 / (s * (1 - s))
            sum += 0.5 / (1 + exp(ratio - 4)) * slope * s / (s * s + (1 - s) * (1 - s)) * part / 16
        }
        return sum / 3
    }

    @Test func statesItsFormulaAndGradient() throws {
        let (loss, slope) = try found(0.1, target: target), wanted = try formula(0.1)
        #expect(abs(loss - wanted) < 1e-12 * abs(wanted), "\(loss), stated \(wanted)")
        let h = 1e-5, quotient = try (formula(0.1 + h) - formula(0.1 - h)) / (2 * h)
        #expect(abs(slope - quotient) < 1e-6 * abs(quotient), "\(slope), differences \(quotient)")
        // The student's own ends are constants where they are the target.
        let own = try found(0.3, target: nil), other = try found(0.3, target: target)
        #expect(own == other)
    }

    /// The exact map is at rest, and a wrong one is not: over many samples the gradient vanishes.
    @Test func restsAtTheExactMap() throws {
        func slope(_ error: Double) throws -> Double {
            Context.current.random = RandomSource(seed: 8)
            let student = try GaussianFlow(times: 2, error: error)
            var loss = IMMLoss()
            loss.group = 256
            let data = try Tensor.randn([256 * 300, 1], .float64) * 0.5 + 0.7
            try loss(student, data).total.backward()
            return try #require(student.error.gradient).item()
        }
        let (rest, wrong) = (try slope(0), try slope(0.3))
        #expect(abs(rest) < 0.1 * abs(wrong), "\(rest), \(wrong)")
    }

    /// A step of more than the ratio that is left ends where the jump does: a wrong map learns there, too.
    @Test func stepsEndWithTheJump() throws {
        var loss = IMMLoss()
        (loss.step, loss.options.times.from) = (2, 0.5)
        #expect(try loss(GaussianFlow(times: 2, error: 0.3), data).total.item() > 1e-6)
    }

    @Test func groupsHaveToFill() throws {
        let student = try GaussianFlow(times: 2)
        let loss = IMMLoss()
        func message(_ body: () throws -> Void) -> String { do { try body() } catch { return "\(error)" }; return "" }
        #expect(message { _ = try loss(student, .zeros([6, 2])) }.contains("a multiple of the group, 4, got 6"))
        var early = IMMLoss()
        early.options.times.from = 0
        #expect(message { _ = try early(student, .zeros([8, 2])) }.contains("times begin above 0"))
    }
}
