import RiffleData
import RiffleEvaluation
import RiffleIO
import RiffleMetrics
import RiffleNN
import RiffleTensor

/// What published tables measure pictures by: FID and its kin, LPIPS, each number with its protocol.
enum PictureMetricsLibrary {
    static let features = Argument(
        "features", .object("features"), "what metrics.features returns; Inception's published ones when not given",
        default: .none)
    static let resize = Argument(
        "resize", usual: FeatureResize.tf1, "how pictures get the network's size; numbers by different ways differ")
    private static let note = Argument("note", .string, "words for the protocol, such as a sampler's", default: .none)
    private static let seed = Argument("seed", .integer(0...Int.max), "of what is drawn", default: .integer(0))
    private static let sides = [
        Argument("reference", .any, "real pictures: images [n, h, w, c], a set, a path of either, or statistics"),
        Argument("made", .any, "the same of what is measured"),
    ]
    private static let batch = Argument(
        "batch", .integer(1...65_536),
        "how many pictures the network takes at a time; as many as are fast in little memory when not given",
        default: .none)

    static let functions: [Function] = [
        Function(
            "metrics.features",
            [
                Argument(
                    "network", .any,
                    "a file with the weights of a feature network, the name of a published one, a module, or a "
                        + "function of pictures"),
                Argument(
                    "tap", .string, "which of a feature network's values; the usual ones when not given",
                    default: .none),
                Argument(
                    "size", .integer(1...4096),
                    "the side of the pictures that a module or function of one's own takes; as they are when not given",
                    default: .none),
                Argument("name", .string, "what protocols call a module or function of one's own", default: .none),
                batch,
            ],
            Doc(
                "What makes features of pictures, for distances between sets of them.",
                shapes: "features(images) [n, height, width, channels] -> [n, features]",
                example:
                    """
                    > local features = riffle.metrics.features(function(x) return x:mean({ 2, 3 }) end)
                    > features(riffle.zeros(4, 8, 8, 3)):shape()
                    [4, 3]
                    """)
        ) { [.object(try extractor($0))] },
        Function(
            "metrics.frechet",
            sides + [
                features, resize,
                Argument(
                    "extrapolate", .boolean, "whether to go to infinitely many samples, as Chong and Forsyth 2020 do",
                    default: .boolean(false)), seed, note,
            ],
            Doc(
                "The Frechet distance of pictures: FID in Inception's published features, else called FD.",
                formula: "|m - n|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2)",
                example: tinyExample("riffle.metrics.frechet(x, x, { features = features }).value", "0.0"),
                source: "Heusel et al. 2017, equation 6; Chong and Forsyth 2020, 1911.07023")
        ) { arguments in
            let reference = try side(arguments, "reference")
            guard arguments.boolean("extrapolate") else {
                return [measured(try measures(arguments).frechet(reference, side(arguments, "made")))]
            }
            return [
                measured(
                    try measures(arguments).frechetAtInfinity(
                        reference, pictures(arguments, "made"), seed: UInt64(arguments.integer("seed"))))
            ]
        },
        Function(
            "metrics.kid",
            sides + [
                features, resize, Argument("subsets", .integer(1...1_000_000), default: .integer(100)),
                Argument(
                    "subset_size", .integer(2...1_000_000), "all pictures where there are fewer",
                    default: .integer(1000)),
                seed, note,
            ],
            Doc(
                "The kernel distance of pictures, unbiased, so it may be below 0: mean and deviation over subsets.",
                formula: "MMD^2 with k(x, y) = (x . y / d + 1)^3",
                example: tinyExample("riffle.metrics.kid(x, x, { features = features }).value < 1e-6", "true"),
                source: "Binkowski et al. 2018, 1801.01401")
        ) { arguments in
            [
                measured(
                    try measures(arguments).kernelDistance(
                        pictures(arguments, "reference"), pictures(arguments, "made"),
                        subsets: arguments.integer("subsets"), size: arguments.integer("subset_size"),
                        seed: UInt64(arguments.integer("seed"))))
            ]
        },
        Function(
            "metrics.precision_recall",
            sides + [
                features, resize, Argument("neighbours", .integer(1...1000), default: .integer(3)), note,
            ],
            Doc(
                "Which share of made pictures lies among real ones, and the other way round; density and coverage too.",
                example: tinyExample(
                    "riffle.metrics.precision_recall(x, x, { features = features, neighbours = 1 }).recall", "1.0"),
                source: "Kynkaanniemi et al. 2019, 1904.06991; Naeem et al. 2020, 2002.09797")
        ) { arguments in
            [
                measured(
                    try measures(arguments).precisionRecall(
                        pictures(arguments, "reference"), pictures(arguments, "made"),
                        neighbours: arguments.integer("neighbours")))
            ]
        },
        Function(
            "metrics.inception_score",
            [
                sides[1], Argument("features", .object("features"), "with tap = 'logits_unbiased'"), resize,
                Argument("splits", .integer(1...1000), default: .integer(10)), note,
            ],
            Doc(
                "How sure a classifier is of each picture while classes are many: IS of Inception's published logits.",
                formula: "exp E KL(p(class | x) || p(class)), the mean over splits and its deviation",
                source: "Salimans et al. 2016, 1606.03498")
        ) {
            [measured(try measures($0).inceptionScore(pictures($0, "made"), splits: $0.integer("splits")))]
        },
        Function(
            "metrics.perceptual",
            [
                Argument(
                    "backbone", .string,
                    "a file of AlexNet's, VGG-16's or SqueezeNet 1.1's weights, or of EfficientNet-Lite0's or a "
                        + "classifier's of one's own; or the name of a published one"),
                Argument(
                    "weights", .string,
                    "the file of weights by channel; LPIPS's published one for the first three, and all channels alike "
                        + "for the others, when not given", default: .none),
            ],
            Doc(
                "LPIPS's network, for metrics.lpips: LPIPS of published weights, else PD. d(a, b) has a number a pair.",
                shapes: "d(a, b) of images [n, height, width, 3] -> [n]", source: "Zhang et al. 2018, 1801.03924")
        ) {
            [
                .object(
                    try PerceptualDistance(backbone: $0.string("backbone"), weights: $0.optionalString("weights")))
            ]
        },
        Function(
            "metrics.lpips",
            [
                Argument("a", .any, "images [n, h, w, 3], a set, or a path"),
                Argument("b", .any, "as many, of the same size"),
                Argument(
                    "network", .object("perceptual"),
                    "what metrics.perceptual returns; the published AlexNet's when "
                        + "not given", default: .none), batch, note,
            ],
            Doc(
                "LPIPS of pairs of pictures, such as a student's and its teacher's from the same noise: mean and "
                    + "deviation.",
                source: "Zhang et al. 2018, 1801.03924, version 0.1")
        ) { arguments in
            let distance: PerceptualDistance =
                try arguments.optionalObject("network") ?? PerceptualDistance(backbone: AlexNet.title)
            return [
                measured(
                    try distance.measure(
                        pictures(arguments, "a"), pictures(arguments, "b"),
                        batch: arguments.optionalInteger("batch") ?? PerceptualDistance.usualBatch,
                        note: arguments.optionalString("note")))
            ]
        },
    ]

    // MARK: - Arguments

    private static func extractor(_ arguments: Arguments) throws -> FeatureExtractor {
        let batch = arguments.optionalInteger("batch"), tap = arguments.optionalString("tap")
        let own = arguments.optionalObject("network", as: LuaFunction.self)
        let module = arguments.optionalObject("network", as: Module.self)
        if own != nil || module is Network || (module != nil && !(module is FeatureNetwork)) {
            guard tap == nil else { throw RiffleError("", "tap is for feature networks; return the values themselves") }
            let title = arguments.optionalString("name") ?? module?.kind ?? "a function"
            guard PublishedWeights.all.allSatisfy({ $0.name != title }) else {
                throw RiffleError("", "'\(title)' is the name of published weights; name one's own another way")
            }
            return FeatureExtractor(title: title, side: arguments.optionalInteger("size"), batch: batch) { x in
                if let own { return try own.tensor([.tensor(x)], of: "features", named: "the function") }
                guard let module else { return x }
                return try module.evaluating { try module.forward([x]) }
            }
        }
        for name in ["size", "name"] where arguments.has(name) {
            throw RiffleError("", "\(name) is for modules and functions of one's own")
        }
        if let network = module as? FeatureNetwork { return try FeatureExtractor(network, tap: tap, batch: batch) }
        guard let path = arguments.optionalString("network") else {
            throw RiffleError("", "argument 1 'network' must be a path, a published name, a module or a function")
        }
        return try FeatureExtractor(file: path, tap: tap, batch: batch)
    }

    private static func measures(_ arguments: Arguments) throws -> PictureMeasures {
        let extractor: FeatureExtractor =
            try arguments.optionalObject("features") ?? FeatureExtractor(file: Inception.title)
        return PictureMeasures(extractor, arguments.choice("resize"), note: arguments.optionalString("note"))
    }

    static func side(_ arguments: Arguments, _ name: String) throws -> Side {
        if let tensor = arguments.optionalTensor(name) { return .pictures(try Pictures(tensor)) }
        if let set = arguments.optionalObject(name, as: DataSet.self) { return .pictures(try Pictures(set)) }
        if let kept = arguments.optionalObject(name, as: KeptStatistics.self) { return .statistics(kept) }
        if let path = arguments.optionalString(name) { return try Side(path: path) }
        throw RiffleError("", "'\(name)' must be images [n, height, width, channels], a set, a path or statistics")
    }

    private static func pictures(_ arguments: Arguments, _ name: String) throws -> Pictures {
        guard case .pictures(let pictures) = try side(arguments, name) else {
            throw RiffleError(
                "", "'\(name)' must be pictures: this measure takes more than the mean and covariance of statistics")
        }
        return pictures
    }

    private static func measured(_ measurement: Measurement) -> Value { .object(Measured(measurement)) }

    // MARK: - Classes

    static let classes: [ObjectClass] = [
        ObjectClass(
            "features", FeatureExtractor.self,
            Doc("Makes features of pictures: features(images) of images [n, height, width, channels] from -1 to 1."),
            methods: [
                Method(
                    "statistics",
                    [
                        Argument("pictures", .any, "images [n, h, w, c], a set, or a path"), resize,
                    ],
                    Doc("The mean and covariance of the features of pictures, to be compared with and kept.")
                ) { extractor, arguments in
                    let measures = PictureMeasures(extractor, arguments.choice("resize"))
                    return [.object(try measures.statistics(of: pictures(arguments, "pictures")))]
                }
            ],
            call: { extractor, inputs in
                guard let images = Arguments(inputs).optionalTensor(0) else {
                    throw RiffleError("features", "images [n, height, width, channels] are needed")
                }
                return [.tensor(try PictureMeasures(extractor).features(of: Pictures(images)))]
            }, describe: { $0.title }),
        ObjectClass(
            "statistics", KeptStatistics.self, Doc("The mean and covariance of the features of pictures."),
            methods: [
                Method(
                    "save", [Argument("path", .string, "ends in .npz")],
                    Doc(
                        "Writes mu and sigma as pytorch-fid and EDM read them, and of which features they are; the "
                            + "file whole or not at all.")
                ) { kept, arguments in
                    try kept.write(to: arguments.string("path"))
                    return []
                }
            ],
            properties: [
                Property("mean", .tensor, "[features], float64.", get: { .tensor($0.statistics.mean) }),
                Property(
                    "covariance", .tensor, "[features, features], float64.",
                    get: { .tensor($0.statistics.covariance) }),
            ],
            describe: {
                "statistics of \($0.name): \($0.statistics.features) features"
                    + ($0.statistics.count.map { " of \($0) samples" } ?? "")
                    + ($0.origin.map { ", \($0)" } ?? "")
            }),
        ObjectClass(
            "measurement", Measured.self,
            Doc("A number with its protocol; a measure of several parts has each by name."),
            properties: [
                Property("value", .number, "The number.", get: { .number($0.measurement.value) }),
                Property("name", .string, "The measure's name, such as FID.", get: { .string($0.measurement.name) }),
                Property("protocol", .string, "What the number is of.", get: { .string($0.measurement.protocolText) }),
                Property(
                    "deviation", .number, "The standard deviation, where the measure has one.",
                    get: { $0.measurement.deviation.map(Value.number) ?? .none }),
            ],
            index: { measured, key in
                guard case .string(let name) = key else { return nil }
                return measured.measurement.values.first { $0.name == name }.map { .number($0.value) }
            },
            describe: { $0.measurement.description }),
        ObjectClass(
            "perceptual", PerceptualDistance.self, Doc("LPIPS's network: d(a, b) of images from -1 to 1."),
            call: { distance, inputs in
                let arguments = Arguments(inputs)
                guard let a = arguments.optionalTensor(0), let b = arguments.optionalTensor(1) else {
                    throw RiffleError("lpips", "two batches of images [n, height, width, 3] are needed")
                }
                return [.tensor(try distance.distances(ByteImages(a), ByteImages(b)))]
            }, describe: { $0.title }),
    ]

    /// An example with two pictures and their mean colours as features.
    private static func tinyExample(_ call: String, _ result: String) -> String {
        """
        > local features = riffle.metrics.features(function(x) return x:mean({ 2, 3 }) end)
        > riffle.seed(1); local x = riffle.rand(8, 4, 4, 3)
        > return \(call)
        \(result)
        """
    }
}

/// A measurement as an object of Lua.
final class Measured {
    let measurement: Measurement

    init(_ measurement: Measurement) { self.measurement = measurement }

    /// Values of a log, in which each measurement is its number, and its protocol as a text beside it.
    static func withProtocols(_ values: [String: Value]) -> [String: Value] {
        values.reduce(into: [:]) { row, value in
            guard case .object(let measured as Measured) = value.value else { return row[value.key] = value.value }
            row[value.key] = .number(measured.measurement.value)
            row["\(value.key)_protocol"] = .string(measured.measurement.protocolText)
        }
    }
}
