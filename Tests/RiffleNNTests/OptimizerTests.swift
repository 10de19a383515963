import Foundation
import RiffleIO
import RiffleNN
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
        let (gradients, steps) = (try file.tensor(named: "\(name).gradients").cast(.float32), try file.tensor(named: "\(name).steps").doubles())
        for step in 0..<3 {
            parameter.gradient = try gradients.sliced(0, step..<(step + 1)).reshaped(to: parameter.shape)
            try optimizer.step()
            let wanted = steps[(step * parameter.shape.count)..<((step + 1) * parameter.shape.count)]
            for (a, b) in zip(try parameter.value.doubles(), wanted) { #expect(abs(a - b) < 2e-6, "\(name), step \(step + 1)") }
        }
    }

    @Test func adamW() throws { try follow("adamw") { try AdamW($0, learningRate: 0.1, weightDecay: 0.01) } }
    @Test func sgd() throws { try follow("sgd") { try SGD($0, learningRate: 0.1, momentum: 0.9) } }

    @Test func clipping() throws {
        let w = Parameter(try Tensor([3, 4] as [Float], [2]))
        let report = try SGD([w], learningRate: 1, clip: 1).step((w.tensor * Tensor([30, 40] as [Float], [2])).sum())
        #expect(abs(report.gradientNorm - 50) < 1e-4)
        for (a, b) in zip(try w.value.doubles(), [3 - 0.6, 4 - 0.8]) { #expect(abs(a - b) < 1e-5) }
    }

    @Test func nothingChangesWhenTheGradientIsNotFinite() throws {
        let w = Parameter(try Tensor([1, 2] as [Float], [2]))
        let optimizer = try AdamW([w])
        #expect(throws: RiffleError.self) { try optimizer.step((w.tensor * .scalar(.nan)).sum()) }
        #expect(try w.value.doubles() == [1, 2] && optimizer.steps == 0 && w.gradient == nil)
        for rate in [Double.nan, .infinity, -1] { #expect(throws: RiffleError.self) { try optimizer.set(learningRate: rate) } }
    }

    /// Tensors read from a parameter before an update keep their numbers.
    @Test func updatesLeaveEarlierTensorsAlone() throws {
        let w = Parameter(try Tensor([1, 2] as [Float], [2])), before = w.value
        try SGD([w], learningRate: 1).step(w.tensor.sum())
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

    @Test func cosineSchedule() {
        let rate = { Schedule.cosine($0, peak: 2, warmup: 10, total: 110, floor: 0.5) }
        #expect(rate(5) == 1 && rate(10) == 2 && abs(rate(60) - 1.25) < 1e-12 && rate(110) == 0.5 && rate(500) == 0.5)
        #expect(Schedule.cosine(3, peak: 1, warmup: 10, total: 5) == 0.3)
    }
}
