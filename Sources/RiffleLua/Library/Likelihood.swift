import RiffleFlow
import RiffleNN
import RiffleTensor

/// How probable a network holds data to be.
enum LikelihoodLibrary {
    static let functions: [Function] = [
        Function(
            "flow.log_likelihood",
            [
                Argument("net", .object("network")), Argument("x", .tensor, "data [n, ...]"),
                Argument(
                    "method", SolverArguments.methods, "dopri5 when neither it nor a grid is given, heun with a grid",
                    default: .none), SolverArguments.steps,
                Argument("times", .list(.number), "the grid instead, from 1, the data, down to 0", default: .none),
            ] + SolverArguments.tolerances + [
                Argument(
                    "probes", .integer(1...1_000_000),
                    "random directions of Hutchinson's estimate; exact when not given", default: .none),
                .labels,
            ],
            Doc(
                "The log-density of data under a velocity network, in nats. Returns it and { nfe, times, rejected, "
                    + "latent }.",
                formula: "log p(x) = log N(z; 0, I) - integral over t of div v(x_t, t), z = x_0",
                shapes: "x [n, ...] -> [n]",
                example:
                    """
                    > local still = riffle.nn.module { forward = function(self, x, t) return x * 0 end }
                    > (riffle.flow.log_likelihood(still, riffle.zeros(2, 2), { method = "euler", steps = 1 }))
                    tensor float32 [2]: -1.83788 -1.83788
                    """,
                source: "Chen et al. 2018; Grathwohl et al. 2019, FFJORD")
        ) { arguments in
            let (network, x) = (arguments.object("net", as: Network.self), arguments.tensor("x"))
            let divergence = arguments.optionalInteger("probes").map(Likelihood.Divergence.probes) ?? .exact
            let condition = arguments.condition("labels")
            let likelihood =
                switch try SolverArguments(arguments, "flow.log_likelihood", from: 1, to: 0).choice {
                case .grid(let method, let times):
                    try Likelihood(network, x, along: times, method, divergence, condition)
                case .adaptive(let method, _, _, _): try Likelihood(network, x, method, divergence, condition)
                }
            let info = likelihood.report.fields.merging(["latent": .tensor(likelihood.latent)]) { $1 }
            return [.tensor(likelihood.logDensity), .table(info)]
        }
    ]

    static let classes: [ObjectClass] = []
}
