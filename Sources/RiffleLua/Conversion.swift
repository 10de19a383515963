import CLuaBridge
import RiffleTensor

// Between the plain values of the bridge and the library's.

extension rlua_value {
    /// A string's bytes, also of RLUA_OTHER and RLUA_UNREADABLE.
    var text: String {
        guard let bytes = string.bytes else { return "" }
        return String(bytes: UnsafeRawBufferPointer(start: bytes, count: string.length))
    }
    var items: UnsafeMutableBufferPointer<rlua_value> {
        UnsafeMutableBufferPointer(start: table.items, count: Int(table.count))
    }
    /// Keys and values in turn.
    var pairs: UnsafeMutableBufferPointer<rlua_value> {
        UnsafeMutableBufferPointer(start: table.items.map { $0 + Int(table.count) }, count: 2 * Int(table.named))
    }
    var isPlainTable: Bool { kind == RLUA_TABLE }
}

extension LuaEngine {
    /// Any value at all. A table with names is a table, its items under "1", "2" and so on.
    func value(_ raw: inout rlua_value) throws -> Value {
        switch raw.kind {
        case RLUA_NIL: return .none
        case RLUA_BOOLEAN: return .boolean(raw.boolean)
        case RLUA_INTEGER: return .integer(Int(raw.integer))
        case RLUA_NUMBER: return .number(raw.number)
        case RLUA_STRING: return .string(raw.text)
        case RLUA_OBJECT: return object(raw)
        case RLUA_REFERENCE:
            return .object(LuaFunction(LuaReference(state: state, place: rlua_take_reference(&raw))))
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
        for place in raw.items.indices { table["\(place + 1)"] = try value(&raw.items[place]) }
        let pairs = raw.pairs
        for place in stride(from: 0, to: pairs.count, by: 2) {
            let key: String
            switch pairs[place].kind {
            case RLUA_STRING: key = pairs[place].text
            case RLUA_INTEGER: key = "\(pairs[place].integer)"
            case RLUA_NUMBER: key = "\(pairs[place].number)"
            default: throw Mismatch(got: "a table with a key that is neither a name nor a number")
            }
            guard table.updateValue(try value(&pairs[place + 1]), forKey: key) == nil else {
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

    /// Writes values into room of the arena.
    func write(_ values: [Value]) throws -> UnsafeMutablePointer<rlua_value>? {
        guard let room = rlua_values(state.pointer, values.count) else { return nil }
        for (place, value) in values.enumerated() { try write(value, to: room + place) }
        return room
    }

    func write(_ value: Value, to room: UnsafeMutablePointer<rlua_value>) throws {
        switch value {
        case .tensor(let tensor):
            rlua_own_object(state.pointer, room, tensorClass, Unmanaged.passRetained(tensor).toOpaque())
        case .none: room.pointee = rlua_value(kind: RLUA_NIL)
        case .boolean(let boolean): room.pointee = rlua_value(kind: RLUA_BOOLEAN, boolean: boolean)
        case .integer(let integer): room.pointee = rlua_value(kind: RLUA_INTEGER, integer: Int64(integer))
        case .number(let number): room.pointee = rlua_value(kind: RLUA_NUMBER, number: number)
        case .string(let string): room.pointee = text(string)
        case .object(let object):
            if let function = object as? LuaFunction {
                // Not the arena's to give back: the function outlives the call, which holds it in `values`.
                room.pointee = rlua_value(kind: RLUA_REFERENCE, reference: function.reference.place)
                return
            }
            guard let number = classNumber(of: object) else {
                throw RiffleError("", "Lua knows no class for \(type(of: object))")
            }
            rlua_own_object(state.pointer, room, number, Unmanaged.passRetained(object).toOpaque())
        case .list(let items):
            let inside = try write(items)
            room.pointee = rlua_value(kind: RLUA_TABLE, items: inside, count: items.count, named: 0)
        case .table(let table):
            let names = table.keys.sorted()
            let inside = try write(names.flatMap { [.string($0), table[$0] ?? .none] })
            room.pointee = rlua_value(kind: RLUA_TABLE, items: inside, count: 0, named: names.count)
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

/// What is wrong with a value, to be completed by whoever knows which argument it is.
struct Mismatch: Error {
    /// What was wanted, where the declared type does not already say so.
    var wanted: String?
    /// `item 2 of ` and the like.
    var place = ""
    var got: String
    /// Set where the value cannot be read at all.
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
