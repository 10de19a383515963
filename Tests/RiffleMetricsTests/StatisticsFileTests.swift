import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleMetrics

/// Files that `scripts/check_metrics.py` wrote as pytorch-fid, EDM and ADM do, and Riffle's own.
@Suite struct StatisticsFileTests {
    private let features: Npz

    init() throws { features = try Npz(fixture("metrics/features.npz")) }

    @Test(arguments: ["pytorch-fid", "edm", "adm"]) func filesOfOthersAreRead(tool: String) throws {
        let path = fixture("metrics/statistics-\(tool).npz"), found = try FeatureStatistics(contentsOf: path)
        #expect(found.count == nil && !found.isRankDeficient)
        #expect(try found.mean.doubles() == features.tensor("mean").doubles())
        #expect(try found.covariance.doubles() == features.tensor("covariance").doubles())
        if tool == "adm" {
            #expect(try FeatureStatistics(contentsOf: path, part: .spatial).features == 4)
        } else {
            #expect(
                message { _ = try FeatureStatistics(contentsOf: path, part: .spatial) }.contains(
                    "statistics-\(tool).npz': no array 'mu_s'; it holds mu, sigma"))
        }
    }

    /// NumPy's own numbers, and pytorch-fid's distance.
    @Test func samplesGiveTheSameStatistics() throws {
        var sums = FeatureSums()
        try sums.add(features.tensor("a"))
        let found = try sums.statistics(),
            edm = try FeatureStatistics(contentsOf: fixture("metrics/statistics-edm.npz"))
        #expect(try (found.mean - edm.mean).abs().max().item() < 1e-15)
        #expect(try (found.covariance - edm.covariance).abs().max().item() < 1e-14)
        var others = FeatureSums()
        try others.add(features.tensor("b"))
        let wanted = try features.tensor("frechet_distance").item()
        #expect(abs(try Metrics.frechetDistance(edm, others.statistics()) / wanted - 1) < 1e-8)
        #expect(abs(try Metrics.frechetDistance(features.tensor("a"), features.tensor("b")) / wanted - 1) < 1e-8)
    }

    @Test func whatWasWrittenIsRead() throws {
        let scratch = try Scratch(), path = scratch("a.npz")
        var sums = FeatureSums()
        try sums.add(features.tensor("a"))
        let found = try sums.statistics()
        try found.write(to: path)
        let back = try FeatureStatistics(contentsOf: path)
        #expect(try Npz(path).names == ["mu", "sigma", "n"])
        #expect(try back.count == 60 && back.mean.doubles() == found.mean.doubles())
        #expect(try back.covariance.doubles() == found.covariance.doubles())
        #expect(try Metrics.frechetDistance(back, found) == 0)
        let bytes = try contents(path)
        try back.write(to: path)
        #expect(try contents(path) == bytes && scratch.names == ["a.npz"])
        #expect(message { try found.write(to: scratch("a.npy")) }.contains("written as .npz, not as .npy"))
        #expect(message { try found.write(to: scratch("no/a.npz")) }.contains("cannot write"))
    }

    @Test func otherFilesAreRefused() throws {
        let scratch = try Scratch(), path = scratch("bad.npz")
        func refused(_ arrays: [(name: String, tensor: Tensor)]) throws -> String {
            try Npz.write(arrays, to: path)
            let text = message { _ = try FeatureStatistics(contentsOf: path) }
            #expect(text.contains("'\(path)': "), "\(text)")
            return text
        }
        let mean = try Tensor([1.0, 2], [2]), covariance = try Tensor([2.0, 1, 1, 2], [2, 2])
        #expect(try refused([("sigma", covariance)]).contains("no array 'mu'; it holds sigma"))
        #expect(try refused([("mu", mean)]).contains("no array 'sigma'; it holds mu"))
        #expect(try refused([("mu", mean), ("sigma", .zeros([3, 3]))]).contains("is [2, 2], got [3, 3]"))
        #expect(try refused([("mu", mean), ("sigma", .zeros([2, 3]))]).contains("got [2, 3]"))
        #expect(try refused([("mu", covariance), ("sigma", covariance)]).contains("a mean is [features], got [2, 2]"))
        #expect(try refused([("mu", mean), ("sigma", covariance * Double.nan)]).contains("NaN"))
        #expect(try refused([("mu", mean), ("sigma", Tensor([2.0, 1, 0, 2], [2, 2]))]).contains("symmetric"))
        #expect(try refused([("mu", mean), ("sigma", -covariance)]).contains("variance of feature 1 is negative, -2"))
        for n in [try Tensor([1.5], []), try Tensor([3.0, 4], [2]), try Tensor([Double.nan], [])] {
            #expect(try refused([("mu", mean), ("sigma", covariance), ("n", n)]).contains("one whole number"))
        }
        #expect(try refused([("mu", mean), ("sigma", covariance), ("n", .ones([]))]).contains("got 1"))
        _ = try scratch.file("bad.npz", Array("{\"mu\": 1}".utf8))
        #expect(message { _ = try FeatureStatistics(contentsOf: path) }.contains("(.npz): it is a JSON text"))
    }

    /// Changed bytes are refused, or, where they are names of entries that nobody reads, make no difference.
    @Test(arguments: ["pytorch-fid", "edm", "adm"]) func damagedFilesAreRefused(tool: String) throws {
        let scratch = try Scratch(), whole = try contents(fixture("metrics/statistics-\(tool).npz"))
        let wanted = try features.tensor("covariance").doubles()
        Memory.setLimit(Memory.now.live + 1 << 28)
        defer { Memory.setLimit(0) }
        for index in stride(from: 0, to: whole.count, by: 7) {
            var broken = whole
            broken[index] ^= 1 << UInt8(index % 8)
            let path = try scratch.file("broken.npz", index % 5 == 0 ? Array(whole[..<index]) : broken)
            do {
                #expect(try FeatureStatistics(contentsOf: path).covariance.doubles() == wanted, "\(index)")
            } catch let error as RiffleError {
                #expect(error.description.contains("broken.npz"), "\(index): \(error)")
            }
        }
    }
}
