import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO
@testable import RiffleNN

/// Networks with adapters of low rank.
@Suite(.serialized) struct AdapterTests {
    static let kinds = ["mlp", "unet", "dit", "mmdit"]

    /// A network none of whose layers starts as zeros, and a condition of two samples.
    private func base(_ kind: String, classes: Int? = 3) throws -> (Network, Condition?) {
        let network: Network
        switch kind {
        case "mlp": network = try MLP(.init(dim: 3, width: 16, depth: 2, labels: ClassLabels(classes)))
        case "unet":
            var c = UNet.Configuration(image: [4, 4, 2])
            (c.channels, c.multipliers, c.blocks, c.attention) = (32, [1, 2], 1, [2])
            (c.scaleShift, c.labels) = (true, ClassLabels(classes))
            network = try UNet(c)
        case "dit":
            var c = DiT.Configuration(image: [4, 8, 2])
            (c.width, c.depth, c.heads, c.labels) = (16, 1, 2, ClassLabels(classes))
            network = try DiT(c)
        default:
            var c = MMDiT.Configuration(image: [4, 4, 2])
            (c.depth, c.heads, c.headChannels, c.tokenWidth, c.summaryWidth) = (2, 2, 8, 6, 5)
            (c.queryKeyNorm, c.dualBlocks) = (true, [0])
            network = try MMDiT(c)
        }
        try fill(network)
        switch network.conditioning {
        case .none, .tokens: return (network, nil)
        case .classes: return (network, Condition([try Tensor([1, 3] as [Int32], [2])]))
        case .text(let tokens, let summary):
            // Not random numbers, which depend on the tests before: with some a loss bends too much for differences.
            func values(_ name: String, _ shape: Shape) throws -> Tensor {
                try Tensor(drawn(name, shape.count).map { 2 * $0 - 1 }, shape).cast(.float32)
            }
            return (network, Condition([try values("tokens", [2, 3, tokens]), try values("summary", [2, summary])]))
        }
    }

    private func answer(_ network: Network, _ condition: Condition?) throws -> Tensor {
        let shape = try #require(network.sampleShape).inserting(2, at: 0)
        let x = try Tensor(drawn("x", shape.count).map { Float(2 * $0 - 1) }, shape)
        let s = try Tensor([0.1, 0.6] as [Float], [2])
        return try withoutGradient { try network.velocity(x, s, condition) }
    }

    private func gap(_ a: Tensor, _ b: Tensor) throws -> Double { try (a - b).abs().max().item() }

    /// Every weight of two dimensions or more but that of tables has an adapter; it changes nothing until B does.
    @Test(arguments: kinds) func startsAsItsBase(_ kind: String) throws {
        let (base, condition) = try base(kind), net = try base.adapted(rank: 2, alpha: 3)
        #expect(try gap(answer(net, condition), answer(base, condition)) == 0)
        let layers = base.parameters.filter { $0.parameter.shape.rank > 1 && !$0.name.hasPrefix("label_emb") }
            .map { $0.name.dropLast(".weight".count) }.filter { !$0.hasPrefix("y_embedder") }
        #expect(Set(layers.map(String.init)) == Set(net.adapterForms.keys))
        let trained = net.parameters.filter(\.parameter.isTrainable).map(\.name)
        #expect(trained.count == 2 * layers.count && trained.allSatisfy { $0.contains(".lora_") })
        #expect(net.learnedParameters.map(\.name) == trained && base.parameters.allSatisfy(\.parameter.isTrainable))
        try fill(net)
        #expect(try gap(answer(net, condition), answer(base, condition)) > 0.01)
    }

    /// Students, tangents and gradients of adapted networks, by the checks of whole ones.
    @Test(arguments: kinds) func learnsAsOthersDo(_ kind: String) throws {
        let (base, condition) = try base(kind), checks = try NetworkChecks(base.adapted(rank: 2, alpha: 3), condition)
        let span = try #require(base.twoTimed().parameters.first { $0.name.contains("span") }).name
        try checks.studentStartsAsTeacher(span: span)
        try checks.jumpsOfNoLength()
        try checks.forwardMode()
        try checks.gradientOfForwardMode()
    }

    /// A student of an adapted network trains adapters, and what belongs to its second time.
    @Test func studentsTrainTheirSecondTimeWhole() throws {
        let (base, _) = try base("dit"), net = try base.adapted(rank: 2, match: ["attn"], train: ["final_layer.linear"])
        let own = net.learnedParameters.map(\.name)
        #expect(
            Set(own).subtracting(net.adapterParameterNames) == ["final_layer.linear.weight", "final_layer.linear.bias"])
        for network in [net, try #require(net.copied() as? Network)] {
            let student = try network.twoTimed(), trained = student.parameters.filter(\.parameter.isTrainable)
            let spans = student.parameters.map(\.name).filter { $0.hasPrefix("span_embedder") }
            #expect(spans.count == 4 && Set(trained.map(\.name)) == Set(own + spans))
            #expect(Set(try student.state().map(\.name)) == Set(own + spans))
        }
    }

    @Test(arguments: kinds) func mergesAndTakesOut(_ kind: String) throws {
        let (base, condition) = try base(kind), net = try base.adapted(rank: 2, alpha: 3)
        try fill(net)
        let merged = try net.merged(), answers = try answer(net, condition)
        #expect(try gap(answer(merged, condition), answers) <= 1e-5 * answers.abs().max().item())
        #expect(
            merged.parameters.allSatisfy(\.parameter.isTrainable) && !merged.hasAdapters && merged.adaptation == nil)
        #expect(try merged.state().map(\.name) == base.state().map(\.name))

        let scratch = try Scratch()
        try net.save(to: scratch("a"))
        let out = try merged.adapted(from: scratch("a")).merged(scale: -1)
        for (a, b) in zip(out.parameters, base.parameters) {
            let off = try gap(a.parameter.value, b.parameter.value)
            #expect(try off <= 3e-7 * (1 + b.parameter.value.abs().max().item()), "\(a.name) is off by \(off)")
        }
    }

    /// A norm behind a convolution acts on what the adapter adds, too.
    @Test func normsThatGoIntoWeights() throws {
        let layer = try ConvNorm(Conv2d(3, 4, stride: 2, bias: false), activation: .none)
        try layer.norm.weight.assign(.randn([4]))
        try layer.norm.bias.assign(.randn([4]))
        let x = try Tensor.randn([2, 5, 6, 3]),
            adapter = try LowRank(.init(rank: 2, alpha: 3), of: layer.conv.weight.shape)
        try adapter.up.assign(.randn(adapter.up.shape))
        layer.conv.adapter = adapter
        let y = try layer(x)
        layer.conv.adapter = nil
        try layer.conv.weight.assign(layer.conv.weight.value + adapter.change())
        #expect(try gap(y, layer(x)) < 1e-5)
    }

    // MARK: - Memory

    /// Three adapted copies of a base, an average of each and an optimizer's moments cost what their adapters cost.
    @Test func basesAreShared() throws {
        let base = try MLP(.init(width: 256, depth: 4)), before = Memory.now.live
        Memory.resetPeak()
        let nets = try (0..<3).map { _ in try base.adapted(rank: 2) }
        let adapters = nets[0].learnedParameters.reduce(0) { $0 + $1.parameter.shape.count } * 4
        // Each block of memory is rounded up.
        let slack = 1.5
        #expect(Double(Memory.now.live - before) < slack * Double(3 * adapters) && 3 * adapters < base.count)
        #expect(Double(Memory.now.peak - before) < slack * Double(3 * adapters), "making a copy takes no second base")

        let averages = try nets.map { try EMA($0, decay: 0.5) }, powers = try PowerEMA(nets[0])
        for (index, net) in nets.enumerated() {
            let optimizer = try AdamW(net.parameters.map(\.parameter))
            let x = try Tensor.randn([4, 2])
            try optimizer.step(net.velocity(x, .rand([4])).square().mean())
            try averages[index].update()
            #expect(try optimizer.saved().tensors.count == 2 * net.learnedParameters.count)
        }
        try powers.update()
        #expect(Double(Memory.now.live - before) < slack * Double((3 + 3 + 2) * adapters))
        for network in nets + averages.compactMap({ $0.model as? Network }) {
            for (a, b) in zip(network.baseEntries, base.entries) { #expect(a.parameter.shares(b.parameter)) }
        }
    }

    /// An average follows adapters; once its base is let go, it follows the base, too.
    @Test func averagesFollow() throws {
        let net = try MLP(.init(width: 8, depth: 1)).adapted(rank: 2),
            average = try EMA(net, decay: 0.75, warmup: false)
        let up = try #require(net.parameters.first { $0.name == "input.lora_B.weight" }).parameter
        let weight = try #require(net.parameters.first { $0.name == "input.weight" }).parameter, start = weight.value
        func averaged(_ name: String) throws -> Tensor {
            try #require(average.model.parameters.first { $0.name == name }).parameter.value
        }
        try up.assign(.ones(up.shape))
        try average.update()
        #expect(try gap(averaged("input.lora_B.weight"), .full(up.shape, 0.25)) < 1e-6)
        #expect(try gap(averaged("input.weight"), start) == 0)
        try weight.assign(start + 1)
        try average.update()
        #expect(try gap(averaged("input.weight"), start + 0.25) < 1e-6)
        #expect(!average.model.parameters.contains { $0.parameter.isTrainable })
    }

    // MARK: - Files

    /// What PEFT saved answers as it did in PEFT, from its folder and under older names, and is written as it was read.
    @Test func agreesWithPEFT() throws {
        var c = DiT.Configuration(image: [4, 8, 2])
        (c.width, c.depth, c.heads) = (16, 1, 2)
        let base = try DiT(c), scratch = try Scratch(), file = try SafeTensors(fixture("lora/answer.safetensors"))
        try fill(base)
        let peft = try SafeTensors(fixture("lora/adapter_model.safetensors"))
        let net = try base.adapted(from: fixture("lora"))
        let wanted = try file.tensor(named: "output").permuted([0, 2, 3, 1])
        func check(_ network: Network) throws {
            let got = try network.velocity(
                file.tensor(named: "x").permuted([0, 2, 3, 1]), file.tensor(named: "s"))
            #expect(try gap(got, wanted) <= 1e-5 * wanted.abs().max().item())
        }
        try check(net)
        try check(net.merged())
        #expect(net.adapterForms["x_embedder.proj"] == .init(rank: 3, alpha: 5))
        #expect(net.adapterForms["blocks.0.mlp.fc1"] == .init(rank: 2, alpha: 1))

        let path = scratch("adapter_model.safetensors")
        try net.save(to: path)
        #expect(scratch.names == ["adapter_config.json", "adapter_model.safetensors"])
        let own = try SafeTensors(path)
        #expect(Set(own.names) == Set(peft.names) && own.metadata["rank"] == "2" && own.metadata["alpha"] == "3")
        for name in peft.names { #expect(try gap(own.tensor(named: name), peft.tensor(named: name)) == 0, "\(name)") }
        try check(base.adapted(from: scratch.path))

        // As diffusers wrote adapters: a name in front, other names of the halves, alphas as tensors.
        var old: [(String, Tensor)] = []
        for (layer, form) in net.adapterForms {
            let name = "base_model.model.\(layer)"
            old.append(("transformer.\(layer).lora.down.weight", try peft.tensor(named: "\(name).lora_A.weight")))
            old.append(("transformer.\(layer).lora.up.weight", try peft.tensor(named: "\(name).lora_B.weight")))
            old.append(("transformer.\(layer).alpha", try .scalar(form.alpha)))
        }
        try SafeTensors.write(old, to: scratch("old.safetensors"))
        try check(base.adapted(from: scratch("old.safetensors")))
    }

    /// Adapters, what is trained whole, and an average's count of updates come back from their files; no random number
    /// is drawn.
    @Test(arguments: kinds) func filesComeBack(_ kind: String) throws {
        let (base, condition) = try base(kind), scratch = try Scratch()
        let net = try base.adapted(rank: 3, alpha: 0.5, train: ["bias"])
        try fill(net)
        let average = try EMA(net, decay: 0.5), powers = try PowerEMA(net)
        try fill(net)
        try average.update()
        try powers.update()
        for (name, network) in [("net", net), ("average", try #require(average.model as? Network))] {
            try network.save(to: scratch(name))
            let draws = Context.current.random.stream
            let again = try base.adapted(from: scratch(name))
            #expect(Context.current.random.stream == draws)
            #expect(try gap(answer(again, condition), answer(network, condition)) == 0)
            #expect(again.learnedParameters.map(\.name) == net.learnedParameters.map(\.name))
        }
        let later = try EMA(net, decay: 0.5)
        try later.model.load(from: scratch("average"))
        #expect(later.updates == 1)
        let paths = try powers.snapshot(scratch("power"))
        try PowerEMA.reconstruct(later.model, snapshots: paths, length: 0.07)
        #expect(try gap(answer(later.model as! Network, condition), answer(net, condition)) < 1e-3)
    }

    // MARK: - Mistakes

    @Test func mistakes() throws {
        let scratch = try Scratch(), (base, _) = try base("dit", classes: nil)
        let net = try base.adapted(rank: 2, alpha: 3, match: ["attn"])
        func error(_ body: @autoclosure () throws -> some Any) -> String { message { _ = try body() } }
        #expect(
            error(try base.adapted(rank: 17, match: ["qkv"]))
                == "lora: layer 'blocks.0.attn.qkv': a rank of 17 is more than its weight [48, 16] can have, 16")
        #expect(try !base.adapted(rank: 9).adapterForms.keys.contains("x_embedder.proj"))
        #expect(error(try base.adapted(rank: 1000)) == "lora: no layer of this dit can have an adapter of rank 1000")
        #expect(
            error(try base.adapted(rank: 2, match: ["attn", "atn"])).hasPrefix(
                "lora: match: 'atn' is in no layer's name; they are x_embedder.proj, "))
        #expect(error(try base.adapted(rank: 2, train: ["nrom"])).contains("train: 'nrom' is in no parameter's name"))
        #expect(error(try net.adapted(rank: 2)).hasPrefix("lora: this dit has adapters already; "))
        #expect(error(try base.merged()).hasPrefix("merge_lora: this dit has no adapters; "))

        try net.save(to: scratch("a"))
        try base.save(to: scratch("base"))
        #expect(error(try base.load(from: scratch("a"))).contains("it holds adapters, which net:lora { from = "))
        #expect(
            error(try base.adapted(from: scratch("base"))).contains("base': it holds no adapters, but tensors such as ")
        )
        #expect(error(try net.load(from: scratch("base"))).contains("it holds no adapters"))
        var wide = DiT.Configuration(image: [4, 8, 2])
        (wide.width, wide.depth, wide.heads) = (32, 1, 2)
        let misfit = error(try DiT(wide).adapted(from: scratch("a")))
        #expect(misfit.contains(scratch("a") + " does not fit this dit"))
        #expect(misfit.contains("blocks.0.attn.qkv.lora_A.weight is [2, 16], not [2, 32]"))
        let other = error(try MLP(.init()).adapted(from: scratch("a")))
        #expect(
            other.contains(scratch("a")) && other.contains("which has no linear layer or convolution 'blocks.0.attn."))
        #expect(
            error(try base.adapted(rank: 2, match: ["attn"]).load(from: scratch("a"))).contains(
                "alpha of 'blocks.0.attn.proj' is 3 there, and 2 here"))
        let name = "base_model.model.blocks.0.attn.qkv.lora_A.weight"
        try SafeTensors.write([(name, .ones([2, 16]))], to: scratch("half"))
        #expect(error(try base.adapted(from: scratch("half"))).contains("'blocks.0.attn.qkv' has no lora_B"))
    }

    /// What a configuration beside adapters may say, and what the error says of it.
    @Test(arguments: [
        ("{\"use_dora\": true}", "its adapters are DoRA's"),
        ("{\"lora_alpha\": \"big\"}", "an alpha that is no number"),
        ("{\"alpha_pattern\": {\"attn.(qkv|proj)\": 3}}", "'attn.(qkv|proj)' is the end of no layer's name"),
        ("{\"init_lora_weights\": \"pissa\"}", "began with a change of the base ('pissa')"), ("[]", "is no table"),
        ("{", "adapter_config.json"),
    ]) func configurationsThatDoNotFit(_ config: String, _ expected: String) throws {
        let scratch = try Scratch(), (base, _) = try base("dit", classes: nil)
        try SafeTensors.write(
            SafeTensors(fixture("lora/adapter_model.safetensors")).tensors.map { ($0.name, try $0.tensor()) },
            to: scratch("adapter_model.safetensors"))
        _ = try scratch.file("adapter_config.json", Array(config.utf8))
        let said = message { _ = try base.adapted(from: scratch.path) }
        #expect(said.contains(expected), "\(said)")
    }
}

extension Module {
    fileprivate var adapterParameterNames: [String] { parameters.map(\.name).filter { $0.contains(".lora_") } }
}
