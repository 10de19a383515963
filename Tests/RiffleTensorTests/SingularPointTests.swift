import Testing

@testable import RiffleTensor

/// Derivatives where a slope jumps, or where a rule may multiply 0 by infinity.
@Suite struct SingularPointTests {
    typealias Case = OpTests.Case
    private let tools = OpTests()

    /// Of equal elements a single one takes the gradient, though its change alone would leave the result as it is.
    private static let choosing = ["sort", "topk", "quantile", "max_pool"]

    /// Every row where its inputs are 0, or equal, or some of them 0: gradient, tangent and gradient of the tangent are
    /// between the derivatives from both sides, wherever those exist. Points with a slope that grows without end are
    /// left to `known`.
    @Test(arguments: OpTests.full.filter { $0.op.kind != .constant && !choosing.contains($0.op.name) })
    func slopesAreBetweenThoseOfBothSides(_ test: Case) throws {
        var checked = 0
        for point in 0..<9 {
            let inputs = try test.inputs().enumerated().map { index, input in
                test.isDifferentiable[index] ? try filled(input, point / [1, 3][Swift.min(index, 1)] % 3) : input
            }
            guard let outputs = try? test.apply(inputs) else { continue }
            let note: Comment = "\(test.testDescription) at \(try inputs.map { try $0.doubles() })"
            // One number of the results, so that slopes of several do not make up for one another.
            let weights = try outputs.enumerated().map { try weight($1, $0 == 0) }
            let direction = try zip(inputs, test.isDifferentiable).map {
                $1 ? try Tensor.ones($0.shape, .float64) : nil
            }
            let value = { (inputs: [Tensor]) in try tools.contract(test.apply(inputs), weights) }
            let pushed = { (inputs: [Tensor]) in try tools.tangent(test, inputs, direction, weights) }

            // What other results multiply an infinite slope by is 0, and the product no number, in PyTorch as here.
            let all = { (inputs: [Tensor]) in
                try test.apply(inputs).reduce(Tensor.scalar(0, .float64)) { try $0 + $1.sum() }
            }
            if try !all(inputs).item().isFinite
                || sides(of: all, inputs, test.isDifferentiable).contains(where: \.diverges)
            {
                continue
            }
            let slopes = try sides(of: value, inputs, test.isDifferentiable)
            if slopes.contains(where: \.diverges) { continue }
            let gradient = try gradients(value, inputs, test)
            for side in slopes { side.check(gradient, note) }
            checked += slopes.count { !$0.found.isEmpty }
            let (pulled, tangent) = (gradient.flatMap { $0 }.reduce(0, +), try pushed(inputs).item())
            #expect(Swift.abs(pulled - tangent) <= 1e-9 * Swift.max(1, Swift.abs(pulled)), note)
            let ones = try outputs.map { try Tensor.ones($0.shape, .float64) }
            let allPushed = { (inputs: [Tensor]) in try tools.tangent(test, inputs, direction, ones) }
            if try sides(of: allPushed, inputs, test.isDifferentiable).contains(where: \.diverges) { continue }
            let turned = try gradients(pushed, inputs, test)
            for side in try sides(of: pushed, inputs, test.isDifferentiable) { side.check(turned, note) }
        }
        let isEmpty = test.sample.inputs.contains { $0.shape.count == 0 }
        #expect(checked > 0 || isEmpty, "\(test.testDescription): no point has slopes")
    }

    private func filled(_ input: Tensor, _ pattern: Int) throws -> Tensor {
        try Tensor((0..<input.count).map { [0, 1, Double($0 % 2)][pattern] }, input.shape)
    }

    private func weight(_ output: Tensor, _ isFirst: Bool) throws -> Tensor {
        try Tensor((0..<output.count).map { isFirst && $0 == output.count / 2 ? 1.0 : 0 }, output.shape)
    }

    private func gradients(_ body: ([Tensor]) throws -> Tensor, _ inputs: [Tensor], _ test: Case) throws -> [[Double]] {
        let (parameters, leaves) = test.leaves(inputs), result = try body(leaves)
        if result.needsGradient { try result.backward() }
        return try zip(parameters, inputs).map { try $0.gradient?.doubles() ?? [Double](repeating: 0, count: $1.count) }
    }

    /// The derivatives from below and above along one element.
    private struct Sides {
        let input: Int
        let element: Int
        /// Those that exist; infinite where quotients do not settle.
        let found: [Double]

        var diverges: Bool { found.contains { $0.isInfinite } }

        func check(_ gradients: [[Double]], _ note: Comment) {
            let gradient = gradients[input][element]
            guard let low = found.min(), let high = found.max() else { return }
            #expect(!gradient.isNaN, note)
            if diverges { return }
            let margin = 1e-3 * Swift.max(1, Swift.abs(low), Swift.abs(high))
            #expect(
                gradient >= low - margin && gradient <= high + margin,
                "input \(input + 1), element \(element + 1): \(found), not \(gradient); \(note)")
        }
    }

    /// Quotients of two lengths, for up to six elements of each input; none where the function is not finite.
    private func sides(of body: ([Tensor]) throws -> Tensor, _ inputs: [Tensor], _ isDifferentiable: [Bool]) throws
        -> [Sides]
    {
        let middle = try body(inputs).item()
        guard middle.isFinite else { return [] }
        return try inputs.indices.filter { isDifferentiable[$0] }.flatMap { index in
            let values = try inputs[index].doubles()
            return try stride(from: 0, to: values.count, by: Swift.max(1, values.count / 6)).map { element in
                func quotient(_ step: Double) throws -> Double {
                    var (nearby, changed) = (values, inputs)
                    nearby[element] += step
                    changed[index] = try Tensor(nearby, inputs[index].shape)
                    return try (body(changed).item() - middle) / step
                }
                let found = try [-1.0, 1].compactMap { side -> Double? in
                    let (far, near) = (try quotient(side * 1e-6), try quotient(side * 1e-8))
                    if near.isNaN || far.isNaN { return nil }
                    return Swift.abs(near - far) > 0.01 * Swift.max(1, Swift.abs(near)) ? near * .infinity : near
                }
                return Sides(input: index, element: element, found: found)
            }
        }
    }

    /// One point of a row: numbers of each input, what the results' gradient is there, and the gradients that follow.
    struct Known: CustomTestStringConvertible, Sendable {
        let name: String
        let inputs: [[Double]]
        /// Of the inputs; a row of numbers where nil.
        let shape: Shape?
        let attributes: @Sendable () -> [Value]
        let cotangent: Double
        let gradients: [[Double]]

        init(
            _ name: String, _ inputs: [Double]..., in shape: Shape? = nil,
            with attributes: @autoclosure @escaping @Sendable () -> [Value] = [],
            times cotangent: Double = 1, gives gradients: [[Double]]
        ) {
            (self.name, self.inputs, self.shape, self.attributes) = (name, inputs, shape, attributes)
            (self.cotangent, self.gradients) = (cotangent, gradients)
        }
        var testDescription: String { "\(name) at \(inputs)" + (cotangent == 1 ? "" : ", times \(cotangent)") }
    }

    /// Windows that begin at every second pixel, and may reach beyond the end.
    private static func pooling(_ height: Int, _ width: Int) -> [Value] {
        [.list([.integer(height), .integer(width)]), .integer(2), .integer(0), .boolean(true)]
    }

    private static let (inf, nan) = (Double.infinity, Double.nan)

    /// PyTorch 2.15's gradients in float64, but for logsumexp of infinite numbers and activations at infinity, which
    /// are NaN there: here they are the limits.
    static let known: [Known] = [
        Known(
            "pow", [0, 0, 0, 2, 0], [2, 1, 0, 2, -1], gives: [[0, 1, 0, 4, -inf], [0, 0, 0, 2.772588722239781, -inf]]),
        Known("power", [0], with: [.number(0.5)], gives: [[inf]]),
        Known("power", [0], with: [.number(1)], gives: [[1]]),
        Known("power", [0], with: [.number(0)], gives: [[0]]),
        Known("power", [0, inf], with: [.number(-1)], gives: [[-inf, 0]]),
        Known("sqrt", [0, inf], gives: [[inf, 0]]), Known("rsqrt", [0, inf], gives: [[-inf, 0]]),
        Known("reciprocal", [0, inf], gives: [[-inf, 0]]),
        Known("log", [0, inf], gives: [[inf, 0]]), Known("abs", [0, -inf], gives: [[0, -1]]),
        Known("relu", [0, inf, -inf], gives: [[0, 1, 0]]),
        Known("relu", [0, -1], times: inf, gives: [[0, 0]]), Known("relu", [1], times: inf, gives: [[inf]]),
        Known("clamp", [-1, 1, 2, 0], with: [.number(-1), .number(1)], gives: [[0, 0, 0, 1]]),
        Known("clamp", [-1, 0], with: [.number(0), .number(inf)], times: inf, gives: [[0, 0]]),
        Known("max", [1, 2, 2], gives: [[0, 0.5, 0.5]]), Known("min", [1, 1, 2], gives: [[0.5, 0.5, 0]]),
        Known("max", [-1, 0], times: inf, gives: [[0, inf]]),
        Known("maximum", [1, 2, 3], [2, 2, 1], gives: [[0, 0.5, 1], [1, 0.5, 0]]),
        Known("minimum", [1, 2, 3], [2, 2, 1], gives: [[1, 0.5, 0], [0, 0.5, 1]]),
        Known("maximum", [-1, 2], [0, 0], times: inf, gives: [[0, inf], [inf, 0]]),
        Known("atan2", [0, 0], [0, 1], gives: [[0, 1], [0, 0]]),
        Known("atan2", [3e-200], [4e-200], gives: [[1.6e199], [-1.2e199]]),
        Known(
            "div", [0, 1, 1e-30, 1], [1e-200, 0, 1e-200, inf], gives: [[1e200, inf, 1e200, 0], [0, -inf, -inf, 0]]),
        Known("std", [1, 1, 1], gives: [[0, 0, 0]]), Known("std", [1], gives: [[nan]]),
        Known("var", [1, 1, 1], gives: [[0, 0, 0]]), Known("var", [1], gives: [[nan]]),
        Known("norm", [0, 0], with: [.number(2)], gives: [[0, 0]]),
        Known("norm", [0, 0], with: [.number(1)], gives: [[0, 0]]),
        Known("norm", [0, 0], with: [.number(inf)], gives: [[0, 0]]),
        Known("norm", [0, 0], with: [.number(3)], gives: [[0, 0]]),
        Known("norm", [0, 3], with: [.number(0.5)], gives: [[0, 1]]),
        Known("norm", [-3, 3, 1], with: [.number(inf)], gives: [[-0.5, 0.5, 0]]),
        Known("norm", [-3, 3, 1], with: [.number(1e300)], gives: [[-0.5, 0.5, 0]]),
        Known("norm", [1, 3], with: [.number(1e4)], gives: [[0, 1]]),
        Known("logsumexp", [1, -inf], gives: [[1, 0]]), Known("logsumexp", [inf, 1], gives: [[1, 0]]),
        Known("logsumexp", [inf, inf], gives: [[0.5, 0.5]]),
        Known("logsumexp", [-inf, -inf], gives: [[0.5, 0.5]]), Known("logsumexp", [nan, 1], gives: [[nan, nan]]),
        Known("softmax", [1, -inf], gives: [[0, 0]]), Known("log_softmax", [1, -inf], times: 1, gives: [[-1, 1]]),
        Known("softplus", [inf, -inf], gives: [[1, 0]]), Known("sigmoid", [inf, -inf], gives: [[0, 0]]),
        Known("tanh", [inf, -inf], gives: [[0, 0]]),
        Known("erf", [inf, -inf], gives: [[0, 0]]), Known("silu", [inf, -inf], gives: [[1, 0]]),
        Known("gelu", [inf, -inf, 1e30], gives: [[1, 0, 1]]),
        Known("gelu_erf", [inf, -inf, 1e30], gives: [[1, 0, 1]]),
        Known("silu_curve", [inf, -inf], [1, 1], gives: [[0, 0], [0, 0]]),
        Known("gelu_curve", [inf, -inf, 1e200], [1, 1, 1], gives: [[0, 0, 0], [0, 0, 0]]),
        Known("quantile", [1, 3, 2, 2], with: [.number(0.5)], gives: [[0, 0, 0.5, 0.5]]),
        Known("quantile", [1, inf, 2, 2], with: [.number(1)], gives: [[0, 1, 0, 0]]),
        Known("max_pool", [1, 2, 2, 2], in: [1, 2, 2, 1], with: pooling(2, 2), gives: [[0, 1, 0, 0]]),
        Known("max_pool", [-inf, -inf], in: [1, 1, 2, 1], with: pooling(1, 2), gives: [[1, 0]]),
        Known("max_pool", [3, nan, nan], in: [1, 1, 3, 1], with: pooling(1, 3), gives: [[0, 0, 1]]),
        Known("max_pool", [-1, 0, 0, 0, 5], in: [1, 1, 5, 1], with: pooling(1, 3), gives: [[0, 1, 0, 0, 1]]),
        Known("max_pool", [-1, 0], in: [1, 1, 2, 1], with: pooling(1, 2), times: inf, gives: [[0, inf]]),
        Known("quantile", [1, nan, 2], with: [.number(0.5)], gives: [[0, 1, 0]]),
    ]

    @Test(arguments: known) func pyTorchsGradients(_ point: Known) throws {
        let op = try #require(Op.all.first { $0.name == point.name })
        func result(_ inputs: [Tensor]) throws -> Tensor { try op.apply(inputs, point.attributes())[0] }
        let values = try point.inputs.map { try Tensor($0, point.shape ?? [$0.count]) },
            parameters = values.map { Parameter($0) }
        try (result(parameters.map(\.tensor)) * point.cotangent).sum().backward()
        let found = try parameters.map { try $0.gradient?.doubles() ?? [Double](repeating: 0, count: $0.shape.count) }
        #expect(same(found, point.gradients), "\(found)")
        // The tangents of finite slopes sum up to the same.
        for (input, gradients) in point.gradients.enumerated()
        where point.cotangent == 1 && gradients.allSatisfy(\.isFinite) {
            let level = ForwardLevel()
            defer { level.close() }
            var moving = values
            moving[input] = try level.dual(values[input], .ones(values[input].shape, .float64))
            let tangent = try level.split(result(moving)).tangent.sum().item()
            #expect(same([[tangent]], [[gradients.reduce(0, +)]]), "tangent \(tangent)")
        }
    }

    private func same(_ a: [[Double]], _ b: [[Double]]) -> Bool {
        func near(_ a: Double, _ b: Double) -> Bool {
            a == b || a.isNaN && b.isNaN || Swift.abs(a - b) <= 1e-12 * Swift.max(1, Swift.abs(b))
        }
        return a.count == b.count && zip(a, b).allSatisfy { a, b in a.count == b.count && zip(a, b).allSatisfy(near) }
    }
}
