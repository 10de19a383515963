import RiffleFlow
import RiffleIO
import RiffleNN
import RifflePipelines
import RiffleTensor

/// Published text-to-image models in the folders that diffusers writes.
enum StableDiffusion3Library {
    private static let side: ArgumentType = .integer(1...1_000_000)

    static let functions: [Function] = [
        Function(
            "sd3",
            [
                Argument("folder", .string, "with model_index.json, as diffusers' save_pretrained writes it"),
                Argument(
                    "storage", .choice(StableDiffusion3.storages.map(\.description)),
                    "how the network and the encoders are kept; bfloat16 takes half the memory and stands still, "
                        + "adapters train on it", default: .string("float32")),
            ],
            Doc(
                "Opens Stable Diffusion 3 or 3.5 as diffusers has it. Parts are checked, and read when they are "
                    + "needed; print says what they take.",
                source: "Esser et al. 2024, 2403.03206")
        ) {
            [.object(try StableDiffusion3(folder: $0.string("folder"), storage: $0.dtype("storage")))]
        },
        Function(
            "tiny_sd3", [Argument("folder", .string, "that is written, over an older pipeline")],
            Doc(
                "Writes and opens a random pipeline of SD3.5's form, of 32 x 32 pixels, to try scripts with.",
                example: """
                    > local folder = os.tmpname(); os.remove(folder)
                    > local sd3 = riffle.tiny_sd3(folder)
                    > os.execute("rm -r " .. folder); return sd3:latents(2, 32, 16)
                    2\t16\t8\t4
                    """)
        ) { [.object(try StableDiffusion3.tiny(folder: $0.string("folder")))] },
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "stable_diffusion_3", StableDiffusion3.self,
            Doc(
                "A text-to-image model in a folder: labels of texts, a network for flow.ode, pictures of latents."
            ),
            methods: [
                Method(
                    "encode", [Argument("texts", .list(.string), "in UTF-8, a list or one")],
                    Doc(
                        "Labels of texts for the network. Encoders are read, used and let go, T5 a layer at a time.",
                        shapes: "-> { tokens [n, 333, width], summary [n, width] }")
                ) { model, arguments in
                    [.list(try model.encode(arguments.strings("texts")).tensors.map(Value.tensor))]
                },
                Method(
                    "encode_prompts",
                    [
                        Argument("texts", .list(.string), "in UTF-8, a list or one"),
                        Argument("path", .string, "of a safetensors file, which data.prompts opens"),
                        Argument(
                            "batch", .integer(1...100_000), "texts at a time, for which encoders are read anew",
                            default: .integer(StableDiffusion3.usualTexts)),
                    ],
                    Doc(
                        "Writes what the encoders make of prompts, and of no text, to a file, whole or not at all.")
                ) { model, arguments in
                    try model.encode(
                        arguments.strings("texts"), to: arguments.string("path"), batch: arguments.integer("batch"))
                    return []
                },
                Method(
                    "cuts", [Argument("texts", .list(.string), "in UTF-8, a list or one")],
                    Doc(
                        "A list of what both CLIPs take of each text that is too long, and false for those that fit; "
                            + "T5 takes 256 tokens.")
                ) { [.list(try $0.cuts($1.strings("texts")).map { $0.map(Value.string) ?? .boolean(false) })] },
                Method(
                    "latents",
                    [
                        Argument("n", .integer(1...1 << 30)), Argument("height", side, "in pixels"),
                        Argument("width", side, "in pixels"),
                    ],
                    Doc("The shape of n pictures' latents, as numbers for riffle.randn: n, height, width, channels.")
                ) { model, arguments in
                    try model.latents(
                        arguments.integer("n"), height: arguments.integer("height"), width: arguments.integer("width")
                    ).sizes.map(Value.integer)
                },
                Method(
                    "decode",
                    [
                        Argument("latents", .tensor, "[n, height, width, channels]"),
                        Argument(
                            "tile", .integer(4...65536), "see autoencoder:decode; all at once when not given",
                            default: .none),
                    ],
                    Doc("Pictures of latents, clamped to -1 to 1.", shapes: "-> [n, height, width, 3]")
                ) { model, arguments in
                    [.tensor(try model.decode(arguments.tensor("latents"), tile: arguments.optionalInteger("tile")))]
                },
                Method(
                    "check_save", [Argument("path", .string, "of the folder that will be written")],
                    Doc("Throws what save would of the path, before long work.")
                ) { model, arguments in
                    try model.checkSave(to: arguments.string("path"))
                    return []
                },
                Method(
                    "save",
                    [
                        Argument("path", .string, "of the folder; an older pipeline with no other files is replaced"),
                        Argument(
                            "network", .object("network"),
                            "of the same form, written instead of the folder's; adapters are merged", default: .none),
                        Argument(
                            "start", .fraction(Generation.starts),
                            "the time at which the network takes its noise, where it is a one-step generator",
                            default: .none),
                    ],
                    Doc(
                        "Writes a folder that diffusers loads, with the network as it is now, whole or not at all."
                    )
                ) { model, arguments in
                    try model.save(
                        to: arguments.string("path"), network: arguments.optionalObject("network"),
                        start: arguments.optionalNumber("start"))
                    return []
                },
            ],
            properties: [
                Property(
                    "network", .object("network"), "The velocity, conditioned on texts; read at first use.",
                    get: { .object(try $0.network()) }),
                Property(
                    "autoencoder", .object("autoencoder"), "Between pictures and latents; read at first use.",
                    get: { .object(try $0.autoencoder()) }),
                Property(
                    "shift", .positive, "What flow.shifted_times takes, by the folder's scheduler.",
                    get: { .number($0.shift) }),
                Property(
                    "start", .fraction(Generation.starts),
                    "Of flow.generate, where the folder says that its network is a one-step generator; else nil.",
                    get: { $0.start.map(Value.number) ?? .none }),
            ],
            describe: { $0.description })
    ]
}
