import CLuaBridge
import Glibc
import RiffleTensor

/// The interactive session: reads entries, evaluates them, shows what they give, and survives whatever they do.
public final class Repl {
    private let engine: LuaEngine
    private let evaluate: LuaFunction
    private let completions: LuaFunction
    private let isTerminal = isatty(0) == 1

    public init(_ engine: LuaEngine) throws {
        self.engine = engine
        let functions = try engine.runInternal("local _, internal = ...; internal.open_session(); return internal.evaluate, internal.completions")
        guard case .object(let evaluate as LuaFunction) = functions[0], case .object(let completions as LuaFunction) = functions[1] else {
            throw RiffleError("", "the prelude has no session")
        }
        self.evaluate = evaluate
        self.completions = completions
    }

    /// Runs until the end of input.
    /// - Returns: whether every entry of a pipe went well; of a terminal always true.
    public func run() -> Bool {
        Signals.interruptsComputation(thenExits: false)
        if isTerminal {
            Console.output("Riffle \(SystemLibrary.version) with Lua 5.4. help() tells what there is, Ctrl-D leaves.\n")
            LineEditor.start { [self] text in
                guard let found = try? completions([.string(text)]).first else { return [] }
                return found.list.map(\.brief)
            }
        }
        var entry: [String] = []
        var wentWell = true
        while let line = read(entry.isEmpty ? "> " : ">> ") {
            if isTerminal, LineEditor.wasCancelled {
                entry = []
                continue
            }
            entry.append(line)
            let source = entry.joined(separator: "\n")
            if source.allSatisfy(\.isWhitespace) {
                entry = []
                continue
            }
            let start = Progress.now()
            let result = answer(source)
            if result == .incomplete { continue }
            wentWell = wentWell && result == .done
            if isTerminal {
                let seconds = Progress.now() - start
                if seconds > 0.1 { Console.output("(\(riffleFormat((seconds * 100).rounded() / 100)) s)\n") }
                remember(entry)
            }
            entry = []
        }
        if isTerminal { Console.output("\n") }
        if !entry.isEmpty {
            Console.error("the input ends in the middle of a statement\n")
            wentWell = false
        }
        return wentWell || isTerminal
    }

    private enum Answer { case done, incomplete, wrong }

    private func answer(_ source: String) -> Answer {
        defer { Progress.finishVisible() }
        do {
            let results = try evaluate([.string(source)])
            switch results.first?.brief {
            case "incomplete": return .incomplete
            case "wrong":
                report(results.count > 1 ? results[1].brief : "")
                return .wrong
            default: return .done
            }
        } catch {
            engine.resumeAfterInterrupt()
            report(LuaEngine.report(error))
        }
        return .wrong
    }

    private func report(_ message: String) {
        Progress.finishVisible()
        Console.error(message + "\n")
    }

    private func read(_ prompt: String) -> String? {
        guard isTerminal else { return readLine() }
        engine.resumeAfterInterrupt()
        return LineEditor.read(prompt)
    }

    /// Lines of one entry become one line of history where that means the same.
    private func remember(_ entry: [String]) {
        let needsLines = entry.contains { $0.contains("--") || $0.contains("[[") }
        if needsLines { entry.forEach(LineEditor.remember) } else { LineEditor.remember(entry.joined(separator: " ")) }
    }
}
