import RiffleData
import RiffleIO
import RiffleTensor

/// Pairs of noise and what a network makes of it, in files: the data of reflow.
enum PairLibrary {
    static let functions: [Function] = [
        Function(
            "data.pair_writer",
            [
                Argument("path", .string), Argument("n", .integer(1...Int.max), "how many pairs there will be"),
                Argument("shape", .list(.integer(1...Int.max)), "of one sample, such as { 32, 32, 3 }"),
                Argument("labels", .boolean, "whether each pair has a label", default: .boolean(false)),
            ],
            Doc(
                "Begins a file of pairs, which appears whole: when it is closed, or forgotten with all of its pairs.",
                example:
                    """
                    > local path = os.tmpname()
                    > local w <close> = riffle.data.pair_writer(path, { n = 3, shape = { 2 } })
                    > w:add(riffle.randn(3, 2), riffle.ones(3, 2))
                    > w:close()
                    > #riffle.data.pairs(path), os.remove(path)
                    3\ttrue
                    """,
                source: "Liu, Gong and Liu 2022, Flow Straight and Fast")
        ) { arguments in
            [
                .object(
                    try PairWriter(
                        arguments.string("path"), count: arguments.integer("n"), shape: arguments.shape("shape"),
                        labels: arguments.boolean("labels")))
            ]
        },
        Function(
            "data.pairs",
            [
                Argument(
                    "path", .string, "a file of data.pair_writer, or a safetensors file of noise, x and perhaps labels")
            ],
            Doc(
                "Opens a file of pairs, whose rows are read when a batch needs them.",
                example: "> \(tinySet) return #set, set.shape, set.labelled\n3\t[2]\tfalse")
        ) { [.object(try PairFile($0.string(0)))] },
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "pair_writer", PairWriter.self,
            Doc(
                "A file of pairs in the making. A variable that is <close> closes it, and after an error leaves "
                    + "nothing of it."
            ),
            methods: [
                Method(
                    "add",
                    [
                        Argument("noise", .tensor, "[m, ...]"),
                        Argument("x", .tensor, "what was made of it, of the same shape"),
                        Argument("labels", .tensor, "int32 [m], where the file has labels", default: .none),
                    ],
                    Doc("Adds pairs behind those that are there.")
                ) { writer, arguments in
                    try writer.add(
                        arguments.tensor("noise"), arguments.tensor("x"), labels: arguments.optionalTensor("labels"))
                    return []
                },
                Method(
                    "close", [],
                    Doc("Puts the file in place. Missing pairs are an error, and then there is no file.")
                ) { writer, _ in
                    try writer.close()
                    return []
                },
            ],
            properties: [
                Property("n", .integer(1...Int.max), "How many pairs there will be.", get: { .integer($0.count) })
            ],
            count: { $0.added },
            metamethods: [
                // An error that ends the scope is the message that counts; a scope without one closes the file.
                "__close": Function("pair_writer:__close", [Argument("writer", .object("pair_writer"))], Doc("")) {
                    arguments in
                    let writer: PairWriter = arguments.object(0)
                    if arguments.has(1) { writer.discard() } else if writer.isOpen { try writer.close() }
                    return []
                }
            ],
            describe: {
                "\($0.added) of \($0.count) pairs \($0.sampleShape)\($0.isLabelled ? ", labelled" : "") for \($0.path)"
            }),
        ObjectClass(
            "pairs", PairFile.self, Doc("Noise with what was made of it, in a file. #set is the number of pairs."),
            methods: [
                Method(
                    "batches",
                    BatchLibrary.arguments(of: "pairs"),
                    Doc(
                        "Batches of noise [n, ...], x [n, ...] and perhaps labels [n], in an order that seed and "
                            + "position fix.",
                        example:
                            """
                            > \(tinySet)
                            > for step, batch in set:batches { size = 2 } do
                            >   return step, batch.noise:shape(), batch.x
                            > end
                            1\t[2, 2]\ttensor float32 [2, 2]:
                                     1         1
                                     1         1
                            """
                    )
                ) { set, arguments in [.object(try BatchLibrary.batches(of: set, arguments))] }
            ],
            properties: [
                Property(
                    "shape", .list(.integer(1...Int.max)), "Of one sample.",
                    get: { .list($0.sampleShape.sizes.map(Value.integer)) }),
                Property("labelled", .boolean, "Whether each pair has a label.", get: { .boolean($0.isLabelled) }),
            ],
            count: { $0.count }, describe: { "\($0.count) pairs \($0.sampleShape)\($0.isLabelled ? ", labelled" : "")" }
        ),
    ]

    /// Three pairs, for examples.
    private static let tinySet =
        "local path = os.tmpname(); local w = riffle.data.pair_writer(path, { n = 3, shape = { 2 } }); "
        + "w:add(riffle.randn(3, 2), riffle.ones(3, 2)); w:close(); local set = riffle.data.pairs(path); "
        + "os.remove(path);"
}
