import CKernels
import Foundation
import Testing

/// Limits of control groups, in folders that look as the system's do.
@Suite struct CgroupTests {
    private let root = NSTemporaryDirectory() + "riffle-" + UUID().uuidString

    /// Writes what a process finds: which groups it is in, and files by their path below the root.
    private func limits(_ membership: String, _ files: [String: String]) throws -> (memory: Int, processors: Double) {
        try? FileManager.default.removeItem(atPath: root)
        defer { try? FileManager.default.removeItem(atPath: root) }
        for (path, text) in files.merging(["membership": membership], uniquingKeysWith: { $1 }) {
            let path = "\(root)/\(path)", folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
            try FileManager.default.createDirectory(atPath: String(folder), withIntermediateDirectories: true)
            try text.write(toFile: path, atomically: false, encoding: .utf8)
        }
        return (rk_cgroup_memory("\(root)/membership", root, 1000), rk_cgroup_processors("\(root)/membership", root))
    }

    @Test func theSmallestLimitOfAllLevelsHolds() throws {
        let unified = try limits(
            "0::/a/b\n",
            [
                "memory.max": "max\n", "a/memory.max": "700\n", "a/b/memory.max": "800\n", "a/cpu.max": "max 100000\n",
                "a/b/cpu.max": "150000 100000\n",
                "cpu.max": "300000 100000\n", "c/cpu.max": "1 100000\n",
            ])
        #expect(unified.memory == 700 && unified.processors == 1.5)
        let split = try limits(
            "5:cpu,cpuacct:/a\n4:memory:/b\n3:cpuset:/c\n",
            [
                "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
                "cpu/a/cpu.cfs_quota_us": "50000\n",
                "cpu/a/cpu.cfs_period_us": "100000\n", "memory/b/memory.limit_in_bytes": "600\n",
                "cpu/c/cpu.cfs_quota_us": "1\n",
            ])
        #expect(split.memory == 600 && split.processors == 0.5)
    }

    @Test func withoutLimitsThereAreNone() throws {
        for (membership, files) in [
            ("", [:]), ("0::/\n", [:]), ("nothing\n", [:]),
            ("0::/a\n", ["a/cpu.max": "max 100000\n", "a/memory.max": "max\n"]),
            ("0::/a\n", ["a/cpu.max": "junk", "a/memory.max": "2000"]), ("1:cpu:/\n", ["cpu/cpu.cfs_quota_us": "-1"]),
        ] {
            let found = try limits(membership, files)
            #expect(found.memory == 1000 && found.processors == 0, "\(membership)")
        }
    }
}
