import RiffleNN
import RiffleTensor

/// FreeFlow (Tong et al. 2511.19428): a flow map from its teacher and noise alone. The prediction makes the velocity
/// along the student's own path the teacher's; the correction makes the flow of the student's samples the teacher's,
/// as an online network knows it, which learns by `FGMOnlineLoss`.
///
///     prediction  |u(z, 0, t) - sg (v*_t(X_t) - t du/dt)|^2,  X_t = z + t u(z, 0, t)
///     correction  |u(z, 0, 1) - sg (u(z, 0, 1) - l (v_r(x_r) - v*_r(x_r)))|^2,  x_r = (1 - r) e + r X_1
///     l = correction E |G| / (E |N| + 1e-6)
///
/// v* is the teacher, v the online network. G is the residual of the prediction and N = v - v*, whose lengths, the
/// root mean squares of a sample's numbers, l brings to one size. The prediction is the Lagrangian form of AYF from
/// noise alone and without its normalisation, the correction DMD's gradient without its own.
package struct FreeFlowLoss {
    package var options = LossOptions()
    /// How large the correction is beside the prediction.
    package var correction = 1.0

    package init() { (options.times.law, options.adaptivePower) = (.start, 1) }

    /// - Parameters:
    ///   - student: takes two times.
    ///   - noise: z [n, ...].
    package func callAsFunction(
        _ student: Network, _ online: Network, _ teacher: Network, _ noise: Tensor, _ condition: Condition? = nil
    ) throws -> Loss {
        let n = try FlowBatch.count(noise, "freeflow", named: "z")
        try checkClasses([("student", student), ("teacher", teacher), ("online network", online)])
        try checkApart([("student", student), ("teacher", teacher), ("online network", online)])
        guard options.times.law == .start, options.times.from == 0 else {
            throw RiffleError("freeflow", "jumps begin at noise, with times = 'start' and from = 0")
        }
        let roles = try Roles(student, teacher: teacher)
        let zero = try Tensor.zeros([n], noise.dtype), (_, t) = try options.times.pairs(n, noise.dtype)
        let jumps = Jumps(x: noise, s: zero, t: t, condition: condition)
        let (u, now, du) = try roles.alongEndStopped(jumps)
        let wanted = try roles.instant(jumps.end(now), t, condition) - jumps.span() * du
        var terms = Terms(options)
        let residual = try u - wanted
        try terms.add("prediction", residual, jumps)
        if correction > 0 {
            let whole = jumps.to(try .ones([n], noise.dtype))
            let last = try roles.student(whole), held = last.detach()
            let push = try gap(held, whole, online, teacher)
            let size = try length(residual.detach()).mean() / (length(push).mean() + 1e-6)
            try terms.add("correction", last - (held - push * size * correction), whole)
        }
        return try terms.loss("freeflow")
    }

    /// The online network's velocity less the teacher's for the student's samples with noise, a constant.
    private func gap(_ u: Tensor, _ whole: Jumps, _ online: Network, _ teacher: Network) throws -> Tensor {
        let made = try whole.end(u), n = whole.count
        let r = try Tensor.rand([n], made.dtype)
        let x = try Path.linear.point(.randn(made.shape, made.dtype), made, r)
        let own = try constant("online", online) { try $0.velocity(x, r, whole.condition) }
        return try own - constant("teacher", teacher) { try $0.velocity(x, r, whole.condition) }
    }

    private func length(_ x: Tensor) throws -> Tensor { try sampleMean(x.square()).sqrt() }
}

extension FreeFlowLoss: LossWithOptions {
    static let method = LossMethod(
        "freeflow", FreeFlowLoss.init, given: [.student, .online, .teacher, .generatorNoise, .labels],
        [Option("correction", \.correction, .nonNegative, "the size of the correction beside the prediction's")],
        shared: LossOptions.timing + LossOptions.measure,
        Doc(
            "FreeFlow: a flow map from noise alone, predicted along its own path and corrected at its end.",
            formula: """
                L = E |u(z, 0, t) - sg (v*_t(X_t) - t du/dt)|^2 \
                + E |u(z, 0, 1) - sg (u(z, 0, 1) - l (v(x_r) - v*(x_r)))|^2
                """,
            example: LossMethod.example("freeflow(teacher:two_timed(), teacher:copy(), teacher, z)"),
            source: "Tong et al. 2025, 2511.19428",
            parts: [
                Doc.Part("prediction", "the student's path against the teacher's velocity"),
                Doc.Part("correction", "the squared size of the correction"),
            ])
    ) { loss, arguments in
        try loss(
            arguments.object("student"), arguments.object("online"), arguments.object("teacher"),
            arguments.tensor("z"), arguments.condition("labels"))
    }
}
