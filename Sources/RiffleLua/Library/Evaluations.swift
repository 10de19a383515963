import RiffleEvaluation
import RiffleFlow
import RiffleNN
import RiffleTensor

/// Models measured side by side, by number of evaluations.
enum EvaluationLibrary {
    static let functions: [Function] = [
        Function(
            "metrics.by_nfe",
            [
                Argument(
                    "models", .table,
                    "networks by name, or { net =, sampler =, start =, nfe = }: sampler and start of flow.samples, and "
                        + "numbers of its own"
                ),
                Argument(
                    "reference", .any, "real pictures: images [n, h, w, c], a set, a path of either, or statistics"),
                Argument(
                    "nfe", .list(.integer(1...1_000_000)), "numbers of evaluations; 1, 2, 4 and 8 when not given",
                    default: .none),
                Argument("n", .integer(2...NumberedSamples.last), "samples of each", default: .integer(10_000)),
                Argument(
                    "measures", .list(.choice(Evaluation.Measure.allCases.map(\.rawValue))),
                    "what is measured; fid when not given",
                    default: .none),
                PictureMetricsLibrary.features, PictureMetricsLibrary.resize,
                Argument("perceptual", .object("perceptual"), "metrics.perceptual(...), for lpips", default: .none),
                Argument(
                    "teacher", .string,
                    "the model that lpips compares with from the same noise; the first when not given",
                    default: .none),
                Argument(
                    "folder", .string, "keeps samples and features, so that the work can be stopped and gone on with",
                    default: .none),
                Argument("seed", .integer(0...Int.max), "of the noise", default: .integer(0)),
                Argument(
                    "batch", .integer(1...NumberedSamples.largestBatch), "samples made at a time", default: .integer(32)
                ),
            ],
            Doc(
                "Measures models at several numbers of evaluations, all from the same noise, and times them.",
                formula: "table.rows has a row each; table:save(path) writes .csv, .json or .png",
                example:
                    """
                    > local net = riffle.nn.unet { image = { 8, 8, 3 }, channels = 32, multipliers = { 1 }, blocks = 1 }
                    > local features = riffle.metrics.features(function(x) return x:mean({ 2, 3 }) end)
                    > local found = riffle.metrics.by_nfe({ teacher = net }, riffle.rand(8, 8, 8, 3), {
                    >   nfe = { 1, 2 }, n = 8, features = features })
                    > return #found.rows, found.rows[2].evaluations
                    2\t2
                    """)
        ) { arguments in
            let (table, teacher) = (arguments.table("models"), arguments.optionalString("teacher"))
            let names = table.keys.sorted { ($0 != teacher ? 1 : 0, $0) < ($1 != teacher ? 1 : 0, $1) }
            var evaluation = Evaluation(
                try names.map { try model($0, table[$0] ?? .none) },
                arguments.has("measures")
                    ? arguments.strings("measures").compactMap(Evaluation.Measure.init(rawValue:)) : [.fid],
                reference: try PictureMetricsLibrary.side(arguments, "reference"),
                features: try arguments.optionalObject("features") ?? FeatureExtractor(file: Inception.title),
                resize: arguments.choice("resize"), perceptual: arguments.optionalObject("perceptual"),
                seed: UInt64(arguments.integer("seed")))
            if arguments.has("nfe") { evaluation.evaluations = arguments.integers("nfe") }
            evaluation.count = arguments.integer("n")
            evaluation.batch = arguments.integer("batch")
            evaluation.teacher = teacher
            evaluation.folder = arguments.optionalString("folder")
            return [.object(EvaluationTable(try evaluation.rows()))]
        }
    ]

    /// A model of a table: a network, or one with a sampler and numbers of evaluations of its own.
    private static func model(_ name: String, _ value: Value) throws -> Evaluation.Model {
        if let network = Arguments([value]).optionalObject(0, as: Network.self) {
            return Evaluation.Model(name, network)
        }
        guard case .table(let parts) = value, Set(parts.keys).isSubset(of: ["net", "sampler", "start", "nfe"]),
            let network = Arguments([parts["net"] ?? .none]).optionalObject(0, as: Network.self)
        else {
            throw RiffleError(
                "",
                "the model '\(name)' must be a network, or { net = NET, sampler = NAME, start = TIME, nfe = { ... } }")
        }
        return Evaluation.Model(
            name, network, try parts["sampler"].map { try sampler(name, $0) },
            start: try parts["start"].map { try start(name, $0) } ?? 0,
            evaluations: try parts["nfe"].map { try evaluations(name, $0) })
    }

    private static func sampler(_ name: String, _ value: Value) throws -> NumberedSamples.Method {
        let word = Arguments([value]).optionalString(0) ?? ""
        if let method = NumberedSamples.Method(rawValue: word) { return method }
        let words = NumberedSamples.Method.allCases.map(\.rawValue)
        throw RiffleError(
            "",
            "the model '\(name)' has no sampler '\(word)'\(suggestion(for: word, among: words)); there are "
                + words.joined(separator: ", "))
    }

    private static func start(_ name: String, _ value: Value) throws -> Double {
        guard let start = Arguments([value]).optionalNumber(0) else {
            throw RiffleError("", "start of the model '\(name)' must be a time")
        }
        return start
    }

    private static func evaluations(_ name: String, _ value: Value) throws -> [Int] {
        let items: [Value] = if case .list(let items) = value { items } else { [value] }
        let numbers = items.compactMap { item in if case .integer(let number) = item, number > 0 { number } else { nil }
        }
        guard !numbers.isEmpty, numbers.count == items.count else {
            throw RiffleError("", "nfe of the model '\(name)' must be positive whole numbers, such as { 1, 2, 4 }")
        }
        return numbers
    }

    static let classes: [ObjectClass] = [
        ObjectClass(
            "evaluation", EvaluationTable.self,
            Doc("Measures of models by number of evaluations, a table that prints."),
            methods: [
                Method(
                    "save", [Argument("path", .string, "ends in .csv, .json or .png")],
                    Doc("Writes the table, or curves over the number of evaluations.")
                ) { table, arguments in
                    try table.write(to: arguments.string("path"))
                    return []
                }
            ],
            properties: [
                Property(
                    "rows", .list(.table),
                    "A table each: model, sampler, evaluations, samples, seconds_per_sample, the measures.",
                    get: { $0.value })
            ],
            count: { $0.rows.count }, describe: { $0.description })
    ]
}
