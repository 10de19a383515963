import Glibc
import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

/// A loss with its formula as the documentation states it, so that value, gradient and stop-gradients can be held to
/// it.
struct LossCase: @unchecked Sendable, CustomTestStringConvertible {
    /// What a formula is made of. `live` takes gradients; `held` is the student as a constant.
    struct Setting {
        let live: GaussianFlow
        let held: GaussianFlow
        let target: GaussianFlow
        let teacher: GaussianFlow
        let batch: FlowBatch

        var jumps: Jumps { batch.jumps }
        var span: Tensor { get throws { try jumps.span() } }
        /// The teacher's velocity where the jumps start.
        var v: Tensor { get throws { try teacher.velocity(jumps.x, jumps.s) } }
        func u(_ network: Network) throws -> Tensor { try u(network, jumps) }
        func u(_ network: Network, _ jumps: Jumps) throws -> Tensor { try network.average(jumps.x, jumps.s, jumps.t) }
        func arrival(_ network: Network) throws -> Tensor { try jumps.end(u(network)) }
        func slopeAtEnd(_ network: Network) throws -> Tensor {
            try jvp([jumps.t], [.ones(jumps.t.shape, .float64)]) { try u(network, jumps.to($0[0])) }.tangent
        }
        func slopeAtStart(_ network: Network, along v: Tensor, time: Double = 1) throws -> Tensor {
            try jvp([jumps.x, jumps.s], [v, .full(jumps.s.shape, time, .float64)]) {
                try u(network, jumps.from($0[0], $0[1]))
            }.tangent
        }
    }

    let name: String
    /// The library's loss for student, teacher, data and target.
    let loss: @Sendable (Network, Network, Tensor, Network?) throws -> Loss
    /// What it squares, by the documentation.
    let residual: @Sendable (Setting) throws -> Tensor
    /// The times of its jumps for so many samples; pairs as they are usually drawn when nil.
    var times: (@Sendable (Int) throws -> (s: Tensor, t: Tensor))?

    init(
        _ name: String, _ loss: @escaping @Sendable (Network, Network, Tensor, Network?) throws -> Loss,
        times: (@Sendable (Int) throws -> (s: Tensor, t: Tensor))? = nil,
        residual: @escaping @Sendable (Setting) throws -> Tensor
    ) {
        (self.name, self.loss, self.times, self.residual) = (name, loss, times, residual)
    }

    var testDescription: String { name }

    /// Losses that vanish on the exact flow map, whatever the times.
    static let exact: [LossCase] = [
        LossCase("lfmd", { student, teacher, x, _ in try LFMDLoss()(student, teacher, x) }) { setting in
            try setting.u(setting.live) + setting.span * setting.slopeAtEnd(setting.live)
                - setting.teacher.velocity(setting.arrival(setting.held), setting.jumps.t)
        },
        LossCase(
            "lfmd full",
            { student, teacher, x, _ in
                var loss = LFMDLoss()
                loss.gradient = .full
                return try loss(student, teacher, x)
            }
        ) { setting in
            try setting.u(setting.live) + setting.span * setting.slopeAtEnd(setting.live)
                - setting.teacher.velocity(setting.arrival(setting.live), setting.jumps.t)
        },
        LossCase("efmd", { student, teacher, x, _ in try EFMDLoss()(student, teacher, x) }) { setting in
            try setting.v - setting.u(setting.live) + setting.span
                * setting.slopeAtStart(setting.live, along: setting.v)
        },
        LossCase(
            "efmd semi",
            { student, teacher, x, _ in
                var loss = EFMDLoss()
                loss.gradient = .semi
                return try loss(student, teacher, x)
            }
        ) { try semiEulerian($0, $0.v, from: $0.held) },
        LossCase("lsd", { try selfDistillation(.lagrangian)($0, $1, $2, target: $3) }) { setting in
            try setting.u(setting.live) + setting.span * setting.slopeAtEnd(setting.live)
                - setting.teacher.velocity(setting.arrival(setting.held), setting.jumps.t)
        },
        LossCase("esd", { try selfDistillation(.eulerian)($0, $1, $2, target: $3) }) {
            try semiEulerian($0, $0.v, from: $0.target)
        },
        LossCase("psd", { try selfDistillation(.progressive)($0, $1, $2, target: $3) }) {
            try $0.u($0.live) - halves($0)
        },
        LossCase("psd uniform", { try selfDistillation(.progressive, cut: .uniform)($0, $1, $2, target: $3) }) {
            setting in
            let part = try Tensor.rand([setting.jumps.count], .float64), share = try part.alongside(setting.jumps.x)
            let middle = try setting.jumps.s + part * (setting.jumps.t - setting.jumps.s),
                first = setting.jumps.to(middle)
            let before = try setting.u(setting.target, first),
                after = try setting.u(setting.target, setting.jumps.from(first.end(before), middle))
            return try setting.u(setting.live) - (share * before + (1 - share) * after)
        },
        LossCase(
            "lsd alone", { student, _, x, target in try selfDistillation(.lagrangian)(student, nil, x, target: target) }
        ) { setting in
            try setting.u(setting.live) + setting.span * setting.slopeAtEnd(setting.live)
                - setting.target.velocity(setting.arrival(setting.held), setting.jumps.t)
        },
        LossCase(
            "esd alone", { student, _, x, target in try selfDistillation(.eulerian)(student, nil, x, target: target) }
        ) { setting in
            try semiEulerian(setting, setting.target.velocity(setting.jumps.x, setting.jumps.s), from: setting.target)
        },
        LossCase("meanflow", { try meanFlow(improved: false)($0, $1, $2, target: $3) }) { setting in
            try setting.u(setting.live)
                - (setting.v + setting.span * setting.slopeAtStart(setting.target, along: setting.v))
        },
        LossCase("imf", { try meanFlow(improved: true)($0, $1, $2, target: $3) }) { setting in
            let along = try setting.u(setting.target, setting.jumps.starts)
            return try setting.u(setting.live) - setting.span * setting.slopeAtStart(setting.target, along: along)
                - setting.v
        },
        LossCase(
            "tvm",
            { student, teacher, x, target in
                var loss = TVMLoss()
                (loss.options.times, loss.velocityWeight) = (.uniform, 0)
                return try loss(student, teacher, x, target: target)
            }
        ) { setting in
            try setting.u(setting.live) + setting.span * setting.slopeAtEnd(setting.live)
                - setting.teacher.velocity(setting.arrival(setting.held), setting.jumps.t)
        },
        LossCase("ayf eulerian", { try AYFLoss()($0, $1, $2, target: $3) }) { setting in
            let now = try setting.u(setting.target),
                g = try setting.v - now + setting.span * setting.slopeAtStart(setting.target, along: setting.v)
            return try setting.u(setting.live) - (now + g / (g.abs() + 0.1))
        },
        LossCase(
            "ayf lagrangian",
            { student, teacher, x, target in
                var loss = AYFLoss()
                (loss.form, loss.normaliser) = (.lagrangian, 0)
                return try loss(student, teacher, x, target: target)
            }
        ) { setting in
            let now = try setting.u(setting.target), end = try setting.jumps.end(now)
            return try setting.u(setting.live)
                - (setting.teacher.velocity(end, setting.jumps.t) - setting.span * setting.slopeAtEnd(setting.target))
        },
        LossCase(
            "facm",
            { student, teacher, x, target in
                var loss = FACMLoss()
                (loss.anchorWeight, loss.options.adaptivePower) = (0, 0)
                return try loss(student, teacher, x, target: target)
            }, times: { (try .rand([$0], .float64), try .ones([$0], .float64)) }
        ) { setting in
            let s = setting.jumps.s, now = try setting.u(setting.target)
            let g = try now - (setting.v + setting.span * setting.slopeAtStart(setting.target, along: setting.v))
            let step = try (1 - s.sqrt()).alongside(setting.jumps.x) * g.clamp(-1, 1)
            return try (setting.u(setting.live) - (now - step)) * (s * (.pi / 2)).cos().sqrt().alongside(step)
        },
        itvm(.segmentQuotient) { setting, first, rest in
            let difference = try setting.arrival(setting.live) - first.end(setting.u(setting.live, first))
            return try difference / rest(setting.target).span() - setting.u(setting.target, rest(setting.target))
        },
    ]

    /// Losses that have an error on the exact flow map, of the teacher's steps or of a part of the way that they skip.
    static let approximate: [LossCase] = [
        LossCase(
            "itvm implicit midpoint, a part of the rest",
            { student, teacher, x, target in
                var loss = ITVMLoss()
                (loss.initialWeight, loss.lastStep, loss.offset, loss.offsetBase) = (0, .implicitMidpoint, 0.25, .rest)
                return try loss(student, teacher, x, target: target)
            }
        ) { setting in
            let jumps = setting.jumps, middle = try (jumps.t - ((1 - jumps.t) * 0.25 + 0.005)).maximum(jumps.s)
            let first = jumps.to(middle), last = try (jumps.t - middle).alongside(jumps.x)
            func ends(_ network: Network) throws -> (Tensor, Tensor) {
                (try first.end(setting.u(network, first)), try setting.arrival(network))
            }
            let (begin, end) = try ends(setting.live), (before, after) = try ends(setting.target)
            let half = try (middle + jumps.t) / 2
            return try (end - begin) / last - setting.teacher.velocity((before + after) / 2, half)
        },
        itvm(.laggedQuotient) { setting, first, rest in
            let difference = try setting.arrival(setting.live) - first.end(setting.u(setting.live, first)),
                last = try rest(setting.target)
            return try difference / last.span() - setting.teacher.velocity(last.x, last.s)
        },
        itvm(.lagged) { setting, _, rest in
            let last = try rest(setting.target), end = try last.end(setting.teacher.velocity(last.x, last.s))
            return try setting.u(setting.live) - (end - setting.jumps.x) / setting.span
        },
        itvm(.segment) { setting, _, rest in
            let last = try rest(setting.held)
            return try setting.arrival(setting.live) - last.end(setting.u(setting.target, last))
        },
        itvm(.tangent) { setting, first, rest in
            let slope = try (setting.u(setting.target) - setting.u(setting.target, first)) / rest(setting.target).span()
            return try setting.u(setting.live)
                - (setting.teacher.velocity(setting.arrival(setting.target), setting.jumps.t) - setting.span * slope)
        },
        LossCase(
            "alphaflow",
            { student, teacher, x, target in
                var loss = AlphaFlowLoss(alpha: 0.5)
                loss.diagonal = 0
                return try loss(student, teacher, x, target: target)
            }
        ) { setting in
            let jumps = setting.jumps, middle = try (jumps.s + jumps.t) * 0.5
            let later = try setting.u(setting.target, jumps.from(jumps.to(middle).end(setting.v), middle))
            // Its square is over alpha.
            return try (setting.u(setting.live) - (setting.v + later) * 0.5) * 2.0.squareRoot()
        },
        LossCase(
            "twinflow",
            { student, teacher, x, target in
                var loss = TwinFlowLoss()
                (loss.step, loss.oneStep, loss.diagonal, loss.options.adaptivePower) = (0.25, 0, 0, 0)
                return try loss(student, teacher, x, target: target)
            }
        ) { setting in
            let jumps = setting.jumps, h = try (jumps.t - jumps.s).minimum(.scalar(0.25, .float64))
            let step = jumps.to(try jumps.s + h), s = step.t, middle = try (s + jumps.t) * 0.5
            let first = try step.from(step.end(setting.v), s, to: middle)
            let second = try first.from(first.end(setting.u(setting.target, first)), middle, to: jumps.t)
            let reached = try second.end(setting.u(setting.target, second))
            let g = try (setting.arrival(setting.held) - reached) / step.span()
            return try setting.u(setting.live) - (setting.u(setting.held) - g.clamp(-1, 1))
        },
        LossCase(
            "pfmm",
            { student, teacher, x, _ in
                var loss = PFMMLoss()
                (loss.method, loss.steps) = (.euler, 2)
                return try loss(student, teacher, x)
            }
        ) { try $0.u($0.live) - eulerTwice($0) },
        LossCase(
            "progressive", { student, teacher, x, _ in try ProgressiveLoss(steps: 4)(student, teacher, x) },
            times: { try grid($0, steps: 4) }
        ) {
            try $0.u($0.live) - eulerTwice($0)
        },
        LossCase(
            "shortcut",
            { student, teacher, x, target in
                var loss = ShortcutLoss()
                (loss.bootstrap, loss.depth) = (1, 3)
                return try loss(student, teacher, x, target: target)
            },
            times: { n in
                let length = try ((Tensor.rand([n], .float64) * 3).floor() * -log(2)).exp(),
                    s = try (Tensor.rand([n], .float64) / length).floor() * length
                return (s, try s + length)
            }
        ) { setting in
            // Halves of 1/8 are velocities.
            let half = try (setting.jumps.t - setting.jumps.s) * 0.5, middle = try setting.jumps.s + half
            let asked = try half * half.gt(.scalar(0.13, .float64)),
                first = try setting.u(setting.target, setting.jumps.to(setting.jumps.s + asked))
            let point = try setting.jumps.to(middle).end(first)
            return try setting.u(setting.live)
                - (first + setting.u(setting.target, setting.jumps.from(point, middle, to: middle + asked))) * 0.5
        },
        LossCase(
            "consistency",
            { student, teacher, x, target in
                var loss = ConsistencyLoss()
                (loss.steps, loss.method) = (4, .euler)
                return try loss(student, teacher, x, target: target)
            }, times: { (try grid($0, steps: 4).s, try .ones([$0], .float64)) }
        ) { setting in
            let r = try setting.jumps.s + 0.25, later = try setting.jumps.from(setting.jumps.to(r).end(setting.v), r)
            return try setting.arrival(setting.live) - later.end(setting.u(setting.target, later))
        },
        LossCase(
            "consistency_fm",
            { student, teacher, x, target in
                var loss = ConsistencyFMLoss()
                (loss.segments, loss.gap, loss.velocityWeight) = (1, 0.125, 0)
                return try loss(student, teacher, x, target: target)
            }, times: { (try .rand([$0], .float64), try .ones([$0], .float64)) }
        ) { setting in
            let r = try (setting.jumps.s + 0.125).minimum(.scalar(1, .float64))
            let later = try setting.jumps.from(setting.jumps.to(r).end(setting.v), r)
            return try setting.arrival(setting.live) - later.end(setting.u(setting.target, later))
        },
    ]

    /// A form of ITVM with Euler's last step and a relative offset of a quarter. `residual` gets the setting, the jumps
    /// to t', and the rest of the way from where a network's first jump ends.
    private static func itvm(
        _ terminal: ITVMLoss.Terminal,
        residual: @escaping @Sendable (Setting, Jumps, (Network) throws -> Jumps) throws -> Tensor
    ) -> LossCase {
        LossCase(
            "itvm \(terminal.rawValue)",
            { student, teacher, x, target in
                var loss = ITVMLoss()
                (loss.terminal, loss.initialWeight, loss.lastStep, loss.offset, loss.offsetBase) = (
                    terminal, 0, .euler, 0.25, .jump
                )
                return try loss(student, teacher, x, target: target)
            }
        ) { setting in
            let jumps = setting.jumps, middle = try jumps.t - (jumps.t - jumps.s) * 0.25, first = jumps.to(middle)
            return try residual(setting, first) { try jumps.from(first.end(setting.u($0, first)), middle) }
        }
    }

    private static func grid(_ n: Int, steps: Int) throws -> (s: Tensor, t: Tensor) {
        let s = try (Tensor.rand([n], .float64) * Double(steps)).floor() / Double(steps)
        return (s, try s + 1 / Double(steps))
    }

    /// The average velocity of two Euler steps of the teacher.
    private static func eulerTwice(_ setting: Setting) throws -> Tensor {
        let jumps = setting.jumps, middle = try (jumps.s + jumps.t) * 0.5
        return try (setting.v + setting.teacher.velocity(jumps.to(middle).end(setting.v), middle)) * 0.5
    }

    private static func semiEulerian(_ setting: Setting, _ v: Tensor, from frozen: GaussianFlow) throws -> Tensor {
        let zero = try v * 0
        let inTime = try setting.span * setting.slopeAtStart(setting.live, along: zero) - setting.u(setting.live)
        return try inTime + v + setting.span * setting.slopeAtStart(frozen, along: v, time: 0)
    }

    private static func halves(_ setting: Setting) throws -> Tensor {
        let jumps = setting.jumps, middle = try (jumps.s + jumps.t) * 0.5, first = jumps.to(middle)
        let before = try setting.u(setting.target, first)
        return try (before + setting.u(setting.target, jumps.from(first.end(before), middle))) * 0.5
    }

    private static func selfDistillation(
        _ form: SelfDistillationLoss.Form, cut: SelfDistillationLoss.Cut = .middle
    ) -> SelfDistillationLoss {
        var loss = SelfDistillationLoss(form)
        (loss.cut, loss.diagonal) = (cut, 0)
        return loss
    }

    private static func meanFlow(improved: Bool) -> MeanFlowLoss {
        var loss = MeanFlowLoss()
        (loss.isImproved, loss.diagonal, loss.options.adaptivePower) = (improved, 0, 0)
        return loss
    }
}
