import Foundation
import RiffleIO
import RiffleTensor
import Testing

@testable import RiffleNN

/// Power-function averages against their closed form, and reconstructions against averages that were followed.
@Suite struct PowerEMATests {
    /// A folder for one test.
    private final class Folder {
        let path = NSTemporaryDirectory() + "riffle-" + UUID().uuidString
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Parameters as functions of the step: a constant, a drift, a decay, an oscillation and a walk.
    private func parameters(_ step: Int, of total: Int) -> [Float] {
        let t = Double(step) / Double(total)
        let walk = (1...step).reduce(0.0) { $0 + sin(Double($1 * $1)) } / Double(total).squareRoot()
        return [3, t, 1 + exp(-5 * t), sin(6 * t), 2 + walk].map(Float.init)
    }

    /// Follows the function for `total` steps; every so many steps writes snapshots, and returns the files of all.
    private func follow(_ average: PowerEMA, _ layer: Linear, _ total: Int, every: Int, _ folder: Folder) throws
        -> [String]
    {
        var files: [String] = []
        for step in 1...total {
            try layer.weight.assign(Tensor(parameters(step, of: total), [1, 5]))
            try average.update()
            if step % every == 0 { files += try average.snapshot(folder.path + "/run") }
        }
        return files
    }

    private func weight(_ module: Module) throws -> [Double] { try module.parameters[0].parameter.value.doubles() }

    private func message(_ body: () throws -> Void) -> String {
        let error = #expect(throws: RiffleError.self) { try body() }
        return error?.description ?? ""
    }

    @Test(arguments: [0.001, 0.05, 0.10, 0.2, PowerProfile.longest]) func lengthsAreDeviations(_ length: Double) throws
    {
        let profile = try PowerProfile(length: length, step: 1000), gamma = profile.exponent
        #expect(gamma >= 0 && abs(((gamma + 1) / (gamma + 3)).squareRoot() / (gamma + 2) / length - 1) < 1e-9)
        // |p|^2 in closed form; the product with the uniform profile is 1/step for every profile that ends there.
        #expect(abs(profile.product(profile) * 1000 * (2 * gamma + 1) / ((gamma + 1) * (gamma + 1)) - 1) < 1e-12)
        #expect(try abs(profile.product(PowerProfile(length: PowerProfile.longest, step: 1000)) * 1000 - 1) < 1e-6)
    }

    @Test func averagesHaveTheirClosedForm() throws {
        let layer = try Linear(5, 1, bias: false), lengths = [0.03, 0.10, 0.25]
        let average = try PowerEMA(layer, lengths: lengths)
        for step in 1...300 {
            try layer.weight.assign(Tensor(parameters(step, of: 300), [1, 5]))
            try average.update()
        }
        #expect(
            average.steps == 300 && average.models.count == 3
                && average.models[0].parameters[0].parameter.isTrainable == false)
        for (length, model) in zip(lengths, average.models) {
            let gamma = try PowerProfile.exponent(length: length)
            var wanted = [Double](repeating: 0, count: 5)
            for step in 1...300 {
                let share = pow(Double(step) / 300, gamma + 1) - pow(Double(step - 1) / 300, gamma + 1)
                for (index, value) in parameters(step, of: 300).enumerated() { wanted[index] += share * Double(value) }
            }
            for (a, b) in zip(try weight(model), wanted) { #expect(abs(a - b) < 3e-6) }
        }
    }

    @Test func reconstructionsAgreeWithWhatWasFollowed() throws {
        let folder = try Folder(), layer = try Linear(5, 1, bias: false), total = 800
        let others = [0.05, 0.07, 0.15]
        let followed = try PowerEMA(layer, lengths: others), stored = try PowerEMA(layer)
        var midway: [[Double]] = []
        var files: [String] = []
        for step in 1...total {
            try layer.weight.assign(Tensor(parameters(step, of: total), [1, 5]))
            try followed.update()
            try stored.update()
            if step % 100 == 0 { files += try stored.snapshot(folder.path + "/run") }
            if step == 650 { midway = try followed.models.map(weight) }
        }
        #expect(files.count == 16 && files[1] == folder.path + "/run-100-0.1.safetensors")

        let network = try Linear(5, 1, bias: false)
        let limits = [0.05: 2e-6, 0.07: 2e-3, 0.15: 5e-3]
        for (index, length) in others.enumerated() {
            let mixture = try PowerEMA.reconstruct(network, snapshots: files.shuffled(), length: length)
            let errors = zip(try weight(network), try weight(followed.models[index])).map { abs($0 - $1) }
            #expect(abs(mixture.weights.reduce(0, +) - 1) < 1e-9 && mixture.weights.count == 16)
            #expect(errors.allSatisfy { $0 < limits[length] ?? 0 }, "\(length): \(errors), \(mixture.error)")
            #expect(errors[0] < 2e-6, "what stands still stays")

            try PowerEMA.reconstruct(network, snapshots: files, length: length, step: 650)
            let between = zip(try weight(network), midway[index]).map { abs($0 - $1) }
            #expect(between.allSatisfy { $0 < 2e-2 }, "\(length) at step 650: \(between)")
        }
    }

    /// Snapshots that are alike get no large weights, and a profile among the parts is found.
    @Test func mixturesAreStable() throws {
        let times = Array(stride(from: 100, through: 800, by: 100))
        func parts(_ lengths: [Double], _ times: [Int]) throws -> [PowerProfile] {
            try times.flatMap { step in try lengths.map { try PowerProfile(length: $0, step: step) } }
        }
        let wanted = try PowerProfile(length: 0.07, step: 800),
            plain = try PowerMixture(of: parts([0.05, 0.10], times), for: wanted)
        #expect(plain.error < 0.014)
        for lengths in [[0.05, 0.05, 0.10], [0.05, 0.05 * (1 + 1e-12), 0.10], [0.05, 0.05000001, 0.10]] {
            let mixture = try PowerMixture(of: parts(lengths, times + times), for: wanted)
            #expect(
                abs(mixture.error - plain.error) < 1e-3 && mixture.weights.allSatisfy { abs($0) < 200 },
                "\(lengths): \(mixture)")
        }
        let dense = try PowerMixture(of: parts([0.05, 0.10], Array(781...800)), for: wanted)
        #expect(dense.error < 1 && dense.weights.allSatisfy { abs($0) < 100 })
        let among = try PowerMixture(of: parts([0.05, 0.07], times), for: wanted)
        #expect(among.error < 1e-6 && abs(among.weights[15] - 1) < 1e-6)
    }

    @Test func mistakesAreReported() throws {
        let folder = try Folder(), layer = try Linear(5, 1, bias: false)
        let average = try PowerEMA(layer)
        #expect(message { try average.snapshot(folder.path + "/run") }.contains("before the first update"))
        let files = try follow(average, layer, 4, every: 2, folder)
        func report(_ module: Module, _ files: [String], _ length: Double = 0.07, _ step: Int? = nil) -> String {
            message { try PowerEMA.reconstruct(module, snapshots: files, length: length, step: step) }
        }
        #expect(report(layer, []).contains("two snapshots or more are needed"))
        #expect(
            report(layer, files + [folder.path + "/none"]).contains("cannot read '\(folder.path)/none': No such file"))
        #expect(report(layer, files, 0.07, 5).contains("step 5 is beyond the last snapshot, of step 4"))
        #expect(report(layer, files, 0.07, 0).contains("counts from 1, got 0"))
        for length in [0, -0.1, 0.3, .nan, .infinity] {
            #expect(report(layer, files, length).contains("above 1e-06 and at most 0.288675, got"))
        }
        #expect(
            report(try Linear(4, 1, bias: false), files).contains(
                "'\(files[0])' does not fit this linear: tensor 'weight' is [1, 5], not [1, 4]"))
        #expect(report(try Linear(5, 1), files).contains("tensor 'bias' is missing"))
        #expect(report(try Embedding(5, 1), files).contains("does not fit"))
        let plain = folder.path + "/plain"
        try SafeTensors.write(layer.state(), to: plain)
        #expect(report(layer, files + [plain]).contains("'\(plain)' is not a snapshot of power_ema"))
        try SafeTensors.write(layer.state(), metadata: ["step": "0", "length": "0.05"], to: plain)
        #expect(report(layer, [plain]).contains("'\(plain)': an average's step counts from 1"))
        #expect(try weight(layer) == parameters(4, of: 4).map(Double.init), "nothing changed")

        for lengths in [[], [0.05, 0.05], [0.5], [0]] {
            #expect(message { _ = try PowerEMA(layer, lengths: lengths) }.contains("length"))
        }
        let late = [plain, folder.path + "/later"]
        for (index, file) in late.enumerated() {
            try SafeTensors.write(
                layer.state(), metadata: ["step": "\(1_000_000 + index)", "length": "0.05"], to: file)
        }
        #expect(report(layer, [plain, plain], 0.05, 2).contains("two snapshots or more are needed"))
        #expect(report(layer, late, 0.05, 2).contains("do not determine an average of length 0.05 at step 2"))
    }
}
