import RiffleIO
import RiffleTensor

/// Tensors in files, of Riffle and of others.
enum TensorFileLibrary {
    /// Which part of a file is meant; for every function that reads one.
    static let part = [
        Argument(
            "entry", .string, "the table of a PyTorch file that holds the tensors, such as 'ema_model' or 'state.net'",
            default: .none),
        Argument("strip", .string, "taken off the beginning of names, such as 'module.'", default: .none),
    ]

    static let functions: [Function] = [
        Function(
            "data.load",
            [
                Argument("path", .string, "safetensors or their index.json, .npy, .npz, .pt, .pth, .ckpt or IDX")
            ] + part + [
                Argument("names", .list(.string), "the tensors to read, under the names that remain", default: .none)
            ],
            Doc(
                "Reads tensors: one where the file holds one, else a table by name; and a table of texts.",
                example:
                    """
                    > local path = os.tmpname(); riffle.data.save(path, { a = riffle.ones(2), b = riffle.ones(3) })
                    > local all = riffle.data.load(path, { names = { "a" } }); os.remove(path); return all.a, all.b
                    tensor float32 [2]: 1 1\tnil
                    """
            )
        ) { arguments in
            let file = try TensorFile(arguments.string("path"), part: arguments.part)
            var names = file.names
            if arguments.has("names") {
                names = arguments.list("names").map { if case .string(let name) = $0 { name } else { "" } }
            } else {
                try file.requireTensorsAlone()
            }
            if file.isSingle, let name = names.first { return [.tensor(try file.tensor(named: name))] }
            let tensors = try names.map { ($0, Value.tensor(try file.tensor(named: $0))) }
            return [
                .table(Dictionary(tensors) { first, _ in first }), .table(file.metadata.mapValues(Value.string)),
            ]
        },
        Function(
            "data.inspect", [Argument("path", .string, "a file that data.load reads")],
            Doc(
                "What a file of tensors holds, without reading it: dtype and shape by name, and a table of texts.",
                example:
                    """
                    > local path = os.tmpname(); riffle.data.save(path, { a = riffle.ones(2, 3) })
                    > local a = riffle.data.inspect(path).a; os.remove(path); return a.dtype, a.shape[2]
                    float32\t3
                    """
            )
        ) { arguments in
            let file = try TensorFile(allOf: arguments.string("path"))
            let entries = file.entries.map { entry in
                let sizes = entry.shape.sizes.map(Value.integer)
                return (entry.name, Value.table(["dtype": .string(entry.type.word), "shape": .list(sizes)]))
            }
            return [
                .table(Dictionary(entries) { first, _ in first }), .table(file.metadata.mapValues(Value.string)),
            ]
        },
        Function(
            "data.save",
            [
                Argument("path", .string),
                Argument("tensors", .any, "a table by name; for a path that ends in .npy, one tensor"),
                Argument("metadata", .named, "texts to go with them in a safetensors file", default: .none),
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
}

extension Arguments {
    /// The part of a file that `TensorFileLibrary.part` declares.
    var part: TensorFile.Part { TensorFile.Part(entry: optionalString("entry"), strip: optionalString("strip")) }
}
