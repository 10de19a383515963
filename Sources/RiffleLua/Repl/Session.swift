import RiffleTensor

/// What entries share, be they typed, given by `-e` or read from standard input: the locals that they declare.
final class Session {
    enum Answer: Equatable {
        case done
        /// More lines are needed; with Lua's message for those who have none.
        case incomplete(String)
        /// The entry is not Lua.
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

    /// Gives programs the globals of a session: `riffle`, its rooms, `help` and `who`.
    func open() throws { _ = try functions[3]([], results: 0) }

    /// Has `require` look into a script's folder.
    func require(from folder: String) throws { _ = try functions[4]([.string(folder)], results: 0) }

    /// Runs an entry.
    /// - Parameters:
    ///   - name: what errors call it, as Lua writes names of chunks.
    ///   - prints: whether it prints what it ends with.
    /// - Throws: `LuaError` where it raises an error.
    func evaluate(_ source: String, name: String, prints: Bool = true, arguments: [Value] = []) throws -> Answer {
        let answer = try functions[0]([.string(source), .string(name), .boolean(prints)] + arguments, results: 2)
            .map(\.brief)
        switch answer[0] {
        case "incomplete": return .incomplete(answer[1])
        case "wrong": return .wrong(answer[1])
        default: return .done
        }
    }

    /// What may stand for `word`, which follows the text `before` in an entry.
    func completions(_ before: String, _ word: String) -> [String] {
        (try? functions[1]([.string(before), .string(word)]))?.first?.list.map(\.brief) ?? []
    }

    /// An entry in one line, where that means the same.
    func oneLine(_ entry: String) -> String? {
        guard case .string(let line)? = (try? functions[2]([.string(entry)]))?.first else { return nil }
        return line
    }
}
