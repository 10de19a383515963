import CLuaBridge
import Glibc
import RiffleTensor

/// The interactive session at a terminal: reads and evaluates entries, and goes on after their errors.
package final class Repl {
    private let engine: LuaEngine
    private let session: Session
    /// The lines of the entry so far.
    private var entry: [String] = []

    package init(_ engine: LuaEngine) throws {
        self.engine = engine
        session = try engine.session.get()
        try session.open()
    }

    /// Runs until the end of input.
    package func run() {
        Signals.interruptsComputation(thenExits: false)
        Signals.keepTerminal()
        Console.output("Riffle \(Version.text) with Lua 5.4. help() lists what there is, Ctrl-D leaves.\n")
        LineEditor.start { [unowned self] line, word in
            session.completions((entry + [line]).joined(separator: "\n"), word)
        }
        while let line = read(entry.isEmpty ? "> " : ">> ") {
            if LineEditor.wasCancelled {
                entry = []
                continue
            }
            entry.append(line)
            // The lines of a paste are one entry, even where they would be complete by themselves.
            if LineEditor.isPasting { continue }
            let source = entry.joined(separator: "\n")
            if source.allSatisfy(\.isWhitespace) {
                entry = []
                continue
            }
            let start = Progress.now()
            if !evaluate(source) { continue }
            let seconds = Progress.now() - start
            if seconds > 0.1 { Console.output("(\(riffleFormat((seconds * 100).rounded() / 100)) s)\n") }
            remember(source)
            entry = []
        }
        Console.output("\n")
        if !entry.isEmpty { Console.error("the input ends in the middle of a statement\n") }
    }

    /// Evaluates an entry and reports its errors.
    /// - Returns: whether the entry was complete.
    private func evaluate(_ source: String) -> Bool {
        defer { Progress.finishVisible() }
        do {
            switch try session.evaluate(source, name: "=stdin") {
            case .incomplete: return false
            case .wrong(let message): report(message)
            case .done: break
            }
        } catch {
            engine.resumeAfterInterrupt()
            report(LuaEngine.report(error))
        }
        return true
    }

    private func report(_ message: String) {
        Progress.finishVisible()
        Console.error(message + "\n")
    }

    private func read(_ prompt: String) -> String? {
        engine.resumeAfterInterrupt()
        return LineEditor.read(prompt)
    }

    /// Adds an entry to the history: in one line where that means the same, or else line by line.
    private func remember(_ source: String) {
        guard source.contains("\n") else { return LineEditor.remember(source) }
        if let line = session.oneLine(source) { return LineEditor.remember(line) }
        for line in source.split(separator: "\n") { LineEditor.remember(String(line)) }
    }
}
