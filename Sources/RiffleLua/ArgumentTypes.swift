import CLuaBridge
import RiffleTensor

extension ArgumentType {
    /// The type in words that follow "must be".
    var expected: String {
        switch self {
        case .tensor: "a tensor"
        case .operand: "a tensor or a number"
        case .tensors: "a list of tensors"
        case .number: "a number"
        case .finite: "a finite number"
        case .positive: "a number above 0"
        case .nonNegative: "a number from 0 on"
        case .fraction(let range): "a number \(range.lowerText) \(range.upperText)"
        case .integer(let range):
            if range.upperBound == Int.max {
                range.lowerBound <= Int(Int32.min) ? "an integer" : "an integer from \(range.lowerBound) on"
            } else {
                range.lowerBound <= Int(Int32.min)
                    ? "an integer up to \(range.upperBound)"
                    : "an integer from \(range.lowerBound) to \(range.upperBound)"
            }
        case .sides(let range): ArgumentType.integer(range).expected + ", or { height, width }"
        case .bytes: "a number of bytes or a size such as '500 MB' or '1.5 GiB'"
        case .boolean: "true or false"
        case .string: "a string"
        case .choice(let words): (words.count > 1 ? "one of " : "") + words.map { "'\($0)'" }.joined(separator: ", ")
        case .shape: "a shape, such as 2, 3 or { 2, 3 }"
        case .dim: "a dimension: 1 is the first, -1 the last"
        case .dims: "a dimension (1 is the first, -1 the last) or a list of them"
        case .index: "an index: 1 is the first, -1 the last"
        case .dtype: ArgumentType.choice(DType.computed.map(\.description)).expected
        case .object(let word): "\("aeiou".contains(word.prefix(1)) ? "an" : "a") \(word.replacing("_", with: " "))"
        case .list(let item) where item.isNumber:
            "a list of numbers, or a tensor of them" + (item.expected == "a number" ? "" : ", each \(item.expected)")
        case .list(let item): "a list, each item \(item.expected)"
        case .table: "a table"
        case .named: "a table of values by name, such as { name = value }"
        case .any, .unread: "given"
        }
    }

    /// The type in a word or two, for tables of arguments.
    var brief: String {
        switch self {
        case .operand: "tensor or number"
        case .finite: "number"
        case .tensors: "tensor or list of them"
        case .positive: "number > 0"
        case .nonNegative: "number >= 0"
        case .shape: "shape"
        case .dim: "dimension"
        case .dims: "dimension or list of them"
        case .index: "index"
        case .sides(let range): "\(ArgumentType.integer(range).brief), or { height, width }"
        case .bytes: "bytes, or a size such as '500 MB'"
        case .dtype: "dtype"
        case .boolean: "boolean"
        case .choice(let words): words.map { "'\($0)'" }.joined(separator: ", ")
        case .integer(let range):
            range.lowerBound <= Int(Int32.min)
                ? "integer"
                : range.upperBound == Int.max
                    ? "integer >= \(range.lowerBound)" : "integer, \(range.lowerBound) to \(range.upperBound)"
        case .fraction(let range): "number, \(riffleFormat(range.lowerBound)) to \(riffleFormat(range.upperBound))"
        case .list(.number): "list or tensor of numbers"
        case .list(let item): (item.isNumber ? "list or tensor of " : "list of ") + item.brief
        case .object(let word): word
        case .any, .unread: "any"
        case .named: "table"
        case .tensor, .number, .string, .table: expected.split(separator: " ").dropFirst().joined(separator: " ")
        }
    }

    var isList: Bool {
        switch self {
        case .tensors, .shape, .dims, .list, .sides: true
        default: false
        }
    }

    /// Whether values are numbers of some kind, which a tensor may hold.
    var isNumber: Bool {
        switch self {
        case .number, .finite, .positive, .nonNegative, .fraction, .integer: true
        default: false
        }
    }

    /// The type of a list's items.
    var item: ArgumentType {
        switch self {
        case .tensors: .tensor
        case .shape: .integer(-1...Int.max)
        case .dims: .dim
        case .sides(let range): .integer(range)
        case .list(let item): item
        default: self
        }
    }

    /// Whether values count from 1 in Lua and from 0 in Swift.
    var countsFromOne: Bool {
        switch self {
        case .dim, .dims, .index: true
        default: false
        }
    }
}

extension LuaEngine {
    /// A parameter that is kept as bfloat16 is a float32 tensor for every function.
    private func widened(_ value: Value) throws -> Value {
        guard case .object(let parameter as Parameter) = value, parameter.dtype == .bfloat16 else { return value }
        return .tensor(try parameter.value.widened())
    }

    /// Checks a value against a declared type.
    /// - Throws: `Mismatch`.
    func convert(_ raw: inout rlua_value, to type: ArgumentType) throws -> Value {
        switch type {
        case .tensor:
            if raw.kind == RLUA_OBJECT, isTensor(raw.class_id) { return try widened(object(raw)) }
            if raw.isPlainTable, raw.table.count > 0 {
                throw Mismatch(got: describe(raw) + "; riffle.tensor makes one of a list")
            }
        case .operand:
            if raw.kind == RLUA_OBJECT, isTensor(raw.class_id) { return try widened(object(raw)) }
            if let number = raw.double { return .number(number) }
        case .number:
            if let number = raw.double { return .number(number) }
        case .finite:
            if let number = raw.double, number.isFinite { return .number(number) }
        case .positive:
            if let number = raw.double, number > 0, number.isFinite { return .number(number) }
        case .nonNegative:
            if let number = raw.double, number >= 0, number.isFinite { return .number(number) }
        case .fraction(let range):
            if let number = raw.double, range.contains(number) { return .number(number) }
        case .integer(let range):
            if let integer = raw.int, range.contains(integer) { return .integer(integer) }
        case .bytes:
            if let integer = raw.int ?? (raw.kind == RLUA_STRING ? bytes(readable: raw.text) : nil), integer >= 0 {
                return .integer(integer)
            }
        case .boolean:
            if raw.kind == RLUA_BOOLEAN { return .boolean(raw.boolean) }
        case .string:
            if raw.kind == RLUA_STRING { return .string(raw.text) }
        case .choice(let words):
            if raw.kind == RLUA_STRING {
                let word = raw.text
                if words.contains(word) { return .string(word) }
                throw Mismatch(got: describe(raw) + Aliases.hint(for: word, among: words))
            }
        case .dtype: return try convert(&raw, to: .choice(DType.computed.map(\.description)))
        case .dim, .index:
            if let index = raw.int, index != 0 { return .integer(index > 0 ? index - 1 : index) }
        case .tensors, .shape, .dims, .list, .sides:
            if case .sides = type, raw.isPlainTable, !(1...2).contains(raw.table.count) { break }
            if raw.isPlainTable, raw.table.named == 0 {
                if case .tensors = type, let first = raw.items.first, first.double != nil {
                    throw Mismatch(
                        wanted: type.expected,
                        got: "a list of numbers; riffle.tensor(list, \"int32\") makes a tensor of labels or indices")
                }
                return .list(try list(raw.items, of: type.item))
            }
            if case .list(let item) = type, item.isNumber, raw.kind == RLUA_OBJECT,
                case .tensor(let tensor) = object(raw), tensor.rank == 1
            {
                var numbers = try tensor.doubles().map { rlua_value(kind: RLUA_NUMBER, number: $0) }
                return .list(try numbers.withUnsafeMutableBufferPointer { try list($0, of: item) })
            }
            // A single item stands for a list of one item. The numbers of a shape were gathered by the caller.
            if raw.kind != RLUA_TABLE {
                do { return try convert(&raw, to: type.item) } catch let mismatch as Mismatch {
                    throw mismatch.problem == nil ? Mismatch(wanted: type.expected, got: mismatch.got) : mismatch
                }
            }
        case .object("function"):
            if raw.kind == RLUA_REFERENCE { return try value(&raw) }
        case .object(let word):
            if raw.kind == RLUA_OBJECT, let object = object(raw).anyObject, let wanted = classesByWord[word] {
                if Int(raw.class_id) == wanted || classes[wanted].contains(object) { return .object(object) }
            }
            if raw.kind == RLUA_REFERENCE, let wanted = classesByWord[word],
                let object = classes[wanted].convert(try value(&raw))
            {
                return .object(object)
            }
            if raw.kind == RLUA_OBJECT, let name = try property(of: raw, thatIs: word) {
                throw Mismatch(got: "\(describe(raw)), whose .\(name) is one")
            }
        case .table:
            if raw.isPlainTable { return .table(try table(&raw)) }
        case .named:
            if raw.isPlainTable {
                let isNamed =
                    raw.table.count == 0
                    && stride(from: 0, to: raw.pairs.count, by: 2).allSatisfy {
                        raw.pairs[$0].kind == RLUA_STRING
                    }
                guard isNamed else { throw Mismatch(got: raw.table.named == 0 ? describe(raw) : "one without a name") }
                return .table(try table(&raw))
            }
        case .any, .unread: return try value(&raw)
        }
        throw raw.kind == RLUA_UNREADABLE ? Mismatch(problem: raw.text) : Mismatch(got: describe(raw))
    }

    /// The name of a field whose value has the wanted class where the object itself has not, such as an average's
    /// network.
    private func property(of raw: rlua_value, thatIs word: String) throws -> String? {
        guard let wanted = classesByWord[word], let holder = object(raw).anyObject else { return nil }
        return try classes[Int(raw.class_id)].properties.first { property in
            guard case .object = property.type else { return false }
            return try property.getter.body(Arguments([.object(holder)])).first?.anyObject.map(classes[wanted].contains)
                ?? false
        }?.name
    }

    private func list(_ items: UnsafeMutableBufferPointer<rlua_value>, of type: ArgumentType) throws -> [Value] {
        try items.indices.map { index in
            do {
                return try convert(&items[index], to: type)
            } catch var mismatch as Mismatch {
                mismatch.wanted = mismatch.wanted ?? type.expected
                mismatch.location = "item \(index + 1) of " + mismatch.location
                throw mismatch
            }
        }
    }

    /// A value in a few words, for messages.
    func describe(_ raw: rlua_value) -> String {
        switch raw.kind {
        case RLUA_NIL: return "nil"
        case RLUA_BOOLEAN: return raw.boolean ? "true" : "false"
        case RLUA_INTEGER: return "\(raw.integer)"
        case RLUA_NUMBER: return riffleExact(raw.number)
        case RLUA_STRING:
            let text = raw.text
            return text.utf8.count <= 40 ? "'\(text)'" : "a string of \(text.utf8.count) bytes"
        case RLUA_OBJECT:
            if case .tensor(let tensor) = object(raw) { return "a tensor \(tensor.shape)" }
            return ArgumentType.object(classes[Int(raw.class_id)].word).expected
        case RLUA_FREED: return freed(raw)
        case RLUA_TABLE:
            if raw.table.count == 0, raw.table.named == 0 { return "an empty table" }
            return raw.table.named == 0 ? "a list of \(raw.table.count)" : "a table"
        case RLUA_REFERENCE: return "a function"
        case RLUA_UNREADABLE: return "a table that cannot be read"
        default: return "a \(raw.text)"
        }
    }
}

extension ClosedRange<Double> {
    /// The bounds in words. A bound beside the number that it prints as excludes that number: 0.9999999 prints as 1,
    /// and its text is "to below 1".
    fileprivate var lowerText: String {
        let text = riffleFormat(lowerBound)
        return (Double(text) ?? lowerBound) < lowerBound ? "above \(text)" : "from \(text)"
    }
    fileprivate var upperText: String {
        let text = riffleFormat(upperBound)
        return (Double(text) ?? upperBound) > upperBound ? "to below \(text)" : "to \(text)"
    }
}

extension rlua_value {
    fileprivate var double: Double? { kind == RLUA_NUMBER ? number : kind == RLUA_INTEGER ? Double(integer) : nil }
    /// An integer, which may be written as 2.0.
    fileprivate var int: Int? { kind == RLUA_INTEGER ? Int(integer) : kind == RLUA_NUMBER ? Int(exactly: number) : nil }
}
