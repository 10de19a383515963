import Glibc
import RiffleNN
import RiffleTensor

/// Shortcut models (Frans et al. 2410.12557), and with a teacher their distillation (2512.02636): a jump equals two of
/// half its length, for lengths 1, 1/2, 1/4, ... on their grids; the rest of the batch learns the velocity.
///
///     L = E |u(x_s, s, s) - v|^2 + E |u(x_s, s, s + 2d) - sg (u*(x_s, s, s + d) + u*(x', s + d, s + 2d)) / 2|^2
///
/// u* is the target, an average of the student with decay 0.999 in the paper. The student never learns jumps of the
/// shortest half, so that the target's velocity stands for them.
package struct ShortcutLoss {
    package var options = LossOptions()
    /// The part of the batch that learns jumps.
    package var bootstrap = 0.125
    /// The shortest d is 2^-depth.
    package var depth = 7

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let roles = try Roles(student, teacher: teacher, target: target)
        let n = try FlowBatch.count(data, "shortcut")
        let k = try FlowBatch.part(bootstrap, of: n)
        func batch(_ rows: Range<Int>, _ times: (s: Tensor, t: Tensor)) throws -> FlowBatch? {
            guard !rows.isEmpty else { return nil }
            return try FlowBatch(
                data.sliced(0, rows), condition?.rows(rows), options, roles, operation: "shortcut",
                times: times, share: Double(rows.count) / Double(n))
        }
        let first = try batch(0..<k, jumpTimes(k, data.dtype))
        let s = try options.times.sample(n - k, data.dtype)
        let rest = try batch(k..<n, (s, s))
        var jumps = GatheredJumps()
        if let first { jumps.add(first.jumps) }
        if let rest { jumps.add(rest.jumps.starts) }
        let velocities = try jumps.evaluate(roles.student)
        var terms = Terms(options)
        if let rest, let u = velocities.last {
            try terms.add("velocity", u - roles.velocity(rest), rest.jumps.starts, weight: rest.share)
        }
        if let first, let u = velocities.first {
            try terms.add("shortcut", u - halves(first.jumps, roles), first.jumps, weight: first.share)
        }
        return try terms.loss("shortcut")
    }

    /// The mean of the target's two jumps of half the length.
    private func halves(_ jumps: Jumps, _ roles: Roles) throws -> Tensor {
        let half = try (jumps.t - jumps.s) * 0.5
        let middle = try jumps.s + half
        let isLearned = try half.gt(.scalar(pow(2, -Double(depth)) * 1.5, half.dtype))
        let before = try roles.target(jumps.to(jumps.s + half * isLearned))
        let point = try jumps.to(middle).end(before)
        return try (before + roles.target(jumps.from(point, middle, to: middle + half * isLearned))) * 0.5
    }

    /// Jumps of length 2^-k, k below `depth`, from the multiples of their length.
    private func jumpTimes(_ n: Int, _ dtype: DType) throws -> (s: Tensor, t: Tensor) {
        let level = try (Tensor.rand([n], dtype) * Double(depth)).floor().clamp(0, Double(depth - 1))
        let length = try (level * -log(2)).exp()
        let s = try (Tensor.rand([n], dtype) / length).floor() * length
        return (s, try (s + length).minimum(.scalar(1, dtype)))
    }
}

extension ShortcutLoss: LossFromData {
    static let method = LossMethod.fromData(
        "shortcut", ShortcutLoss.init,
        [
            Option("bootstrap", \.bootstrap, .fraction(0...1), "the part of the batch that learns jumps"),
            Option("depth", \.depth, .integer(1...30), "the shortest half is 2^-depth"),
        ],
        Doc(
            "Shortcut models, and with a teacher their distillation: a jump equals two of half its length.",
            formula:
                "L = E |u(x, s, s) - v|^2 + E |u(x, s, s + 2d) - sg (u*(x, s, s + d) + u*(x', s + d, s + 2d)) / 2|^2",
            source: "Frans et al. 2024, 2410.12557; with a teacher 2512.02636",
            parts: [.velocity, Doc.Part("shortcut", "one jump against two")])
    )
}
