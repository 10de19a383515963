import RiffleFlow
import RiffleIO
import RiffleMetrics
@testable import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleLua

/// A default is the same in help, in a call from Lua that leaves it out, and in Swift.
@Suite(.serialized) struct DefaultTests {
    // MARK: - Help

    /// What help shows of a default is Lua for it, to the last bit, for every argument of every function and method.
    @Test func helpShowsEveryDefault() throws {
        let engine = try LuaEngine()
        var count = 0
        for function in Library.functions + Library.classes.flatMap(\.methods) {
            for argument in function.arguments {
                guard let text = Catalogue.Parameter(argument).defaultText, text != "nil" else { continue }
                let shown = try #require(try engine.run("return \(text)", name: "=test").first)
                #expect(isDefault(shown, of: argument), "\(function.name): \(argument.name) = \(text)")
                count += 1
            }
        }
        #expect(count > 300, "\(count) defaults were found alone")
    }

    /// Whether a value that Lua gives is an argument's default, and one that the argument's type takes.
    private func isDefault(_ shown: Value, of argument: Argument) -> Bool {
        switch (shown, argument.defaultValue, argument.type) {
        case (.boolean(let shown), .boolean(let usual), .boolean): shown == usual
        case (.string(let shown), .string(let usual), .choice(let words)): shown == usual && words.contains(usual)
        case (.string(let shown), .string(let usual), .dtype): shown == usual && DType(name: usual) != nil
        case (.string(let shown), .string(let usual), .string): shown == usual
        case (.integer(let shown), .integer(let usual), .integer(let range)): shown == usual && range.contains(usual)
        case (.integer(let shown), .integer(let usual), .sides(let range)): shown == usual && range.contains(usual)
        // Dimensions count from 1 in Lua, and from the end below 0.
        case (.integer(let shown), .integer(let usual), _): shown == (usual < 0 ? usual : usual + 1)
        case (_, .number(let usual), .fraction(let range)):
            Arguments([shown]).optionalNumber(0) == usual && range.contains(usual)
        case (_, .number(let usual), .positive): Arguments([shown]).optionalNumber(0) == usual && usual > 0
        case (_, .number(let usual), _): Arguments([shown]).optionalNumber(0) == usual
        default: false
        }
    }

    // MARK: - Calls

    private static let prepare = """
        local riffle = require "riffle"
        riffle.seed(7)
        local teacher = riffle.nn.mlp { width = 8 }
        local labelled = riffle.nn.mlp { width = 8, classes = 3, null_class = true }
        local student, x = teacher:two_timed(), riffle.randn(8, 2)
        local function colours(x) return x:mean({ 2, 3 }) end
        local features = riffle.metrics.features(colours, { name = "colours logits" })
        riffle.seed(8)

        """

    /// Lua for the arguments that have to be given.
    private static let given = [
        "student": "student", "generator": "teacher:copy()", "online": "teacher:copy()", "teacher": "teacher",
        "net": "teacher", "parameters": "teacher", "x": "x", "z": "x", "a": "x", "b": "x * 2", "samples": "x",
        "truth": "x * 2", "images": "riffle.rand(3, 4, 4, 3)", "image": "{ 8, 8, 3 }", "inputs": "3", "outputs": "2",
        "channels": "32", "width": "16", "alpha": "0.5", "steps": "4", "n": "5", "step": "3", "peak": "1",
        "total": "10", "nfe": "2", "scale": "2", "prediction": "'noise'", "lr": "0.1", "network": "colours",
        "classes": "3", "discriminator": "riffle.nn.discriminator(teacher)",
        "reference": "riffle.rand(8, 4, 4, 3)", "made": "riffle.rand(12, 4, 4, 3)",
    ]

    /// What some functions need beside, and sizes that make their networks small.
    private static let beside = [
        "flow.ode": ["steps": "2"], "flow.consistency": ["steps": "2"], "flow.guide": ["net": "labelled"],
        "optim.ema": ["decay": "0.9"], "nn.unet": ["channels": "32", "multipliers": "{ 1 }", "blocks": "1"],
        "nn.dit": ["width": "16", "depth": "1", "heads": "2"], "nn.mmdit": ["depth": "1"],
        "nn.clip_text": ["vocabulary": "9", "width": "24", "depth": "1"],
        "nn.t5_encoder": ["vocabulary": "9", "width": "16", "depth": "1"],
        "nn.autoencoder": ["channels": "{ 32, 32 }"],
        "metrics.frechet": features, "metrics.kid": features, "metrics.precision_recall": features,
        "metrics.inception_score": features,
    ]
    private static let features = ["features": "features"]
    /// Need files that are published elsewhere, or minutes by default.
    private static let unmeasured = ["metrics.lpips", "metrics.by_nfe"]

    private static let functions = Library.functions.filter { function in
        ["flow.", "nn.", "optim.", "metrics.", "image.grid"].contains { function.name.hasPrefix($0) }
            && function.arguments.contains { argument in shownDefault(argument) != nil }
            && !unmeasured.contains(function.name)
    }

    private static func shownDefault(_ argument: Argument) -> String? {
        Catalogue.Parameter(argument).defaultText.flatMap { $0 == "nil" ? nil : $0 }
    }

    /// A default that a call names changes no bit of what it returns: losses, networks, layers, optimizers, averages,
    /// samplers and distances.
    @Test(arguments: functions) func namedDefaultsChangeNothing(_ function: Function) throws {
        // First arguments that may be anything come before the table, which would be taken for one.
        var first: [String] = []
        var plain = Self.beside[function.name] ?? [:], named = plain
        for (index, argument) in function.arguments.enumerated() where plain[argument.name] == nil {
            if case .required = argument.defaultValue {
                let value = try #require(Self.given[argument.name], "\(function.name) needs '\(argument.name)'")
                if index == first.count, case .any = argument.type {
                    first.append(value)
                } else {
                    (plain[argument.name], named[argument.name]) = (value, value)
                }
            } else if let text = Self.shownDefault(argument) {
                named[argument.name] = text
            }
        }
        #expect(named.count > plain.count)
        func results(_ options: [String: String]) throws -> Stored {
            let table = "{ \(options.map { "\($0.key) = \($0.value)" }.joined(separator: ", ")) }"
            let arguments = (first + [table]).joined(separator: ", ")
            return Stored(
                try LuaEngine().run("\(Self.prepare)return riffle.\(function.name)(\(arguments))", name: "=test"))
        }
        let (one, two) = (try results(plain), try results(named))
        #expect(!one.leaves.isEmpty)
        let difference = one.difference(from: two)
        #expect(difference == nil, "\(difference ?? "")")
    }

    @Test func thereAreFunctionsWithDefaults() { #expect(Self.functions.count > 35, "\(Self.functions.map(\.name))") }

    // MARK: - Swift

    /// What Swift is given: the same objects as Lua has.
    struct Given {
        let teacher: Network, labelled: Network, student: Network, x: Tensor
        var parameters: [Parameter] { teacher.parameters.map(\.parameter) }

        func critic() throws -> Discriminator { try Discriminator(teacher, at: ["hidden.2"]) }

        func naming(_ optimizer: Optimizer) -> Optimizer {
            optimizer.names = teacher.parameters.map(\.name)
            return optimizer
        }
    }

    /// A call from Lua, and the same in Swift with everything left out that has a default.
    struct Pair: Sendable, CustomTestStringConvertible {
        let lua: String
        let swift: @Sendable (Given) throws -> Any
        init(_ lua: String, _ swift: @escaping @Sendable (Given) throws -> Any) {
            (self.lua, self.swift) = (lua, swift)
        }
        var testDescription: String { lua }
    }

    private static let losses: [String: @Sendable (Given) throws -> Loss] = [
        "lfmd": { try LFMDLoss()($0.student, $0.teacher, $0.x) },
        "itvm": { try ITVMLoss()($0.student, $0.teacher, $0.x) },
        "efmd": { try EFMDLoss()($0.student, $0.teacher, $0.x) },
        "pfmm": { try PFMMLoss()($0.student, $0.teacher, $0.x) },
        "tvm": { try TVMLoss()($0.student, $0.teacher, $0.x) },
        "twinflow": { try TwinFlowLoss()($0.student, $0.teacher, $0.x) },
        "fmm": { try FMMLoss()($0.student, $0.x) },
        "imm": { try IMMLoss()($0.student, $0.x) },
        "alphaflow": { try AlphaFlowLoss(alpha: 0.5)($0.student, $0.teacher, $0.x) },
        "lsd": { try SelfDistillationLoss(.lagrangian)($0.student, $0.teacher, $0.x) },
        "esd": { try SelfDistillationLoss(.eulerian)($0.student, $0.teacher, $0.x) },
        "psd": { try SelfDistillationLoss(.progressive)($0.student, $0.teacher, $0.x) },
        "meanflow": { try MeanFlowLoss()($0.student, $0.teacher, $0.x) },
        "imf": {
            var loss = MeanFlowLoss()
            loss.isImproved = true
            return try loss($0.student, $0.teacher, $0.x)
        },
        "ayf": { try AYFLoss()($0.student, $0.teacher, $0.x) },
        "scm": { try AYFLoss.consistency($0.student, $0.teacher, $0.x) },
        "progressive": { try ProgressiveLoss(steps: 4)($0.student, $0.teacher, $0.x) },
        "shortcut": { try ShortcutLoss()($0.student, $0.teacher, $0.x) },
        "consistency": { try ConsistencyLoss()($0.student, $0.teacher, $0.x) },
        "consistency_fm": { try ConsistencyFMLoss()($0.student, $0.teacher, $0.x) },
        "fgm": { try FGMLoss()($0.teacher.copy(), $0.teacher.copy(), $0.teacher, $0.x) },
        "fgm_online": { try FGMOnlineLoss()($0.teacher.copy(), $0.teacher.copy(), $0.x) },
        "dmd": { try DMDLoss()($0.teacher.copy(), $0.teacher.copy(), $0.teacher, $0.x) },
        "facm": { try FACMLoss()($0.student, $0.teacher, $0.x) },
        "freeflow": { try FreeFlowLoss()($0.student, $0.teacher.copy(), $0.teacher, $0.x) },
        "kd": { try KDLoss()($0.teacher.copy(), $0.x, $0.x) },
        "drifting": { try DriftingLoss()($0.teacher.copy(), $0.x, $0.x) },
        "adversarial": { try AdversarialLoss()($0.teacher.copy(), $0.critic(), $0.x) },
        "discriminator": { try DiscriminatorLoss()($0.critic(), $0.teacher.copy(), $0.x, $0.x) },
    ]

    @Test(arguments: LossMethod.all.map(\.name)) func lossesHaveSwiftsDefaults(_ name: String) throws {
        let swift = try #require(Self.losses[name], "\(name) is not among the losses")
        let method = try #require(LossMethod.all.first { $0.name == name })
        let options = method.arguments.compactMap { argument -> String? in
            guard case .required = argument.defaultValue else { return nil }
            return "\(argument.name) = \(Self.given[argument.name] ?? "nil")"
        }
        let teacher = method.arguments.contains { $0.name == "teacher" } ? ", teacher = teacher" : ""
        try check(Pair("flow.loss.\(name) { \(options.joined(separator: ", "))\(teacher) }") { try swift($0).total })
    }

    static let pairs: [Pair] = [
        Pair("nn.mlp {}") { _ in try MLP(.init()) },
        Pair("nn.unet { image = { 8, 8, 3 } }") { _ in try UNet(.init(image: [8, 8, 3])) },
        Pair("nn.dit { image = { 8, 8, 3 } }") { _ in try DiT(.init(image: [8, 8, 3])) },
        Pair("nn.mmdit { image = { 4, 4, 2 }, depth = 1 }") { _ in
            var configuration = MMDiT.Configuration(image: [4, 4, 2])
            configuration.depth = 1
            return try MMDiT(configuration)
        },
        Pair("nn.clip_text { vocabulary = 9, depth = 1 }") { _ in
            var configuration = CLIPText.Configuration()
            (configuration.vocabulary, configuration.depth) = (9, 1)
            return try CLIPText(configuration)
        },
        Pair("nn.t5_encoder { vocabulary = 9, depth = 1 }") { _ in
            var configuration = T5Encoder.Configuration()
            (configuration.vocabulary, configuration.depth) = (9, 1)
            return try T5Encoder(configuration)
        },
        Pair("nn.autoencoder { channels = { 32, 32 } }") { _ in
            var configuration = KLAutoencoder.Configuration()
            configuration.channels = [32, 32]
            return try KLAutoencoder(configuration)
        },
        Pair("nn.tiny_autoencoder {}") { _ in try TinyAutoencoder(.init()) },
        Pair("nn.linear(3, 2)") { _ in try Linear(3, 2) }, Pair("nn.conv2d(3, 8)") { _ in try Conv2d(3, 8) },
        Pair("nn.conv_norm(3, 8)") { _ in try ConvNorm(Conv2d(3, 8, bias: false)) },
        Pair("nn.batch_norm(3)") { _ in try BatchNorm(3) },
        Pair("max_pool(x:reshape(1, 4, 2, 2))") { try $0.x.reshaped(to: [1, 4, 2, 2]).maxPooled(2) },
        Pair("avg_pool(x:reshape(1, 4, 2, 2))") { try $0.x.reshaped(to: [1, 4, 2, 2]).averaged() },
        Pair("nn.group_norm(64)") { _ in try GroupNorm(64) }, Pair("nn.layer_norm(8)") { _ in try LayerNorm(8) },
        Pair("nn.rms_norm(8)") { _ in try RMSNorm(8) }, Pair("nn.loss_weight()") { _ in try LearnedWeight() },
        Pair("nn.discriminator(teacher)") { try $0.critic() },
        Pair("nn.embedding(3, 4)") { _ in try Embedding(3, 4) },
        Pair("optim.adamw(teacher)") { $0.naming(try AdamW($0.parameters)) },
        Pair("optim.sgd(teacher, 0.1)") { $0.naming(try SGD($0.parameters, .init(learningRate: 0.1))) },
        Pair("optim.ema(teacher, { decay = 0.9 })") { try EMA($0.teacher, decay: 0.9) },
        Pair("optim.power_ema(teacher)") { try PowerEMA($0.teacher) },
        Pair("optim.cosine(3, { peak = 1, total = 10 })") { _ in Schedule.cosine(3, peak: 1, total: 10) },
        Pair("flow.matching_loss(teacher, x)") { try MatchingLoss()($0.teacher, $0.x).total },
        Pair("flow.guide(labelled, { scale = 2 })") { try GuidedNetwork($0.labelled, scale: 2) },
        Pair("flow.times(5)") { _ in try TimeSampling.uniform.sample(5) },
        Pair("flow.ode(teacher, x, { method = 'dopri5' })") { try Sampler.ode($0.teacher, $0.x, DormandPrince()).x },
        Pair("flow.consistency(teacher, x, { steps = 2 })") {
            try Sampler.consistency($0.teacher, $0.x, along: [0, 0.5]).x
        },
        Pair("flow.log_likelihood(teacher, x)") { try Likelihood($0.teacher, $0.x, DormandPrince()).logDensity },
        Pair("metrics.sliced_wasserstein(x, x * 2)") { try Metrics.slicedWasserstein($0.x, $0.x * 2) },
        Pair("image.grid(x:reshape(4, 2, 2, 1))") { try ImageGrid.grid($0.x.reshaped(to: [4, 2, 2, 1])) },
    ]

    @Test(arguments: pairs) func othersHaveSwiftsDefaults(_ pair: Pair) throws { try check(pair) }

    /// The first result of the call from Lua stores what Swift's stores.
    private func check(_ pair: Pair) throws {
        let engine = try LuaEngine()
        let code = "\(Self.prepare)return teacher, labelled, student, x, (riffle.\(pair.lua))"
        let values = Arguments(try engine.run(code, name: "=test"))
        let given = Given(
            teacher: values.object(0), labelled: values.object(1), student: values.object(2), x: values.tensor(3))
        Context.current.random = RandomSource(seed: 8)
        let swift = try pair.swift(given)
        let lua: Any =
            switch values[4] {
            case .tensor(let tensor): tensor
            case .object(let object): object
            case let value: try #require(Arguments([value]).optionalNumber(0))
            }
        let (found, wanted) = (Stored(lua), Stored(swift))
        #expect(!wanted.leaves.isEmpty)
        let difference = found.difference(from: wanted)
        #expect(difference == nil, "\(difference ?? "")")
    }
}

extension Network {
    /// What net:copy() makes.
    fileprivate func copy() throws -> Network { try #require(try copied(trainable: true) as? Network) }
}

extension Function: CustomTestStringConvertible {
    public var testDescription: String { name }
}
