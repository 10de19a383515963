import Foundation
import RiffleNN
import RiffleTensor
import TestSupport
import Testing

/// Feature networks against PyTorch's, with weights that both draw: see scripts/check_features.py.
@Suite struct FeatureNetworkTests {
    struct Values: Decodable {
        let length: Double
        let numbers: [Double]
    }

    struct Network: Decodable {
        let side: Int
        let taps: [String: Values]
    }

    struct File: Decodable {
        let networks: [String: Network]
        let lpips: [Double]
    }

    static let file: File = {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/features.json")
        return try! JSONDecoder().decode(File.self, from: Data(contentsOf: path))
    }()

    @Test(arguments: FeatureNetwork.published.map(\.title)) func valuesArePyTorchs(_ title: String) throws {
        let form = try #require(FeatureNetwork.published.first { $0.title == title })
        let wanted = try #require(Self.file.networks[title])
        let network = try Self.drawn(form)
        let x = try form.scaling(Self.pictures(2, wanted.side))
        let names = wanted.taps.keys.sorted()
        for (name, values) in zip(names, try withoutGradient { try network.values(x, at: names) }) {
            let mean = try values.spatialMean().converted(to: .float64), width = mean.shape[1]
            let expected = try #require(wanted.taps[name])
            let length = try mean.square().sum().item().squareRoot()
            #expect(abs(length / expected.length - 1) < 1e-5, "\(name)")
            let step = max(1, width / 8), all = try mean.doubles()
            let found = (0..<2).flatMap { row in stride(from: 0, to: width, by: step).map { all[row * width + $0] } }
            let largest = expected.numbers.map(abs).max() ?? 1
            #expect(zip(found, expected.numbers).allSatisfy { abs($0 - $1) < 1e-4 * largest }, "\(name)")
        }
        #expect(message { _ = try network.values(x, at: ["nowhere"]) }.contains("no values 'nowhere'; there are"))
    }

    @Test func perceptualDistanceIsLPIPSs() throws {
        let distance = try LPIPS(Self.drawn(AlexNet.self), start: .zero)
        try distance.load(shapes: Self.shapes(of: distance)) { name in
            var random = RandomSource(seed: UInt64(name.dropFirst(3).prefix(1)) ?? 0)
            return try random.uniform(Self.shapes(of: distance)[name] ?? [])
        }
        let x = try PixelScaling(shift: 127.5, scale: 127.5)(Self.pictures(4, 64))
        let found = try withoutGradient { try distance(x.sliced(0, 0..<2), x.sliced(0, 2..<4)) }.doubles()
        #expect(found.count == 2)
        #expect(zip(found, Self.file.lpips).allSatisfy { abs($0 / $1 - 1) < 1e-4 }, "\(found)")
    }

    /// Without weights by channel the distance is that of weights of 1.
    @Test func withoutWeightsChannelsCountAlike() throws {
        let backbone = try Self.drawn(AlexNet.self)
        let weighed = try LPIPS(backbone, start: .zero), plain = try LPIPS(backbone, start: nil)
        try weighed.load(shapes: Self.shapes(of: weighed)) { try .ones(Self.shapes(of: weighed)[$0] ?? []) }
        let x = try PixelScaling(shift: 127.5, scale: 127.5)(Self.pictures(4, 64))
        let (a, b) = (try x.sliced(0, 0..<2), try x.sliced(0, 2..<4))
        let found = try withoutGradient { try (plain(a, b).doubles(), weighed(a, b).doubles()) }
        #expect(zip(found.0, found.1).allSatisfy { abs($0 / $1 - 1) < 1e-5 && $0 > 0.01 }, "\(found)")
        #expect(message { _ = try LPIPS(Classifier(classes: 3)) }.contains("needs AlexNet, VGG-16 or SqueezeNet 1.1"))
    }

    /// A classifier's file says how large it is, and all of it takes gradients.
    @Test func classifiersAreMadeOfTheirFiles() throws {
        let classifier = try Classifier(classes: 5, side: 48, channels: 16)
        let other = try Classifier.network(of: Self.shapes(of: classifier))
        let state = Dictionary(uniqueKeysWithValues: try classifier.state().map { ($0.name, $0.tensor) })
        try other.load(shapes: Self.shapes(of: classifier)) { try state[$0] ?? .zeros([]) }
        let x = try Classifier.scaling(Self.pictures(3, 32))
        #expect(other.side == 48 && other.summary == classifier.summary)
        let values = try classifier.values(x, at: ["level1", "level4", "features", "logits"])
        #expect(values.map(\.shape) == [[3, 16, 16, 16], [3, 2, 2, 128], [3, 128], [3, 5]])
        #expect(try withoutGradient { try (other.forward([x]) - values[3]).abs().max().item() } == 0)
        let gradients = try gradients(of: values[3].square().sum(), for: classifier.parameters.map(\.parameter.tensor))
        #expect(try gradients.allSatisfy { try $0.abs().max().item() > 0 })
        #expect(message { _ = try Classifier(classes: 1) }.contains("takes 2 or more classes"))
    }

    // MARK: - What both draw

    private static func shapes(of module: Module) throws -> [String: Shape] {
        Dictionary(uniqueKeysWithValues: try module.state().map { ($0.name, $0.tensor.shape) })
    }

    /// A network whose tensors are uniform numbers, those of one dimension near 1 where they scale and near 0 where
    /// they shift.
    private static func drawn(_ form: FeatureNetwork.Type) throws -> FeatureNetwork {
        let network =
            try (form as? LayeredNetwork.Type)?.init(start: .zero, hasClassifier: false) ?? form.init(start: .zero)
        let shapes = try shapes(of: network)
        // The file's names have the classifier's in front of the features'.
        let before = network is LayeredNetwork ? (form == SqueezeNet.self ? 2 : 6) : 0
        let names = shapes.keys.filter { !$0.hasSuffix("num_batches_tracked") }.sorted()
        let seeds = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, UInt64(before + $0)) })
        try network.load(shapes: shapes) { name in
            let shape = shapes[name] ?? []
            guard let seed = seeds[name] else { return try .zeros(shape) }
            var random = RandomSource(seed: seed)
            let u = try random.uniform(shape)
            if shape.rank > 1 {
                let bound = (6 / Double(shape.removing(0).count)).squareRoot()
                return try u.affine(2 * bound, -bound)
            }
            let scales = name.hasSuffix("running_var") || (name.contains("bn") && name.hasSuffix("weight"))
            return scales ? try u + 0.5 : try (u - 0.5) * 0.2
        }
        return network
    }

    private static func pictures(_ count: Int, _ side: Int) throws -> Tensor {
        var random = RandomSource(seed: 1000)
        return try (random.uniform([count, side, side, 3]) * 256).floor()
    }
}
