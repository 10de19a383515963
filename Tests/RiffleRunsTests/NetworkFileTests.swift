import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleNN
@testable import RiffleRuns

/// Networks that are made from their files alone.
@Suite(.serialized) struct NetworkFileTests {
    /// A form with options, none of which has its usual value.
    struct Case: Sendable, CustomTestStringConvertible {
        let form: String
        let options: @Sendable () -> [String: Value]
        init(_ form: String, _ options: @escaping @Sendable () -> [String: Value]) {
            (self.form, self.options) = (form, options)
        }
        var testDescription: String { form }

        func network() throws -> Network {
            let form = try #require(NetworkForm.all.first { $0.name == self.form })
            let given = options()
            let values = form.arguments.map { argument -> Value in
                given[argument.name] ?? argument.defaultValue.value
            }
            let network = try form(Arguments(values, form.arguments))
            // Layers that start as zeros would hide those before them.
            for named in network.parameters { try named.parameter.assign(.randn(named.parameter.shape) * 0.1) }
            return network
        }
    }

    private static func list(_ numbers: Int...) -> Value { .list(numbers.map(Value.integer)) }

    static let cases: [Case] = [
        Case("mlp") {
            [
                "dim": .integer(3), "width": .integer(16), "depth": .integer(2), "frequency": .number(12.5),
                "classes": .integer(4), "null_class": .boolean(true), "precision": .string("bf16"),
            ]
        },
        Case("unet") {
            [
                "image": list(8, 4, 2), "channels": .integer(32), "multipliers": list(2, 1), "blocks": .integer(1),
                "attention": list(4, 2), "heads": .integer(2), "dropout": .number(0.1), "scale_shift": .boolean(true),
                "residual_resampling": .boolean(true), "frequency": .number(1000), "classes": .integer(3),
                "null_class": .boolean(true), "precision": .string("bf16"),
            ]
        },
        Case("unet") {
            [
                "image": list(4, 4, 1), "channels": .integer(32), "multipliers": list(1), "blocks": .integer(1),
                "attention": .list([]), "head_channels": .integer(8),
            ]
        },
        Case("dit") {
            [
                "image": list(4, 8, 3), "patch": .integer(4), "size": .string("B"), "width": .integer(24),
                "depth": .integer(2), "heads": .integer(3), "learned_sigma": .boolean(true), "frequency": .number(1),
                "classes": .integer(3), "null_class": .boolean(false), "precision": .string("bf16"),
                "decoupled": .integer(1),
            ]
        },
        Case("mmdit") {
            [
                "image": list(8, 4, 2), "patch": .integer(1), "depth": .integer(3), "heads": .integer(2),
                "head_channels": .integer(6), "tokens": .integer(7), "summary": .integer(5), "qk_norm": .boolean(true),
                "dual_layers": list(1, 3), "max_size": .integer(9), "sample_size": .integer(32),
                "frequency": .number(500), "time_of_noise": .boolean(false), "precision": .string("bf16"),
                "decoupled": .integer(2), "any_size": .boolean(true),
            ]
        },
    ]

    /// The table above names every option of every network but one that changes no number.
    @Test func everyOptionIsTried() {
        for form in NetworkForm.all {
            let given = Set(Self.cases.filter { $0.form == form.name }.flatMap { $0.options().keys })
            #expect(
                Set(form.arguments.map(\.name)).subtracting(given) == (given.contains("image") ? ["recompute"] : []))
        }
    }

    private func output(_ network: Network) throws -> [Float] {
        Context.current.random = RandomSource(seed: 5)
        let n = 2
        let x = try Tensor.randn((network.sampleShape ?? [8, 4, 2]).inserting(n, at: 0))
        let condition: Condition? =
            switch network.conditioning {
            case .none: nil
            case .classes(let count, let hasNull):
                Condition([try Tensor([Int32(1), Int32(count + (hasNull ? 1 : 0))], [n])])
            case .text(let tokens, let summary): Condition([try .randn([n, 3, tokens]), try .randn([n, summary])])
            case .tokens(let vocabulary, _): Condition([try .full([n, 3], Double(vocabulary), .int32)])
            }
        let s = try Tensor([Float(0.2), 0.7], [n]), t = try Tensor([Float(0.9), 0.8], [n])
        return try withoutGradient {
            try network.evaluating {
                let result =
                    network.times == 2
                    ? try network.average(x, s, t, condition) : try network.velocity(x, s, condition)
                return try result.floats()
            }
        }
    }

    private func expectEqual(_ loaded: Network, _ network: Module, _ name: String) throws {
        let network = try #require(network as? Network)
        #expect(try JSON.text(NetworkDescription(loaded)!.value) == JSON.text(NetworkDescription(network)!.value))
        for (a, b) in zip(try loaded.state(), try network.state()) {
            #expect(try a.name == b.name && a.tensor.floats() == b.tensor.floats(), "\(name): \(a.name)")
        }
        #expect(try output(loaded) == output(network), "\(name)")
        #expect(loaded.isTraining && loaded.parameters.allSatisfy(\.parameter.isTrainable), "\(name)")
    }

    /// A network, its student, and their averages come back from their files, and no random number is drawn for it.
    @Test(arguments: cases) func networksComeBack(_ tried: Case) throws { try comesBack(tried.network()) }

    @Test func networksWithAnEncoderComeBack() throws {
        var clip = CLIPText.Configuration()
        (clip.vocabulary, clip.width, clip.depth, clip.heads, clip.length) = (11, 7, 2, 1, 6)
        (clip.feedForward, clip.activation, clip.projection, clip.endToken) = (9, .gelu, 5, 3)
        let encoder = try CLIPText(clip)
        encoder.precision = .bfloat16
        let network = try TextConditioned(encoder: encoder, network: Self.cases[4].network())
        try comesBack(network)
        #expect(
            try #require(NetworkDescription(network)).lua.hasPrefix(
                "riffle.nn.text_conditioned { encoder = riffle.nn.clip_text { vocabulary = 11, width = 7, depth = 2, "
                    + "heads = 1, length = 6, feed_forward = 9, activation = \"gelu\", projection = 5, end_token = 3, "
                    + "precision = \"bf16\" }, network = riffle.nn.mmdit { image = { 8, 4, 2 }, "))
    }

    private func comesBack(_ network: Network) throws {
        let scratch = try Scratch(), student = try network.twoTimed()
        for named in student.parameters { try named.parameter.assign(.randn(named.parameter.shape) * 0.1) }
        let average = try EMA(student, decay: 0.5)
        for named in student.parameters { try named.parameter.assign(named.parameter.value * 1.5) }
        try average.update()
        for (name, module) in [("net", network), ("student", student), ("average", average.model)] {
            try module.save(to: scratch(name), metadata: ["note": "x"])
            let before = Context.current.random.stream
            let loaded = try NetworkFile(scratch(name)).network()
            #expect(Context.current.random.stream == before)
            try expectEqual(loaded, module, name)
        }

        let powers = try PowerEMA(network), tracked = Tracked()
        try tracked.add("net", network)
        try tracked.add("average", average)
        try tracked.add("powers", powers)
        try tracked.add("notes", Notes(["network": .string("none")]))
        try Checkpoint.write(tracked, to: scratch("checkpoint"))
        let file = try NetworkFile(scratch("checkpoint"))
        #expect(file.entries.map(\.name) == ["average", "net", "powers.0.05", "powers.0.1"])
        let modules: [(String, Module)] = [
            ("net", network), ("average", average.model), ("powers.0.05", powers.models[0]),
        ]
        for (name, module) in modules { try expectEqual(file.network(name), module, name) }
        #expect(
            message { _ = try file.network() }.contains(
                "it holds 4 networks; choose one, such as { entry = \"average\" }"))
        #expect(
            message { _ = try file.network("nett") }.contains("no network 'nett', did you mean 'net'?; it has average"))
        #expect(message { _ = try file.network("notes") }.contains("no network 'notes'"))
        #expect(message { _ = try NetworkFile(scratch("net")).network("net") }.contains("without entries"))
    }

    @Test func aDescriptionIsLua() throws {
        let net = try MLP(.init(width: 64, labels: ClassLabels(3))), dit = try Self.cases[3].network()
        #expect(NetworkDescription(net)?.lua == "riffle.nn.mlp { width = 64, classes = 3 }")
        #expect(try NetworkDescription(MLP(.init()).twoTimed())?.lua == "riffle.nn.mlp {}:two_timed()")
        #expect(
            NetworkDescription(dit)?.lua == "riffle.nn.dit { image = { 4, 8, 3 }, patch = 4, size = \"B\", width = 24, "
                + "depth = 2, heads = 3, learned_sigma = true, frequency = 1, decoupled = 1, classes = 3, "
                + "null_class = false, precision = \"bf16\" }")
        #expect(NetworkDescription(try Linear(2, 3)) == nil)
    }

    // MARK: - Damaged files

    /// Descriptions of a network of width 16 in two dimensions, each with what the error says.
    static let hostile: [(String, String)] = [
        ("", "is none: "), ("[]", "it has no form, options and times"), ("{\"form\": \"mlp\"}", "it has no form"),
        ("{\"form\": \"mpl\", \"options\": {}, \"times\": 1}", "there is no network 'mpl', did you mean 'mlp'?"),
        (mlp("", times: "3"), "a network takes 1 time or 2, not 3"), (mlp("", times: "1.5"), "it has no form"),
        (mlp("\"wide\": 3"), "riffle.nn.mlp has no option 'wide'"),
        (mlp("\"width\": \"16\""), "takes no such width: \"16\""), (mlp("\"width\": -1"), "takes no such width: -1"),
        (mlp("\"width\": 1e300"), "takes no such width: 1e+300"),
        (mlp("\"width\": 9223372036854775807"), "takes no such width: 9223372036854775807"),
        (mlp("\"frequency\": 0"), "takes no such frequency: 0"),
        (mlp("\"frequency\": null"), "takes no such frequency"),
        (mlp("\"null_class\": true"), "null_class is one more label"),
        (mlp("\"width\": 100000, \"dim\": 100000, \"depth\": 1000"), "of another shape: "),
        (mlp("\"classes\": 1000000"), "missing: label_emb.weight"),
        (mlp("", times: "2"), "missing: span_embed.0.weight"),
        (mlp("").dropLast() + ", \"encoder\": 3}", "its encoder has no form and options"),
        (
            mlp("").dropLast() + ", \"encoder\": {\"form\": \"clip\", \"options\": {}}}",
            "there is no text encoder 'clip'"
        ),
        (
            mlp("").dropLast() + ", \"encoder\": {\"form\": \"clip_text\", \"options\": {}}}",
            "is not conditioned on a text"
        ),
        (mlp("\"precision\": \"int8\""), "takes no such precision: \"int8\""),
        (form("unet", "\"image\": [65536, 65536, 65536], \"channels\": 65536, \"multipliers\": [1024]"), "missing: "),
        (form("unet", "\"image\": [4, 4]"), "image must be { height, width, channels }, got [4, 4]"),
        (form("unet", "\"image\": [4, 4, \(String(repeating: "1,", count: 9))1]"), "image must be"),
        (form("unet", ""), "riffle.nn.unet needs the option 'image'"),
        (form("dit", "\"image\": [65536, 65536, 65536], \"patch\": 65536, \"width\": 65532"), "missing: "),
        (
            form("mmdit", "\"image\": [65536, 65536, 65536], \"patch\": 1, \"heads\": 1024, \"head_channels\": 65536"),
            "missing: "
        ),
        (String(repeating: "[", count: 100_000), "is none: "),
        (String(repeating: " ", count: 2 << 20), "at most 1048576"),
    ]

    private static func mlp(_ options: String, times: String = "1") -> String {
        form("mlp", "\"depth\": 1\(options.isEmpty ? "" : ", ")\(options)", times: times)
    }
    private static func form(_ name: String, _ options: String, times: String = "1") -> String {
        "{\"form\": \"\(name)\", \"options\": {\(options)}, \"times\": \(times)}"
    }

    /// A file with a wrong description is an error that names the file. Whoever took memory for what it claims would
    /// run out of it first.
    @Test(arguments: hostile) func wrongDescriptionsAreRefused(_ text: String, _ expected: String) throws {
        let scratch = try Scratch(), path = scratch("net")
        let network = try MLP(.init(width: 16, depth: 1))
        try network.save(to: path, metadata: [Module.description: text])
        let error = message { _ = try NetworkFile(path).network() }
        #expect(error.contains("'\(path)'") && error.contains(expected), "\(error)")
    }

    @Test func filesThatSayNothingAreRefused() throws {
        let scratch = try Scratch(), path = scratch("a"), net = try MLP(.init(width: 16))
        func report() -> String { message { _ = try NetworkFile(path) } }
        let advice = "make the network in a script"
        try SafeTensors.write(net.state(), to: path)
        #expect(report().contains("as it was not written by net:save; \(advice)"))
        try SafeTensors.write(net.state(), metadata: ["riffle": "mlp"], to: path)
        #expect(report().contains("as an earlier version wrote it; \(advice)"))
        try Linear(2, 3).save(to: path)
        #expect(report().contains("as its linear is no network of riffle.nn; \(advice)"))
        #expect(
            message { _ = try NetworkFile(fixture("small.pt")) }.contains(
                "does not say what network it holds; \(advice)"))
        #expect(message { _ = try NetworkFile(scratch("none")) }.contains("No such file"))

        let tracked = Tracked(), counter = try Counter()
        try tracked.add("counter", counter)
        try Checkpoint.write(tracked, to: path)
        #expect(report().contains("none of its objects says what network it is; \(advice)"))
        try tracked.add("net", net)
        try Checkpoint.write(tracked, to: path)
        #expect(
            message { _ = try NetworkFile(path).network("counter") }.contains(
                "does not say what network its 'counter' is"))
        // One number of another object is another one: the file is damaged.
        var bytes = try contents(path)
        #expect(try NetworkFile(path).network().count == net.count)
        bytes[bytes.count - 1] ^= 1
        _ = try scratch.file("a", bytes)
        #expect(message { _ = try NetworkFile(path).network() }.contains("its bytes are not those that were written"))
    }
}
