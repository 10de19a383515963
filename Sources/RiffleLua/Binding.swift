import CLuaBridge
import RiffleTensor

/// A function as Lua calls it: its arguments are checked, its results handed over, its errors put in words.
final class Binding {
    enum Form {
        case function, method
        /// What the prelude is written with: its guards must not be interrupted.
        case primitive
        /// The reader or writer of a field.
        case field
        /// Takes arguments beyond those declared, as they come: a metamethod.
        case open
    }

    private let function: Function
    private let form: Form
    /// `riffle.flow.ode` or `tensor:item`.
    private let title: String
    /// Owns this binding, so that no count is needed.
    private unowned(unsafe) let engine: LuaEngine
    private var isMethod: Bool { form == .method || form == .open }

    init(_ function: Function, _ form: Form, title: String, engine: LuaEngine) {
        self.function = function
        self.form = form
        self.title = title
        self.engine = engine
    }

    /// What C calls. Sees no lua_State, and may throw nothing.
    static let answer: rlua_body = { context, frame in
        guard let context, let frame else { return RLUA_FAILED }
        return Unmanaged<Binding>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.answer(&frame.pointee) }
    }

    private func answer(_ frame: inout rlua_frame) -> rlua_code {
        let random = Context.current.random
        var succeeded = false
        // A call that fails has drawn nothing.
        defer { if !succeeded { Context.current.random = random } }
        do {
            let results = try function.body(Arguments(arguments(of: &frame), function.arguments))
            if frame.in_coroutine, form != .primitive { try Interrupt.check() }
            frame.results = try engine.write(results)
            frame.result_count = results.count
            frame.collect = engine.memory.isCollectionDue
            succeeded = true
            return RLUA_OK
        } catch let error as LuaError {
            frame.error = error.reference.take()
            return RLUA_RAISED
        } catch let error as RiffleError {
            switch error.kind {
            case .mistake: return fail(&frame, described(error))
            case .outOfMemory: return fail(&frame, described(error) + engine.largestTensors())
            case .interrupted: return fail(&frame, error.message)
            }
        } catch {
            return fail(&frame, "\(title): \(error)")
        }
    }

    private func fail(_ frame: inout rlua_frame, _ message: String) -> rlua_code {
        frame.message = engine.text(message)
        return RLUA_FAILED
    }

    /// In words, with the path of the module that it happened in. An operation that only repeats the last part of this
    /// function's name in its room has the whole name.
    private func described(_ error: RiffleError) -> String {
        var error = engine.located(error)
        let isInRoom = title.split(separator: ".").count > 2
        if error.operation.isEmpty || isInRoom && title.hasSuffix(".\(error.operation)") { error.operation = title }
        return error.description
    }

    // MARK: - Arguments

    private func arguments(of frame: inout rlua_frame) throws -> [Value] {
        let declared = function.arguments
        let given = UnsafeMutableBufferPointer(start: frame.arguments, count: frame.count)
        let options = optionsPlace(given)
        var values = [Value](repeating: .none, count: declared.count)
        var (place, next) = (0, 0)
        while next < (options ?? given.count) {
            guard place < declared.count else {
                if form == .open {
                    values.append(try any(&given[next], next))
                    next += 1
                    continue
                }
                throw surplus(given.count)
            }
            if takesMany(place), given[next].isNumber {
                var items: [Value] = []
                while next < given.count, given[next].isNumber {
                    items.append(try convert(&given[next], to: declared[place].type.item, place))
                    next += 1
                }
                values[place] = .list(items)
            } else {
                if given[next].kind != RLUA_NIL {
                    values[place] = try convert(&given[next], to: declared[place].type, place)
                }
                next += 1
            }
            place += 1
        }
        if let options { try read(&given[options], from: place, into: &values) }
        for place in declared.indices {
            guard case .none = values[place] else { continue }
            switch declared[place].defaultValue {
            case .none: break
            case .boolean(let boolean): values[place] = .boolean(boolean)
            case .integer(let integer): values[place] = .integer(integer)
            case .number(let number): values[place] = .number(number)
            case .string(let string): values[place] = .string(string)
            case .required:
                throw wrong(
                    place, declared[place].type.expected, got: place < given.count && options == nil ? "nil" : "nothing"
                )
            }
        }
        return values
    }

    /// Where the table of named options stands: last, unless the argument declared for its place is such a table.
    private func optionsPlace(_ given: UnsafeMutableBufferPointer<rlua_value>) -> Int? {
        guard let last = given.indices.last, given[last].kind == RLUA_TABLE, form != .open else { return nil }
        let table = given[last].table
        let declared = last < function.arguments.count ? function.arguments[last].type : nil
        switch declared {
        case .table, .any: return nil
        case .shape: return table.named > 0 ? last : nil
        // An empty list, where a list cannot be left out.
        case .tensors, .list, .dims:
            let isNeeded = if case .required = function.arguments[last].defaultValue { true } else { false }
            return table.named > 0 || table.count == 0 && !isNeeded ? last : nil
        case .some, nil: return table.named > 0 || table.count == 0 ? last : nil
        }
    }

    /// Reads named options, and items that stand before them in the table.
    private func read(_ table: inout rlua_value, from first: Int, into values: inout [Value]) throws {
        let declared = function.arguments
        var place = first
        if place < declared.count, declared[place].type.isList, table.table.count > 0 {
            var list = rlua_value(kind: RLUA_TABLE, items: table.table.items, count: Int(table.table.count), named: 0)
            values[place] = try convert(&list, to: declared[place].type, place)
        } else {
            for item in table.items.indices {
                guard place < declared.count else { throw surplus(place + table.items.count - item) }
                values[place] = try convert(&table.items[item], to: declared[place].type, place)
                place += 1
            }
        }
        let pairs = table.pairs
        for pair in stride(from: 0, to: pairs.count, by: 2) {
            let name = pairs[pair].kind == RLUA_STRING ? pairs[pair].text : "[\(engine.describe(pairs[pair]))]"
            let choices = declared.indices.filter { $0 > 0 || !isMethod }
            guard let place = choices.first(where: { declared[$0].name == name }) else {
                let names = choices.map { declared[$0].name }
                throw RiffleError(title, "unknown option '\(name)'" + Aliases.hint(for: name, among: names))
            }
            if case .none = values[place] {} else { throw RiffleError(title, "'\(name)' is given twice") }
            values[place] = try convert(&pairs[pair + 1], to: declared[place].type, place, named: true)
        }
    }

    /// Whether as many numbers as follow are taken together.
    private func takesMany(_ place: Int) -> Bool {
        switch function.arguments[place].type {
        case .shape: true
        case .dims: place == function.arguments.count - 1
        default: false
        }
    }

    private func convert(
        _ raw: inout rlua_value, to type: ArgumentType, _ place: Int, named: Bool = false
    ) throws -> Value {
        do {
            return try engine.convert(&raw, to: type)
        } catch let mismatch as Mismatch {
            throw wrong(place, named: named, mismatch)
        }
    }

    private func any(_ raw: inout rlua_value, _ place: Int) throws -> Value {
        do {
            return try engine.value(&raw)
        } catch let mismatch as Mismatch {
            throw RiffleError(title, "argument \(place) is \(mismatch.problem ?? mismatch.got)")
        }
    }

    private func wrong(_ place: Int, named: Bool, _ mismatch: Mismatch) -> RiffleError {
        let wanted = mismatch.wanted ?? function.arguments[place].type.expected
        if let problem = mismatch.problem {
            return RiffleError(title, "\(mismatch.place)\(name(place, named)): \(problem)")
        }
        return wrong(place, wanted, got: mismatch.got, named: named, inside: mismatch.place)
    }

    private func wrong(_ place: Int, _ wanted: String, got: String, named: Bool = false, inside: String = "")
        -> RiffleError
    {
        if isMethod, place == 0 {
            guard let method = title.split(separator: ":").dropFirst().last else {
                return RiffleError("", "\(wanted) is needed, got \(got)")
            }
            return RiffleError(title, "must be called on \(wanted), as in x:\(method)(...), got \(got)")
        }
        if form == .field { return RiffleError(title, "must be \(wanted), got \(got)") }
        return RiffleError(title, "\(inside)\(name(place, named)) must be \(wanted), got \(got)")
    }

    private func name(_ place: Int, _ named: Bool) -> String {
        named
            ? "option '\(function.arguments[place].name)'"
            : "argument \(isMethod ? place : place + 1) '\(function.arguments[place].name)'"
    }

    private func surplus(_ given: Int) -> RiffleError {
        let hidden = isMethod ? 1 : 0
        let count = function.arguments.count - hidden
        let most = count == 0 ? "no arguments" : count == 1 ? "at most 1 argument" : "at most \(count) arguments"
        return RiffleError(title, "takes \(most), got \(given - hidden)")
    }
}

extension rlua_value {
    fileprivate var isNumber: Bool { kind == RLUA_INTEGER || kind == RLUA_NUMBER }
}
