import RiffleNN
import RiffleTensor

/// Progressive flow map matching (Boffi, Albergo and Vanden-Eijnden 2406.07507): one jump for several of the teacher's.
///
///     L = E |X_{s,t}(x_s) - X^_{u_k,t}( ... X^_{s,u_1}(x_s))|^2 / (t - s)^2,  t - s <= reach
///
/// The method goes in rounds: the teacher of the first is a velocity, whose jumps are steps of a solver; the teacher of
/// each further round is the student of the last, and `reach` doubles. A velocity and `reach` 1 give the one-stage
/// form.
package struct PFMMLoss {
    package var options = LossOptions()
    /// The longest jump that is learned.
    package var reach = 1.0
    /// The teacher's jumps or steps for one jump of the student.
    package var steps = 2
    /// The solver that follows a velocity.
    package var method: FixedStepMethod = .heun

    package init() {}

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(_ student: Network, _ teacher: Network, _ data: Tensor, _ condition: Condition? = nil)
        throws -> Loss
    {
        let roles = try Roles(student, teacher: teacher)
        let batch = try FlowBatch(
            data, condition, options, roles, operation: "pfmm",
            times: times(FlowBatch.count(data, "pfmm"), data.dtype))
        var terms = Terms(options)
        try terms.add(
            "progressive", roles.student(batch.jumps) - roles.teacherAverage(batch.jumps, method, steps: steps),
            batch.jumps)
        return try terms.loss("pfmm")
    }

    /// Pairs of times: the spans are `reach` times those that the options draw, and each start keeps its ratio to the
    /// latest start that its span allows.
    func times(_ n: Int, _ dtype: DType) throws -> (s: Tensor, t: Tensor) {
        let (s, t) = try options.times.pairs(n, dtype)
        let span = try t - s
        let shorter = try span * reach
        let start = try s * (1 - shorter) / (1 - span).clamp(1e-6, 1)
        return (start, try (start + shorter).minimum(.scalar(1, dtype)))
    }
}

extension PFMMLoss: LossByTeacher {
    static let method = LossMethod.withTeacher(
        "pfmm", PFMMLoss.init,
        [
            Option("reach", \.reach, .fraction(1e-6...1), "the longest jump"),
            Option("steps", \.steps, .integer(1...1000), "the teacher's steps for one jump of the student"),
            Option("method", \.method, "the solver that follows a velocity; a two-timed teacher jumps"),
        ],
        Doc(
            "Progressive flow map matching: one jump for several of the teacher's.",
            formula: "L = E |X_{s,t}(x_s) - X^_{m,t}(X^_{s,m}(x_s))|^2 / (t - s)^2, t - s <= reach",
            source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507",
            parts: [Doc.Part("progressive", "the whole loss")])
    )
}
