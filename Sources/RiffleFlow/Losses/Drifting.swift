import RiffleNN
import RiffleTensor

/// Drifting models (2602.04770): a generator whose samples drift towards data and away from each other, without a
/// teacher and without a second network.
///
///     L = E |g(z) / c - sg (g(z) / c + sum over radii R of V_R / |V_R|)|^2
///     V_R(x_i) = sum over data y_j of a_ij N_i (y_j - x_i) - sum over samples x_j of a_ij P_i (x_j - x_i), over c
///     a_ij = sqrt (softmax_j (-d_ij / R) softmax_i (-d_ij / R)),  P_i and N_i the sums of a_ij over data and samples
///
/// d_ij are distances over their mean D, without a sample's to itself, and c = D / sqrt (numbers of a sample). |V_R| is
/// the root mean square of all forces.
///
/// Distances may be those of `features` of the samples, and then the features drift.
package struct DriftingLoss {
    package var options = LossOptions()
    package var generation = Generation()
    /// The radii over which forces act, as parts of the mean distance.
    private static let radii = [0.02, 0.05, 0.2]

    package init() {}

    /// - Parameters:
    ///   - noise: z [n, ...].
    ///   - data: [m, ...].
    ///   - features: of samples, [k, ...] for k of them; the samples themselves where nil.
    package func callAsFunction(
        _ generator: Network, _ noise: Tensor, _ data: Tensor, _ condition: Condition? = nil,
        features: Module? = nil
    ) throws -> Loss {
        let n = try FlowBatch.count(noise, "drifting", named: "z"), m = try FlowBatch.count(data, "drifting")
        guard noise.shape.removing(0) == data.shape.removing(0) else {
            throw RiffleError("drifting", "z and x hold samples of one shape (z \(noise.shape), x \(data.shape))")
        }
        guard n > 1, m > 1 else {
            throw RiffleError(
                "drifting", "forces need two samples and two data or more (z \(noise.shape), x \(data.shape))")
        }
        func rows(_ x: Tensor) throws -> Tensor {
            let x =
                try features.map { module in try module.evaluating { try module.frozen { try module.forward([x]) } } }
                ?? x
            return try x.reshaped(to: [x.shape[0], x.count / x.shape[0]])
        }
        let made = try rows(generation.trained(generator, noise, options.path, condition))
        let (scale, forces) = try withoutGradient { try self.forces(made.detach(), rows(data)) }
        let ends = try Tensor.ones([n], noise.dtype)
        let jumps = Jumps(x: noise, s: try .zeros([n], noise.dtype), t: ends, condition: condition)
        var terms = Terms(options)
        let scaled = try made / scale
        try terms.add("drifting", scaled - (scaled.detach() + forces), jumps)
        return try terms.loss("drifting")
    }

    /// c, and the forces on samples [n, d] at data [m, d].
    private func forces(_ made: Tensor, _ data: Tensor) throws -> (Tensor, Tensor) {
        let n = made.shape[0], others = try Tensor.cat([made, data], 0)
        let squares = try made.square().sum([1], keep: true) + others.square().sum([1], keep: true).transposed()
        let distances = try (squares - made.matmul(others.transposed()) * 2).clamp(1e-8, .infinity).sqrt()
        let mean = try distances.mean().clamp(1e-3, .infinity), width = Double(made.shape[1]).squareRoot()
        let scale = try (mean / width).clamp(1e-3, .infinity)
        let own = try Tensor((0..<n).map { Int32($0 + 1) }, [n]).oneHot(others.shape[0]).converted(to: made.dtype)
        // A sample is far from itself.
        let apart = try distances / mean + own * 100
        let (x, y) = (try made / scale, try others / scale)
        let force = try DriftingLoss.radii.map { radius in
            let logits = try apart * (-1 / radius)
            let a = try (logits.softmax() * logits.transposed().softmax().transposed()).clamp(1e-6, .infinity).sqrt()
            let (near, far) = (try a.sliced(1, 0..<n), try a.sliced(1, n..<a.shape[1]))
            let pulls = try Tensor.cat(
                [near * far.sum([1], keep: true) * -1, far * near.sum([1], keep: true)], 1)
            let force = try pulls.matmul(y) - pulls.sum([1], keep: true) * x
            return try force / force.square().mean().clamp(1e-8, .infinity).sqrt()
        }
        return (scale, try force.dropFirst().reduce(force[0]) { try $0 + $1 })
    }
}

extension DriftingLoss: LossWithOptions {
    static let method = LossMethod(
        "drifting", DriftingLoss.init,
        given: [
            .generator, .generatorNoise, .data, .labels,
            Argument(
                "features", .object("module"), "a network whose values of the samples drift instead", default: .none),
        ],
        Generation.options.of(\.generation),
        shared: [LossOptions.route] + LossOptions.measure,
        Doc(
            "Drifting: a generator's samples drift towards data and away from each other, without a teacher.",
            formula: "L = E |g / c - sg (g / c + sum_R V_R / |V_R|)|^2, V attraction to data less that to samples",
            example: LossMethod.example("drifting(teacher:copy(), z, riffle.randn(16, 2))"),
            source: "2602.04770", parts: [Doc.Part("drifting", "the squared length of the forces")])
    ) { loss, arguments in
        try loss(
            arguments.object("generator"), arguments.tensor("z"), arguments.tensor("x"), arguments.condition("labels"),
            features: arguments.optionalObject("features"))
    }
}
