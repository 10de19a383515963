import RiffleTensor
import Testing

@testable import RiffleLua

/// Help, hints and messages lead to where the reader wants to go.
@Suite(.serialized) struct HelpTests {
    @Test func aliasesStandForNamesThatExist() throws {
        let catalogue = try LuaEngine().catalogue
        let parameters = catalogue.entries.flatMap(\.parameters)
        let names =
            catalogue.entries.map(\.lastName) + catalogue.classes.flatMap { $0.fields.map(\.name) }
            + parameters.flatMap { [$0.name] + $0.choices }
        let known = Set(names + ["tostring"])
        for (alias, ours) in Aliases.names { #expect(Set(ours).isSubset(of: known), "\(alias): \(ours)") }
    }

    @Test(arguments: [
        ("riffle.mm(x, x)", "did you mean 'matmul'?"), ("x:view(2)", "did you mean 'reshape'?"),
        ("x:sum { axis = 1 }", "did you mean 'dim'?"),
        ("x:sum { keepdim = true }", "did you mean 'keep'?"), ("x.T", "did you mean 'transpose'?"),
        ("optim.adamw(net, { learning_rate = 1 })", "did you mean 'lr'?"),
        ("optim.adamw(net, { betas = { 0.9, 0.95 } })", "did you mean 'beta1'?"),
        ("nn.Linear(1, 2)", "did you mean 'linear'?"),
        ("nn.LayerNorm(3)", "did you mean 'layer_norm'?"), ("nn.SiLU()", "did you mean 'activation'?"),
        ("x:cuda()", "Riffle computes on the processor"),
        ("net:state_dict()", "did you mean 'save'?"), ("riffle.DataLoader", "data sets have :batches"),
        ("torch.randn(2)", "riffle has its functions"),
        ("x:to 'float'", "did you mean 'float32'?"), ("exit()", "Ctrl-D leaves"),
        ("local a = None; a.x = 1", "Lua's word is nil"), ("x.numel", "did you mean 'count'?"),
        ("x.shape[1]", "shape is a method: x:shape()"), ("print(#x.shape)", "shape is a method: x:shape()"),
        ("x:sum().item + 1", "item is a method: x:item()"),
        ("net:parameters()['output.bias']:grad()", "grad is a field: x.grad"),
        ("optim.sgd(net, 1).lr", ""),
        ("do local o = optim.sgd(net, 1) o.lr = -1 end", "=1: optimizer.lr: must be a number from 0 on, got -1"),
        ("x < 1", "=1: tensor: Lua's comparisons give one truth"),
        ("optim.sgd(net, 1)[{}]", "=1: an optimizer cannot be indexed with an empty table"),
        ("do local t = {} t.t = t; x.name = t end", "=1: tensor has no field 'name' that can be set"),
        (
            "flow.ode(nn.module { forward = function(_, x) return 1 end }, x, { steps = 1 })",
            "forward must return a tensor, got 1"
        ),
        // What a network returns behind its tensor is passed over.
        ("nn.module { forward = function(_, x) local t = {} t.t = t return x, t end }(x):rank()", ""),
        (
            "#flow.ode(nn.module { forward = function(_, x) local t = {} t.t = t return x, t end }, x, { steps = 1 })",
            ""
        ),
    ])
    func message(_ code: String, _ expected: String) throws {
        let result = try riffle(["-e", "local net, x = nn.mlp { width = 8 }, riffle.ones(2, 2)", "-e", code])
        let wanted = expected.hasPrefix("=1: ") ? "command line:1: " + expected.dropFirst(4) : expected
        #expect(expected.isEmpty ? result.error.isEmpty : result.error.contains(wanted), "\(code): \(result.error)")
    }

    /// A wrong hint is worse than none: a letter is much of a short name.
    @Test func hintsAreNearEnough() {
        for (name, other) in [
            ("T", "gt"), ("sort", "sqrt"), ("net", "next"), ("x", "xs"), ("lr", "le"), ("sum", "sub"),
        ] { #expect(nearest(name, in: [other]) == nil, "\(name)") }
        for (name, other) in [
            ("prnt", "print"), ("kepe", "keep"), ("limt", "limit"), ("sni", "sin"), ("sofmax", "softmax"),
            ("float46", "float64"), ("ReLU", "relu"),
        ] {
            #expect(nearest(name, in: ["other", other]) == other, "\(name)")
        }
    }

    @Test(arguments: [
        ("resume", "Checkpoints: save, load, resume"), ("checkpoint", "riffle.checkpoint"),
        ("own data", "x:take(riffle.randint"), ("classes", "riffle.nn.mlp"),
        ("From PyTorch", "torch.randn(8, 2)"), ("memory", "topic: Memory and speed"),
        ("learning rate", "riffle.optim.warmup"), ("half_life", "riffle.optim.ema"),
        ("view", "view is called reshape here."), ("LEARNING", "riffle.optim"), ("karras", "riffle.optim.power_ema"),
        ("", "\"From PyTorch\""),
    ])
    func helpFinds(_ words: String, _ expected: String) throws {
        let text = try LuaEngine().catalogue.help(words)
        #expect(text.contains(expected.hasPrefix("riffle: ") ? String(expected.dropFirst(8)) : expected), "\(text)")
    }

    @Test func helpFitsTheTerminal() throws {
        let catalogue = try LuaEngine().catalogue
        for name in catalogue.names + Guide.sections.map(\.title) {
            var isCode = false
            for line in try catalogue.help(name, width: 60).split(separator: "\n", omittingEmptySubsequences: false) {
                isCode = line == "  example" || line.hasPrefix("    ") && (isCode || !line.hasPrefix("     "))
                // A word alone may be longer than a line.
                if !isCode { #expect(line.count <= 60 || !line.dropFirst(34).contains(" "), "\(name): \(line)") }
            }
        }
    }

    @Test func progressFitsTheTerminal() {
        let progress = Progress(label: "teacher", total: 6000)
        progress.advance(to: 1200)
        Progress.note(loss: 0.01234)
        for width in 1...100 { #expect(progress.line(elapsed: 4, width: width).count <= width) }
        #expect(progress.line(elapsed: 4, width: nil) == "teacher  1200/6000  300/s  0:16 left  loss 0.01234")
        #expect(
            progress.line(elapsed: 4, width: 79)
                == "teacher  [====>               ]  1200/6000  300/s  0:16 left  loss 0.01234")
        #expect(progress.line(elapsed: 4, width: 60) == "teacher  [=>    ]  1200/6000  300/s  0:16 left  loss 0.01234")
        #expect(progress.line(elapsed: 4, width: 39) == "1200/6000  0:16 left  loss 0.01234")
    }
}
