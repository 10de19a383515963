import RiffleFlow
import RiffleTensor

/// Samples by their numbers.
enum SampleLibrary {
    static let functions: [Function] = [
        Function(
            "flow.samples",
            [
                Argument("net", .object("network")),
                Argument("n", .integer(1...NumberedSamples.last), "samples"),
                Argument("nfe", .integer(1...1_000_000), "evaluations of the network for each sample"),
                Argument("seed", .integer(0...Int.max), default: .integer(0)),
                Argument(
                    "first", .integer(1...NumberedSamples.last), "the number of the first sample",
                    default: .integer(1)),
                Argument(
                    "sampler", .choice(NumberedSamples.Method.allCases.map(\.rawValue)),
                    "equal jumps of a network with two times; multistep sampling of a consistency model; a generator's "
                        + "evaluations from `start` on; or a solver; where not given jump with two times, else euler",
                    default: .none),
                Argument(
                    "start", .fraction(Generation.starts),
                    "of generate: the time at which the generator takes its noise",
                    default: .number(0)),
                Argument("path", usual: Path.linear, "on which generate and consistency add noise to data"),
                Argument("shape", .shape, "of a sample, for a network that does not know it", default: .none),
                Argument(
                    "batch", .integer(1...NumberedSamples.largestBatch), "samples of one evaluation",
                    default: .integer(32)),
                Argument(
                    "labels", .tensors, "of these samples; the network's classes in turn when not given", default: .none
                ),
            ],
            Doc(
                "Samples by their numbers: sample 17 of a seed is one picture, however many are made. Returns x and "
                    + "labels.",
                formula: "sample i has label (i - 1) mod classes + 1",
                shapes: "-> x [n, ...] (, labels [n])",
                example:
                    """
                    > local net = riffle.nn.mlp { width = 32, classes = 3 }:two_timed()
                    > local all, labels = riffle.flow.samples(net, { n = 40, nfe = 2, seed = 3 })
                    > local x = riffle.flow.samples(net, { n = 1, nfe = 2, seed = 3, first = 17 })
                    > return (x[1] - all[17]):abs():max():item(), labels[17]:item()
                    0.0\t2
                    """)
        ) { arguments in
            let samples = try NumberedSamples(
                arguments.object("net"), seed: UInt64(arguments.integer("seed")), evaluations: arguments.integer("nfe"),
                method: arguments.optionalString("sampler").flatMap(NumberedSamples.Method.init),
                start: arguments.number("start"), path: arguments.choice("path"),
                shape: arguments.has("shape") ? arguments.shape("shape") : nil,
                batch: arguments.integer("batch"))
            let first = arguments.integer("first") - 1, range = first..<(first + arguments.integer("n"))
            let condition = arguments.condition("labels")
            let x = try samples(range, condition)
            guard samples.network.conditioning.count == 1 else { return [.tensor(x)] }
            return [.tensor(x)]
                + [try condition?.tensors.first ?? samples.labels(of: range)].compactMap { $0.map(Value.tensor) }
        }
    ]
}
