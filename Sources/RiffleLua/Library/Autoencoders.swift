import RiffleData
import RiffleIO
import RiffleNN
import RiffleTensor

/// Autoencoders of pictures.
enum AutoencoderLibrary {
    private static let tile = Argument(
        "tile", .integer(4...65536),
        "the side in latents of tiles that overlap by a quarter and are blended, a multiple of 4, such as 64: memory "
            + "is bounded by a tile; all at once when not given", default: .none)
    private static let sample = Argument(
        "sample", .boolean, "whether latents are drawn from the posterior, of which they are the means otherwise",
        default: .boolean(false))

    static let functions: [Function] = AutoencoderForm.all.map { form in
        Function("nn.\(form.name)", form.arguments, form.doc) { [.object(try form($0))] }
    }

    static let classes: [ObjectClass] = [
        ObjectClass(
            "autoencoder", PictureAutoencoder.self,
            Doc(
                "Makes latents of pictures and pictures of latents; net(x) goes there and back, with gradients, and "
                    + "gives mean and log-variance."),
            extends: "module",
            methods: [
                Method(
                    "encode",
                    [Argument("pictures", .tensor, "[n, height, width, channels] from -1 to 1"), sample, tile],
                    Doc(
                        "Latents of pictures, shifted and scaled. Gradients are kept where the pictures take them.",
                        formula: "(z - shift) scaling",
                        shapes: "-> [n, height / factor, width / factor, latents]",
                        example: "> \(tiny) return net:encode(riffle.zeros(2, 8, 16, 3)):shape()\n[2, 4, 8, 4]")
                ) { net, arguments in
                    [
                        .tensor(
                            try net.encode(
                                arguments.tensor("pictures"), drawn: arguments.boolean("sample"),
                                tile: arguments.optionalInteger("tile")))
                    ]
                },
                Method(
                    "decode",
                    [Argument("latents", .tensor, "[n, height, width, latents], shifted and scaled"), tile],
                    Doc(
                        "Pictures of latents, about from -1 to 1 and not clamped. Gradients are kept where the latents "
                            + "take them.",
                        shapes: "-> [n, factor height, factor width, channels]",
                        example: "> \(tiny) return net:decode(riffle.zeros(2, 4, 8, 4)):shape()\n[2, 8, 16, 3]")
                ) { net, arguments in
                    [.tensor(try net.decode(arguments.tensor("latents"), tile: arguments.optionalInteger("tile")))]
                },
                Method(
                    "encode_set",
                    [
                        Argument("set", .object("data_set"), "of pictures"),
                        Argument("path", .string, "of a safetensors file, which data.images opens"), sample, tile,
                    ],
                    Doc(
                        "Writes the latents of a set of pictures to a file, whole or not at all, with labels or texts.",
                        example:
                            """
                            > \(tiny) local path = os.tmpname()
                            > net:encode_set(riffle.data.tensors(riffle.zeros(5, 8, 8, 3)), path)
                            > local set = riffle.data.images(path); os.remove(path); return #set, set.shape
                            5\t[4, 4, 4]
                            """)
                ) { net, arguments in
                    let set: DataSet = arguments.object("set")
                    let pixels = set.sampleShape.sizes.prefix(2).reduce(1, *)
                    try LatentFile.write(
                        set, to: arguments.string("path"), batch: PictureAutoencoder.atATime(pixels: pixels)
                    ) {
                        try net.encode(
                            $0, drawn: arguments.boolean("sample"), tile: arguments.optionalInteger("tile"))
                    }
                    return []
                },
            ],
            properties: [
                Property(
                    "scaling", .positive, "What latents are multiplied by, so that their deviation is about 1.",
                    get: { .number($0.scaling) }, set: { $0.scaling = $1.number(0) }),
                Property(
                    "shift", .number, "What is taken off latents before.", get: { .number($0.shift) },
                    set: { $0.shift = $1.number(0) }),
                Property(
                    "precision", .choice(Precision.allCases.map(\.rawValue)), "Of matrix products, see nn.autoencoder.",
                    get: { .string($0.precision.rawValue) },
                    set: { $0.precision = Precision(rawValue: $1.string(0)) ?? .float32 }),
                Property(
                    "latents", .integer(1...Int.max), "Channels of latents.", get: { .integer($0.latentChannels) }),
                Property(
                    "factor", .integer(1...Int.max), "Pixels along the side of a latent.",
                    get: { .integer($0.factor) }),
            ],
            call: { net, inputs in
                guard inputs.count == 1, let pictures = Arguments(inputs).optionalTensor(0) else {
                    throw RiffleError(net.kind, "one tensor of pictures is needed, got \(inputs.count) values")
                }
                let (result, posterior) = try net.reconstruct(pictures)
                return [.tensor(result), .tensor(posterior.mean)] + (posterior.logVariance.map { [.tensor($0)] } ?? [])
            }, index: { try NetworkLibrary.part(of: $0, $1) }, describe: { $0.description })
    ]

    /// The autoencoder of diffusers' folder, or of a file that `net:save` wrote; nil for other files.
    static func open(_ path: String) throws -> PictureAutoencoder? {
        try isFolder(path) ? .open(folder: path) : .open(file: path)
    }

    /// A small network, for examples.
    private static let tiny = "local net = riffle.nn.autoencoder { channels = { 32, 32 }, layers = 1 };"
}
