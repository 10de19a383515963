import CKernels
import Glibc

@testable import RiffleTensor

/// What a row is asked: inputs, and the vectors that its Jacobian is multiplied with from the left and from the right.
struct Probe {
    let inputs: [Tensor], cotangents: [Tensor], directions: [Tensor]

    func converted(to dtype: DType) throws -> Probe {
        func converted(_ tensors: [Tensor]) throws -> [Tensor] {
            try tensors.map { try $0.dtype.isFloating ? $0.converted(to: dtype) : $0 }
        }
        return Probe(
            inputs: try converted(inputs), cotangents: try converted(cotangents), directions: try converted(directions))
    }

    /// Every number changed by up to `change` times itself.
    func shaken(_ change: Double, _ random: inout RandomSource) throws -> Probe {
        func shaken(_ tensors: [Tensor]) throws -> [Tensor] {
            try tensors.map {
                $0.dtype.isFloating ? try $0 * random.uniform($0.shape, .float64).affine(2 * change, 1 - change) : $0
            }
        }
        return Probe(inputs: try shaken(inputs), cotangents: try shaken(cotangents), directions: try shaken(directions))
    }

    /// The inputs after a step along `directions`.
    func stepped(_ step: Double, _ directions: [Tensor]) throws -> Probe {
        let ahead = try zip(inputs, directions).map { try $0.dtype.isFloating ? $0 + $1 * step : $0 }
        return Probe(inputs: ahead, cotangents: cotangents, directions: self.directions)
    }
}

/// Changes every operation's result by up to `change` times itself, as coarser numbers would.
private final class Roundings: Profiler {
    private let change: Double
    private var random: RandomSource

    init(_ change: Double, seed: UInt64) { (self.change, random) = (change, RandomSource(seed: seed)) }

    override func measure<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        let result = try body()
        for case let tensor? in result as? [Tensor?] ?? [] where tensor.dtype == .float64 {
            guard let noise = try? random.uniform(tensor.shape, .float64) else { continue }
            let (numbers, shares) = (tensor.elements(Double.self), noise.elements(Double.self))
            withExtendedLifetime(noise) {
                var index = 0
                while index < numbers.count {
                    numbers[index] *= 1 + change * (2 * shares[index] - 1)
                    index += 1
                }
            }
        }
        return result
    }
}

extension FuzzCase {
    typealias Result = (name: String, tensor: Tensor)

    func results(_ probe: Probe, valueAlone: Bool = false) throws -> [Result] {
        try results(probe.inputs, cotangents: probe.cotangents, directions: probe.directions, valueAlone: valueAlone)
    }

    /// Value, gradient (by the fused rules, and by the recorded ones), tangent, and the gradients of the last two.
    func results(_ inputs: [Tensor], cotangents: [Tensor], directions: [Tensor], valueAlone: Bool) throws -> [Result] {
        func apply(_ inputs: [Tensor]) throws -> [Tensor] {
            Array(try op.apply(inputs, sample.attributes).prefix(op.results))
        }
        let value = try apply(inputs).map { Result("value", $0) }
        guard op.kind != .constant, !valueAlone else { return value }
        let parameters = inputs.map { Parameter($0) }
        let leaves = zip(inputs, parameters).map { $0.dtype.isFloating ? $1.tensor : $0 }
        let floating = leaves.indices.filter { inputs[$0].dtype.isFloating }
        func slopes(_ result: Tensor, recording: Bool = false) throws -> [Tensor] {
            guard result.needsGradient else { return [] }
            return try gradients(of: result, for: floating.map { leaves[$0] }, recording: recording)
        }
        func labelled(_ name: String, _ tensors: [Tensor]) -> [Result] { tensors.map { (name, $0) } }

        let gradient = try slopes(contracted(apply(leaves), cotangents))
        let recorded = try slopes(contracted(apply(leaves), cotangents), recording: true)
        let curved = try recorded.isEmpty ? [] : slopes(contracted(recorded, floating.map { directions[$0] }))
        let tangents = try tangents(leaves, floating, directions, apply)
        return value + labelled("gradient", gradient) + labelled("recorded gradient", recorded.map { $0.detach() })
            + labelled("tangent", tangents.map { $0.detach() })
            + labelled("gradient of the tangent", try slopes(contracted(tangents, cotangents)))
            + labelled("gradient of the gradient", curved)
    }

    private func tangents(
        _ leaves: [Tensor], _ floating: [Int], _ directions: [Tensor], _ apply: ([Tensor]) throws -> [Tensor]
    ) throws -> [Tensor] {
        let level = ForwardLevel()
        defer { level.close() }
        var moving = leaves
        for index in floating { moving[index] = try level.dual(leaves[index], directions[index]) }
        return try apply(moving).map { try level.split($0).tangent }
    }

    /// The sum of all products of two lists of tensors.
    private func contracted(_ tensors: [Tensor], _ weights: [Tensor]) throws -> Tensor {
        try zip(tensors, weights).filter { $0.0.dtype.isFloating }.map { try ($0 * $1).sum() }
            .reduce(.scalar(0, tensors.first?.dtype ?? .float64)) { try $0 + $1 }
    }

    /// The same as a number, and the sum of the products' magnitudes.
    func product(_ tensors: [Tensor], _ weights: [Tensor]) throws -> (sum: Double, size: Double) {
        var (sum, size) = (0.0, 0.0)
        for (tensor, weight) in zip(tensors, weights) {
            _ = try firstIndex(tensor, weight) { x, y in
                (sum, size) = (sum + x * y, size + Swift.abs(x * y))
                return false
            }
        }
        return (sum, size)
    }

    // MARK: - Numbers

    /// An input in float64, with values that float32 holds too.
    func numbers(_ input: Sample.Input, _ random: inout RandomSource) throws -> Tensor {
        switch input {
        case .random(let shape, let range):
            try rounded(random.uniform(shape, .float64).affine(range.upperBound - range.lowerBound, range.lowerBound))
        case .indices(let values, let shape): try Tensor(values, shape)
        }
    }

    func rounded(_ tensor: Tensor) throws -> Tensor { try tensor.converted(to: .float32).converted(to: .float64) }

    /// How far each float32 result may be from float64's: as far as roundings of what goes in and of each operation's
    /// result would change it, of its own size and of the terms of order one that may have cancelled inside a kernel,
    /// times how errors of a sum of so many terms add up.
    func tolerances(_ probe: Probe, _ exact: [Result], _ random: inout RandomSource) throws -> [Double] {
        if op.kind == .constant { return exact.map { _ in 0 } }
        var sizes = [Double](repeating: 1, count: exact.count)
        // A few numbers may happen not to change; among many there is one that does.
        let turns = exact.contains { $0.tensor.count < 50 } ? 6 : 2, change = 0x1p-20
        defer { Context.current.profiler = nil }
        for turn in 0..<turns {
            Context.current.profiler = turn % 2 == 0 ? nil : Roundings(change, seed: random.stream)
            let shaken = try results(probe.shaken(change, &random))
            for (index, (exact, shaken)) in zip(exact, shaken).enumerated() {
                _ = try firstIndex(exact.tensor, shaken.tensor) { x, y in
                    // Infinity would allow any number.
                    let size = Swift.abs(x) + Swift.abs(y - x) / change
                    if size.isFinite { sizes[index] = Swift.max(sizes[index], size) }
                    return false
                }
            }
        }
        // A gradient sums over what its input was repeated for.
        let largest = exact.filter { $0.name == "value" }.map(\.tensor.count).max() ?? 1
        return zip(exact, sizes).map { exact, size in
            let terms = Swift.max(sample.terms, largest / Swift.max(exact.tensor.count, 1))
            return 0x1p-23 * (4 + Double(terms).squareRoot()) * size
        }
    }

    /// Where two tensors differ by more than `allowed`, or in being NaN.
    func difference(_ wanted: Tensor, _ got: Tensor, _ allowed: Double) throws -> String? {
        try firstIndex(wanted, got) { x, y in !(x == y || Swift.abs(x - y) <= allowed || x.isNaN && y.isNaN) }
            .map { "element \($0): \(try got.doubles()[$0]), not \(try wanted.doubles()[$0])" }
    }

    /// The first index at which `body` answers yes to the numbers of two tensors of one shape. A plain loop, since
    /// debug builds spend most of a case's time here.
    func firstIndex(_ a: Tensor, _ b: Tensor, _ body: (Double, Double) -> Bool) throws -> Int? {
        let (a, b) = (try a.converted(to: .float64), try b.converted(to: .float64))
        return withExtendedLifetime((a, b)) {
            let (x, y) = (
                a.pointer.assumingMemoryBound(to: Double.self), b.pointer.assumingMemoryBound(to: Double.self)
            )
            var index = 0
            while index < a.count {
                if body(x[index], y[index]) { return index }
                index += 1
            }
            return nil
        }
    }

    func isSame(_ a: Tensor, _ b: Tensor) -> Bool {
        a.shape == b.shape && a.dtype == b.dtype && memcmp(a.pointer, b.pointer, a.count * a.dtype.size) == 0
    }

    // MARK: - Levels and threads

    /// The first fault at any level that the processor has.
    func atEachLevel(_ body: (UInt32) throws -> String?) throws -> String? {
        let best = rk_cpu()
        defer { rk_cpu_set(best) }
        for level in [RK_CPU_BASELINE, RK_CPU_AVX2, RK_CPU_AVX512, RK_CPU_AMX] where level.rawValue <= best.rawValue {
            rk_cpu_set(level)
            if let fault = try body(level.rawValue) { return fault }
        }
        return nil
    }

    func onThreads<Result>(_ count: Int, _ body: () throws -> Result) rethrows -> Result {
        let before = rk_threads()
        rk_threads_set(Int32(count))
        defer { rk_threads_set(before) }
        return try body()
    }
}
