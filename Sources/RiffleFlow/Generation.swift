import RiffleNN
import RiffleTensor

/// How a generator makes samples of noise: from which time on, and in how many evaluations.
///
/// A generator is a network of one or two times. At the start time t* a point of the path has the noise's part of it
/// alone, (1 - t*) z on the linear path, and the network carries it to the data by one jump, or by one Euler step where
/// it takes one time. Each further evaluation begins anew from the last one's sample, with fresh noise, at a later time
/// (Song et al. 2023, algorithm 1).
///
///     g(z) = x + (1 - t*) v(x, t*),  x = (1 - t*) z
package struct Generation: Sendable {
    /// t*, below 1. A teacher is most at home where noise is not pure: 0.286 is EDM's deviation 2.5, as the authors of
    /// FGM use it elsewhere.
    package var start = 0.0
    /// Evaluations, at equal times from the start.
    package var steps = 1

    package init(start: Double = 0, steps: Int = 1) { (self.start, self.steps) = (start, steps) }

    package static let options: [Option<Generation>] = [
        Option("start", \.start, .fraction(starts), "the time at which the generator takes its noise"),
        Option("steps", \.steps, .integer(1...1000), "evaluations, each from the last one's sample with fresh noise"),
    ]

    /// What a start may be.
    package static let starts = 0.0...0.999

    /// The times at which evaluations begin.
    private var times: [Double] { (0..<steps).map { start + (1 - start) * Double($0) / Double(steps) } }

    /// Samples by all of the evaluations.
    package func callAsFunction(_ generator: Network, _ noise: Tensor, _ path: Path, _ condition: Condition?) throws
        -> Tensor
    {
        try Generation.made(generator, noise, path, condition, from: times)
    }

    /// Samples as a loss takes them, without dropout: after a random number of the evaluations, of which the last alone
    /// takes gradients (rCM, 2510.08431).
    func trained(_ generator: Network, _ noise: Tensor, _ path: Path, _ condition: Condition?) throws -> Tensor {
        try acting(as: "generator") {
            let count = steps > 1 ? 1 + Int(try Tensor.rand([1], .float64).item() * Double(steps)) : 1
            return try generator.evaluating {
                try Generation.made(generator, noise, path, condition, from: Array(times.prefix(count)))
            }
        }
    }

    /// Samples by a jump to the data from each of the times, which rise; the last jump alone takes gradients.
    static func made(
        _ generator: Network, _ noise: Tensor, _ path: Path, _ condition: Condition?, from starts: [Double]
    ) throws -> Tensor {
        let n = noise.shape[0], end = try Tensor.ones([n], noise.dtype)
        var x = noise
        for (index, start) in starts.enumerated() {
            try Interrupt.check()
            let s = try Tensor.full([n], start, noise.dtype)
            if index > 0 {
                x = try path.point(.randn(x.shape, x.dtype), x, s)
            } else if start > 0 {
                x = try path.point(x, .zeros(x.shape, x.dtype), s)
            }
            let jump = { try generator.stepping.jump(x, s, end, condition) }
            x = index == starts.count - 1 ? try jump() : try withoutGradient(jump)
        }
        return x
    }
}
