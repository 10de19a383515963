import RiffleFlow
import RiffleNN
import RiffleTensor

/// Teachers, students and samples: flow matching, distillation and solvers.
enum FlowLibrary {
    private static let net = Argument("net", .object("network"))

    static let functions: [Function] = [
        Function(
            "flow.matching_loss",
            [
                net, .data, .labels,
                Argument(
                    "noise", .tensor, "x0 that belong to x, as pairs for reflow have; fresh when not given",
                    default: .none),
            ] + MatchingLoss.all.arguments(of: MatchingLoss()),
            Doc(
                "The flow-matching loss of a network: noise at time 0, data at 1, a straight path between by default.",
                formula: "L = E |v(x_t, t) - (x1 - x0)|^2, x_t = (1 - t) x0 + t x1",
                example: "> riffle.flow.matching_loss(riffle.nn.mlp { width = 32 }, riffle.randn(8, 2)):shape()\n[]",
                source: "Lipman et al. 2022; Liu et al. 2022")
        ) { arguments in
            let loss = MatchingLoss.all.read(arguments, into: MatchingLoss())
            LossLibrary.lastParts = [:]
            return [
                .tensor(
                    try loss(
                        arguments.object("net"), arguments.tensor("x"), noise: arguments.optionalTensor("noise"),
                        arguments.condition("labels")
                    ).total)
            ]
        },
        Function(
            "flow.guide",
            [
                net, Argument("scale", .finite, "1 changes nothing"),
                Argument("from", .fraction(0...1), "the first time at which it acts", default: .number(0)),
                Argument("to", .fraction(0...1), "the last", default: .number(1)),
                Argument(
                    "weak", .object("network"),
                    "a weaker network to be led away from (autoguidance); itself without labels when not given",
                    default: .none),
                Argument(
                    "none", .tensors, "what stands for no condition, one row; the network's own when not given",
                    default: .none),
            ],
            Doc(
                "A network with guidance, to sample with or to teach: classifier-free, or by a weaker network.",
                formula: "v + (scale - 1) (v - w)",
                example:
                    """
                    > local net = riffle.nn.mlp { width = 32, classes = 3, null_class = true }
                    > net = riffle.flow.guide(net, { scale = 2 })
                    > net(riffle.randn(2, 2), riffle.zeros(2), riffle.tensor({ 1, 3 }, "int32")):shape()
                    [2, 2]
                    """,
                source:
                    "Ho and Salimans 2022, 2207.12598; Karras et al. 2024, 2406.02507; Kynkaanniemi et al. 2024, "
                    + "2404.07724"
            )
        ) { arguments in
            let (from, to) = (arguments.number("from"), arguments.number("to"))
            guard from <= to else {
                throw RiffleError("flow.guide", "from (\(riffleFormat(from))) is after to (\(riffleFormat(to)))")
            }
            return [
                .object(
                    try GuidedNetwork(
                        arguments.object("net"), scale: arguments.number("scale"), interval: from...to,
                        weak: arguments.optionalObject("weak"),
                        none: arguments.condition("none")))
            ]
        },
        Function(
            "flow.velocity",
            [
                net, Argument("prediction", oneOf: Prediction.self, "what the network was trained to predict"),
                Argument("path", usual: Path.linear),
            ],
            Doc(
                "A network that predicts noise or data as a velocity network.",
                formula: "v = a' e + b' (x - a e) / b, or a' (x - b d) / a + b' d",
                example: "> riffle.flow.velocity(riffle.nn.mlp { width = 32 }, { prediction = \"noise\" }):times()\n1")
        ) { arguments in
            [
                .object(
                    try PredictedVelocity(
                        arguments.object("net"), arguments.choice("prediction"), arguments.choice("path")))
            ]
        },
        Function(
            "flow.ode",
            [
                Argument("net", .object("network")),
                Argument("x", .tensor, "where it starts: noise, for samples [n, ...]"),
                Argument("method", SolverArguments.methods, default: .string(SolverArguments.usualMethod.rawValue)),
                SolverArguments.steps,
                Argument(
                    "times", .list(.number),
                    "the grid instead, from the first time to the last, up or down; for dopri5 the times whose states "
                        + "are returned",
                    default: .none),
                Argument("from", .finite, "the first time, without a grid", default: .none),
                Argument("to", .finite, "the last time, without a grid", default: .none),
                Argument(
                    "trajectory", .boolean,
                    "whether all states are returned, [times, n, ...]: of the grid, or of dopri5 at the given times, "
                        + "else at its steps",
                    default: .boolean(false)),
            ] + SolverArguments.tolerances + [.labels],
            Doc(
                "Follows the velocity of a network from noise at 0 to data at 1, without gradients. Returns x and { "
                    + "nfe, times, rejected }.",
                formula: "dx/dt = v(x, t)",
                example:
                    """
                    > local net = riffle.nn.mlp { width = 32 }
                    > local x, info = riffle.flow.ode(net, riffle.randn(4, 2), { method = "heun", steps = 5 })
                    > return info.nfe
                    10
                    """,
                source: "dopri5: Dormand and Prince 1980")
        ) { try ode($0) },
        Function(
            "flow.jump",
            [
                Argument("net", .object("network"), "takes two times"),
                Argument("x", .tensor, "noise, for samples [n, ...]"),
                Argument("steps", .integer(1...1_000_000), "equal jumps from 0 to 1", default: .none),
                Argument("times", .list(.number), "the grid instead, up or down", default: .none), .labels,
            ],
            Doc(
                "Jumps with a two-timed network, one evaluation a jump, without gradients. "
                    + "Returns x and { nfe, times }.",
                formula: "x <- x + (t - s) u(x, s, t)",
                example:
                    """
                    > local net = riffle.nn.mlp { width = 32 }:two_timed()
                    > riffle.flow.jump(net, riffle.randn(4, 2), { steps = 2 }):shape()
                    [4, 2]
                    """
            )
        ) { arguments in
            let (x, report) = try Sampler.jump(
                arguments.object("net"), arguments.tensor("x"), along: SolverArguments.grid(arguments, "flow.jump"),
                arguments.condition("labels"))
            return [.tensor(x), .table(report.fields)]
        },
        Function(
            "flow.times", [Argument("n", .integer(1...1 << 40))] + TimeSampling.options.arguments(of: .uniform),
            Doc(
                "Training times in [0, 1], drawn as asked.",
                example: "> riffle.flow.times(3, { times = \"skewed\" }):shape()\n[3]")
        ) { [.tensor(try TimeSampling.options.read($0, into: .uniform).sample($0.integer("n")))] },
        Function(
            "flow.edm_times", [Argument("steps", .integer(1...1_000_000))],
            Doc(
                "EDM's grid of times for flow.ode: short steps where noise is low, from 0 to 1.",
                formula: "t = 1 / (1 + sigma), sigma^(1/7) even from 80^(1/7) to 0.002^(1/7)",
                example: "> local times = riffle.flow.edm_times(4); return #times, times[1], times[5]\n5\t0.0\t1.0",
                source: "Karras et al. 2022, eq. 5")
        ) { [.list(edmGrid(steps: $0.integer(0)).map(Value.number))] },
        Function(
            "flow.shifted_times",
            [
                Argument("steps", .integer(1...1_000_000)),
                Argument("shift", .positive, "3 for SD3 at 1024 pixels; 1 for nearly equal steps", default: .number(3)),
            ],
            Doc(
                "SD3's grid of times for flow.ode, as diffusers makes it: short steps near the noise, from 0 to 1.",
                formula: "t = u / (u + shift (1 - u)), u even from 0 to 999 / (999 + shift); then 1",
                example:
                    "> local times = riffle.flow.shifted_times(2, 3); return #times, times[1], times[3]\n3\t0.0\t1.0",
                source: "Esser et al. 2024, 2403.03206, section 5.3.2; FlowMatchEulerDiscreteScheduler")
        ) { [.list(shiftedGrid(steps: $0.integer("steps"), shift: $0.number("shift")).map(Value.number))] },
    ]

    static let classes: [ObjectClass] = []

    private static func ode(_ arguments: Arguments) throws -> [Value] {
        let (network, x, condition) = (
            arguments.object("net", as: Network.self), arguments.tensor("x"), arguments.condition("labels")
        )
        var states: [Tensor] = []
        let keeps = arguments.boolean("trajectory")
        func visit(_ state: Tensor) { if keeps { states.append(state) } }
        let (last, report) =
            switch try SolverArguments(arguments, "flow.ode", from: 0, to: 1).choice {
            case .grid(let method, let times):
                try Sampler.ode(network, x, along: times, method, condition, visit: visit)
            case .adaptive(let method, let from, let to, nil):
                try Sampler.ode(network, x, from: from, to: to, method, condition, visit: visit)
            case .adaptive(let method, _, _, let times?):
                try Sampler.ode(network, x, along: times, method, condition, visit: visit)
            }
        let result = keeps ? try withoutGradient { try Tensor.stack(states) } : last
        return [.tensor(result), .table(report.fields)]
    }
}
