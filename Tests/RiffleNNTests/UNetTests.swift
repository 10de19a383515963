import Foundation
import RiffleIO
import RiffleNN
import RiffleTensor
import Testing

/// The U-Net against torchcfm's, computed in float64 by scripts/make_fixtures.py.
@Suite struct UNetTests {
    static let fixtures = ["unet-plain", "unet-classes", "unet-scale-shift"]

    /// Relative to the largest number of the reference, and absolute where all of those are small: gradients that are
    /// exactly zero, such as that of the keys' bias, come out as rounding.
    private static let tolerance = 1e-4

    @Test(arguments: fixtures) func agrees(_ name: String) throws {
        let file = try SafeTensors(fixture(name))
        let network = try UNet(configuration(file))
        try fill(network)
        let names = Set(network.parameters.map(\.name)), expected = Set(file.names.filter { $0.hasPrefix("grad.") }.map { String($0.dropFirst(5)) })
        #expect(names == expected, "\(names.symmetricDifference(expected).sorted())")

        let x = Parameter(try images(file, "x"))
        let labels = try file.names.contains("y") ? file.tensor(named: "y").affine(1, 1).cast(.int32) : nil
        let output = try network.velocity(x.tensor, file.tensor(named: "t"), labels.map { Condition([$0]) })
        try compare(output, images(file, "output"), "output")
        try (output * images(file, "c")).sum().backward()
        try compare(#require(x.gradient), images(file, "grad_x"), "grad_x")
        for named in network.parameters {
            let gradient = try fileLayout(named, #require(named.parameter.gradient, "\(named.name)"))
            let flat = try gradient.reshaped(to: [-1]).doubles()
            let step = max(1, flat.count / 64)
            let part = stride(from: 0, to: flat.count, by: step).prefix(64).map { flat[$0] }
            try compare(Tensor(part, [part.count]), file.tensor(named: "grad.\(named.name)"), named.name)
            let norm = flat.reduce(0) { $0 + $1 * $1 }.squareRoot(), wanted = try file.tensor(named: "norm.\(named.name)").doubles()[0]
            #expect(abs(norm - wanted) <= Self.tolerance * max(1, wanted), "norm of \(named.name)")
            let probe = drawn("probe.\(named.name)", flat.count).map { Double(Float((2 * $0 - 1) * 3.0.squareRoot())) }
            let dot = zip(flat, probe).reduce(0) { $0 + $1.0 * $1.1 }
            #expect(abs(dot - (try file.tensor(named: "dot.\(named.name)").doubles()[0])) <= Self.tolerance * max(1, wanted), "\(named.name)")
        }
    }

    /// A student equals its teacher at first, wherever its jump ends; its parameters are saved and loaded by name.
    @Test func studentStartsAsTeacher() throws {
        var configuration = UNet.Configuration(image: [8, 8, 3])
        (configuration.channels, configuration.multipliers, configuration.blocks, configuration.attention) = (32, [1, 2], 1, [4])
        let teacher = try UNet(configuration)
        try fill(teacher)
        let student = try teacher.twoTimed()
        let (x, s, t) = (try Tensor.randn([2, 8, 8, 3]), try Tensor([0.1, 0.4] as [Float], [2]), try Tensor([0.9, 0.5] as [Float], [2]))
        let (a, b) = (try teacher.velocity(x, s), try student.average(x, s, t))
        #expect(try (a - b).abs().max().item() == 0)

        let state = try student.state(), again = try teacher.twoTimed()
        let shapes = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor.shape) })
        let tensors = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor) })
        try again.load(shapes: shapes) { tensors[$0]! }
        #expect(try (again.average(x, s, t) - b).abs().max().item() == 0)
        let error = #expect(throws: RiffleError.self) { try teacher.load(shapes: shapes) { tensors[$0]! } }
        #expect(error?.description.contains("unexpected: span_embed.0.bias") == true)
    }

    private func compare(_ got: Tensor, _ wanted: Tensor, _ what: String) throws {
        let (a, b) = (try got.doubles(), try wanted.doubles())
        #expect(got.shape == wanted.shape, "\(what)")
        let scale = max(what == "output" || what == "grad_x" ? 0 : 1, b.map(abs).max() ?? 0)
        let worst = zip(a, b).map { abs($0 - $1) }.map { $0.isNaN ? .infinity : $0 }.max() ?? 0
        #expect(worst <= Self.tolerance * scale, "\(what): off by \(worst) of \(scale)")
    }

    private func fixture(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/\(name).safetensors").path
    }

    private func images(_ file: SafeTensors, _ name: String) throws -> Tensor { try file.tensor(named: name).permuted([0, 2, 3, 1]) }

    private func fileLayout(_ named: NamedParameter, _ x: Tensor) throws -> Tensor {
        named.layout == .convolution ? try x.permuted([0, 3, 1, 2]) : x
    }

    private func configuration(_ file: SafeTensors) throws -> UNet.Configuration {
        func value(_ key: String) throws -> Any {
            try JSONSerialization.jsonObject(with: Data((file.metadata[key] ?? "null").utf8), options: .fragmentsAllowed)
        }
        let dim = try #require(value("dim") as? [Int])
        var c = UNet.Configuration(image: [dim[1], dim[2], dim[0]])
        c.channels = try #require(value("num_channels") as? Int)
        c.multipliers = try #require(value("channel_mult") as? [Int])
        c.blocks = try #require(value("num_res_blocks") as? Int)
        c.attention = try [#require(value("attention_resolutions") as? Int)]
        c.heads = try #require(value("num_heads") as? Int)
        let headChannels = try #require(value("num_head_channels") as? Int)
        c.headChannels = headChannels < 0 ? nil : headChannels
        c.scaleShift = try value("use_scale_shift_norm") as? Bool == true
        c.residualResampling = try value("resblock_updown") as? Bool == true
        if let classes = try value("num_classes") as? Int { c.conditioning = .classes(classes, hasNull: false) }
        return c
    }

    /// The weights of the fixtures, drawn from each parameter's name.
    private func fill(_ network: Network) throws {
        let state = try network.state()
        let shapes = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor.shape) })
        try network.load(shapes: shapes) { name in
            let shape = shapes[name]!, isMatrix = shape.rank > 1
            let scale = isMatrix ? (3 / Double(shape.sizes.dropFirst().reduce(1, *))).squareRoot() : 0.2
            let centre = !isMatrix && name.hasSuffix(".weight") ? 1.0 : 0
            return try Tensor(drawn(name, shape.count).map { Float(centre + scale * (2 * $0 - 1)) }, shape)
        }
    }

    /// Uniform numbers keyed by a name: FNV-1a, then SplitMix64's finaliser of each place.
    private func drawn(_ name: String, _ count: Int) -> [Double] {
        let hash = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return (0..<count).map { place in
            var z = hash &+ UInt64(place + 1) &* 0x9e37_79b9_7f4a_7c15
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return Double((z ^ (z >> 31)) >> 40) / 16_777_216
        }
    }
}
