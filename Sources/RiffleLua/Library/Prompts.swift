import RiffleData
import RiffleIO
import RiffleTensor

/// Prompts that training reads.
enum PromptLibrary {
    static let functions: [Function] = [
        Function(
            "data.prompt_list",
            [Argument("path", .string, "a text, a prompt a line; a .jsonl of tables with \"prompt\"")],
            Doc(
                "Reads a list of prompts from a file of UTF-8.",
                example:
                    """
                    > local path = os.tmpname(); io.open(path, "w"):write("a red car\\ntwo cats\\n"):close()
                    > local prompts = riffle.data.prompt_list(path); os.remove(path); return #prompts, prompts[2]
                    2\ttwo cats
                    """)
        ) { [.list(try PromptList($0.string("path")).prompts.map(Value.string))] },
        Function(
            "data.prompts",
            [Argument("path", .string, "a file of `riffle encode`, or of sd3:encode_prompts")],
            Doc(
                "Opens encoded prompts, whose rows are read when a batch needs them.",
                shapes: "batches of labels { tokens [n, length, width], summary [n, width] } and captions",
                example: "> \(tinySet)\n> return #set, set.texts[1]\n2\ta red car")
        ) { [.object(try PromptFile($0.string("path")))] },
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "prompts", PromptFile.self,
            Doc("Prompts with what a text-to-image model's encoders made of them. #prompts is their number."),
            methods: [
                Method(
                    "batches", BatchLibrary.arguments(of: "prompts"),
                    Doc(
                        "Batches of labels { tokens, summary } and captions, in an order that seed and position fix.",
                        example:
                            """
                            > \(tinySet)
                            > local batch = set:batches({ size = 2 })()
                            > return batch.captions[2], batch.labels[1]:shape(), batch.labels[2]:shape()
                            two cats\t[2, 3, 2]\t[2, 2]
                            """)
                ) { [.object(try BatchLibrary.batches(of: $0, $1))] }
            ],
            properties: [
                Property("texts", .list(.string), "The prompts.", get: { .list($0.prompts.map(Value.string)) }),
                Property(
                    "none", .tensors, "What stands for no text, as flow.guide takes it: { tokens, summary } of \"\".",
                    get: { .list([.tensor($0.none.tokens), .tensor($0.none.summary)]) }),
            ],
            count: { $0.count }, describe: { $0.description })
    ]

    /// Two prompts, for examples.
    private static let tinySet = """
        local path, r = os.tmpname(), riffle.ones
        > local tensors = { tokens = r(2, 3, 2), summary = r(2, 2), none_tokens = r(1, 3, 2), none_summary = r(1, 2) }
        > riffle.data.save(path, tensors, { prompts = '["a red car","two cats"]' })
        > local set = riffle.data.prompts(path); os.remove(path)
        """
}
