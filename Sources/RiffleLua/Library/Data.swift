import RiffleData
import RiffleIO
import RiffleTensor

/// Sets to learn from, and tensors in files.
enum DataLibrary {
    static let functions: [Function] =
        PlaneSet.all.map(planeSet) + [
            Function(
                "data.cifar10",
                [
                    Argument("path", .string, "a folder with data_batch_*.bin and test_batch.bin, or one .bin file"),
                    // Lua's assert passes its message on behind the value: cifar10(assert(arg[1], "usage: ...")).
                    Argument(
                        "message", .string, "not used, so that the path may come out of assert(path, message)",
                        default: .none),
                    Argument("split", .choice(CIFAR10.splits), "which files of the folder", default: .string("train")),
                ],
                Doc(
                    "CIFAR-10 in its binary format: 32 x 32 images of ten classes.",
                    example:
                        """
                        > local path = os.tmpname(); io.open(path, "wb"):write(("\\0"):rep(2 * 3073)):close()
                        > local set = riffle.data.cifar10(path); os.remove(path); return #set, set.classes[1]
                        2\tairplane
                        """,
                    source: "Krizhevsky 2009")
            ) { [.object(try CIFAR10($0.string("path"), split: $0.string("split")))] },
            Function(
                "data.load", [Argument("path", .string, "ends in .npy, or is a safetensors file")],
                Doc(
                    "Reads tensors: one from a .npy file, else a table of them by name, and a table of texts.",
                    example:
                        """
                        > local path = os.tmpname(); riffle.data.save(path, { a = riffle.ones(2) })
                        > local all = riffle.data.load(path); os.remove(path); return all.a
                        tensor float32 [2]: 1 1
                        """
                )
            ) { arguments in
                let path = arguments.string(0)
                if isNpy(path) { return [.tensor(try Npy.read(path))] }
                let file = try SafeTensors(path)
                let tensors = try file.names.map { ($0, Value.tensor(try file.tensor(named: $0))) }
                return [
                    .table(Dictionary(uniqueKeysWithValues: tensors)), .table(file.metadata.mapValues(Value.string)),
                ]
            },
            Function(
                "data.save",
                [
                    Argument("path", .string),
                    Argument("tensors", .any, "a table by name; for a path that ends in .npy, one tensor"),
                    Argument("metadata", .table, "texts to go with them in a safetensors file", default: .none),
                ],
                Doc(
                    "Writes tensors to a file, whole or not at all.",
                    example:
                        """
                        > local path = os.tmpname() .. ".npy"; riffle.data.save(path, riffle.ones(2))
                        > local x = riffle.data.load(path); os.remove(path); return x
                        tensor float32 [2]: 1 1
                        """
                )
            ) { arguments in
                let path = arguments.string("path")
                try FileEnding.check(path, of: "tensors", [.safetensors, .npy])
                switch arguments[named: "tensors"] {
                case .tensor(let tensor) where isNpy(path) && !arguments.has("metadata"):
                    try Npy.write(tensor, to: path)
                case .table(let table) where !isNpy(path):
                    let tensors = try table.map { name, value in
                        guard let tensor = Arguments([value]).optionalTensor(0) else {
                            throw RiffleError("", "'\(name)' is not a tensor")
                        }
                        return (name, tensor)
                    }
                    try SafeTensors.write(tensors, metadata: arguments.texts("metadata"), to: path)
                default:
                    let wanted =
                        !isNpy(path)
                        ? "a safetensors file takes a table of tensors by name, such as { x = x }"
                        : "a .npy file takes one tensor" + (arguments.has("metadata") ? " and no metadata" : "")
                    throw RiffleError("", "\(wanted), got \(arguments[named: "tensors"].described)")
                }
                return []
            },
        ]

    private static func isNpy(_ path: String) -> Bool { FileEnding(of: path) == .npy }

    private static func planeSet(_ set: PlaneSet) -> Function {
        Function(
            "data.\(set.name)",
            [Argument("scale", .boolean, "whether to centre it and make each deviation 1", default: .boolean(true))],
            Doc(set.summary, example: "> riffle.data.\(set.name)():sample(3):shape()\n[3, 2]")
        ) { [.object($0.boolean(0) ? set : set.raw)] }
    }

    // MARK: - Classes

    static let classes: [ObjectClass] = [
        ObjectClass(
            "plane_set", PlaneSet.self, Doc("A distribution in the plane with an exact sampler."),
            methods: [
                Method(
                    "sample", [Argument("count", .integer(0...Int(Int32.max)))],
                    Doc(
                        "Draws samples.", shapes: "-> [count, 2]",
                        example: "> riffle.data.moons():sample(4):shape()\n[4, 2]")
                ) { [.tensor(try $0.sample($1.integer(0)))] },
                Method(
                    "masses", [Argument("bins", .integer(1...10_000), "along each coordinate", default: .integer(50))],
                    Doc(
                        "The exact probabilities of equal bins over its bounds; the checkerboard's alone are known.",
                        shapes: "-> [bins, bins] float64, x first",
                        example: "> riffle.data.checkerboard():masses(2):tolist()[1][1]\n0.25")
                ) { [.tensor(try $0.binMasses($1.integer("bins")))] },
            ],
            properties: [
                Property("name", .string, "Which set it is.", get: { .string($0.name) }),
                Property("bounds", .list(.number), "The ends of the square that holds it, or nil where it has none.") {
                    $0.bounds.map { .list([.number($0.lowerBound), .number($0.upperBound)]) } ?? .none
                },
            ],
            describe: { "\($0.name), \($0.isScaled ? "centred and scaled" : "as its formula gives it")" }),
        ObjectClass(
            "image_set", CIFAR10.self, Doc("Labelled images of one size. #set is their number."),
            methods: [
                Method(
                    "batches",
                    BatchLibrary.arguments(of: "images", areImages: true),
                    Doc(
                        "Batches x [n, h, w, c] in [-1, 1] and y [n] from 1, in an order that seed and position fix.",
                        example:
                            """
                            > \(tinySet)
                            > for step, batch in set:batches { size = 2 } do return step, batch.x:shape(), batch.y end
                            1\t[2, 32, 32, 3]\ttensor int32 [2]: 1 1
                            """
                    )
                ) { set, arguments in [.object(try BatchLibrary.batches(of: set, arguments))] }
            ],
            properties: [
                Property(
                    "classes", .list(.string), "The classes' names, by label.",
                    get: { .list($0.classes.map(Value.string)) })
            ],
            count: { $0.count }, describe: { "\($0.count) images \($0.imageShape) of \($0.classes.count) classes" }),
    ]

    /// Two black images, for examples.
    static let tinySet =
        "local path = os.tmpname(); io.open(path, \"wb\"):write((\"\\0\"):rep(2 * 3073)):close(); "
        + "local set = riffle.data.cifar10(path); os.remove(path);"
}

extension Arguments {
    /// A table of texts; numbers and truth values are written out.
    func texts(_ name: String) throws -> [String: String] {
        try table(name).mapValues { value in
            switch value {
            case .string(let string): string
            case .integer(let integer): "\(integer)"
            case .number(let number): riffleFormat(number)
            case .boolean(let boolean): "\(boolean)"
            default: throw RiffleError("", "texts are strings, numbers or booleans")
            }
        }
    }

    /// Two numbers, the smaller one first.
    func range(_ name: String) throws -> ClosedRange<Double>? {
        guard has(name) else { return nil }
        let ends = numbers(name)
        guard ends.count == 2, ends[0].isFinite, ends[1].isFinite, ends[0] < ends[1] else {
            throw RiffleError(
                "",
                "\(name) should be two numbers, the smaller one first, got "
                    + "\(ends.map(riffleFormat).joined(separator: ", "))"
            )
        }
        return ends[0]...ends[1]
    }
}
