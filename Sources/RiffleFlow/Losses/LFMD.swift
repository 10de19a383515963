import RiffleNN
import RiffleTensor

/// Lagrangian flow map distillation (Boffi, Albergo and Vanden-Eijnden 2406.07507, LMD).
///
///     L = E |d/dt phi_{s,x}(t) - v_t(phi_{s,x}(t))|^2,  phi = x + (t - s) u(x, s, t)
///
/// The derivative is exact, by forward mode, and gradients flow through it.
public struct LFMDLoss {
    public enum Gradient: String, Sendable, CaseIterable {
        /// The teacher's answer is a constant: the usual form, and the more stable one.
        case semi
        /// Gradients also flow through the teacher into the place where it is asked.
        case full
    }

    public var gradient: Gradient = .semi
    /// Weight of |u(x, s, s) - v_s(x)|^2 on the first `initialFraction` of the batch.
    public var initialWeight = 0.0
    public var initialFraction = 0.25
    public var times: TimeSampling = .uniform

    public init() {}

    /// - Parameter data: x1 [n, ...].
    public func callAsFunction(_ student: Network, _ teacher: Network, _ data: Tensor, labels: Tensor? = nil) throws -> Loss {
        let batch = try TwoTimedBatch(data, labels: labels, times: times, operation: "lfmd")
        let span = try (batch.t - batch.s).alongside(batch.x)
        let (u, du) = try acting(as: "student") {
            try jvp([batch.t], [.ones([batch.count], batch.t.dtype)]) { try student.average(batch.x, batch.s, $0[0], labels: labels) }
        }
        let place = try batch.x + span * u
        let wanted = try acting(as: "teacher") {
            try teacher.evaluating {
                switch gradient {
                case .semi: try withoutGradient { try teacher.velocity(place.detach(), batch.t, labels: labels) }
                case .full: try teacher.frozen { try teacher.velocity(place, batch.t, labels: labels) }
                }
            }
        }
        let terminal = try meanSquare(u + span * du - wanted).mean()
        guard initialWeight > 0 else { return Loss(total: terminal, parts: [("terminal", try terminal.item())]) }
        let initial = try initialTerm(student, teacher, batch, fraction: initialFraction)
        return Loss(
            total: try terminal + initial * initialWeight,
            parts: [("initial", try initial.item()), ("terminal", try terminal.item())])
    }
}

/// E |u(x, s, s) - v_s(x)|^2 over the first part of the batch: the tangent condition at the start of a jump.
func initialTerm(_ student: Network, _ teacher: Network, _ batch: TwoTimedBatch, fraction: Double) throws -> Tensor {
    let count = initialCount(batch.count, fraction)
    let (x, s) = (try batch.x.sliced(0, 0..<count), try batch.s.sliced(0, 0..<count))
    let labels = try batch.labels?.sliced(0, 0..<count)
    let wanted = try acting(as: "teacher") { try withoutGradient { try teacher.evaluating { try teacher.velocity(x, s, labels: labels) } } }
    let got = try acting(as: "student") { try student.average(x, s, s, labels: labels) }
    return try meanSquare(got - wanted).mean()
}

/// How many samples of a batch the initial term takes: at least one.
func initialCount(_ n: Int, _ fraction: Double) -> Int { min(n, max(1, Int((Double(n) * fraction).rounded(.up)))) }
