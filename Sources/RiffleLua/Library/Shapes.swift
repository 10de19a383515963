import RiffleData
import RiffleTensor

/// The shapes world: pictures with captions, and their score.
enum ShapesLibrary {
    private static let kinds = ShapesRequest.Kind.allCases

    static let functions: [Function] = [
        Function(
            "data.shapes",
            [
                Argument(
                    "size", .integer(ShapesSet.smallestSize...ShapesSet.largestSize), "the side of a picture",
                    default: .integer(32)),
                Argument(
                    "cells", .integer(ShapesSet.fewestCells...ShapesSet.largestSize),
                    "along the side, of which objects fill whole ones; they lie anywhere when not given", default: .none
                ),
                Argument("seed", .integer(0...Int.max), "what fixes the samples", default: .integer(1)),
            ],
            Doc(
                "Pictures of coloured forms with captions, drawn by number, in GenEval's six kinds.",
                shapes: "batches of x [n, size, size, 3] and captions",
                example: "> return riffle.data.shapes { size = 32 }\n1000000 pictures of forms [32, 32, 3]",
                source: "the kinds and their rules: Ghosh et al. 2023, 2310.11513")
        ) { arguments in
            [
                .object(
                    ShapesSet(
                        size: arguments.integer("size"), cells: arguments.optionalInteger("cells"),
                        seed: UInt64(arguments.integer("seed"))))
            ]
        }
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "shapes", ShapesSet.self, Doc("Pictures of coloured forms with captions. #shapes is their number."),
            methods: [
                Method(
                    "batches", BatchLibrary.arguments(of: "samples"),
                    Doc(
                        "Batches of pictures x [n, size, size, 3] and their captions.",
                        example:
                            """
                            > local batch = riffle.data.shapes():batches({ size = 2 })(); return batch.x:shape()
                            [2, 32, 32, 3]
                            """)
                ) { [.object(try BatchLibrary.batches(of: $0, $1))] },
                Method(
                    "caption", [Argument("number", .integer(1...ShapesSet.samples), "of a sample")],
                    Doc(
                        "What a sample shows, in words.",
                        example: "> return riffle.data.shapes():caption(1)\na ring")
                ) { [.string(try $0.caption(of: $1.integer(0) - 1))] },
                Method(
                    "prompts",
                    [Argument("count", .integer(kinds.count...100_000), "a multiple of the number of kinds")],
                    Doc(
                        "Captions that no sample has, but for single objects: kind after kind, as many of each.",
                        example: "> return #riffle.data.shapes():prompts(60)\n60")
                ) { [.list(try $0.prompts($1.integer(0)).map(Value.string))] },
                Method(
                    "score",
                    [
                        Argument("pictures", .tensor, "[n, size, size, 3] in [-1, 1]"),
                        Argument("captions", .list(.string), "one a picture"),
                    ],
                    Doc(
                        "The part of the pictures of each kind that show what their captions ask for, and the mean.",
                        formula: "objects are connected pixels of a colour; GenEval's rules say what is right",
                        example: """
                            > local shapes = riffle.data.shapes()
                            > local batch = shapes:batches({ size = 60 })()
                            > return shapes:score(batch.x, batch.captions).mean
                            1.0
                            """)
                ) { [.object(try ShapesSet.score($1.tensor(0), $1.strings("captions")))] },
            ],
            properties: [
                Property(
                    "kinds", .list(.string), "The kinds of captions, by GenEval's names.",
                    get: { _ in .list(kinds.map { .string($0.rawValue) }) }),
                Property(
                    "words", .list(.string), "The words that captions have, for text.words.",
                    get: { _ in .list(ShapesSet.words.map(Value.string)) }),
                Property("size", .integer(1...Int.max), "The side of a picture.", get: { .integer($0.size) }),
            ],
            count: { $0.count },
            describe: { "\($0.count) pictures of forms [\($0.size), \($0.size), 3]" }),
        ObjectClass(
            "shapes_score", ShapesScore.self, Doc("The parts of pictures of the shapes world that are right, by kind."),
            properties: kinds.map { kind in
                Property(kind.rawValue, .any, "The part of these pictures that are right.") { score in
                    score[kind].map(Value.number) ?? .none
                }
            } + [Property("mean", .number, "The mean over the kinds.", get: { .number($0.mean) })],
            describe: \.description),
    ]
}
