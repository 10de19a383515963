import Glibc
import RiffleNN
import RiffleTensor

/// Consistency models in discrete time (Song et al. 2303.01469): points of one trajectory lead to the same data.
///
///     L = E weight |f(x_s, s) - sg f*(x_r, r)|^2,  f(x, s) = x + (1 - s) u(x, s, 1),  s < r <= 1
///
/// With a teacher, x_r is one step of a solver along its velocity from x_s (consistency distillation). Without a
/// teacher, x_r is the point of the path for the same noise and data (consistency training). f* is the target. For a
/// student with one time u(x, s, 1) is v(x, s).
package struct ConsistencyLoss {
    package var options = LossOptions()
    /// The number of equal steps, of which one leads from s to r; 32 where neither steps nor a stage are given.
    package var steps: Int?
    /// The stage of easy consistency tuning (Geng et al. 2406.14548), instead of steps, on the linear path: the noise
    /// level sigma = (1 - s) / s is multiplied with 1 - 2^-(stage + 1) (1 + 8 sigmoid(-sigma)), which grows with the
    /// stage. The weight is 1 / (sigma_s - sigma_r).
    package var stage: Int?
    /// The solver that follows the teacher.
    package var method: FixedStepMethod = .heun

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network? = nil, _ condition: Condition? = nil
    ) throws -> Loss {
        guard steps == nil || stage == nil else { throw RiffleError("consistency", "give steps or stage, not both") }
        if stage != nil, options.path != .linear {
            throw RiffleError(
                "consistency", "a stage is of noise levels on the linear path, got \(options.path.rawValue)")
        }
        let n = try FlowBatch.count(data, "consistency")
        let (s, r, weight) = try times(n, data.dtype)
        let roles = try Roles(student.stepping, teacher: teacher, target: target?.stepping)
        let batch = try FlowBatch(
            data, condition, options, roles, operation: "consistency",
            times: (s, .ones([n], data.dtype)))
        let later = try point(batch, r, roles)
        let jumps = batch.jumps
        let wanted = try later.end(roles.target(later))
        var terms = Terms(options)
        try terms.add("consistency", jumps.end(roles.student(jumps)) - wanted, jumps, scale: weight)
        return try terms.loss("consistency")
    }

    /// The jumps to time 1 from points of the same trajectories at times r.
    private func point(_ batch: FlowBatch, _ r: Tensor, _ roles: Roles) throws -> Jumps {
        let jumps = batch.jumps
        guard roles.hasTeacher else { return try jumps.from(options.path.point(batch.noise, batch.data, r), r) }
        let step = jumps.to(r)
        return try jumps.from(step.end(roles.teacherAverage(step, method)), r)
    }

    /// Times s < r and the weights of their losses, [n].
    func times(_ n: Int, _ dtype: DType) throws -> (s: Tensor, r: Tensor, weight: Tensor?) {
        guard let stage else {
            let count = Double(steps ?? 32)
            let s = try (options.times.sample(n, dtype) * count).floor().clamp(0, count - 1) / count
            return (s, try (s + 1 / count).minimum(.scalar(1, dtype)), nil)
        }
        let s = try options.times.sample(n, dtype).clamp(1e-4, 1)
        let sigma = try (1 - s) / s
        let stays = try (1 - (1 + (-sigma).sigmoid() * 8) * pow(2, -Double(stage + 1))).clamp(0, 1)
        let rest = try sigma * stays
        return (s, try (1 + rest).reciprocal(), try (sigma - rest).clamp(1e-4, .infinity).reciprocal())
    }
}

extension ConsistencyLoss: LossFromData {
    static let method = LossMethod.fromData(
        "consistency", ConsistencyLoss.init, student: .steppingStudent,
        [
            Option(
                "steps", \.steps, .integer(1...1_000_000),
                "equal steps of time, of which one separates the two points; 32 where no stage is given"),
            Option(
                "stage", \.stage, .integer(0...20),
                "the stage of easy consistency tuning's schedule, instead of steps, on the linear path"),
            Option("method", \.method, "the solver that follows the teacher"),
        ],
        Doc(
            "Consistency models: points of one trajectory lead to the same data. The student may take one time.",
            formula: "L = E |f(x_s, s) - sg f*(x_r, r)|^2, f(x, s) = x + (1 - s) u(x, s, 1), s < r",
            source: "Song et al. 2023, 2303.01469; Geng et al. 2024, 2406.14548",
            parts: [Doc.Part("consistency", "the whole loss")])
    )
}
