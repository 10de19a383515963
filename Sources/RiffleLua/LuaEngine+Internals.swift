import CLuaBridge
import Glibc
import RiffleTensor

// Functions that the prelude uses and no script sees.

extension LuaEngine {
    var internals: [Function] {
        [
            Function("reference", [Argument("value", .unread)], Doc("")) { [.object(Held($0[0]))] },
            Function(
                "new_module",
                [
                    Argument("definition", .object("held")), Argument("fields", .table),
                    Argument("forward", .object("function")),
                    Argument("times", .integer(1...2)),
                    Argument("classes", .integer(1...Int(Int32.max - 1)), default: .none),
                    Argument("null_class", .boolean),
                ], Doc("")
            ) { arguments in
                let held: Held = arguments.object(0)
                let forward: LuaFunction = arguments.object(2)
                guard case .object(let definition as LuaFunction) = held.value else {
                    throw RiffleError("nn.module", "a table is wanted")
                }
                let module = try LuaModule(
                    arguments.table(1), definition: definition.reference, forward: forward, times: arguments.integer(3),
                    arguments.optionalInteger(4).map { .classes($0, hasNull: arguments.boolean(5)) } ?? .none)
                return [.object(module)]
            },
            Function("document", [Argument("name", .string), Argument("doc", .table)], Doc("")) {
                [unowned self] arguments in
                catalogue.add(Catalogue.Entry(arguments.string(0), arguments.table(1)))
                return []
            },
            Function("suggest", [Argument("name", .string), Argument("names", .list(.string))], Doc("")) { arguments in
                [.string(Aliases.hint(for: arguments.string(0), among: arguments.list(1).map(\.brief)))]
            },
            Function("help", [Argument("topic", .string, default: .string("riffle"))], Doc("")) { [unowned self] in
                [.string(try catalogue.help($0.string(0), width: Console.width(of: 1) ?? 100))]
            },
            Function("members_of", [Argument("value", .any)], Doc("")) { [unowned self] arguments in
                guard let object = arguments[0].anyObject, let number = classNumber(of: object) else {
                    return [.list([])]
                }
                return [.list(catalogue.members(of: classes[Int(number)]).sorted().map(Value.string))]
            },
            Function("bytes_of", [Argument("tensor", .tensor)], Doc("")) {
                let tensor = $0.tensor(0)
                return [.integer(tensor.count * tensor.dtype.size), .string("\(tensor.dtype) \(tensor.shape)")]
            },
            Function("options_of", [Argument("name", .string), Argument("is_method", .boolean)], Doc("")) {
                [unowned self] in
                // A tensor's method may be an operation, which the catalogue has under its own name.
                let name = $0.string(0)
                let lastName = String(name.split(separator: ":").last ?? "")
                guard let entry = catalogue[name] ?? catalogue[lastName] else { return [.list([])] }
                let options = entry.parameters.dropFirst($0.boolean(1) ? 1 : 0)
                return [.list(options.map { .list(([$0.name] + $0.choices).map(Value.string)) })]
            },
            Function("readable", [Argument("bytes", .integer(0...Int.max))], Doc("")) {
                [.string(readable(bytes: $0.integer(0)))]
            },
            Function("format", [Argument("number", .number)], Doc("")) { [.string(riffleFormat($0.number(0)))] },
            Function(
                "progress", [Argument("label", .string), Argument("total", .integer(0...Int.max), default: .none)],
                Doc("")
            ) {
                [.object(Progress(label: $0.string(0), total: $0.optionalInteger(1)))]
            },
            Function("before_output", [], Doc("")) { _ in
                Progress.clearLine()
                return []
            },
            Function("after_output", [], Doc("")) { _ in
                Console.noteLoss()
                return []
            },
            Function("start_profile", [], Doc("")) { _ in
                Profiler.begin()
                return []
            },
            Function("stop_profile", [], Doc("")) { _ in [.string(Profiler.end()?.table ?? "")] },
            Function("is_recording", [], Doc("")) { _ in [.boolean(Context.current.isRecording)] },
            Function("random", [], Doc("")) { _ in
                let random = Context.current.random
                return [
                    .integer(Int(truncatingIfNeeded: random.seed)), .integer(Int(truncatingIfNeeded: random.stream)),
                    .integer(random.samplesBefore),
                ]
            },
            Function(
                "set_random",
                ["seed", "draws", "samples_before"].map { Argument($0, .integer(Int.min...Int.max)) }, Doc("")
            ) {
                Context.current.random = RandomSource(
                    seed: UInt64(bitPattern: Int64($0.integer(0))), stream: UInt64(bitPattern: Int64($0.integer(1))),
                    samplesBefore: $0.integer(2))
                return []
            },
            Function("clock", [], Doc("")) { _ in [.number(Progress.now())] },
            Function("settle", [], Doc("")) { [unowned self] _ in [.boolean(settle())] },
        ]
    }

    func runPrelude() throws {
        for (name, bytes) in Prelude.chunks { try run(bytes, name: "=[riffle \(name)]", arguments: roots) }
    }

    /// Runs a chunk of the library's own, which gets the tables `riffle` and `internal`.
    func runInternal(_ source: String) throws -> [Value] {
        try run(Array(source.utf8), name: "=[riffle]", arguments: roots)
    }

    private var roots: [Value] {
        [RLUA_RIFFLE, RLUA_INTERNAL].map { root in
            let reference = LuaReference(state: state, ref: rlua_root_reference(state.pointer, root), borrowed: true)
            return .object(LuaFunction(reference))
        }
    }

    func setArguments(_ script: String, _ arguments: [String]) {
        var outcome = rlua_outcome()
        rlua_begin(state.pointer, &outcome)
        defer { rlua_done(state.pointer, &outcome) }
        guard let table = rlua_values(state.pointer, 1), let items = rlua_values(state.pointer, arguments.count + 2)
        else { return }
        for (index, argument) in arguments.enumerated() { items[index] = text(argument) }
        items[arguments.count] = rlua_value(kind: RLUA_INTEGER, integer: 0)
        items[arguments.count + 1] = text(script)
        table.pointee = rlua_value(kind: RLUA_TABLE, items: items, count: arguments.count, named: 1)
        rlua_set_global(state.pointer, "arg", table)
    }

    /// The largest tensors in local variables of the running code, for a message about memory.
    func largestTensors() -> String {
        final class Found { var entries: [(name: String, tensor: Tensor)] = [] }
        let found = Found()
        rlua_each_local(state.pointer, tensorClass, Unmanaged.passUnretained(found).toOpaque()) {
            context, name, object in
            guard let context, let name, let object else { return }
            let tensor = Unmanaged<Tensor>.fromOpaque(object).takeUnretainedValue()
            Unmanaged<Found>.fromOpaque(context).takeUnretainedValue().entries.append((String(cString: name), tensor))
        }
        func bytes(_ tensor: Tensor) -> Int { tensor.count * tensor.dtype.size }
        let largest = found.entries.filter { bytes($0.tensor) >= 1_000_000 }.sorted {
            bytes($0.tensor) > bytes($1.tensor)
        }.prefix(5)
        guard !largest.isEmpty else { return "" }
        return "; largest in local variables: "
            + largest.map { "\($0.name) \($0.tensor.shape), \(readable(bytes: bytes($0.tensor)))" }.joined(
                separator: ", ")
    }
}

/// A value that the prelude passes on without reading it.
final class Held {
    let value: Value
    init(_ value: Value) { self.value = value }
}

extension Catalogue.Entry {
    /// An entry from a table of the prelude: `summary`, `formula`, `shapes`, `example`, `source`, and `arguments`, a
    /// list of `{ name, type, summary, default }`.
    init(_ name: String, _ table: [String: Value]) {
        func string(_ key: String) -> String { if case .string(let text)? = table[key] { text } else { "" } }
        self.name = name
        doc = Doc(
            string("summary"), formula: string("formula"), shapes: string("shapes"), example: string("example"),
            source: string("source"))
        parameters = (table["arguments"] ?? .none).list.map { argument in
            let parts = argument.list.map(\.brief)
            return Catalogue.Parameter(
                name: parts.first ?? "", type: parts.count > 1 ? parts[1] : "",
                summary: parts.count > 2 ? parts[2] : "",
                defaultText: parts.count > 3 ? parts[3] : nil)
        }
    }
}
