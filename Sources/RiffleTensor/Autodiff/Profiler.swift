import Glibc

/// Seconds and calls of each operation, and of each operation's part of a backward pass, without what they call in turn.
public final class Profiler {
    public struct Entry: Sendable {
        public let name: String
        public fileprivate(set) var calls = 0
        public fileprivate(set) var seconds = 0.0
    }

    private var entries: [String: Entry] = [:]
    /// Seconds spent in what the open measurements called.
    private var inner: [Double] = []

    public init() {}

    /// Those that took longest first.
    public var report: [Entry] { entries.values.sorted { ($0.seconds, $1.name) > ($1.seconds, $0.name) } }

    func measure<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        let start = Profiler.now()
        inner.append(0)
        defer {
            let whole = Profiler.now() - start
            let own = whole - inner.removeLast()
            if !inner.isEmpty { inner[inner.count - 1] += whole }
            entries[name, default: Entry(name: name)].calls += 1
            entries[name]?.seconds += own
        }
        return try body()
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
    }
}
