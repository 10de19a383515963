import CLuaBridge
import RiffleTensor

// Conversion between the plain values of the bridge and the library's values.

extension rlua_value {
    /// The text of a string, or that of RLUA_OTHER and RLUA_UNREADABLE.
    var text: String {
        guard let bytes = string.bytes else { return "" }
        return String(bytes: UnsafeRawBufferPointer(start: bytes, count: string.length))
    }
    var items: UnsafeMutableBufferPointer<rlua_value> {
        UnsafeMutableBufferPointer(start: table.items, count: Int(table.count))
    }
    /// The keys and values of a table, alternating.
    var pairs: UnsafeMutableBufferPointer<rlua_value> {
        UnsafeMutableBufferPointer(start: table.items.map { $0 + Int(table.count) }, count: 2 * Int(table.named))
    }
    var isPlainTable: Bool { kind == RLUA_TABLE }
}

extension LuaEngine {
    /// A value of any kind. In a table with names, items get the names "1", "2" and so on.
    func value(_ raw: inout rlua_value) throws -> Value {
        switch raw.kind {
        case RLUA_NIL: return .none
        case RLUA_BOOLEAN: return .boolean(raw.boolean)
        case RLUA_INTEGER: return .integer(Int(raw.integer))
        case RLUA_NUMBER: return .number(raw.number)
        case RLUA_STRING: return .string(raw.text)
        case RLUA_OBJECT: return object(raw)
        case RLUA_REFERENCE:
            return .object(LuaFunction(LuaReference(state: state, ref: rlua_take_reference(&raw))))
        case RLUA_TABLE:
            if raw.table.named == 0 { return .list(try raw.items.indices.map { try value(&raw.items[$0]) }) }
            return .table(try table(&raw))
        case RLUA_FREED: throw Mismatch(got: freed(raw))
        case RLUA_UNREADABLE: throw Mismatch(problem: raw.text)
        default: throw Mismatch(got: describe(raw))
        }
    }

    func table(_ raw: inout rlua_value) throws -> [String: Value] {
        var table: [String: Value] = [:]
        for index in raw.items.indices { table["\(index + 1)"] = try value(&raw.items[index]) }
        let pairs = raw.pairs
        for index in stride(from: 0, to: pairs.count, by: 2) {
            let key: String
            switch pairs[index].kind {
            case RLUA_STRING: key = pairs[index].text
            case RLUA_INTEGER: key = "\(pairs[index].integer)"
            case RLUA_NUMBER: key = "\(pairs[index].number)"
            default: throw Mismatch(got: "a table with a key that is neither a name nor a number")
            }
            guard table.updateValue(try value(&pairs[index + 1]), forKey: key) == nil else {
                throw Mismatch(problem: "a table with two keys that read alike, '\(key)'")
            }
        }
        return table
    }

    func object(_ raw: rlua_value) -> Value {
        guard let pointer = raw.object else { return .none }
        if raw.class_id == tensorClass { return .tensor(Unmanaged<Tensor>.fromOpaque(pointer).takeUnretainedValue()) }
        return .object(Unmanaged<AnyObject>.fromOpaque(pointer).takeUnretainedValue())
    }

    func freed(_ raw: rlua_value) -> String {
        let word = classes[Int(raw.class_id)].word
        return raw.integer > 0
            ? "a \(word) that was released at the end of the scope begun on line \(raw.integer)"
            : "a \(word) that was freed"
    }

    /// Writes values into memory of the arena.
    func write(_ values: [Value]) throws -> UnsafeMutablePointer<rlua_value>? {
        guard let raw = rlua_values(state.pointer, values.count) else { return nil }
        for (index, value) in values.enumerated() { try write(value, to: raw + index) }
        return raw
    }

    func write(_ value: Value, to raw: UnsafeMutablePointer<rlua_value>) throws {
        switch value {
        case .tensor(let tensor):
            rlua_own_object(state.pointer, raw, tensorClass, Unmanaged.passRetained(tensor).toOpaque())
        case .none: raw.pointee = rlua_value(kind: RLUA_NIL)
        case .boolean(let boolean): raw.pointee = rlua_value(kind: RLUA_BOOLEAN, boolean: boolean)
        case .integer(let integer): raw.pointee = rlua_value(kind: RLUA_INTEGER, integer: Int64(integer))
        case .number(let number): raw.pointee = rlua_value(kind: RLUA_NUMBER, number: number)
        case .string(let string): raw.pointee = text(string)
        case .object(let object):
            if let function = object as? LuaFunction {
                // The arena does not own the reference: the caller's value keeps the function alive during the call.
                raw.pointee = rlua_value(kind: RLUA_REFERENCE, reference: function.reference.ref)
                return
            }
            guard let number = classNumber(of: object) else {
                throw RiffleError("", "Lua knows no class for \(type(of: object))")
            }
            rlua_own_object(state.pointer, raw, number, Unmanaged.passRetained(object).toOpaque())
        case .list(let items):
            let inside = try write(items)
            raw.pointee = rlua_value(kind: RLUA_TABLE, items: inside, count: items.count, named: 0)
        case .table(let table):
            let names = table.keys.sorted()
            let inside = try write(names.flatMap { [.string($0), table[$0] ?? .none] })
            raw.pointee = rlua_value(kind: RLUA_TABLE, items: inside, count: 0, named: names.count)
        }
    }

    /// A string in the arena.
    func text(_ string: String) -> rlua_value {
        string.bytes.withUnsafeBufferPointer { bytes in
            let copy = rlua_text(state.pointer, bytes.count)
            if let copy, let base = bytes.baseAddress {
                UnsafeMutableRawPointer(copy).copyMemory(from: base, byteCount: bytes.count)
            }
            var value = rlua_value(kind: RLUA_STRING)
            value.string.bytes = UnsafePointer(copy)
            value.string.length = bytes.count
            return value
        }
    }
}

/// What is wrong with a value. The message is completed where the argument's name is known.
struct Mismatch: Error {
    /// The wanted value in words, where the declared type does not say so.
    var wanted: String?
    /// The part of the argument that is wrong, such as `item 2 of `.
    var location = ""
    var got: String
    /// Why the value cannot be read, where it cannot.
    var problem: String?

    init(wanted: String? = nil, got: String) {
        self.wanted = wanted
        self.got = got
    }

    init(problem: String) {
        got = ""
        self.problem = problem
    }
}

extension rlua_value {
    init(kind: rlua_kind) {
        self.init()
        self.kind = kind
    }
    init(kind: rlua_kind, boolean: Bool) {
        self.init(kind: kind)
        self.boolean = boolean
    }
    init(kind: rlua_kind, integer: Int64) {
        self.init(kind: kind)
        self.integer = integer
    }
    init(kind: rlua_kind, number: Double) {
        self.init(kind: kind)
        self.number = number
    }
    init(kind: rlua_kind, reference: Int32) {
        self.init(kind: kind)
        self.reference = reference
    }
    init(kind: rlua_kind, items: UnsafeMutablePointer<rlua_value>?, count: Int, named: Int) {
        self.init(kind: kind)
        table.items = items
        table.count = UInt32(count)
        table.named = UInt32(named)
    }
}
