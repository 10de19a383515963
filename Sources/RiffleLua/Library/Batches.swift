import RiffleData
import RiffleIO
import RiffleTensor

/// Batches of sets and of pairs: how they are asked for, and what a loop gets.
enum BatchLibrary {
    /// What `set:batches` takes.
    /// - Parameters:
    ///   - samples: the word for what the set holds.
    ///   - arePictures: whether the samples may be pictures, which can be mirrored.
    static func arguments(of samples: String, arePictures: Bool = false) -> [Argument] {
        let flip = Argument(
            "flip", .boolean, "whether half of the pictures are mirrored left to right", default: .boolean(false))
        return [
            Argument("size", .integer(1...1_000_000), "\(samples) a batch"),
            Argument("shuffle", .boolean, "whether each epoch has a random order", default: .boolean(false)),
        ] + (arePictures ? [flip] : []) + [
            Argument(
                "repeat_", .boolean, "whether epoch follows epoch without an end", default: .boolean(false)),
            Argument(
                "drop_last", .boolean, "whether to leave out a batch that is not full", default: .boolean(false)),
            Argument("seed", .integer(0...Int.max), "riffle.seed's where not given", default: .none),
        ]
    }

    static func batches(of set: any SampleSet, _ arguments: Arguments) throws -> Batches {
        try Batches(
            set, size: arguments.integer("size"), shuffle: arguments.boolean("shuffle"),
            flip: arguments.declares("flip") && arguments.boolean("flip"), repeats: arguments.boolean("repeat_"),
            dropLast: arguments.boolean("drop_last"), seed: arguments.optionalInteger("seed").map(UInt64.init))
    }

    static let classes: [ObjectClass] = [
        ObjectClass(
            "batches", Batches.self,
            Doc(
                "Batches of a set: for step, batch in batches do ... end, or batches() for the next one alone."),
            methods: [
                Method(
                    "take", [Argument("count", .integer(0...Int.max))],
                    Doc(
                        "The next batches, so many of them, across the ends of epochs.",
                        example: "> \(SetLibrary.tinySet) return #set:batches({ size = 1, repeat_ = true }):take(5)\n5"
                    )
                ) { [.object($0.take($1.integer(0)))] }
            ],
            properties: [
                Property(
                    "position", .integer(0...Batches.last),
                    "How many samples were given; may be set, to go on where a run left off.",
                    get: { .integer($0.position) }, set: { $0.position = $1.integer(0) }),
                Property("size", .integer(1...Int.max), "Samples a batch.", get: { .integer($0.size) }),
                Property(
                    "waited", .nonNegative, "Seconds that the program waited for batches so far.",
                    get: { .number($0.waited) }),
                Property(
                    "seed", .integer(0...Int.max), "What fixes the order.",
                    get: { .integer(Int(truncatingIfNeeded: $0.seed)) }),
            ],
            call: { try next($0, $1) },
            metamethods: [
                "__len": Function("batches:__len", [Argument("batches", .object("batches"))], Doc("Batches an epoch."))
                { arguments in
                    guard let count = arguments.object(0, as: Batches.self).count else {
                        throw RiffleError("", "these batches have no end")
                    }
                    return [.integer(count)]
                }
            ],
            describe: { "batches of \($0.size) samples, \($0.position) samples given" }),
        ObjectClass(
            "taken_batches", Batches.Take.self, Doc("Some batches of others, for a loop."), count: { $0.count ?? 0 },
            call: { try next($0, $1) }, describe: { "\($0.count ?? 0) batches" }),
    ]

    /// The next batch: its number and its tensors for a loop, which calls with two arguments, and its tensors alone for
    /// `batches()`.
    private static func next(_ batches: some BatchSequence, _ arguments: [Value]) throws -> [Value] {
        guard let (step, batch) = try batches.next() else { return [.none] }
        return (arguments.isEmpty ? [] : [.integer(step)]) + [.table(parts(of: batch))]
    }

    /// A batch's tensors by name.
    static func parts(of batch: Batch) -> [String: Value] {
        // Samples that are texts alone have no numbers.
        var parts: [String: Value] = batch.x.count > 0 ? ["x": .tensor(batch.x)] : [:]
        if let noise = batch.noise { parts["noise"] = .tensor(noise) }
        if let labels = batch.labels { parts["labels"] = .tensor(labels) }
        if let text = batch.text { parts["labels"] = .list([.tensor(text.tokens), .tensor(text.summary)]) }
        if let captions = batch.captions { parts["captions"] = .list(captions.map(Value.string)) }
        return parts
    }
}
