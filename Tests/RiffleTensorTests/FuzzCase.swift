import CKernels
import Glibc

@testable import RiffleTensor

/// One drawn application of a row, and what has to hold for it.
struct FuzzCase: CustomStringConvertible {
    let op: Op
    let number: UInt64
    let sample: Sample
    private let seed: UInt64

    init(_ op: Op, number: UInt64, most: Int = .max) {
        self.op = op
        self.number = number
        seed = op.name.utf8.reduce(number) { $0 &* 31 &+ UInt64($1) }
        var dice = Dice(seed: seed, most: most)
        sample = op.draw?(&dice) ?? dice.pick(op.samples)
    }

    var description: String {
        let shapes = zip(sample.inputs.indices, sample.inputs).map { index, input in
            (index < op.arguments.count ? op.arguments[index].name : "") + " \(input.shape)"
        }
        return "\(op.name): \(shapes.joined(separator: ", ")), attributes \(sample.attributes)"
    }

    /// Leaves the case where the script that runs sanitizers finds it when the process dies of it.
    func announce() {
        guard let path = getenv("RIFFLE_FUZZ_LOG"), let file = fopen(path, "w") else { return }
        fputs("RIFFLE_FUZZ_CASE=\(op.name):\(number)\n\(self)\n", file)
        fclose(file)
    }

    // MARK: - What has to hold

    /// What is wrong; nil where nothing is.
    func fault() throws -> String? {
        var random = RandomSource(seed: seed)
        let inputs = try sample.inputs.map { try numbers($0, &random) }
        let exact = try results(inputs, cotangents: [], directions: [], valueAlone: true)
        let cotangents = try exact.map { try rounded(random.normal($0.tensor.shape, .float64)) }
        let directions = try inputs.map { try rounded(random.normal($0.shape, .float64)) }
        let probe = Probe(inputs: inputs, cotangents: cotangents, directions: directions)
        return try singleFault(probe, &random) ?? derivativeFault(probe, &random) ?? awkwardFault(inputs, &random)
    }

    /// float32 at each level and for one, two and three threads, against float64.
    private func singleFault(_ probe: Probe, _ random: inout RandomSource) throws -> String? {
        let exact = try results(probe), allowed = try tolerances(probe, exact, &random)
        let single = try probe.converted(to: .float32)
        return try atEachLevel { level in
            let found = try onThreads(1) { try results(single) }
            for threads in [2, 3] {
                let other = try onThreads(threads) { try results(single) }
                guard found.count == other.count else { return "\(threads) threads give \(other.count) results" }
                for (a, b) in zip(found, other) where !isSame(a.tensor, b.tensor) {
                    return "\(a.name) differs between 1 and \(threads) threads at level \(level)"
                }
            }
            guard exact.map(\.name) == found.map(\.name) else {
                return "float32 has \(found.map(\.name)) at level \(level), float64 \(exact.map(\.name))"
            }
            for ((wanted, got), allowed) in zip(zip(exact, found), allowed) {
                guard wanted.tensor.shape == got.tensor.shape else {
                    return "\(got.name) has shape \(got.tensor.shape) in float32, \(wanted.tensor.shape) in float64"
                }
                if let mismatch = try difference(wanted.tensor, got.tensor, allowed) {
                    return "\(got.name) at level \(level), \(mismatch), allowed \(allowed)"
                }
            }
            return nil
        }
    }

    /// Derivatives in float64 against each other and against differences.
    private func derivativeFault(_ probe: Probe, _ random: inout RandomSource) throws -> String? {
        let found = try results(probe)
        guard op.kind != .constant, found.allSatisfy({ $0.tensor.dtype == .float64 }) else { return nil }
        func named(_ name: String) -> [Tensor] { found.filter { $0.name == name }.map(\.tensor) }
        let directions = zip(probe.inputs, probe.directions).filter { $0.0.dtype.isFloating }.map(\.1)
        for name in ["gradient", "recorded gradient"] where named(name).count != directions.count {
            return "\(named(name).count) results are a \(name), of \(directions.count) inputs"
        }
        let pulled = try product(named("gradient"), directions),
            pushed = try product(named("tangent"), probe.cotangents)
        if Swift.abs(pulled.sum - pushed.sum) > 1e-9 * (pulled.size + pushed.size) {
            return "<gradient, direction> is \(pulled.sum), <cotangent, tangent> \(pushed.sum)"
        }
        for (name, other) in [
            ("gradient", "recorded gradient"), ("gradient of the tangent", "gradient of the gradient"),
        ] {
            for (a, b) in zip(named(name), named(other)) {
                let size = try a.doubles().map(Swift.abs).max() ?? 0
                if let mismatch = try difference(a, b, 1e-9 * (1 + size)) {
                    return "\(other) is not the \(name): \(mismatch)"
                }
            }
        }
        let first = try differenceFault("gradient", pulled.sum, pulled.size) { step in
            try product(
                results(probe.stepped(step, probe.directions), valueAlone: true).map(\.tensor), probe.cotangents)
        }
        if let first { return first }
        let others = try probe.inputs.map { try random.normal($0.shape, .float64) }
        let along = zip(probe.inputs, others).filter { $0.0.dtype.isFloating }.map(\.1)
        let second = try product(named("gradient of the gradient"), along)
        guard !named("gradient of the gradient").isEmpty else { return nil }
        return try differenceFault("gradient of the gradient", second.sum, second.size) { step in
            let ahead = try results(probe.stepped(step, others)).filter { $0.name == "gradient" }.map(\.tensor)
            return try product(ahead, directions)
        }
    }

    /// A derivative against central differences of two steps, which say nothing where they disagree: at a kink.
    private func differenceFault(
        _ name: String, _ derivative: Double, _ size: Double, _ body: (Double) throws -> (sum: Double, size: Double)
    ) throws -> String? {
        func slope(_ step: Double) throws -> (value: Double, error: Double) {
            let (ahead, behind) = (try body(step), try body(-step))
            return ((ahead.sum - behind.sum) / (2 * step), 1e-14 * (ahead.size + behind.size) / step)
        }
        let (coarse, fine) = (try slope(1e-5), try slope(2e-6))
        let allowed = 1e-6 * size + coarse.error + fine.error + 1e-9
        guard Swift.abs(coarse.value - fine.value) <= allowed, Swift.abs(fine.value - derivative) > allowed else {
            return nil
        }
        return "<\(name), direction> is \(derivative), by differences \(fine.value), allowed \(allowed)"
    }

    /// NaN among ordinary numbers for every row, and all kinds of numbers for those that work element by element: what
    /// is finite, infinite or NaN in float64 is so in float32.
    private func awkwardFault(_ inputs: [Tensor], _ random: inout RandomSource) throws -> String? {
        var dice = Dice(seed: seed &+ 1)
        let isWild = op.isPointwise && dice.chance(0.5)
        let awkward = try inputs.map { input in
            guard input.dtype.isFloating, input.count > 0 else { return input }
            var values = try input.doubles()
            for index in values.indices where dice.chance(isWild ? 0.5 : 0.02) {
                values[index] = isWild ? Double(dice.pick(Self.awkward)) : .nan
            }
            return try Tensor(values, input.shape)
        }
        let wanted = try results(awkward, cotangents: [], directions: [], valueAlone: true)
        let single = try awkward.map { try $0.dtype == .float64 ? $0.converted(to: .float32) : $0 }
        return try atEachLevel { level in
            for (a, b) in zip(wanted, try results(single, cotangents: [], directions: [], valueAlone: true)) {
                let index = try firstIndex(a.tensor, b.tensor) { x, y in
                    !(x.isNaN ? y.isNaN : mayBe(Float(x), Float(y)) || spreadsNaN)
                }
                guard let index else { continue }
                return "element \(index) is \(try b.tensor.doubles()[index]) in float32 at level \(level), "
                    + "\(try a.tensor.doubles()[index]) in float64, with NaN or extremes among the inputs"
            }
            return nil
        }
    }

    /// Winograd's form computes a tile of 4 x 4 pixels from the same numbers.
    private var spreadsNaN: Bool { op.name.hasPrefix("conv2d") }

    private func mayBe(_ wanted: Float, _ got: Float) -> Bool {
        wanted.isFinite && got.isFinite || wanted == got || wanted.magnitude > 3.4028e38 && got.magnitude > 3.4028e38
    }

    private static let awkward: [Float] = [
        0, -0.0, 1, -1, 0.5, 2.5, 1e-45, -1e-45, 1e-40, 1.17549435e-38, 3.4e38, -3.4e38, .infinity, -.infinity, .nan,
        88.5, -87.5, 1e5,
        -1e10, 16_777_217, 2_147_483_648,
    ]
}
