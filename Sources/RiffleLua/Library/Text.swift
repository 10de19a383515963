import RiffleNN
import RiffleTensor
import RiffleText

/// Texts as token numbers, and the encoders that take these.
enum TextLibrary {
    private static let rowLength: ArgumentType = .integer(3...Tokenizer.longest)
    private static let texts = Argument("texts", .list(.string), "in UTF-8, a list or one")

    static let functions: [Function] = tokenizers + encoders + [textConditioned]

    private static let encoders = TextEncoderForm.all.map { form in
        Function("nn.\(form.name)", form.arguments, form.doc) { [.object(try form($0))] }
    }

    private static let textConditioned = Function(
        "nn.text_conditioned",
        [
            Argument("encoder", .object("text_encoder"), "gives tokens' values and a summary, as nn.clip_text does"),
            Argument("network", .object("network"), "takes these, as nn.mmdit does"),
        ],
        Doc(
            "An encoder and a network that train together, as one network whose labels are tokens; a row of zeros is "
                + "no text.",
            shapes: "x [n, ...], t [n], ids [n, length] int32 from 1 -> as x",
            example: """
                > local words = riffle.text.bytes { length = 8 }
                > local net = riffle.nn.text_conditioned {
                >   encoder = riffle.nn.clip_text { vocabulary = words.size, width = 8, depth = 2, heads = 2 },
                >   network = riffle.nn.mmdit { image = { 4, 4, 2 }, depth = 1, tokens = 8, summary = 8 } }
                > net(riffle.ones(1, 4, 4, 2), 0.5, words:encode("red")):shape()
                [1, 4, 4, 2]
                """)
    ) { [.object(try TextConditioned(encoder: $0.object("encoder"), network: $0.object("network")))] }

    private static let tokenizers: [Function] = [
        Function(
            "text.clip_tokenizer",
            [
                Argument(
                    "path", .string,
                    "a folder with tokenizer.json or with vocab.json and merges.txt, a tokenizer.json, or open_clip's "
                        + "bpe_simple_vocab_16e6.txt.gz"),
                Argument(
                    "pad", .string,
                    "the piece that fills rows up, such as '!'; what tokenizer_config.json says, or the end, when not "
                        + "given", default: .none),
                Argument("length", rowLength, "tokens of a row", default: .integer(77)),
            ],
            Doc(
                "CLIP's tokenizer from its published files: byte pairs of lower-case words.",
                source: "Radford et al. 2021, 2103.00020")
        ) { arguments in
            [
                .object(
                    try CLIPTokenizer(
                        path: arguments.string("path"), pad: arguments.optionalString("pad"),
                        length: arguments.integer("length")))
            ]
        },
        Function(
            "text.t5_tokenizer",
            [
                Argument("path", .string, "a spiece.model, a tokenizer.json, or a folder with one of them"),
                Argument("length", rowLength, "tokens of a row", default: .integer(256)),
            ],
            Doc(
                "T5's tokenizer from its published files: pieces of words by a unigram model.",
                source: "Raffel et al. 2020, 1910.10683; Kudo 2018, 1804.10959")
        ) { [.object(try T5Tokenizer(path: $0.string("path"), length: $0.integer("length")))] },
        Function(
            "text.bytes", [Argument("length", rowLength, "tokens of a row", default: .integer(64))],
            Doc(
                "A tokenizer without a file: each byte of UTF-8 is a token.",
                example:
                    """
                    > local words = riffle.text.bytes { length = 8 }
                    > return words.size, table.concat(words:encode("red"):tolist()[1], " ")
                    259\t258 115 102 101 259 257 257 257
                    """)
        ) { [.object(try ByteTokenizer(length: $0.integer("length")))] },
        Function(
            "text.words",
            [
                Argument("texts", .list(.string), "their words are the vocabulary, in any case"),
                Argument("length", rowLength, "tokens of a row", default: .integer(64)),
            ],
            Doc(
                "A tokenizer without a file: each word, between white space, is a token. Other words are an error.",
                example:
                    """
                    > local words = riffle.text.words({ "a red ring", "a blue ring" }, { length = 5 })
                    > return words.size, table.concat(words:encode("a red ring"):tolist()[1], " ")
                    7\t6 1 3 4 7
                    """)
        ) { [.object(try WordTokenizer(texts: $0.strings("texts"), length: $0.integer("length")))] },
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "tokenizer", Tokenizer.self,
            Doc("Turns texts into tokens, numbers from 1 to its size: one more than published files have, from 0."),
            methods: [
                Method(
                    "encode", [texts],
                    Doc(
                        "Rows of tokens: begin, text, end, padding. A text that is too long is cut; cuts says where.",
                        shapes: "-> [n, length] int32, from 1",
                        example: "> riffle.text.bytes():encode { \"red\", \"blue\" }:shape()\n[2, 64]")
                ) { [.tensor(try $0.encode($1.strings("texts")).ids)] },
                Method(
                    "decode", [Argument("ids", .tensor, "tokens [n, length] or [length] int32, from 1")],
                    Doc(
                        "A list of the texts that rows of tokens stand for.",
                        example:
                            """
                            > local words = riffle.text.bytes()
                            > return words:decode(words:encode("red"))[1]
                            red
                            """)
                ) { [.list(try $0.decode($1.tensor("ids")).map(Value.string))] },
                Method(
                    "lengths", [texts],
                    Doc(
                        "A list of how many tokens each text takes with its ends, however many a row has.",
                        example: "> riffle.text.bytes { length = 4 }:lengths { \"red\", \"\" }[1]\n5")
                ) { [.list(try $0.encode($1.strings("texts")).lengths.map(Value.integer))] },
                Method(
                    "cuts", [texts],
                    Doc(
                        "A list of what is left of each text that is too long, and false for those that fit.",
                        example:
                            """
                            > local cuts = riffle.text.bytes { length = 4 }:cuts { "red", "a" }
                            > return cuts[1], cuts[2]
                            re\tfalse
                            """)
                ) { [.list(try $0.encode($1.strings("texts")).cuts.map { $0.map(Value.string) ?? .boolean(false) })] },
            ],
            properties: [
                Property(
                    "size", .integer(1...Int.max), "How many tokens there are: the vocabulary of an encoder.",
                    get: { .integer($0.size) }),
                Property("length", rowLength, "How many tokens a row has.", get: { .integer($0.length) }),
            ],
            describe: { $0.description }),
        ObjectClass(
            "text_encoder", TextEncoder.self,
            Doc("Turns tokens into what networks are conditioned on: encoder(ids) gives tokens, and a summary."),
            extends: "module",
            call: { encoder, inputs in
                guard inputs.count == 1, let ids = Arguments(inputs).optionalTensor(0) else {
                    throw RiffleError(encoder.kind, "one tensor of tokens is needed, got \(inputs.count) values")
                }
                return try encoder(ids).tensors.map(Value.tensor)
            }, describe: { $0.description }),
    ]
}
