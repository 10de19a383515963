import Foundation
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleEvaluation
@testable import RiffleFlow
@testable import RiffleNN

/// Samples in a folder are the same bytes, however often their making was stopped.
@Suite(.serialized) struct SampleStoreTests {
    private static func network(_ seed: UInt64 = 1) throws -> Network {
        Context.current.random = RandomSource(seed: seed)
        var configuration = UNet.Configuration(image: [4, 4, 3])
        (configuration.channels, configuration.multipliers, configuration.blocks) = (32, [1], 1)
        (configuration.attention, configuration.labels) = ([], ClassLabels(3))
        let network = try UNet(configuration)
        for named in network.parameters { try named.parameter.assign(.randn(named.parameter.shape) * 0.1) }
        return network
    }

    private static func samples(
        _ network: Network, seed: UInt64 = 3, evaluations: Int = 2, batch: Int = 16
    ) throws -> NumberedSamples {
        try NumberedSamples(network, seed: seed, evaluations: evaluations, method: .euler, batch: batch)
    }

    /// The bytes of all pictures, which are those of the chunks' files.
    private func bytes(_ store: SampleStore, _ count: Int) throws -> [UInt8] {
        try store.chunks(of: count).flatMap { try store.pictures(of: $0).bytes }
    }

    private struct Killed: Error {}

    @Test func samplesAreMadeOnce() throws {
        let scratch = try Scratch(), network = try Self.network()
        func open(_ name: String, batch: Int = 16, chunk: Int = 20, saveSeconds: Double = 0) throws -> SampleStore {
            try SampleStore(
                scratch(name), Self.samples(network, batch: batch), chunk: chunk, saveSeconds: saveSeconds)
        }
        let all = try open("all", saveSeconds: 1e9)
        try all.fill(to: 50)
        let whole = try bytes(all, 50)
        #expect(try all.count() == 50 && whole.count == 50 * 48 && Set(whole).count > 50)
        #expect(scratch.names == ["all"])
        let direct = try ByteImages(Self.samples(network)(0..<50)).bytes
        #expect(whole == direct)

        // Killed after each batch, raised in steps, in batches of other sizes, and with a chunk lost.
        var made: [Int] = []
        for (round, batch) in [16, 48, 16, 32, 16, 16].enumerated() {
            let store = try open("parts", batch: batch, chunk: round == 0 ? 20 : 7)
            #expect(store.chunk == 20)
            let wanted = [5, 9, 30, 33, 50, 50][round]
            do {
                try store.fill(to: wanted) { count in
                    made.append(count)
                    if round % 2 == 0 { throw Killed() }
                }
            } catch is Killed {}
            if round == 4 { try FileManager.default.removeItem(atPath: scratch("parts/samples-00001.npy")) }
        }
        let parts = try open("parts")
        #expect(try parts.count() == 50 && bytes(parts, 50) == whole, "\(made)")
        #expect(try bytes(parts, 23) == Array(whole[..<(23 * 48)]))
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch("parts")).sorted()
        #expect(names == ["lock", "samples-00001.npy", "samples-00002.npy", "samples-00003.npy", "samples.json"])
        #expect(message { _ = try parts.pictures(of: 40..<60) }.contains("has 10 of the samples 41 to 60"))
        // NumPy reads a chunk.
        #expect(try Npy.read(scratch("parts/samples-00003.npy")).shape == [10, 4, 4, 3])
    }

    @Test func featuresAreComputedOnce() throws {
        let scratch = try Scratch(), store = try SampleStore(scratch("a"), Self.samples(Self.network()), chunk: 20)
        var seen: [Int] = []
        func features(_ count: Int) throws -> [[Float]] {
            try store.fill(to: count)
            return try store.chunks(of: count).map { range in
                try store.features(of: range, name: "mean-1") { pictures in
                    seen.append(pictures.count)
                    let sums = (0..<pictures.count).map { index in
                        Float(pictures.bytes[(index * 48)..<(index * 48 + 48)].reduce(0) { $0 + Int($1) })
                    }
                    return try Tensor(sums, [pictures.count, 1])
                }.floats()
            }
        }
        let some = try features(30), again = try features(30), more = try features(36), fewer = try features(23)
        #expect(seen == [20, 10, 16] && some == again)
        #expect(more[0] == some[0] && Array(more[1][..<10]) == some[1] && fewer == [some[0], Array(some[1][..<3])])
        // Features that are damaged are computed anew.
        _ = try scratch.file("a/samples-00001.mean-1.npy", [1, 2, 3])
        #expect(try features(36) == more && seen == [20, 10, 16, 20])
        for name in ["", "../a", "a.b", "é"] {
            #expect(
                message { _ = try store.features(of: 0..<20, name: name) { _ in try .zeros([20]) } }.contains("name"))
        }
        let wrong = message { _ = try store.features(of: 0..<20, name: "b") { _ in try .zeros([3]) } }
        #expect(wrong.contains("the features 'b' of 20 pictures are [3]"))
    }

    @Test func otherSamplesAreRefused() throws {
        let scratch = try Scratch(), network = try Self.network()
        var store: SampleStore? = try SampleStore(scratch("a"), Self.samples(network))
        try store?.fill(to: 3)
        func report(_ samples: NumberedSamples, _ folder: String = "a", about: [String: Value] = [:]) -> String {
            message { _ = try SampleStore(scratch(folder), samples, about: about) }
        }
        #expect(try report(Self.samples(network)).contains("is in use by another process"))
        store = nil
        let other = try report(Self.samples(Self.network(2)))
        #expect(
            other.contains("'\(scratch("a"))' holds other samples: weights is \"\(network.sha256())\" there and \""))
        #expect(!other.contains(";  ") && other.split(separator: ";").count == 2, "\(other)")
        let several = try report(
            Self.samples(network.twoTimed(), seed: 4, evaluations: 3), about: ["scale": .number(2)])
        for part in [
            "about.scale is nothing there and 2.0 here", "network.times is 1 there and 2 here",
            "nfe is 2 there and 3 here", "seed is \"3\" there and \"4\" here",
        ] { #expect(several.contains(part), "\(several)") }
        #expect(several.contains("weights is "))

        try FileManager.default.createDirectory(atPath: scratch("b"), withIntermediateDirectories: true)
        _ = try scratch.file("b/notes.txt", [1])
        #expect(try report(Self.samples(network), "b").contains("is no folder of samples: 'notes.txt' is there"))
        for text in ["", "{}", "[]", "{\"riffle\": \"samples\", \"version\": 2, \"samples\": {}}"] {
            _ = try scratch.file("a/samples.json", Array(text.utf8))
            #expect(try report(Self.samples(network)).contains("samples.json"), "\(text)")
        }
        let points = try NumberedSamples(MLP(.init()), evaluations: 1)
        #expect(report(points, "c").contains("[2] is none"))
        #expect(!FileManager.default.fileExists(atPath: scratch("c")))
    }

    @Test func damagedChunksAreReported() throws {
        let scratch = try Scratch(), network = try Self.network()
        let store = try SampleStore(scratch("a"), Self.samples(network), chunk: 4)
        try store.fill(to: 4)
        let path = scratch("a/samples-00001.npy"), whole = try contents(path)
        _ = try scratch.file("a/samples-00001.npy", Array(whole.dropLast()))
        #expect(message { try store.fill(to: 8) }.contains("'\(path)'"))
        try Npy.write(.zeros([4, 4, 4, 3]), to: path)
        #expect(message { try store.fill(to: 8) }.contains("remove the file to have its samples made again"))
        // NaN is no picture, and says which samples it is.
        for named in network.parameters { try named.parameter.assign(named.parameter.value * .nan) }
        let broken = try SampleStore(scratch("b"), Self.samples(network), chunk: 4)
        #expect(message { try broken.fill(to: 8) }.contains("samples 1 to 4: NaN has no brightness"))
        #expect(try broken.count() == 0)
    }
}
