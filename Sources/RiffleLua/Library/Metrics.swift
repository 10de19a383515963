import RiffleData
import RiffleIO
import RiffleMetrics
import RiffleTensor

/// Distances between distributions, from samples.
enum MetricsLibrary {
    private static let pair = [Argument("a", .tensor, "samples [n, ...]"), Argument("b", .tensor, "samples [m, ...]")]

    static let functions: [Function] = [
        Function(
            "metrics.sliced_wasserstein",
            pair + [
                Argument("projections", .integer(1...1_000_000), "random directions", default: .integer(200)),
                Argument("seed", .integer(0...Int.max), "of the directions", default: .integer(0)),
            ],
            Doc(
                "The sliced Wasserstein distance of order 2, as POT defines it.",
                formula: "(mean over unit directions of W2(a . direction, b . direction)^2)^(1/2)",
                shapes: "a [n, ...], b [m, ...] -> a number",
                example: "> riffle.metrics.sliced_wasserstein(riffle.zeros(4, 2), riffle.zeros(3, 2))\n0.0",
                source: "Bonneel et al. 2015; ot.sliced_wasserstein_distance of POT")
        ) {
            let (projections, seed) = ($0.integer("projections"), UInt64($0.integer("seed")))
            return [
                .number(
                    try Metrics.slicedWasserstein($0.tensor("a"), $0.tensor("b"), projections: projections, seed: seed))
            ]
        },
        Function(
            "metrics.energy_distance", pair,
            Doc(
                "The energy distance over all pairs, not rooted: 0 for equal sets, never below.",
                formula: "2 E|X - Y| - E|X - X'| - E|Y - Y'|", shapes: "a [n, ...], b [m, ...] -> a number",
                example: "> riffle.metrics.energy_distance(riffle.zeros(4, 2), riffle.zeros(3, 2))\n0.0",
                source: "Székely and Rizzo 2013, equation 6")
        ) { [.number(try Metrics.energyDistance($0.tensor(0), $0.tensor(1)))] },
        Function(
            "metrics.frechet_distance", pair,
            Doc(
                "The Frechet distance of two sets of features, not rooted: FID, on features of an image network.",
                formula: "|m - n|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2)", shapes: "a [n, ...], b [m, ...] -> a number",
                example:
                    """
                    > riffle.metrics.frechet_distance(riffle.tensor { { -1 }, { 1 } }, riffle.tensor { { 2 }, { 4 } })
                    9.0
                    """,
                source: "Heusel et al. 2017, equation 6")
        ) { [.number(try Metrics.frechetDistance($0.tensor(0), $0.tensor(1)))] },
        Function(
            "metrics.histogram_kl",
            [
                Argument("samples", .tensor, "[n, 2]"),
                Argument("truth", .any, "the checkerboard, whose bins' masses are known, or many true samples [m, 2]"),
                Argument("bins", .integer(1...1000), "along each coordinate", default: .integer(50)),
            ],
            Doc(
                "The divergence of the samples' histogram from a set's masses, or from that of many true samples.",
                formula: "sum p log(p / q)",
                example:
                    """
                    > riffle.seed(1); local set = riffle.data.checkerboard()
                    > return riffle.metrics.histogram_kl(set:sample(64000), set) < 0.02
                    true
                    """,
                source: "Boffi et al. 2025")
        ) { arguments in
            if let truth = arguments.optionalTensor("truth") {
                return [
                    .number(
                        try Metrics.histogramKL(
                            arguments.tensor("samples"), truth: truth, bins: arguments.integer("bins")))
                ]
            }
            guard let set = arguments.optionalObject("truth", as: PlaneSet.self) else {
                throw RiffleError("", "argument 2 'truth' must be a set of points or a tensor of samples [m, 2]")
            }
            let masses = try set.binMasses(arguments.integer("bins"))
            guard let bounds = set.bounds else { throw RiffleError("", "\(set.name) has no bounds") }
            return [.number(try Metrics.histogramKL(arguments.tensor("samples"), masses: masses, bounds: bounds))]
        },
        Function(
            "metrics.endpoint_mse", pair,
            Doc(
                "The mean squared distance between samples of the same number, such as from the same noise.",
                formula: "mean over samples of |a - b|^2, summed over coordinates", shapes: "a, b [n, ...] -> a number",
                example: "> riffle.metrics.endpoint_mse(riffle.zeros(4, 2), riffle.ones(4, 2))\n2.0")
        ) { [.number(try Metrics.endpointError($0.tensor(0), $0.tensor(1)))] },
    ]

    static let classes: [ObjectClass] = []
}
