import RiffleFlow
import RiffleNN
import RiffleTensor

/// What generators and consistency models make.
enum GeneratorLibrary {
    static let functions: [Function] = [
        Function(
            "flow.consistency",
            [
                Argument("net", .object("network"), "a consistency model, of one time or two"),
                Argument("x", .tensor, "noise [n, ...]"),
                Argument("steps", .integer(1...1_000_000), "evaluations, at equal times from 0", default: .none),
                Argument("times", .list(.number), "where jumps begin instead, rising from 0", default: .none),
                Argument("path", usual: Path.linear), .labels,
            ],
            Doc(
                "Samples a consistency model: jumps to the data, each from the last one's with fresh noise. Returns x "
                    + "and { nfe, times }.",
                example:
                    """
                    > riffle.flow.consistency(riffle.nn.mlp { width = 32 }, riffle.randn(4, 2), { steps = 2 }):shape()
                    [4, 2]
                    """,
                source: "Song et al. 2023, 2303.01469, algorithm 1")
        ) { arguments in
            let starts = try SolverArguments.grid(arguments, "flow.consistency")
            let (x, report) = try Sampler.consistency(
                arguments.object("net"), arguments.tensor("x"),
                along: arguments.has("steps") ? Array(starts.dropLast()) : starts,
                arguments.choice("path"), arguments.condition("labels"))
            return [.tensor(x), .table(report.fields)]
        },
        Function(
            "flow.generate",
            [
                Argument("net", .object("network"), "of one time or two"), Argument("z", .tensor, "noise [n, ...]"),
                .labels,
            ] + Generation.options.arguments(of: Generation()) + [Argument("path", usual: Path.linear)],
            Doc(
                "A generator's samples, without gradients: z + v(z, 0), or with two times z + u(z, 0, 1).",
                formula: "x + (1 - start) v(x, start), x = (1 - start) z on the linear path",
                example: "> riffle.flow.generate(riffle.nn.mlp { width = 32 }, riffle.randn(4, 2)):shape()\n[4, 2]")
        ) {
            let generation = Generation.options.read($0, into: Generation())
            return [
                .tensor(
                    try Sampler.generate(
                        $0.object("net"), $0.tensor("z"), generation, $0.choice("path"), $0.condition("labels")))
            ]
        },
    ]
}
