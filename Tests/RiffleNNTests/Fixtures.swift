import Foundation
import RiffleIO
import RiffleNN
import RiffleTensor
import TestSupport
import Testing

/// What a network of the reference libraries answers, computed in float64 by scripts/make_fixtures.py.
struct NetworkFixture {
    /// Relative to the largest number of the reference, and absolute where all of those are small: gradients that are
    /// exactly zero, such as that of the keys' bias, come out as rounding.
    private static let tolerance = 1e-4
    private let file: SafeTensors

    init(_ name: String) throws {
        file = try SafeTensors(
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Fixtures/\(name).safetensors").path)
    }

    /// A setting of the reference's constructor; nil where it is None.
    func optional<Setting>(_ key: String, as type: Setting.Type = Setting.self) throws -> Setting? {
        let text = try #require(file.metadata[key], "\(key)")
        // Words that are no JSON stand for themselves.
        let json = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
        return (json ?? text) as? Setting
    }

    func setting<Setting>(_ key: String, as type: Setting.Type = Setting.self) throws -> Setting {
        let setting: Setting? = try optional(key)
        return try #require(setting, "\(key)")
    }

    func tensor(_ name: String) throws -> Tensor { try file.tensor(named: name) }

    /// The reference's labels, which count from 0, as a condition.
    func labels() throws -> Condition? {
        file.names.contains("y") ? Condition([try tensor("y").affine(1, 1).cast(.int32)]) : nil
    }

    /// Fills the network with the reference's weights and compares names, shapes, output and all gradients.
    func check(_ network: Network, _ evaluate: (_ x: Tensor) throws -> Tensor) throws {
        let state = try network.state()
        let shapes = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor.shape.sizes) })
        #expect(try shapes == setting("shapes"))
        try fill(network)

        let x = Parameter(try images("x"))
        let output = try evaluate(x.tensor)
        try compare(output, images("output"), "output")
        try (output * images("c")).sum().backward()
        try compare(#require(x.gradient), images("grad_x"), "grad_x")
        for named in network.parameters { try compareGradient(named) }
    }

    /// A gradient's norm, some of its elements, and its product with a drawn direction.
    private func compareGradient(_ named: NamedParameter) throws {
        let gradient = try named.parameter.gradient ?? .zeros(named.parameter.shape)
        let flat = try (named.layout == .convolution ? gradient.permuted([0, 3, 1, 2]) : gradient).doubles()
        let part = stride(from: 0, to: flat.count, by: max(1, flat.count / 64)).prefix(64).map { flat[$0] }
        try compare(Tensor(part, [part.count]), tensor("grad.\(named.name)"), named.name, atLeast: 1)
        let norm = try tensor("norm.\(named.name)").item(), dot = try tensor("dot.\(named.name)").item()
        let margin = Self.tolerance * max(1, norm)
        #expect(abs(flat.reduce(0) { $0 + $1 * $1 }.squareRoot() - norm) <= margin, "norm of \(named.name)")
        let probe = drawn("probe.\(named.name)", flat.count).map { Double(Float((2 * $0 - 1) * 3.0.squareRoot())) }
        #expect(abs(zip(flat, probe).reduce(0) { $0 + $1.0 * $1.1 } - dot) <= margin, "\(named.name)")
    }

    private func compare(_ got: Tensor, _ wanted: Tensor, _ name: String, atLeast floor: Double = 0) throws {
        try #require(got.shape == wanted.shape, "\(name)")
        let (a, b) = (try got.doubles(), try wanted.doubles())
        let scale = max(floor, b.map(abs).max() ?? 0)
        let worst = zip(a, b).map { abs($0 - $1) }.map { $0.isNaN ? .infinity : $0 }.max() ?? 0
        #expect(scale.isFinite && worst <= Self.tolerance * scale, "\(name): off by \(worst) of \(scale)")
    }

    private func images(_ name: String) throws -> Tensor { try tensor(name).permuted([0, 2, 3, 1]) }
}

/// Sets a network's parameters to the fixtures' weights, drawn from each parameter's name.
func fill(_ network: Module) throws {
    let trained = Set(network.parameters.map(\.name))
    let state = try network.state().filter { trained.contains($0.name) }
    let shapes = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor.shape) })
    try network.load(shapes: shapes, strict: false) { name in
        let shape = shapes[name]!, isMatrix = shape.rank > 1
        let scale = isMatrix ? (3 / Double(shape.sizes.dropFirst().reduce(1, *))).squareRoot() : 0.2
        let centre = !isMatrix && name.hasSuffix(".weight") ? 1.0 : 0
        return try Tensor(drawn(name, shape.count).map { Float(centre + scale * (2 * $0 - 1)) }, shape)
    }
}
