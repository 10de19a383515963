import CLuaBridge
import RiffleTensor

/// A function as Lua calls it: checks arguments, hands over results, and puts errors in words.
final class Binding {
    enum Form {
        case function, method
        /// A function that the prelude uses, whose guards must not be interrupted.
        case primitive
        /// The reader or writer of a field.
        case field
        /// A metamethod, which also takes arguments that are not declared, unchecked.
        case open
    }

    private let function: Function
    private let form: Form
    /// `riffle.flow.ode` or `tensor:item`.
    private let title: String
    /// The engine owns this binding, so that the reference needs no count.
    private unowned(unsafe) let engine: LuaEngine
    private var isMethod: Bool { form == .method || form == .open }

    init(_ function: Function, _ form: Form, title: String, engine: LuaEngine) {
        self.function = function
        self.form = form
        self.title = title
        self.engine = engine
    }

    /// The function that C calls. It sees no lua_State, and must not throw.
    static let body: rlua_body = { context, frame in
        guard let context, let frame else { return RLUA_FAILED }
        return Unmanaged<Binding>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.call(&frame.pointee) }
    }

    private func call(_ frame: inout rlua_frame) -> rlua_code {
        let random = Context.current.random
        var succeeded = false
        // A call that fails takes its random numbers back.
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
            case .notFinite:
                return fail(
                    &frame, described(error) + " (riffle.nan_guard(true) stops at the operation where it begins)")
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

    /// An error's message with the path of the module in which it happened. Where the error names an operation as the
    /// last part of this function's name in a namespace, the message has the whole name.
    private func described(_ error: RiffleError) -> String {
        var error = engine.located(error)
        let isInNamespace = title.split(separator: ".").count > 2
        if error.operation.isEmpty || isInNamespace && title.hasSuffix(".\(error.operation)") {
            error.operation = title
        }
        return error.description
    }

    // MARK: - Arguments

    private func arguments(of frame: inout rlua_frame) throws -> [Value] {
        let declared = function.arguments
        let given = UnsafeMutableBufferPointer(start: frame.arguments, count: frame.count)
        let options = optionsIndex(given)
        var values = [Value](repeating: .none, count: declared.count)
        var index = 0
        var next = 0
        while next < (options ?? given.count) {
            guard index < declared.count else {
                if form == .open {
                    values.append(try any(&given[next], next))
                    next += 1
                    continue
                }
                throw surplus(given.count)
            }
            if takesMany(index), given[next].isNumber {
                var items: [Value] = []
                while next < given.count, given[next].isNumber {
                    items.append(try convert(&given[next], to: declared[index].type.item, index))
                    next += 1
                }
                values[index] = .list(items)
            } else {
                if given[next].kind != RLUA_NIL {
                    values[index] = try convert(&given[next], to: declared[index].type, index)
                }
                next += 1
            }
            index += 1
        }
        if let options { try read(&given[options], from: index, into: &values) }
        for index in declared.indices {
            guard case .none = values[index] else { continue }
            if case .required = declared[index].defaultValue {
                throw wrong(
                    index, declared[index].type.expected, got: index < given.count && options == nil ? "nil" : "nothing"
                )
            }
            values[index] = declared[index].defaultValue.value
        }
        return values
    }

    /// The index of the table of named options: the last, unless the argument declared there is a table itself.
    private func optionsIndex(_ given: UnsafeMutableBufferPointer<rlua_value>) -> Int? {
        guard let last = given.indices.last, given[last].kind == RLUA_TABLE, form != .open else { return nil }
        let table = given[last].table
        let declared = last < function.arguments.count ? function.arguments[last].type : nil
        switch declared {
        case .table, .named, .any: return nil
        case .shape: return table.named > 0 ? last : nil
        // An empty table is a list where the list is required, and options otherwise.
        case .tensors, .list, .dims, .sides:
            let isNeeded = if case .required = function.arguments[last].defaultValue { true } else { false }
            return table.named > 0 || table.count == 0 && !isNeeded ? last : nil
        case .some, nil: return table.named > 0 || table.count == 0 ? last : nil
        }
    }

    /// Reads a table of named options, and of items that belong to the arguments from index `first` on.
    private func read(_ table: inout rlua_value, from first: Int, into values: inout [Value]) throws {
        let declared = function.arguments
        var index = first
        if index < declared.count, declared[index].type.isList, table.table.count > 0 {
            var list = rlua_value(kind: RLUA_TABLE, items: table.table.items, count: Int(table.table.count), named: 0)
            values[index] = try convert(&list, to: declared[index].type, index)
        } else {
            for item in table.items.indices {
                guard index < declared.count else { throw surplus(index + table.items.count - item) }
                values[index] = try convert(&table.items[item], to: declared[index].type, index)
                index += 1
            }
        }
        let pairs = table.pairs
        for pair in stride(from: 0, to: pairs.count, by: 2) {
            let name = pairs[pair].kind == RLUA_STRING ? pairs[pair].text : "[\(engine.describe(pairs[pair]))]"
            let choices = declared.indices.filter { $0 > 0 || !isMethod }
            guard let index = choices.first(where: { declared[$0].name == name }) else {
                let names = choices.map { declared[$0].name }
                throw RiffleError(title, "unknown option '\(name)'" + Aliases.hint(for: name, among: names))
            }
            if case .none = values[index] {} else { throw RiffleError(title, "'\(name)' is given twice") }
            values[index] = try convert(&pairs[pair + 1], to: declared[index].type, index, named: true)
        }
    }

    /// Whether all numbers that follow belong to the argument at an index.
    private func takesMany(_ index: Int) -> Bool {
        switch function.arguments[index].type {
        case .shape: true
        case .dims: index == function.arguments.count - 1
        default: false
        }
    }

    private func convert(
        _ raw: inout rlua_value, to type: ArgumentType, _ index: Int, named: Bool = false
    ) throws -> Value {
        do {
            return try engine.convert(&raw, to: type)
        } catch let mismatch as Mismatch {
            throw wrong(index, named: named, mismatch)
        }
    }

    private func any(_ raw: inout rlua_value, _ index: Int) throws -> Value {
        do {
            return try engine.value(&raw)
        } catch let mismatch as Mismatch {
            throw RiffleError(title, "argument \(index) is \(mismatch.problem ?? mismatch.got)")
        }
    }

    private func wrong(_ index: Int, named: Bool, _ mismatch: Mismatch) -> RiffleError {
        let wanted = mismatch.wanted ?? function.arguments[index].type.expected
        if let problem = mismatch.problem {
            return RiffleError(title, "\(mismatch.location)\(name(index, named)): \(problem)")
        }
        return wrong(index, wanted, got: mismatch.got, named: named, inside: mismatch.location)
    }

    private func wrong(_ index: Int, _ wanted: String, got: String, named: Bool = false, inside: String = "")
        -> RiffleError
    {
        if isMethod, index == 0 {
            guard let method = title.split(separator: ":").dropFirst().last else {
                return RiffleError("", "\(wanted) is needed, got \(got)")
            }
            return RiffleError(title, "must be called on \(wanted), as in x:\(method)(...), got \(got)")
        }
        if form == .field { return RiffleError(title, "must be \(wanted), got \(got)") }
        return RiffleError(title, "\(inside)\(name(index, named)) must be \(wanted), got \(got)")
    }

    private func name(_ index: Int, _ named: Bool) -> String {
        named
            ? "option '\(function.arguments[index].name)'"
            : "argument \(isMethod ? index : index + 1) '\(function.arguments[index].name)'"
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
