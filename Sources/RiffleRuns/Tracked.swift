import RiffleNN
import RiffleTensor

/// The objects whose states a checkpoint keeps, each under a name of the user's, and the source of random numbers.
package final class Tracked {
    package private(set) var entries: [(name: String, object: any Resumable)] = []

    package init() {}

    /// - Throws: `RiffleError` when the name is no name, or the name or the object is tracked already.
    package func add(_ name: String, _ object: any Resumable) throws {
        let isWord = name.unicodeScalars.allSatisfy {
            $0.isASCII && ($0.properties.isAlphabetic || "0123456789_".unicodeScalars.contains($0))
        }
        guard isWord, !name.isEmpty else {
            throw RiffleError("", "a tracked object's name has letters, digits and _ alone, got '\(name)'")
        }
        guard name != Tracked.random else { throw RiffleError("", "the name '\(name)' belongs to random numbers") }
        if let other = entries.first(where: { $0.name == name }), other.object !== object {
            throw RiffleError("", "'\(name)' is tracked already, and is another object")
        }
        if let other = entries.first(where: { $0.object === object }) {
            throw RiffleError(
                "",
                other.name == name
                    ? "'\(name)' is tracked already" : "'\(name)' is the object that is tracked as '\(other.name)'")
        }
        entries.append((name, object))
    }

    package func contains(_ object: any Resumable) -> Bool { entries.contains { $0.object === object } }

    /// A name for an object that nobody named: the word, or the word with a number behind it.
    package func freeName(_ word: String) -> String {
        let names = Set(entries.map(\.name))
        return ([word] + (2...(names.count + 2)).map { "\(word)_\($0)" }).first { !names.contains($0) } ?? word
    }

    private static let random = "random"
    /// The SHA-256 of the base of an adapted network, whose adapters alone are in its state.
    private static let base = "base"

    private static func adapted(_ object: any Resumable) -> Module? {
        (object as? Module).flatMap { $0.adaptation == nil ? nil : $0 }
    }

    private func checkBase(of network: Module, _ state: SavedState) throws {
        guard case .string(let base) = state.values[Tracked.base] else { return }
        guard base == network.baseSHA256() else {
            throw RiffleError("", "its adapters were trained on another base: the numbers under them are not the same")
        }
    }

    /// The state of every object under `name.`, and that of the thread's random numbers.
    func saved() throws -> SavedState {
        var state = SavedState()
        for (name, object) in entries {
            state.add(try naming(name) { try object.saved() }, "\(name).")
            if let network = Tracked.adapted(object) {
                state.values["\(name).\(Tracked.base)"] = .string(network.baseSHA256())
            }
        }
        let random = Context.current.random
        state.values["\(Tracked.random).seed"] = .string("\(random.seed)")
        state.values["\(Tracked.random).draws"] = .string("\(random.stream)")
        state.values["\(Tracked.random).samples_before"] = .integer(random.samplesBefore)
        return state
    }

    /// Checks that a state is one of these objects, and changes nothing; the result sets all of them.
    func resuming(from state: SavedState) throws -> () throws -> Void {
        let known = Set(entries.map(\.name) + [Tracked.random])
        let found = Set((Array(state.tensors.keys) + Array(state.values.keys)).map { String($0.prefix { $0 != "." }) })
        let missing = known.subtracting(found).sorted()
        let surplus = found.subtracting(known).sorted()
        guard missing.isEmpty, surplus.isEmpty else {
            let parts = [
                missing.isEmpty ? nil : "it has no state of \(missing.joined(separator: ", "))",
                surplus.isEmpty ? nil : "it has one of \(surplus.joined(separator: ", ")), which nobody tracks",
            ]
            throw RiffleError("", parts.compactMap { $0 }.joined(separator: ", and "))
        }
        var setters = try entries.map { name, object in
            try naming(name) {
                let part = state.part("\(name).")
                if let network = Tracked.adapted(object) { try checkBase(of: network, part) }
                return try object.resuming(from: part)
            }
        }
        let random = state.part("\(Tracked.random).")
        guard case .string(let seedText) = random.values["seed"], let seed = UInt64(seedText),
            case .string(let drawsText) = random.values["draws"], let draws = UInt64(drawsText)
        else { throw RiffleError("", "the state of its random numbers is no state") }
        let before = try random.integer("samples_before", in: 0...Int.max)
        setters.append { Context.current.random = RandomSource(seed: seed, stream: draws, samplesBefore: before) }
        return { for set in setters { try set() } }
    }

    private func naming<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as RiffleError {
            throw RiffleError("", "'\(name)': \(error.description)", kind: error.kind)
        }
    }
}

/// Values of the user's own, which a checkpoint keeps.
package final class Notes: Resumable {
    package var table: [String: Value]

    package init(_ table: [String: Value] = [:]) { self.table = table }

    /// Tensors at any depth become tensors of the state, and leave their names behind.
    package func saved() throws -> SavedState {
        var state = SavedState()
        state.values["table"] = try Notes.taking(.table(table), "", into: &state.tensors)
        return state
    }

    package func resuming(from state: SavedState) throws -> () throws -> Void {
        guard let value = state.values["table"], case .table(let table) = try Notes.giving(value, state) else {
            throw RiffleError("", "it is no table of values")
        }
        return { self.table = table }
    }

    private static let mark = "tensor"

    private static func taking(_ value: Value, _ path: String, into tensors: inout [String: Tensor]) throws -> Value {
        switch value {
        case .tensor(let tensor):
            tensors["tensors\(path)"] = tensor
            return .list([.string(mark), .string("tensors\(path)")])
        case .object(let object):
            guard let parameter = object as? Parameter else {
                throw RiffleError(
                    "", "'\(path.dropFirst())' is an object, and not a number, a text, a tensor or a table")
            }
            return try taking(.tensor(parameter.value), path, into: &tensors)
        case .list(let items):
            return .list(
                [.string("list")]
                    + (try items.enumerated().map { try taking($1, "\(path).\($0 + 1)", into: &tensors) }))
        case .table(let table):
            return .table(
                try Dictionary(
                    uniqueKeysWithValues: table.map { ($0, try taking($1, "\(path).\($0)", into: &tensors)) }))
        case .none, .boolean, .integer, .number, .string: return value
        }
    }

    private static func giving(_ value: Value, _ state: SavedState) throws -> Value {
        switch value {
        case .list(let items):
            guard case .string(let kind) = items.first else { throw RiffleError("", "it is no table of values") }
            if kind == mark, items.count == 2, case .string(let name) = items[1] {
                return .tensor(try state.tensor(name))
            }
            return .list(try items.dropFirst().map { try giving($0, state) })
        case .table(let table): return .table(try table.mapValues { try giving($0, state) })
        default: return value
        }
    }
}
