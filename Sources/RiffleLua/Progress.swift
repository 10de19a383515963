import Glibc
import RiffleTensor
import Synchronization

/// The progress of a loop on standard error: one line that is redrawn on a terminal, a few lines elsewhere.
///
/// A bar belongs to the thread that runs Lua.
package final class Progress: @unchecked Sendable {
    private struct Shared {
        /// The bar whose line is on the terminal.
        var visible: Progress?
        var loss: Double?
    }
    private static let shared = Mutex(Shared())

    /// Remembers the last loss, which the bar of the surrounding loop shows.
    package static func note(loss: Double) { shared.withLock { $0.loss = loss } }

    private let label: String
    private let total: Int?
    private let isTerminal: Bool
    private let start = Progress.now()
    private var step: Int
    /// Steps that were done before the bar began.
    private let done: Int
    /// Samples that a step takes, where the line has these and the memory in use.
    private let samples: Int?
    private let isOfRun: Bool
    private var shownAt = 0.0
    private var isDone = false

    /// - Parameters:
    ///   - done: steps that were done before.
    ///   - samples: samples that a step takes.
    ///   - isOfRun: whether the line has the memory in use.
    package init(label: String, total: Int?, done: Int = 0, samples: Int? = nil, isOfRun: Bool = false) {
        self.label = label
        self.total = total
        self.done = done
        self.samples = samples
        self.isOfRun = isOfRun
        step = done
        isTerminal = isatty(2) == 1
        Progress.finishVisible()
        Progress.shared.withLock { $0.loss = nil }
    }

    /// Seconds on a clock that only goes forward.
    static func now() -> Double { Profiler.now() }

    /// Called after each step. Shows the bar ten times a second on a terminal, elsewhere once a minute.
    package func advance(to step: Int) {
        self.step = step
        let now = Progress.now()
        guard now - (shownAt == 0 && !isTerminal ? start : shownAt) >= (isTerminal ? 0.1 : 60), !isDone else { return }
        shownAt = now
        show(now)
    }

    /// Shows the last state and the time of the whole loop, and ends the line.
    package func finish() {
        guard !isDone else { return }
        isDone = true
        show(Progress.now())
        if isTerminal { Console.error("\n") }
        Progress.shared.withLock { if $0.visible === self { $0.visible = nil } }
    }

    /// Ends the line of a loop that was left early, before other output.
    package static func finishVisible() { shared.withLock { $0.visible }?.finish() }

    /// Clears the line for output; the next step shows the bar again.
    static func clearLine() {
        guard shared.withLock({ $0.visible }) != nil else { return }
        Console.error("\r\u{1B}[K")
    }

    private func show(_ now: Double) {
        guard isTerminal else {
            Console.error(line(elapsed: now - start, width: nil) + "\n")
            return
        }
        Progress.shared.withLock { $0.visible = self }
        Console.error("\r" + line(elapsed: now - start, width: (Console.width(of: 2) ?? 80) - 1) + "\u{1B}[K")
    }

    /// The parts of a line, in the order in which they are left out where the line is too long.
    private enum Part: Int, Comparable {
        case memory, rate, label, time, loss, count
        static func < (a: Part, b: Part) -> Bool { a.rawValue < b.rawValue }
    }

    /// `teacher  [=====>    ]  1200/6000  310/s  0:15 left  loss 0.0123`
    /// - Parameter width: the columns of the terminal, of which the bar takes those that the words leave; nil where
    ///   there is no terminal, for a line without a bar.
    func line(elapsed: Double, width: Int?) -> String {
        var parts: [(part: Part, text: String)] = label.isEmpty ? [] : [(.label, label)]
        parts.append((.count, total.map { "\(step)/\($0)" } ?? "\(step)"))
        let rate = elapsed > 0 ? Double(step - done) / elapsed : 0
        if rate > 0, let samples {
            parts.append((.rate, "\(significant(rate * Double(samples), 3)) samples/s"))
        } else if rate > 0 {
            parts.append((.rate, rate >= 1 ? "\(significant(rate, 3))/s" : "\(significant(1 / rate, 3)) s each"))
        }
        if isDone {
            parts.append((.time, "in \(clock(elapsed))"))
        } else if let total, rate > 0 {
            parts.append((.time, "\(clock(Double(total - step) / rate)) left"))
        }
        if let loss = Progress.shared.withLock({ $0.loss }) { parts.append((.loss, "loss \(significant(loss, 4))")) }
        if isOfRun { parts.append((.memory, readable(bytes: Memory.now.live))) }
        func length() -> Int { parts.reduce(-2) { $0 + $1.text.count + 2 } }
        while let width, length() > width, parts.count > 1, let least = parts.map(\.part).min() {
            parts.removeAll { $0.part == least }
        }
        if let width, let bar = bar(columns: width - length() - 4),
            let index = parts.firstIndex(where: { $0.part == .count })
        {
            parts.insert((.count, bar), at: index)
        }
        return String(parts.map(\.text).joined(separator: "  ").prefix(width ?? Int.max))
    }

    /// A bar between brackets, which the columns do not include; nil where there are too few columns, or the number of
    /// steps is not known.
    private func bar(columns: Int) -> String? {
        guard let total, columns >= 5 else { return nil }
        let width = min(20, columns)
        let full = total > 0 ? min(width, step * width / total) : width
        let head = full < width ? ">" : ""
        return "[" + String(repeating: "=", count: full) + head
            + String(repeating: " ", count: width - full - head.count) + "]"
    }

    private func clock(_ seconds: Double) -> String {
        if seconds < 10, isDone { return "\(riffleFormat((seconds * 10).rounded() / 10)) s" }
        guard seconds.isFinite, seconds < 1e9 else { return "?" }
        let whole = Int(seconds.rounded())
        let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
        let tail = rest < 10 ? "0\(rest)" : "\(rest)"
        return hours > 0 ? "\(hours):\(minutes < 10 ? "0" : "")\(minutes):\(tail)" : "\(minutes):\(tail)"
    }

    private func significant(_ number: Double, _ digits: Int) -> String {
        guard number.isFinite, number != 0 else { return riffleFormat(number) }
        if abs(number) >= 1000, abs(number) < 1e9 { return "\(Int(number.rounded()))" }
        let scale = pow(10, Double(digits - 1) - floor(log10(abs(number))))
        return riffleFormat((number * scale).rounded() / scale)
    }
}
