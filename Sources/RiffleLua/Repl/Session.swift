import RiffleTensor

/// Runs entries, which share the locals that they declare: typed, given by `-e` or read from standard input.
final class Session {
    enum Outcome: Equatable {
        case done
        /// More lines are needed; with Lua's message for programs, which have no more lines.
        case incomplete(String)
        /// The entry is not Lua; with Lua's message.
        case wrong(String)
    }

    private let functions: [LuaFunction]

    init(_ engine: LuaEngine) throws {
        let found = try engine.runInternal(
            """
            local _, internal = ...
            return internal.evaluate, internal.completions, internal.one_line, internal.open_session,
                internal.require_from
            """)
        functions = found.compactMap(\.anyObject).compactMap { $0 as? LuaFunction }
    }

    /// Defines the globals of a session: `riffle`, its namespaces, `help` and `who`.
    func open() throws { _ = try functions[3]([], results: 0) }

    /// Makes `require` search a script's folder.
    func require(from folder: String) throws { _ = try functions[4]([.string(folder)], results: 0) }

    /// Runs an entry.
    /// - Parameters:
    ///   - name: the entry's name in errors, as Lua writes names of chunks.
    ///   - prints: whether the entry prints the value that it ends with.
    /// - Throws: `LuaError` where the entry raises an error.
    func evaluate(_ source: String, name: String, prints: Bool = true, arguments: [Value] = []) throws -> Outcome {
        let results = try functions[0]([.string(source), .string(name), .boolean(prints)] + arguments, results: 2)
            .map(\.brief)
        switch results[0] {
        case "incomplete": return .incomplete(results[1])
        case "wrong": return .wrong(results[1])
        default: return .done
        }
    }

    /// The names that may complete `word`, which follows the text `before` in an entry.
    func completions(_ before: String, _ word: String) -> [String] {
        (try? functions[1]([.string(before), .string(word)]))?.first?.list.map(\.brief) ?? []
    }

    /// An entry in one line; nil where that means something else.
    func oneLine(_ entry: String) -> String? {
        guard case .string(let line)? = (try? functions[2]([.string(entry)]))?.first else { return nil }
        return line
    }
}
