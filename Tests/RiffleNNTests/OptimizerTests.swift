import Foundation
import RiffleIO
@testable import RiffleNN
import RiffleTensor
import Testing

/// Optimizers and averages against PyTorch's numbers and closed forms.
@Suite struct OptimizerTests {
    private func fixture() throws -> SafeTensors {
        try SafeTensors(
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Fixtures/ops.safetensors").path)
    }

    private func follow(_ name: String, _ make: ([Parameter]) throws -> Optimizer) throws {
        let file = try fixture()
        let parameter = Parameter(try file.tensor(named: "\(name).start").cast(.float32))
        let optimizer = try make([parameter])
        let (gradients, steps) = (
            try file.tensor(named: "\(name).gradients").cast(.float32),
            try file.tensor(named: "\(name).steps").doubles()
        )
        for step in 0..<3 {
            parameter.gradient = try gradients.sliced(0, step..<(step + 1)).reshaped(to: parameter.shape)
            try optimizer.step()
            let wanted = steps[(step * parameter.shape.count)..<((step + 1) * parameter.shape.count)]
            for (a, b) in zip(try parameter.value.doubles(), wanted) {
                #expect(abs(a - b) < 2e-6, "\(name), step \(step + 1)")
            }
        }
    }

    @Test func adamW() throws { try follow("adamw") { try AdamW($0, .init(learningRate: 0.1, weightDecay: 0.01)) } }
    @Test func sgd() throws { try follow("sgd") { try SGD($0, .init(learningRate: 0.1, momentum: 0.9)) } }

    @Test func clipping() throws {
        let w = Parameter(try Tensor([3, 4] as [Float], [2]))
        let report = try SGD([w], .init(learningRate: 1, clip: 1)).step(
            (w.tensor * Tensor([30, 40] as [Float], [2])).sum())
        #expect(abs(report.gradientNorm - 50) < 1e-4)
        for (a, b) in zip(try w.value.doubles(), [3 - 0.6, 4 - 0.8]) { #expect(abs(a - b) < 1e-5) }
    }

    private static let rules: [@Sendable ([Parameter]) throws -> Optimizer] = [
        { try AdamW($0, .init(learningRate: 0.1, weightDecay: 0.01)) },
        { try SGD($0, .init(learningRate: 0.1, momentum: 0.9, nesterov: true)) },
    ]

    private func loss(_ parameters: [Parameter]) throws -> Tensor {
        try parameters.map { try ($0.tensor.square() + $0.tensor * 3).sum() }.reduce(.scalar(0)) { try $0 + $1 }
    }

    /// A parameter that is trained later is updated as if its first step were the optimizer's first, as PyTorch has it.
    @Test(arguments: rules.indices) func whatARuleKeepsIsEachParametersOwn(_ rule: Int) throws {
        let (early, late, alone) = (Parameter(try .ones([2])), Parameter(try .ones([2])), Parameter(try .ones([2])))
        let (both, one) = (try Self.rules[rule]([early, late]), try Self.rules[rule]([alone]))
        late.isTrainable = false
        for _ in 0..<50 { try both.step(loss([early, late])) }
        late.isTrainable = true
        for _ in 0..<20 {
            try both.step(loss([early, late]))
            try one.step(loss([alone]))
            #expect(try late.value.floats() == alone.value.floats())
        }
        #expect(both.steps == 70)
        if let both = both as? AdamW { #expect(both.states.map { $0?.steps } == [70, 20]) }
    }

    /// A loss or a gradient that is not finite leaves parameters, moments and counts as if the step had not been.
    @Test(arguments: rules.indices, [Double.nan, .infinity, -.infinity]) func nothingChangesWhereNumbersAreNotFinite(
        _ rule: Int, _ bad: Double
    ) throws {
        let parameters = [Parameter(try .ones([2])), Parameter(try .ones([2]))]
        let (disturbed, calm) = (try Self.rules[rule]([parameters[0]]), try Self.rules[rule]([parameters[1]]))
        for step in 0..<6 {
            let (w, before) = (parameters[0], try parameters[0].value.floats())
            for (loss, reason) in [
                (try loss([w]) + bad, "the loss is not finite"),
                (try (w.tensor * bad).sum(), "is not finite"),
            ] where step % 2 == 0 {
                let error = #expect(throws: RiffleError.self) { try disturbed.step(loss) }
                #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
                #expect(try w.value.floats() == before && disturbed.steps == step && w.gradient == nil)
            }
            try disturbed.step(loss([w]))
            try calm.step(loss([parameters[1]]))
            #expect(try w.value.floats() == parameters[1].value.floats())
        }
        for rate in [Double.nan, .infinity, -1] {
            #expect(throws: RiffleError.self) { try calm.set(learningRate: rate) }
        }
    }

    /// Parts of a batch, weighted by their shares, make the step of the whole batch up to rounding, the last part being
    /// smaller. A part that is not finite changes nothing, and the others still count.
    @Test(arguments: rules.indices) func partsOfABatch(_ rule: Int) throws {
        let x = try Tensor.randn([10, 3]), y = try Tensor.randn([10, 2])
        let layers = try (0..<2).map { _ in try Linear(3, 2) }
        for (a, b) in zip(layers[0].parameters, layers[1].parameters) { try b.parameter.assign(a.parameter.value) }
        func loss(_ layer: Linear, _ rows: Range<Int>) throws -> Tensor {
            try (layer(x.sliced(0, rows)) - y.sliced(0, rows)).square().mean()
        }
        let (whole, parted) = (
            try Self.rules[rule](layers[0].parameters.map(\.parameter)),
            try Self.rules[rule](layers[1].parameters.map(\.parameter))
        )
        for _ in 0..<3 {
            let wanted = try whole.step(loss(layers[0], 0..<10))
            for rows in [0..<4, 4..<8, 8..<10] {
                let part = try loss(layers[1], rows), other = try layers[0].weight.tensor.sum()
                for bad in [try part + Double.nan, try (layers[1].weight.tensor * Double.infinity).sum(), other, x] {
                    #expect(throws: RiffleError.self) { try parted.accumulate(bad, weight: 1) }
                }
                let value = try part.item()
                #expect(try parted.accumulate(part, weight: Double(rows.count) / 10) == value)
            }
            let found = try parted.step()
            #expect(try abs(#require(found.loss) - #require(wanted.loss)) < 1e-5)
            #expect(abs(found.gradientNorm - wanted.gradientNorm) < 1e-5 * wanted.gradientNorm)
            for (a, b) in zip(layers[0].parameters, layers[1].parameters) {
                #expect(try (a.parameter.value - b.parameter.value).abs().max().item() < 1e-5, "\(a.name)")
            }
        }
        try parted.accumulate(loss(layers[1], 0..<4), weight: 0.4)
        parted.clearGradients()
        let last = try loss(layers[1], 0..<10), value = try last.item()
        #expect(try parted.step(last).loss == value, "cleared gradients count no longer")
    }

    /// Tensors read from a parameter before an update keep their numbers.
    @Test func updatesLeaveEarlierTensorsAlone() throws {
        let w = Parameter(try Tensor([1, 2] as [Float], [2])), before = w.value
        try SGD([w], .init(learningRate: 1)).step(w.tensor.sum())
        #expect(try before.doubles() == [1, 2] && w.value.doubles() == [0, 1])
    }

    @Test func averages() throws {
        let layer = try Linear(1, 1, bias: false)
        try layer.weight.assign(.zeros([1, 1]))
        let (plain, warm) = (try EMA(layer, decay: 0.5, warmup: false), try EMA(layer, decay: 0.5))
        try layer.weight.assign(.ones([1, 1]))
        func value(_ average: EMA) throws -> Double { try average.model.parameters[0].parameter.value.item() }
        for average in [plain, warm] { try average.update() }
        #expect(try value(plain) == 0.5 && abs(value(warm) - 0.9) < 1e-6)
        for average in [plain, warm] { try average.update() }
        #expect(try value(plain) == 0.75)
        #expect(plain.model.parameters[0].parameter.isTrainable == false && !plain.model.isTraining)
        #expect(try abs(EMA.decay(halfLife: 10) - 0.9330329915368074) < 1e-12)
    }

    /// An average that is read from its file goes on as one that never stopped.
    @Test func averagesGoOnFromTheirFiles() throws {
        let folder = NSTemporaryDirectory() + "riffle-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (layer, path) = (try Linear(1, 1, bias: false), folder + "/average.safetensors")
        func value(_ module: Module) throws -> Double { try module.parameters[0].parameter.value.item() }
        try layer.weight.assign(.zeros([1, 1]))
        let (mean, power) = (try EMA(layer, decay: 0.999), try PowerEMA(layer))
        for _ in 0..<500 {
            try mean.update()
            try power.update()
        }
        try mean.model.save(to: path)
        let snapshots = try power.snapshot(folder + "/power")
        let (later, laterPower) = (try EMA(layer, decay: 0.999), try PowerEMA(layer))
        try layer.weight.assign(.ones([1, 1]))
        try later.model.load(from: path)
        for (model, file) in zip(laterPower.models, snapshots) { try model.load(from: file) }
        for average in [mean, later] { try average.update() }
        for average in [power, laterPower] { try average.update() }
        #expect(try value(later.model) == value(mean.model) && later.updates == 501)
        #expect(try laterPower.models.map(value) == power.models.map(value) && laterPower.steps == 501)

        // Each power average counts its own: one that no file was read into begins.
        let half = try PowerEMA(layer)
        try half.models[0].load(from: snapshots[0])
        try half.update()
        #expect(try value(half.models[0]) == value(power.models[0]) && value(half.models[1]) == 1)

        // The count is no tensor: a network reads the file strictly, and other files leave an average's count as it is.
        try layer.load(from: path)
        try layer.save(to: path)
        #expect(try SafeTensors(path).metadata["updates"] == nil)
        try later.model.load(from: path)
        #expect(later.updates == 501)
        // Some snapshots name their step alone.
        try SafeTensors.write(layer.state(), metadata: ["step": "77", "length": "0.05"], to: path)
        try later.model.load(from: path)
        #expect(later.updates == 77)
    }

    @Test func cosineSchedule() {
        let rate = { Schedule.cosine($0, peak: 2, warmup: 10, total: 110, floor: 0.5) }
        #expect(rate(5) == 1 && rate(10) == 2 && abs(rate(60) - 1.25) < 1e-12 && rate(110) == 0.5 && rate(500) == 0.5)
        #expect(Schedule.cosine(3, peak: 1, warmup: 10, total: 5) == 0.3)
    }
}
