import Testing

@testable import RiffleTensor

/// What is computed again for the gradient gives the bits that a flat tape gives, and leaves nothing behind.
@Suite(.serialized) struct RecomputeTests {
    private let w: Parameter, v: Parameter

    init() throws {
        Context.current.random = RandomSource(seed: 5)
        (w, v) = (Parameter(try Tensor.rand([6, 6], .float64)), Parameter(try Tensor.rand([6, 6], .float64)))
    }

    private func block(_ x: Tensor, _ shared: Tensor) throws -> Tensor {
        let h = try (x.linear(w.tensor, nil) + shared).silu().dropout(0.3)
        return try x + h.linear(v.tensor, nil, after: .gelu) * shared
    }

    /// Three blocks of the same parameters and one shared input. Each block ends with a part that is computed again by
    /// itself.
    private func run(_ x: Tensor, recompute: Bool) throws -> Tensor {
        func again(_ inputs: [Tensor], _ body: @escaping ([Tensor]) throws -> [Tensor]) throws -> Tensor {
            try (recompute ? recomputing(inputs, parameters: [w, v], body) : body(inputs))[0]
        }
        let shared = try w.tensor.mean([0]).exp()
        return try (0..<3).reduce(x) { x, _ in
            try again([x, shared]) { inputs in
                let h = try block(inputs[0], inputs[1])
                return [try again([h]) { [try $0[0].layerNorm() * w.tensor.mean()] }]
            }
        }
    }

    /// A loss without tangents, with tangents that take gradients, with constant ones, and with two levels.
    private func loss(_ kind: Int, recompute: Bool) throws -> Tensor {
        let (x, dx) = (try Tensor.randn([4, 6], .float64), try Tensor.randn([4, 6], .float64))
        func along(_ constant: Bool, _ x: Tensor) throws -> (value: Tensor, tangent: Tensor) {
            try jvp([x], [dx], constantTangents: constant) { try run($0[0] * v.tensor.mean(), recompute: recompute) }
        }
        switch kind {
        case 0: return try run(x, recompute: recompute).square().mean()
        case 1, 2:
            let (y, dy) = try along(kind == 2, x)
            return try (y + (kind == 2 ? dy.detach() : dy)).square().mean()
        default: return try jvp([x], [dx]) { try along(false, $0[0]).tangent }.tangent.square().mean()
        }
    }

    @Test(arguments: 0...3) func gradientsAreTheSameBits(_ kind: Int) throws {
        let found = try [false, true].map { recompute in
            Context.current.random = RandomSource(seed: 9)
            (w.gradient, v.gradient) = (nil, nil)
            let loss = try loss(kind, recompute: recompute)
            let after = Context.current.random.stream
            try loss.backward()
            #expect(Context.current.random.stream == after && Context.current.precision == .float32)
            return try [loss, #require(w.gradient), #require(v.gradient), .scalar(Double(after), .float64)].map {
                try $0.doubles()
            }
        }
        #expect(found[0] == found[1])
    }

    /// The second run reads what the first read: values from before an update, and what was frozen then.
    @Test func parametersAreAsTheyWere() throws {
        let x = try Tensor.ones([2, 6], .float64), before = w.value, source = Context.current.random
        let loss = try recomputing([x], parameters: [w, v]) { [try block($0[0], w.tensor.mean())] }[0].sum()
        Context.current.random = source
        let wanted = try gradients(of: block(x, w.tensor.mean()).sum(), for: [w.tensor, v.tensor]).map {
            try $0.doubles()
        }
        try w.update { $0.storeBytes(of: 100, as: Double.self) }
        v.isTrainable = false
        let found = try loss.summedGradients()
        #expect(found.contains { $0.parameter === w } && found.contains { $0.parameter === v })
        for (parameter, gradient) in found { #expect(try gradient.doubles() == wanted[parameter === w ? 0 : 1]) }
        #expect(try w.value.doubles()[0] == 100 && before.doubles()[0] != 100 && !v.isTrainable)
    }

    /// An error of the second run, an interruption or memory that runs out leaves gradients and modes as they were.
    @Test(arguments: ["mistake", "interrupted", "memory"]) func errorsOfTheSecondRun(_ kind: String) throws {
        var runs = 0
        let loss = try jvp([.ones([2, 6], .float64)], [.ones([2, 6], .float64)]) {
            try recomputing($0, parameters: [w]) { inputs in
                runs += 1
                if runs == 2, kind == "mistake" { throw RiffleError("exp", "failed").within("blocks.1") }
                if runs == 2, kind == "interrupted" { Interrupt.request() }
                if runs == 2, kind == "memory" { Memory.setLimit(1) }
                return [try (inputs[0] * w.tensor.mean()).exp()]
            }[0]
        }.tangent.sum()
        let (records, stream) = (Context.current.tape.liveCount, Context.current.random.stream)
        w.gradient = try .ones([6, 6], .float64)
        let error = #expect(throws: RiffleError.self) { try loss.backward() }
        Interrupt.clear()
        Memory.setLimit(0)
        #expect(error?.kind == ["mistake": .mistake, "interrupted": .interrupted, "memory": .outOfMemory][kind])
        if kind == "mistake" { #expect(error?.description == "exp: failed in blocks.1") }
        #expect(try w.gradient?.doubles() == [Double](repeating: 1, count: 36))
        #expect(Context.current.random.stream == stream && Context.current.isRecording)
        #expect(Context.current.levels.isEmpty && Context.current.tape.liveCount <= records)
    }

    @Test func nanNamesOperationAndLine() throws {
        let context = Context.current
        (context.guardsAgainstNaN, context.callLocation) = (true, { "train.lua:7" })
        defer { (context.guardsAgainstNaN, context.callLocation) = (false, { "" }) }
        let x = try Tensor.zeros([6], .float64)
        let loss = try recomputing([x], parameters: [w]) { [try ($0[0] * w.tensor).sqrt()] }[0].sum()
        context.callLocation = { "train.lua:8" }
        let error = #expect(throws: RiffleError.self) { try loss.backward() }
        #expect(error?.description.contains("sqrt: in its gradient") == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("computed at train.lua:7") == true, "\(error?.description ?? "")")
    }

    @Test func nothingIsLeft() throws {
        let (records, bytes) = (Context.current.tape.liveCount, Memory.now.live)
        for kind in 0...3 {
            for backward in [true, false] {
                let loss = try loss(kind, recompute: true)
                if backward { _ = try loss.summedGradients() }
                if backward { #expect(throws: RiffleError.self) { try loss.backward() } }
            }
        }
        #expect(Context.current.tape.liveCount == records && Memory.now.live == bytes)
    }

    /// Passes over a tape that is kept, gradients for inputs, and gradients of gradients.
    @Test func retainedAndAgain() throws {
        let x = try Tensor.randn([4, 6], .float64)
        func results(recompute: Bool) throws -> [[Double]] {
            Context.current.random = RandomSource(seed: 3)
            let input = try x * w.tensor.mean(), loss = try run(input, recompute: recompute).square().sum()
            let first = try gradients(of: loss, for: [input, w.tensor], retain: true)
            let second = try gradients(of: loss, for: [input, w.tensor], recording: true)
            let third = try gradients(of: second[0].square().sum(), for: [w.tensor, v.tensor])
            return try (first + second + third).map { try $0.doubles() }
        }
        let (flat, again) = (try results(recompute: false), try results(recompute: true))
        #expect(flat[0..<2] == again[0..<2])
        for (index, (a, b)) in zip(flat, again).enumerated() {
            let scale = a.map(abs).max() ?? 1
            #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-9 * scale }, "\(index)")
        }
    }
}
