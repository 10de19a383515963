import RiffleData
import RiffleIO
import RiffleTensor

/// Sets of pictures and numbers: how they are opened, and what they are.
enum SetLibrary {
    static let functions: [Function] = [
        Function(
            "data.images", [Argument("path", .string, "a folder or a file")] + options,
            Doc(
                "Opens a set of pictures: a folder, a ZIP, npy, npz, IDX or CIFAR files, or latents.",
                formula:
                    "bytes b become b / 127.5 - 1; floats stay as they are, expected -1 to 1 and refused beyond 10",
                shapes: "batches of x [n, height, width, channels] and labels [n]",
                example: """
                    > local path = os.tmpname() .. ".npy"; riffle.data.save(path, riffle.zeros(5, 8, 8, 3))
                    > local set = riffle.data.images(path, { size = 4 }); os.remove(path); return #set, set.shape
                    5\t[4, 4, 3]
                    """)
        ) { arguments in
            [.object(DataSet(try PictureFiles.open(arguments.string("path"), pictureOptions(arguments))))]
        },
        Function(
            "data.cifar10",
            [
                Argument("path", .string, "a folder with data_batch_*.bin and test_batch.bin, or one .bin file"),
                // Lua's assert passes its message on behind the value: cifar10(assert(arg[1], "usage: ...")).
                Argument(
                    "message", .string, "not used, so that the path may come out of assert(path, message)",
                    default: .none),
                Argument("split", .choice(CIFAR.splits), "which files of the folder", default: .string("train")),
            ],
            Doc(
                "CIFAR-10 in its binary format: 32 x 32 pictures of ten classes.",
                example:
                    """
                    > local path = os.tmpname(); io.open(path, "wb"):write(("\\0"):rep(2 * 3073)):close()
                    > local set = riffle.data.cifar10(path); os.remove(path); return #set, set.classes[1]
                    2\tairplane
                    """,
                source: "Krizhevsky 2009")
        ) { arguments in
            let source = try CIFAR(arguments.string("path"), split: arguments.string("split"))
            return [.object(DataSet(try PictureSet(source, PictureOptions())))]
        },
        Function(
            "data.tensors",
            [
                Argument("x", .tensor, "floats [n, ...], a sample a row"),
                Argument("labels", .tensor, "int32 [n] from 1", default: .none),
            ],
            Doc(
                "Makes a set of a tensor's rows, to be given in batches.",
                example:
                    "> local set = riffle.data.tensors(riffle.randn(6, 2)); return set, #set:batches { size = 4 }\n"
                    + "6 samples [2]\t2")
        ) { arguments in
            [.object(DataSet(try TensorSource(arguments.tensor("x"), labels: arguments.optionalTensor("labels"))))]
        },
        Function(
            "data.csv",
            [
                Argument("path", .string, "numbers in lines, separated by commas, semicolons or tabs"),
                Argument(
                    "columns", .list(.any), "names, or numbers from 1; all where not given", default: .none),
                Argument("labels", .any, "the column of classes, of words or numbers", default: .none),
                Argument(
                    "header", .boolean,
                    "whether the first line has names; where not given, as it looks: words above numbers",
                    default: .none),
            ],
            Doc(
                "Reads a table of numbers as a set, a sample a line.",
                shapes: "batches of x [n, columns] and labels [n]",
                example: """
                    > local path = os.tmpname(); io.open(path, "w"):write("a,b,kind\\n1,2,cat\\n3,4,dog\\n"):close()
                    > local set = riffle.data.csv(path, { labels = "kind" }); os.remove(path)
                    > return #set, set.shape, set.classes
                    2\t[2]\t["cat", "dog"]
                    """)
        ) { arguments in
            let columns = try arguments.list("columns").map { try column($0) }
            return [
                .object(
                    DataSet(
                        try CSVFile.read(
                            arguments.string("path"), columns: columns.isEmpty ? nil : columns,
                            labels: arguments.has("labels") ? column(arguments[named: "labels"]) : nil,
                            hasHeader: arguments.has("header") ? arguments.boolean("header") : nil)))
            ]
        },
    ]

    private static let options = [
        Argument(
            "size", .list(.integer(1...65_536)), "the side, or { height, width }; the pictures' own where not given",
            default: .none),
        Argument("crop", usual: Fitting.Crop.none, "the part of that shape to take, the largest there is"),
        Argument(
            "channels", .integer(1...4), "1 grey, 3 RGB, 4 RGBA; 3 for files of pictures, an array's own",
            default: .none),
        Argument(
            "labels", .choice(PictureOptions.LabelRule.allCases.map(\.rawValue)),
            "from class folders, or from the set's files; where not given, as the set is", default: .none),
        Argument("filter", usual: ResizeFilter.lanczos, "for resizing, with antialiasing as PIL does it"),
        Argument("split", .choice(CIFAR.splits), "which part of a set that is published in two", default: .none),
        Argument(
            "skip_broken", .boolean, "whether broken pictures are left out and reported, rather than an error",
            default: .boolean(false)),
    ]

    private static func pictureOptions(_ arguments: Arguments) throws -> PictureOptions {
        var options = PictureOptions()
        let size = arguments.integers("size")
        guard size.count <= 2 else {
            throw RiffleError("", "size is a side or { height, width }, got \(size.count) numbers")
        }
        if let height = size.first { options.size = PictureSize(width: size.last ?? height, height: height) }
        options.crop = arguments.choice("crop")
        options.filter = arguments.choice("filter")
        options.channels = arguments.optionalInteger("channels")
        options.labels = arguments.optionalString("labels").flatMap(PictureOptions.LabelRule.init)
        options.split = arguments.optionalString("split")
        options.skipsBroken = arguments.boolean("skip_broken")
        return options
    }

    private static func column(_ value: Value) throws -> CSVFile.Column {
        switch value {
        case .string(let name): .name(name)
        case .integer(let number): .number(number)
        default: throw RiffleError("", "a column is a name or a number from 1")
        }
    }

    // MARK: - Class

    static let classes: [ObjectClass] = [
        ObjectClass(
            "data_set", DataSet.self,
            Doc("Samples with their labels: pictures, rows of tensors or latents. #set is their number."),
            methods: [
                Method(
                    "batches",
                    BatchLibrary.arguments(of: "samples", arePictures: true),
                    Doc(
                        "Batches x [n, ...] and perhaps labels [n] from 1, in an order that seed and position fix.",
                        example:
                            """
                            > \(tinySet)
                            > for step, batch in set:batches { size = 2 } do
                            >   return step, batch.x:shape(), batch.labels
                            > end
                            1\t[2, 32, 32, 3]\ttensor int32 [2]: 1 1
                            """
                    )
                ) { set, arguments in [.object(try BatchLibrary.batches(of: set, arguments))] },
                Method(
                    "split",
                    [
                        Argument("test", .fraction(0...1), "how much of the set the second part gets"),
                        Argument("seed", .integer(0...Int.max), "what fixes the draw", default: .integer(1)),
                    ],
                    Doc(
                        "Two sets that have no sample in common, drawn at random: the rest, and a part.",
                        example: """
                            > local set = riffle.data.tensors(riffle.randn(10, 2))
                            > local train, test = set:split { test = 0.2 }; return #train, #test
                            8\t2
                            """)
                ) { set, arguments in
                    let parts = try set.split(arguments.number("test"), seed: UInt64(arguments.integer("seed")))
                    return [.object(parts.rest), .object(parts.part)]
                },
            ],
            properties: [
                Property(
                    "classes", .list(.string), "The classes' names, by label; empty where there are no labels.",
                    get: { .list($0.classes.map(Value.string)) }),
                Property(
                    "shape", .list(.integer(1...Int.max)), "Of one sample.",
                    get: { .list($0.sampleShape.sizes.map(Value.integer)) }),
                Property("labelled", .boolean, "Whether each sample has a label.", get: { .boolean($0.isLabelled) }),
            ],
            count: { $0.count }, describe: { $0.description })
    ]

    /// Two black pictures, for examples.
    static let tinySet =
        "local path = os.tmpname(); io.open(path, \"wb\"):write((\"\\0\"):rep(2 * 3073)):close(); "
        + "local set = riffle.data.cifar10(path); os.remove(path);"
}
