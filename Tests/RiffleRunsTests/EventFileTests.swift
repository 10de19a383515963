import RiffleTensor
import TestSupport
import Testing

@testable import RiffleRuns

@Suite struct EventFileTests {
    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    @Test func recordsAreThoseOfOtherWriters() throws {
        #expect(EventFile.checksum(Array("123456789".utf8)) == 0xE306_9283)
        let scratch = try Scratch()
        var file: EventFile? = try EventFile(in: scratch.path, time: 0, keeping: nil) { Issue.record("\($0)") }
        file?.scalars([("loss", 0.5)], step: 7, time: 1)
        file = nil
        let name = try #require(scratch.names.first)
        #expect(name.hasPrefix("events.out.tfevents.0000000001.") && name.hasSuffix(".0"))
        #expect(
            hex(try contents(scratch(name)))
                == "1800000000000000" + "a37f4b22" + "0900000000000000001a0d627261696e2e4576656e743a32" + "eedf28a3"
                + "1a00000000000000" + "129bd82d" + "09000000000000f03f10072a0d0a0b0a046c6f7373150000003f" + "862c9a2f")
        _ = file
    }

    /// TensorBoard reads files in the order of their names.
    @Test func laterFilesComeLater() throws {
        let scratch = try Scratch()
        for time in [2_000_000_000.0, 1_999_999_000, 2_000_000_000, 7] {
            _ = try EventFile(in: scratch.path, time: time, keeping: 3) { Issue.record("\($0)") }
        }
        let times = scratch.names.map { $0.dropFirst("events.out.tfevents.".count).prefix(10) }
        #expect(times == ["2000000000", "2000000001", "2000000002", "2000000003"])
    }

    @Test func bucketsHoldEveryFiniteNumber() throws {
        let numbers: [Float] = [3, -1, 0.5, .nan, 2, .infinity, -1, 3, 0]
        let counts = try #require(BucketCounts(Tensor(numbers, [9])))
        #expect(counts.low == -1 && counts.high == 3 && counts.number == 7)
        #expect(counts.sum == 6.5 && counts.sumOfSquares == 24.25)
        #expect(counts.limits.count == BucketCounts.buckets && counts.limits.last == 3)
        #expect(counts.counts.reduce(0, +) == 7 && counts.counts.first == 2 && counts.counts.last == 2)

        let equal = try #require(BucketCounts(Tensor.full([5], 2)))
        #expect(equal.limits == [2] && equal.counts == [5])
        #expect(try BucketCounts(Tensor.full([5], .nan)) == nil)
        #expect(try BucketCounts(Tensor.zeros([0])) == nil)
        let wide = try #require(BucketCounts(Tensor([-Double.greatestFiniteMagnitude, .greatestFiniteMagnitude], [2])))
        #expect(wide.counts == [2])
    }
}
