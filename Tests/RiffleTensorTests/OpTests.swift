import CKernels
import Foundation
import Testing

@testable import RiffleTensor

/// Six tests for every row of the table, with its samples and with dimensions of them made empty: value, vjp, adjoint,
/// gradient of the jvp, gradient of the gradient, mistakes.
@Suite struct OpTests {
    /// One row with one of its samples.
    struct Case: CustomTestStringConvertible, Sendable {
        let op: Op
        let number: Int
        /// The size of those dimensions that have no elements instead.
        var emptied: Int?
        var sample: Sample { op.samples[number] }
        var testDescription: String { "\(op.name) #\(number + 1)" + (emptied.map { ", 0 instead of \($0)" } ?? "") }

        /// Inputs in float64, the same ones for the same case.
        func inputs() throws -> [Tensor] {
            var random = RandomSource(seed: seed)
            return try sample.inputs.map { input in
                switch input {
                case .random(let shape, let range):
                    let width = range.upperBound - range.lowerBound
                    return try random.uniform(emptied(shape), .float64).affine(width, range.lowerBound)
                case .indices(let values, let shape):
                    return try Tensor(Array(values.prefix(emptied(shape).count)), emptied(shape))
                }
            }
        }

        private func emptied(_ shape: Shape) -> Shape { Shape(shape.sizes.map { $0 == emptied ? 0 : $0 }) }

        /// Which inputs the operation has derivatives for.
        var isDifferentiable: [Bool] { sample.inputs.map { if case .random = $0 { true } else { false } } }

        /// Parameters with the inputs' values, and the inputs with those in place of those that are differentiated.
        func leaves(_ inputs: [Tensor]) -> (parameters: [Parameter], inputs: [Tensor]) {
            let parameters = inputs.map { Parameter($0) }
            return (parameters, inputs.indices.map { isDifferentiable[$0] ? parameters[$0].tensor : inputs[$0] })
        }

        /// This case with each size of the sample's dimensions in turn replaced by 0, where the operation takes such
        /// inputs.
        func emptyCases() -> [Case] {
            Set(sample.inputs.flatMap(\.shape.sizes)).subtracting([0]).sorted().map {
                Case(op: op, number: number, emptied: $0)
            }
            .filter { test in (try? test.apply(test.inputs())) != nil }
        }
        var seed: UInt64 { op.name.utf8.reduce(UInt64(number + 1)) { $0 &* 31 &+ UInt64($1) } }
        var attributes: [Value] { sample.attributes }
        var note: Comment { "\(op.name), sample \(number + 1), seed \(seed)" }

        func apply(_ inputs: [Tensor]) throws -> [Tensor] { Array(try op.apply(inputs, attributes).prefix(op.results)) }
    }

    static let full: [Case] = Op.all.flatMap { op in op.samples.indices.map { Case(op: op, number: $0) } }
    static let cases: [Case] = full + full.flatMap { $0.emptyCases() }
    /// What has no elements may have no mean, but then it has no derivatives either.
    static let differentiable = cases.filter { test in
        test.op.kind != .constant
            && (test.emptied == nil
                || (try? test.apply(test.inputs()).allSatisfy { try !$0.doubles().contains(where: \.isNaN) }) == true)
    }

    /// A row that its family's list forgets would be compiled and otherwise ignored.
    @Test func everyRowIsListed() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../Sources/RiffleTensor/Ops")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        let rows = try files.filter { $0.pathExtension == "swift" }.flatMap { file in
            try String(contentsOf: file, encoding: .utf8).matches(of: /static let `?(\w+)`?: Op =/).map { String($0.1) }
        }
        // Attention and its tangent alone call knownAttentionTangent, which is in no list.
        #expect(
            rows.count { $0 != "knownAttentionTangent" } == Op.all.count,
            "declared: \(rows.sorted()); listed: \(Op.all.map(\.name).sorted())")
    }

    @Test func rowsAreWellFormed() throws {
        let names = Op.all.map(\.name)
        #expect(Set(names).count == names.count, "a name appears twice")
        for op in Op.all {
            #expect(op.name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" }, "\(op.name) is not snake_case")
            #expect(op.doc.summary.hasSuffix(".") && op.doc.summary.count <= 100, "\(op.name): \(op.doc.summary)")
            #expect(op.doc.example.hasPrefix("> "), "\(op.name) has no example")
            #expect(!op.samples.isEmpty, "\(op.name) has no sample")
            #expect(
                (op.samples + op.mistakes).allSatisfy { !$0.inputs.isEmpty },
                "\(op.name): a sample without inputs; that of a single number is Sample([] as Shape)")
            #expect(op.draw != nil, "\(op.name) does not say how its samples are drawn")
            #expect(
                try OpTests.cases.contains { test in
                    try test.op.name == op.name && test.inputs().contains { $0.count == 0 }
                }, "\(op.name) takes nothing empty")
        }
    }

    /// float32 kernels against their float64 twins.
    @Test(arguments: cases) func value(_ test: Case) throws {
        let exact = try test.inputs()
        let single = try zip(exact, test.isDifferentiable).map { try $1 ? $0.cast(.float32) : $0 }
        let (wanted, got) = (try test.apply(exact), try test.apply(single))
        try #require(wanted.count == got.count, test.note)
        for (wanted, got) in zip(wanted, got) {
            try #require(wanted.shape == got.shape, test.note)
            // Without infinity, next to which any number would be near enough.
            let scale = try wanted.doubles().map(Swift.abs).filter(\.isFinite).reduce(1, Swift.max)
            #expect(try distance(wanted, got) <= 4e-6 * scale, test.note)
        }
    }

    /// The vjp against finite differences.
    @Test(arguments: differentiable) func vjp(_ test: Case) throws {
        let inputs = try test.inputs()
        let weights = try cotangents(test, inputs)
        let (parameters, leaves) = test.leaves(inputs)
        let loss = try contract(test.apply(leaves), weights)
        try #require(loss.needsGradient, test.note)
        try loss.backward()
        for (index, input) in inputs.enumerated() where test.isDifferentiable[index] {
            let expected = try differences(input) { nearby in
                var changed = inputs
                changed[index] = nearby
                return try contract(test.apply(changed), weights).item()
            }
            try check(parameters[index].gradient, expected, within: 1e-6, test)
        }
    }

    /// <c, J d> = <J^T c, d>, which ties the jvp to the vjp without a step size.
    @Test(arguments: differentiable) func adjoint(_ test: Case) throws {
        let inputs = try test.inputs()
        let (weights, directions) = (try cotangents(test, inputs), try self.directions(test, inputs))
        let (parameters, leaves) = test.leaves(inputs)
        try contract(test.apply(leaves), weights).backward()
        let pulled = try zip(parameters, directions).reduce(0.0) { sum, pair in
            guard let gradient = pair.0.gradient, let direction = pair.1 else { return sum }
            return try sum + (gradient * direction).sum().item()
        }
        let pushed = try tangent(test, inputs, directions, weights).item()
        #expect(Swift.abs(pulled - pushed) <= 1e-10 * Swift.max(1, Swift.abs(pulled)), test.note)
    }

    /// The gradient of <c, J d> against finite differences of it: reverse mode over forward mode.
    @Test(arguments: differentiable) func gradientOfJvp(_ test: Case) throws {
        let inputs = try test.inputs()
        let (weights, directions) = (try cotangents(test, inputs), try self.directions(test, inputs))
        let (parameters, leaves) = test.leaves(inputs)
        let pushed = try tangent(test, leaves, directions, weights)
        // The tangent of a linear operation does not depend on its inputs.
        if pushed.needsGradient { try pushed.backward() }
        for (index, input) in inputs.enumerated() where test.isDifferentiable[index] {
            let expected = try differences(input) { nearby in
                var changed = inputs
                changed[index] = nearby
                return try tangent(test, changed, directions, weights).item()
            }
            try check(parameters[index].gradient, expected, within: 2e-6, test)
        }
    }

    /// A gradient that is itself recorded equals the plain one, and its derivative agrees with finite differences.
    @Test(arguments: differentiable) func gradientOfGradient(_ test: Case) throws {
        let inputs = try test.inputs()
        let (weights, directions) = (try cotangents(test, inputs), try self.directions(test, inputs))
        func slope(_ leaves: [Tensor], recording: Bool) throws -> Tensor {
            let loss = try contract(test.apply(leaves), weights)
            let indices = inputs.indices.filter { test.isDifferentiable[$0] }
            let found = try gradients(of: loss, for: indices.map { leaves[$0] }, recording: recording)
            return try zip(indices, found).map { try ($1 * directions[$0]!).sum() }.reduce(.scalar(0, .float64)) {
                try $0 + $1
            }
        }
        let (parameters, leaves) = test.leaves(inputs)
        let (recorded, plain) = (try slope(leaves, recording: true), try slope(leaves, recording: false))
        #expect(
            try Swift.abs(recorded.item() - plain.item()) <= 1e-10 * Swift.max(1, Swift.abs(plain.item())), test.note)
        // The tangent of a linear operation does not depend on its inputs.
        if recorded.needsGradient { try recorded.backward() }
        for (index, input) in inputs.enumerated() where test.isDifferentiable[index] {
            let expected = try differences(input) { nearby in
                var changed = inputs
                changed[index] = nearby
                return try slope(test.leaves(changed).inputs, recording: false).item()
            }
            try check(parameters[index].gradient, expected, within: 2e-6, test)
        }
    }

    /// Wrong inputs throw, and the message names the operation and every shape.
    @Test(arguments: Op.all.flatMap { op in op.mistakes.indices.map { Mistake(op: op, number: $0) } })
    func mistakes(_ test: Mistake) throws {
        let inputs = try test.sample.inputs.map { input in
            switch input {
            case .random(let shape, _): try Tensor.zeros(shape)
            case .indices(let values, let shape): try Tensor(values, shape)
            }
        }
        let error = #expect(throws: RiffleError.self) { try test.op.apply(inputs, test.sample.attributes) }
        let text = error?.description ?? ""
        #expect(text.hasPrefix("\(test.op.name): "), "\(text)")
        for input in inputs { #expect(text.contains(input.shape.description), "\(text) does not name \(input.shape)") }
    }

    struct Mistake: CustomTestStringConvertible, Sendable {
        let op: Op
        let number: Int
        var sample: Sample { op.mistakes[number] }
        var testDescription: String { "\(op.name) mistake #\(number + 1)" }
    }

    // MARK: - Helpers

    /// A number out of all results, with weights that make them count apart.
    func contract(_ outputs: [Tensor], _ weights: [Tensor]) throws -> Tensor {
        try zip(outputs, weights).map { try ($0 * $1).sum() }.reduce(.scalar(0, .float64)) { try $0 + $1 }
    }

    private func cotangents(_ test: Case, _ inputs: [Tensor]) throws -> [Tensor] {
        var random = RandomSource(seed: test.seed &+ 1)
        return try test.apply(inputs).map { try random.normal($0.shape, .float64) }
    }

    private func directions(_ test: Case, _ inputs: [Tensor]) throws -> [Tensor?] {
        var random = RandomSource(seed: test.seed &+ 2)
        return try zip(inputs, test.isDifferentiable).map { $1 ? try random.normal($0.shape, .float64) : nil }
    }

    func tangent(_ test: Case, _ inputs: [Tensor], _ directions: [Tensor?], _ weights: [Tensor]) throws -> Tensor {
        let level = ForwardLevel()
        defer { level.close() }
        let moving = try zip(inputs, directions).map { input, direction in
            try direction.map { try level.dual(input, $0) } ?? input
        }
        return try contract(test.apply(moving).map { try level.split($0).tangent }, weights)
    }

    /// A gradient, which is zero where there is none, against differences, number by number.
    private func check(_ gradient: Tensor?, _ expected: [Double], within tolerance: Double, _ test: Case) throws {
        let got = try gradient?.doubles() ?? expected.map { _ in 0 }
        #expect(got.count == expected.count, test.note)
        for (e, g) in zip(expected, got) {
            #expect(e.isFinite && Swift.abs(e - g) <= tolerance * Swift.max(1, Swift.abs(e)), test.note)
        }
    }

    /// Central differences of fourth order, element by element.
    private func differences(_ input: Tensor, _ body: (Tensor) throws -> Double) throws -> [Double] {
        let values = try input.doubles(), h = 1e-3
        return try values.indices.map { index in
            func at(_ step: Double) throws -> Double {
                var nearby = values
                nearby[index] += step
                return try body(Tensor(nearby, input.shape))
            }
            return try (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        }
    }
}

/// The largest difference between two tensors, infinite where they have different shapes.
func distance(_ a: Tensor, _ b: Tensor) throws -> Double {
    guard a.shape == b.shape else { return .infinity }
    // NaN counts as infinitely far from all but NaN, where max() would pass over it.
    return try zip(a.doubles(), b.doubles()).map { $0 == $1 || $0.isNaN && $1.isNaN ? 0 : Swift.abs($0 - $1) }.map {
        $0.isNaN ? .infinity : $0
    }.max() ?? 0
}
