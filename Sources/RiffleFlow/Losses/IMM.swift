import RiffleNN
import RiffleTensor

/// Inductive moment matching (Zhou, Ermon and Song 2503.07565), from data alone: the ends of jumps from two times close
/// by have one distribution, which a kernel compares over groups of samples.
///
///     L = E w(s, t) / M^2 sum over j, k of K(y_j, y_k) + K(z_j, z_k) - 2 K(y_j, z_k)
///     y = X_{s,t}(x_s),  z = sg X_{r,t}(x_r),  K(y, z) = exp(-max(|y - z|, 1e-8) / ((t - s) D))
///
/// The M samples of a group share s, r and t; x_s and x_r lie on one path. D counts a sample's numbers. r lies a fixed
/// step later than s in the ratio (1 - s) / s of noise to data, up to t, and w(s, t) are the paper's weights with a = 1
/// and b = 4. Times begin at 0.006. On the linear path.
package struct IMMLoss {
    package var options = LossOptions()
    /// M.
    package var group = 4
    /// The step from s to r in the ratio of noise to data: 160 / 2^12.
    package var step = 160.0 / 4096

    package init() { options.times.from = 0.006 }

    /// - Parameters:
    ///   - data: x1 [n, ...], n a multiple of the group.
    ///   - condition: of each sample; a group may have several, and both ends of a path have the sample's own.
    ///   - target: the student itself where nil, as in the paper.
    package func callAsFunction(
        _ student: Network, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        let n = try FlowBatch.count(data, "imm")
        guard options.path == .linear else {
            throw RiffleError("imm", "the path must be linear, got \(options.path.rawValue)")
        }
        guard n % group == 0, options.times.from > 0 else {
            throw RiffleError(
                "imm",
                n % group == 0
                    ? "times begin above 0, where the ratio of noise to data is infinite"
                    : "a batch must be a multiple of the group, \(group), got \(n)")
        }
        let roles = try Roles(student, target: target), groups = n / group
        let (starts, ends) = try options.times.pairs(groups, data.dtype)
        func each(_ times: Tensor) throws -> Tensor {
            try times.unsqueezed(1).expanded(to: [groups, group]).reshaped(to: [n])
        }
        let (s, t) = (try each(starts), try each(ends))
        let batch = try FlowBatch(data, condition, options, roles, operation: "imm", times: (s, t))
        // (1 - r) / r = (1 - s) / s - step.
        let r = try (s.pow(-1) - step).maximum(.scalar(1, s.dtype)).pow(-1).minimum(t)
        let later = try batch.jumps.from(options.path.point(batch.noise, data, r), r)
        let y = try batch.jumps.end(roles.student(batch.jumps))
        let z = try later.end(roles.target(later)).detach()
        let losses = try discrepancy(rows(y, groups), rows(z, groups), (ends - starts).maximum(.scalar(1e-4, s.dtype)))
        var terms = Terms(options)
        let first = Jumps(x: starts, s: starts, t: ends, condition: nil)
        try terms.add("imm", losses: losses * weights(starts), first)
        return try terms.loss("imm")
    }

    /// [n, ...] -> [groups, M, D].
    private func rows(_ x: Tensor, _ groups: Int) throws -> Tensor {
        try x.reshaped(to: [groups, group, x.count / (groups * group)])
    }

    /// The kernel's squared maximum mean discrepancy of each group, [groups].
    private func discrepancy(_ y: Tensor, _ z: Tensor, _ span: Tensor) throws -> Tensor {
        let scale = try (span * Double(y.shape[2])).reshaped(to: [span.count, 1, 1])
        func kernel(_ a: Tensor, _ b: Tensor) throws -> Tensor {
            let square = try (a.unsqueezed(2) - b.unsqueezed(1)).square().sum([3])
            return try (-(square.clamp(1e-16, .infinity).sqrt() / scale)).exp()
        }
        return try (kernel(y, y) + kernel(z, z) - kernel(y, z) * 2).mean([1, 2])
    }

    /// sigmoid(4 - l) / ((1 - s) (s^2 + (1 - s)^2)), l = 2 log(s / (1 - s)): half of sigmoid(b - l) dl/ds times the
    /// data's part s over the sum of squares.
    private func weights(_ s: Tensor) throws -> Tensor {
        let noise = try (1 - s).maximum(.scalar(1e-6, s.dtype)), snr = try (s / noise).log() * 2
        return try (4 - snr).sigmoid() / (noise * (s.square() + noise.square()))
    }
}

extension IMMLoss: LossWithOptions {
    static let method = LossMethod(
        "imm", IMMLoss.init, given: [.student, .data, .target, .labels],
        [
            Option(
                "group", \.group, .integer(2...65_536), "samples that share times and are compared with one another"),
            Option("step", \.step, .fraction(1e-6...160), "from s to r in the ratio (1 - s) / s of noise to data"),
        ],
        shared: LossOptions.timing + LossOptions.onPath + [LossOptions.weighing],
        Doc(
            "Inductive moment matching, from data alone: distributions of ends of jumps, compared by a kernel.",
            formula: "L = E w(s, t) MMD^2(X_{s,t}(x_s), sg X_{r,t}(x_r)), K = exp(-|y - z| / ((t - s) D))",
            example: """
                > riffle.flow.loss.imm(riffle.nn.mlp { width = 32 }:two_timed(), riffle.randn(8, 2)):shape()
                []
                """,
            source: "Zhou, Ermon and Song 2025, 2503.07565",
            parts: [Doc.Part("imm", "the whole loss")])
    ) { loss, arguments in
        try loss(
            arguments.object("student"), arguments.tensor("x"), target: arguments.optionalObject("target"),
            arguments.condition("labels"))
    }
}
