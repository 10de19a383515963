import Glibc

/// Seconds and calls of each operation, and of each operation's part of a backward pass, without the operations that
/// these call in turn.
///
/// Every operation passes through `measure`, which tests override.
package class Profiler {
    package struct Entry: Sendable {
        package let name: String
        package fileprivate(set) var calls = 0
        package fileprivate(set) var seconds = 0.0
    }

    private var entries: [String: Entry] = [:]
    /// Seconds spent in the calls inside each open measurement.
    private var inner: [Double] = []
    private let begun = Profiler.now()

    /// The profiler that was measuring when this one began, and that gets this one's entries at its end.
    private let outer: Profiler?

    package init(inside outer: Profiler? = nil) { self.outer = outer }

    /// Begins to measure the calling thread's operations.
    package static func begin() { Context.current.profiler = Profiler(inside: Context.current.profiler) }

    /// Ends the measurement that began last, and returns its profiler.
    package static func end() -> Profiler? {
        guard let profiler = Context.current.profiler else { return nil }
        Context.current.profiler = profiler.outer
        profiler.outer?.add(profiler)
        return profiler
    }

    private func add(_ other: Profiler) {
        for (name, entry) in other.entries {
            entries[name, default: Entry(name: name)].calls += entry.calls
            entries[name]?.seconds += entry.seconds
        }
    }

    /// The entries, those that took longest first.
    package var report: [Entry] { entries.values.sorted { ($0.seconds, $1.name) > ($1.seconds, $0.name) } }

    /// The report as text, a line for each entry: milliseconds, share of the time since the beginning, calls and name.
    /// The last line is the time outside of operations: Lua, optimizers, averages, random numbers and files.
    package var table: String {
        let whole = Profiler.now() - begun
        let elsewhere = max(0, whole - entries.values.reduce(0) { $0 + $1.seconds })
        func column(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        func line(_ seconds: Double, _ calls: String, _ name: String) -> String {
            let share = "\(Int((100 * seconds / max(whole, 1e-12)).rounded())) %"
            return column(riffleFormat((seconds * 1e6).rounded() / 1e3), 10) + column(share, 7) + column(calls, 9)
                + "  \(name)"
        }
        let lines = report.map { line($0.seconds, "\($0.calls)", $0.name) } + [line(elsewhere, "", "elsewhere")]
        return ([column("ms", 10) + column("share", 7) + column("calls", 9) + "  operation"] + lines).joined(
            separator: "\n")
    }

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

    /// Seconds on a clock that only goes forward.
    package static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
    }
}
