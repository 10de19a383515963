import RiffleNN
import RiffleTensor

/// Progressive distillation (Salimans and Ho 2202.00512) of velocities: one step of the student for two of the teacher.
///
///     L = E |u(x, s, s + h) - (u'(x, s, s + h/2) + u'(x', s + h/2, s + h)) / 2|^2,  s = 0, h, 2h, ... 1 - h
///
/// Networks with one time take Euler steps along their velocity. From round to round `steps` halves, and the last
/// student becomes the teacher.
package struct ProgressiveLoss {
    package var options = LossOptions()
    /// The student's steps from noise to data, 1 / h.
    package var steps: Int

    package init(steps: Int) { self.steps = steps }

    /// - Parameter data: x1 [n, ...].
    package func callAsFunction(_ student: Network, _ teacher: Network, _ data: Tensor, _ condition: Condition? = nil)
        throws -> Loss
    {
        let n = try FlowBatch.count(data, "progressive")
        let h = 1 / Double(steps)
        let step = try (Tensor.rand([n], data.dtype) * Double(steps)).floor()
        let s = try step.minimum(.scalar(Double(steps - 1), data.dtype)) * h
        let roles = try Roles(student.stepping, teacher: teacher)
        let batch = try FlowBatch(
            data, condition, options, roles, operation: "progressive", times: (s, s + h))
        var terms = Terms(options)
        try terms.add(
            "progressive", roles.student(batch.jumps) - roles.teacherAverage(batch.jumps, .euler, steps: 2), batch.jumps
        )
        return try terms.loss("progressive")
    }
}

extension ProgressiveLoss: LossByTeacher {
    static let method = LossMethod.withTeacher(
        "progressive", { ProgressiveLoss(steps: 1) }, student: .steppingStudent,
        [Option("steps", \.steps, .integer(1...1_000_000), "the student's, from noise to data", isRequired: true)],
        shared: LossOptions.onPath + LossOptions.measure,
        Doc(
            "Progressive distillation: one step for two of the teacher's. The student may take one time.",
            formula: "L = E |u(x, s, s + h) - (u'(x, s, s + h/2) + u'(x', s + h/2, s + h)) / 2|^2, h = 1 / steps",
            example: ", { steps = 8 }", source: "Salimans and Ho 2022, 2202.00512",
            parts: [Doc.Part("progressive", "the whole loss")])
    )
}
