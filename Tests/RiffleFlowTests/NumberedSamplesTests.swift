import RiffleTensor
import Testing

@testable import RiffleFlow
@testable import RiffleNN

/// A sample of a seed is one picture, whatever it is made beside.
@Suite(.serialized) struct NumberedSamplesTests {
    /// Small networks of both times, whose parts all count.
    static let networks: [(String, @Sendable () throws -> Network)] = [
        ("mlp", { try filled(MLP(.init(dim: 3, width: 40, depth: 2, labels: ClassLabels(3)))) }),
        (
            "unet",
            {
                var configuration = UNet.Configuration(image: [4, 4, 3])
                (configuration.channels, configuration.multipliers, configuration.blocks) = (32, [1, 2], 1)
                (configuration.attention, configuration.dropout) = ([2], 0.5)
                return try filled(UNet(configuration))
            }
        ),
        (
            "dit",
            {
                var configuration = DiT.Configuration(image: [4, 4, 3])
                (configuration.width, configuration.depth, configuration.heads) = (24, 2, 3)
                configuration.labels = ClassLabels(5, hasNull: true)
                return try filled(DiT(configuration))
            }
        ),
    ]

    private static func filled(_ network: Network) throws -> Network {
        Context.current.random = RandomSource(seed: 1)
        for named in network.parameters { try named.parameter.assign(.randn(named.parameter.shape) * 0.1) }
        return network
    }

    /// Each network with each method, and the evaluations of two steps.
    static let cases = networks.indices.flatMap { network in NumberedSamples.Method.allCases.map { (network, $0) } }

    @Test(arguments: cases) func samplesAreTheSameInAnyRange(_ index: Int, _ method: NumberedSamples.Method) throws {
        var network = try Self.networks[index].1()
        if method == .jump { network = try Self.filled(network.twoTimed()) }
        func samples(_ range: Range<Int>, batch: Int = 16, seed: UInt64 = 3) throws -> [Float] {
            try NumberedSamples(
                network, seed: seed, evaluations: 2 * (method.solver?.order ?? 1), method: method,
                start: method == .generate ? 0.2 : 0, batch: batch)(
                    range
                ).floats()
        }
        Context.current.random = RandomSource(seed: 5, stream: 7)
        let all = try samples(0..<40), size = all.count / 40
        #expect(Context.current.random.stream == 7 && Context.current.random.seed == 5)
        for range in [0..<1, 5..<17, 16..<32, 39..<40] {
            let part = Array(all[(range.lowerBound * size)..<(range.upperBound * size)])
            #expect(try samples(range) == part, "\(range)")
            #expect(try samples(range, batch: 48) == part, "\(range) in batches of 48")
        }
        let alone = try samples(15..<18, batch: 1), part = all[(15 * size)..<(18 * size)]
        #expect(zip(alone, part).allSatisfy { abs($0 - $1) <= 1e-5 * (1 + abs($1)) }, "each alone")
        #expect(Set(all).count > 100 && all.allSatisfy(\.isFinite))
        #expect(try samples(0..<40, seed: 4) != all)
    }

    /// Samples are those of the sampler from the seed's noise, and labels come in turn.
    @Test func samplesAreTheSamplers() throws {
        let network = try Self.networks[0].1()
        let labels = try Tensor((0..<16).map { Int32($0 % 3 + 1) }, [16])
        Context.current.random = RandomSource(seed: 3)
        let x = try Sampler.consistency(
            network, .randn([16, 3]), along: [0, 0.25, 0.5, 0.75], .linear, Condition([labels])
        ).x
        let samples = try NumberedSamples(network, seed: 3, evaluations: 4, method: .consistency, batch: 16)
        #expect(try samples(0..<16).floats() == x.floats())
        // A generator's samples are those of flow.generate, from its start on.
        Context.current.random = RandomSource(seed: 3)
        let made = try Sampler.generate(
            network, .randn([16, 3]), Generation(start: 0.2, steps: 3), .cosine, Condition([labels]))
        let numbered = try NumberedSamples(
            network, seed: 3, evaluations: 3, method: .generate, start: 0.2, path: .cosine, batch: 16)
        #expect(try numbered(0..<16).floats() == made.floats())
        #expect(try samples.labels(of: 0..<16)?.floats() == labels.floats())
        #expect(try samples.labels(of: 7..<9)?.floats() == [2, 3])

        // Labels of a range are those of its samples, wherever the range begins.
        let own = try Tensor([Int32(3), 1], [2])
        let pair = try samples(7..<9, Condition([own])).floats()
        #expect(try pair != samples(7..<9).floats())
        #expect(try Array(pair[..<3]) == samples(7..<8, Condition([Tensor([Int32(3)], [1])])).floats())
        #expect(try Array(pair[3...]) == samples(8..<9, Condition([Tensor([Int32(1)], [1])])).floats())
    }

    @Test func mistakesAreReported() throws {
        let network = try Self.networks[0].1(), student = try network.twoTimed()
        func report(_ body: () throws -> Void) -> String {
            (#expect(throws: RiffleError.self) { try body() })?.description ?? ""
        }
        #expect(
            report { _ = try NumberedSamples(network, evaluations: 2, method: .jump) }.contains(
                "this mlp takes one time and cannot jump"))
        #expect(
            report { _ = try NumberedSamples(network, evaluations: 5, method: .heun) }.contains(
                "heun takes 2 evaluations a step, so that nfe must be a positive multiple of 2, got 5"))
        #expect(
            report { _ = try NumberedSamples(network, evaluations: 1, start: 0.2) }.contains(
                "start is for the sampler generate, and euler begins at 0"))
        #expect(
            report { _ = try NumberedSamples(network, evaluations: 1, method: .generate, start: -0.1) }.contains(
                "start must be from 0 to 0.999, got -0.1"))
        #expect(report { _ = try NumberedSamples(network, evaluations: 0) }.contains("multiple of 1, got 0"))
        #expect(
            report { _ = try NumberedSamples(network, evaluations: 1, shape: [4]) }.contains(
                "samples of this mlp are [3], not [4]"))
        #expect(report { _ = try NumberedSamples(network, evaluations: 1, batch: 0) }.contains("got 0"))
        let samples = try NumberedSamples(student, evaluations: 1)
        #expect(samples.method == .jump)
        let wrong = Condition([try Tensor([Int32(9)], [1])])
        Context.current.random = RandomSource(seed: 5, stream: 7)
        #expect(report { _ = try samples(0..<1, wrong) }.contains("labels must be from 1 to 3, got 9"))
        #expect(report { _ = try samples(0..<2, wrong) }.contains("labels must be [2, ...], one for each sample"))
        #expect(report { _ = try samples(-1..<2) }.contains("numbered from 1"))
        #expect(Context.current.random.stream == 7)
    }
}
