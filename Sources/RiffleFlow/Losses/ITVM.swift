import RiffleNN
import RiffleTensor

/// Initial/terminal velocity matching (Khungurn et al. 2505.01169): a two-timed student matched to its teacher at both
/// ends of a jump, without a derivative.
///
///     L = initialWeight E |u(x, s, s) - v_s(x)|^2 + terminalWeight E (terminal term)
///
/// Of the paper the abstract is public, so the terminal term is a family. With t' = max(s, t - offset),
/// phi(t) = x + (t - s) u(x, s, t), and sg for what takes no gradient (`target` is an average of the student, or it itself):
///
/// | terminal | term |
/// | --- | --- |
/// | laggedQuotient | \|(phi(t) - phi(t')) / (t - t') - sg w\|^2, w the teacher's average velocity from target phi(t') |
/// | lagged | \|u(x, s, t) - sg (target phi(t') + (t - t') w - x) / (t - s)\|^2, w likewise |
/// | segmentQuotient | as laggedQuotient, w = target u(target phi(t'), t', t) |
/// | segment | \|phi(t) - sg (p + (t - t') target u(p, t', t))\|^2, p = phi(t') |
/// | tangent | \|u(x, s, t) - sg (v_t(target phi(t)) - (t - s) (target u(x, s, t) - target u(x, s, t')) / (t - t'))\|^2 |
public struct ITVMLoss {
    public enum Terminal: String, Sendable, CaseIterable {
        case laggedQuotient = "lagged_quotient"
        case lagged
        case segmentQuotient = "segment_quotient"
        case segment
        case tangent
    }

    public var terminal: Terminal = .laggedQuotient
    /// How the teacher goes from t' to t.
    public var lastStep: FixedStepMethod = .heun
    /// t - t', or with `isOffsetRelative` its part of t - s.
    public var offset = 0.1
    public var isOffsetRelative = false
    public var initialWeight = 1.0
    public var terminalWeight = 1.0
    /// The part of the batch that the initial term takes.
    public var initialFraction = 0.25
    public var times: TimeSampling = .uniform

    public init() {}

    /// Below this a span counts as this long, so that ratios of spans stay finite.
    private static let shortest = 1e-5

    /// - Parameters:
    ///   - target: what the student looks up to, usually its average with decay 0.99; the student itself when nil.
    ///   - data: x1 [n, ...].
    public func callAsFunction(
        _ student: Network, _ teacher: Network, _ data: Tensor, target: Network? = nil, labels: Tensor? = nil
    ) throws -> Loss {
        let batch = try TwoTimedBatch(data, labels: labels, times: times, operation: "itvm")
        let jump = try Jump(batch, offset: offset, isRelative: isOffsetRelative, shortest: Self.shortest)
        let guide = Guide(target: target ?? student, teacher: teacher, labels: labels, lastStep: lastStep)
        let asksTwice = terminal == .laggedQuotient || terminal == .segmentQuotient || terminal == .segment

        // One call of the student answers every question about it.
        var questions = Gathered()
        questions.add(batch.x, batch.s, batch.t, labels)
        if asksTwice { questions.add(batch.x, batch.s, jump.middle, labels) }
        let count = initialWeight > 0 ? initialCount(batch.count, initialFraction) : 0
        if count > 0 {
            let s = try batch.s.sliced(0, 0..<count)
            questions.add(try batch.x.sliced(0, 0..<count), s, s, try labels?.sliced(0, 0..<count))
        }
        let answers = try acting(as: "student") { try questions.ask { try student.average($0, $1, $2, labels: $3) } }
        let residual = try self.residual(batch, jump, guide, u: answers[0], earlier: asksTwice ? answers[1] : nil)
        let terminal = try meanSquare(residual).mean()
        var (total, parts) = (try terminal * terminalWeight, [("terminal", try terminal.item())])
        if count > 0, let start = answers.last {
            let wanted = try guide.velocity(batch.x.sliced(0, 0..<count), batch.s.sliced(0, 0..<count), labels?.sliced(0, 0..<count))
            let initial = try meanSquare(start - wanted).mean()
            total = try total + initial * initialWeight
            parts.insert(("initial", try initial.item()), at: 0)
        }
        return Loss(total: total, parts: parts.map { (name: $0.0, value: $0.1) })
    }

    /// What the terminal term squares, [n, ...]. `u` is u(x, s, t), `earlier` u(x, s, t').
    private func residual(_ batch: TwoTimedBatch, _ jump: Jump, _ guide: Guide, u: Tensor, earlier: Tensor?) throws -> Tensor {
        let x = batch.x, before = try jump.before.alongside(x), last = try jump.last.alongside(x), whole = try jump.whole.alongside(x)
        switch terminal {
        case .laggedQuotient, .segmentQuotient:
            let place = try x + before * guide.average(x, batch.s, jump.middle)
            let wanted = terminal == .laggedQuotient
                ? try guide.averageOfTeacher(place, jump.middle, batch.t, last)
                : try guide.average(place, jump.middle, batch.t)
            // x cancels in phi(t) - phi(t'), so the quotient is one of velocities and exact for short spans.
            return try u * (whole / last) - (earlier ?? u) * (before / last) - wanted
        case .lagged:
            let velocity = try guide.average(x, batch.s, jump.middle)
            let wanted = try guide.averageOfTeacher(x + before * velocity, jump.middle, batch.t, last)
            return try u - (velocity * before + wanted * last) / whole
        case .segment:
            let velocity = (earlier ?? u).detach()
            let wanted = try guide.average(x + before * velocity, jump.middle, batch.t)
            return try u * whole - (velocity * before + wanted * last)
        case .tangent:
            let (now, then) = (try guide.average(x, batch.s, batch.t), try guide.average(x, batch.s, jump.middle))
            let slope = try (now - then) / last
            return try u - (guide.velocity(x + whole * now, batch.t, batch.labels) - whole * slope)
        }
    }
}

/// A jump from s to t with the time t' where its last part begins; all [n].
private struct Jump {
    let middle: Tensor
    /// t' - s, t - t' and t - s: the last two held above the shortest, and the first two always adding up to the third.
    let before: Tensor
    let last: Tensor
    let whole: Tensor

    init(_ batch: TwoTimedBatch, offset: Double, isRelative: Bool, shortest: Double) throws {
        let span = try batch.t - batch.s
        middle = isRelative ? try batch.t - span * offset : try (batch.t - offset).maximum(batch.s)
        last = try (batch.t - middle).clamp(shortest, .infinity)
        whole = try span.maximum(last)
        before = try whole - last
    }
}

/// The frozen networks: what they answer takes no gradient, and dropout is off.
private struct Guide {
    let target: Network
    let teacher: Network
    let labels: Tensor?
    let lastStep: FixedStepMethod

    func average(_ x: Tensor, _ s: Tensor, _ t: Tensor) throws -> Tensor {
        try acting(as: "target") { try withoutGradient { try target.evaluating { try target.average(x.detach(), s, t, labels: labels) } } }
    }

    func velocity(_ x: Tensor, _ t: Tensor, _ labels: Tensor?) throws -> Tensor {
        try acting(as: "teacher") { try withoutGradient { try teacher.evaluating { try teacher.velocity(x.detach(), t, labels: labels) } } }
    }

    /// The teacher's average velocity from x at s to t, by one step of length h [n, 1, ...].
    func averageOfTeacher(_ x: Tensor, _ s: Tensor, _ t: Tensor, _ h: Tensor) throws -> Tensor {
        try withoutGradient {
            let x = x.detach(), first = try velocity(x, s, labels)
            switch lastStep {
            case .euler: return first
            case .midpoint: return try velocity(x + first * h * 0.5, (s + t) * 0.5, labels)
            case .heun: return try (first + velocity(x + first * h, t, labels)) * 0.5
            case .rk4: throw RiffleError("itvm", "the last step is euler, midpoint or heun")
            }
        }
    }
}
