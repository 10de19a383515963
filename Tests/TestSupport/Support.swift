import Foundation
import RiffleTensor
import Testing

/// A folder for one test, gone with it.
package final class Scratch {
    package let path: String

    package init() throws {
        path = NSTemporaryDirectory() + "riffle-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    package func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// Writes bytes under a name.
    package func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: self(name)))
        return self(name)
    }

    package var names: [String] {
        do { return try FileManager.default.contentsOfDirectory(atPath: path).sorted() } catch {
            Issue.record("\(error)")
            return []
        }
    }
}

package func contents(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

/// The message of the error that `body` throws; an issue when it throws none, or another kind.
package func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        Issue.record("nothing was thrown")
        return ""
    } catch let error as RiffleError {
        return error.description
    } catch {
        Issue.record("\(error) was thrown")
        return ""
    }
}

/// A file of Tests/Fixtures.
package func fixture(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent(
        "Fixtures/\(name)"
    ).path
}

/// Runs `body` where no file may grow beyond a size: a write stops in its middle, as on a full disk.
package func withFullDisk<Result>(after bytes: Int, _ body: () throws -> Result) rethrows -> Result {
    // RLIMIT_FSIZE
    let size = __rlimit_resource_t(1)
    signal(SIGXFSZ, SIG_IGN)
    var before = rlimit()
    getrlimit(size, &before)
    defer { setrlimit(size, &before) }
    var limit = before
    limit.rlim_cur = rlim_t(bytes)
    setrlimit(size, &limit)
    return try body()
}

/// Uniform numbers keyed by a name: FNV-1a, then SplitMix64's finaliser of each index.
package func drawn(_ name: String, _ count: Int) -> [Double] {
    let hash = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return (0..<count).map { index in
        var z = hash &+ UInt64(index + 1) &* 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return Double((z ^ (z >> 31)) >> 40) / 16_777_216
    }
}
