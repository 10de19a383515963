import RiffleTensor

/// Reads a pickle as data: the instructions of protocols 2 to 5 that `torch.save` writes.
///
/// Nothing is run and nothing is imported. A class or function is a name; `PickleCalls` knows what a few of them make
/// of their arguments, and everything else becomes an opaque value. Memory is bounded: what the pickle takes is counted
/// and compared with the memory limit and with the pickle's own bytes.
struct PickleReader {
    private var scanner: PickleScanner
    private var pickle = Pickle()
    private var stack: [PickleValue] = []
    private var memo: [Int: PickleValue] = [:]
    private var marks: [Int] = []
    private var budget = MemoryBudget()
    private let start: Int

    /// Reads the pickle at `position`.
    /// - Returns: the values, and where the pickle ends.
    /// - Throws: `RiffleError` that names the file.
    static func read(_ source: any ByteSource, at position: Int) throws -> (Pickle, end: Int) {
        var reader = PickleReader(source, at: position)
        while try reader.step() { try reader.checkCost() }
        let end = reader.scanner.position
        reader.pickle.finish(try reader.pop(), size: end - position)
        return (reader.pickle, end)
    }

    private init(_ source: any ByteSource, at position: Int) {
        scanner = PickleScanner(source, at: position)
        start = position
    }

    private mutating func checkCost() throws {
        try budget.spend(pickle.takeCost())
        guard budget.fits(scanner.position - start) else {
            throw scanner.error("a pickle that uses few bytes to make very many values, as PyTorch writes none")
        }
    }

    private func error(_ message: String) -> RiffleError {
        scanner.error("a damaged pickle: \(message) before byte \(scanner.position)")
    }

    // MARK: - The stack

    private mutating func push(_ value: PickleValue) throws {
        try budget.spend(MemoryBudget.value)
        stack.append(value)
    }

    private mutating func pop() throws -> PickleValue {
        guard stack.count > (marks.last ?? 0), let value = stack.popLast() else { throw error("a value is missing") }
        return value
    }

    private func top() throws -> PickleValue {
        guard stack.count > (marks.last ?? 0), let value = stack.last else { throw error("a value is missing") }
        return value
    }

    /// Everything behind the last mark.
    private mutating func popGroup() throws -> ArraySlice<PickleValue> {
        guard let start = marks.popLast() else { throw error("a mark is missing") }
        let group = stack[start...]
        stack.removeSubrange(start...)
        return group
    }

    private mutating func pushTuple(_ items: ArraySlice<PickleValue>) throws {
        try push(pickle.newTuple(items))
    }

    private mutating func remember(_ index: Int) throws {
        try budget.spend(MemoryBudget.container)
        memo[index] = try top()
    }

    private mutating func recall(_ index: Int) throws {
        guard let value = memo[index] else { throw error("number \(index) was never stored") }
        try push(value)
    }

    // MARK: - Instructions

    /// Carries out one instruction; false at the end.
    private mutating func step() throws -> Bool {
        let code = try scanner.byte()
        guard let instruction = Instruction(rawValue: code) else {
            let shown = (0x21...0x7E).contains(code) ? "'\(Character(UnicodeScalar(code)))'" : "\(code)"
            throw scanner.error(
                "the pickle has the instruction \(shown) before byte \(scanner.position), which PyTorch does not write")
        }
        switch instruction {
        case .proto:
            let version = try scanner.byte()
            guard (2...5).contains(version) else {
                throw scanner.error("a pickle of protocol \(version); protocols 2 to 5 can be read")
            }
        case .frame: _ = try scanner.bits(8)
        case .stop: return false
        case .mark:
            try budget.spend(MemoryBudget.value)
            marks.append(stack.count)
        case .pop: if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }
        case .popMark: _ = try popGroup()
        case .none, .newTrue, .newFalse, .binInt, .binInt1, .binInt2, .long1, .long4, .binFloat: try number(instruction)
        case .binUnicode, .shortBinUnicode, .binUnicode8, .binString, .shortBinString, .binBytes, .shortBinBytes,
            .binBytes8, .byteArray8:
            try text(instruction)
        case .emptyDict, .emptyList, .emptyTuple, .emptySet, .tuple, .tuple1, .tuple2, .tuple3, .frozenSet:
            try container(instruction)
        case .append, .appends, .setItem, .setItems, .addItems: try fill(instruction)
        case .binGet: try recall(Int(try scanner.byte()))
        case .longBinGet: try recall(Int(try scanner.bits(4)))
        case .binPut: try remember(Int(try scanner.byte()))
        case .longBinPut: try remember(Int(try scanner.bits(4)))
        case .memoize: try remember(memo.count)
        case .global, .stackGlobal, .binPersID, .reduce, .newObj, .newObjEx, .build: try call(instruction)
        }
        return true
    }

    private mutating func number(_ instruction: Instruction) throws {
        func whole(_ length: Int) throws {
            guard length <= 8 else {
                scanner.skip(length)
                return try push(.opaque("whole number of \(length) bytes"))
            }
            let bits = try scanner.bits(length), unused = UInt64(64 - 8 * length)
            try push(.integer(length == 0 ? 0 : Int(Int64(bitPattern: bits << unused) >> Int64(unused))))
        }
        switch instruction {
        case .newTrue: try push(.boolean(true))
        case .newFalse: try push(.boolean(false))
        case .binInt: try push(.integer(Int(Int32(truncatingIfNeeded: try scanner.bits(4)))))
        case .binInt1: try push(.integer(Int(try scanner.byte())))
        case .binInt2: try push(.integer(Int(try scanner.bits(2))))
        case .long1: try whole(try scanner.length(1))
        case .long4: try whole(try scanner.length(4))
        case .binFloat: try push(.number(Double(bitPattern: try scanner.bits(8).byteSwapped)))
        default: try push(.none)
        }
    }

    private mutating func text(_ instruction: Instruction) throws {
        let isText: Bool, width: Int
        switch instruction {
        case .binUnicode, .binString: (isText, width) = (true, 4)
        case .shortBinUnicode, .shortBinString: (isText, width) = (true, 1)
        case .binUnicode8: (isText, width) = (true, 8)
        case .binBytes: (isText, width) = (false, 4)
        case .shortBinBytes: (isText, width) = (false, 1)
        default: (isText, width) = (false, 8)
        }
        let length = try scanner.length(width)
        guard isText else {
            scanner.skip(length)
            return try push(.opaque("bytes"))
        }
        // The bytes, and the string of them.
        try budget.spend(2 * length)
        try push(.text(try scanner.bytes(length).withUnsafeBytes { String(bytes: $0) }))
    }

    private mutating func container(_ instruction: Instruction) throws {
        switch instruction {
        case .emptyDict: try push(pickle.newTable())
        case .emptyList: try push(pickle.newList())
        case .emptySet: try push(.opaque("set"))
        case .frozenSet:
            _ = try popGroup()
            try push(.opaque("frozenset"))
        case .emptyTuple: try pushTuple([])
        case .tuple: try pushTuple(try popGroup())
        default:
            let count = instruction == .tuple1 ? 1 : instruction == .tuple2 ? 2 : 3
            var items: [PickleValue] = []
            for _ in 0..<count { items.insert(try pop(), at: 0) }
            try pushTuple(items[...])
        }
    }

    /// Puts values into the list or table under them. Those of opaque values are dropped.
    private mutating func fill(_ instruction: Instruction) throws {
        let isTable = instruction == .setItem || instruction == .setItems
        var items: ArraySlice<PickleValue> = []
        switch instruction {
        case .append: items = [try pop()]
        case .setItem:
            let value = try pop()
            items = [try pop(), value]
        default: items = try popGroup()
        }
        switch try top() {
        case .list(let list) where !isTable: pickle.append(items, to: list)
        case .table(let table) where isTable && items.count % 2 == 0:
            for key in stride(from: items.startIndex, to: items.endIndex, by: 2) {
                pickle.set(items[key], items[key + 1], in: table)
            }
        case .opaque: break
        default: throw error("items without a list or table")
        }
    }

    private mutating func call(_ instruction: Instruction) throws {
        switch instruction {
        case .global: try pushGlobal("\(try scanner.line()).\(try scanner.line())")
        case .stackGlobal:
            guard case .text(let name) = try pop(), case .text(let module) = try pop(), name.utf8.count < 1000,
                module.utf8.count < 1000
            else { throw error("a class's name is missing") }
            try pushGlobal("\(module).\(name)")
        case .binPersID: try push(PickleCalls.storage(try pop(), in: &pickle, error))
        case .build:
            let state = try pop()
            // A namespace is its attributes; what tables and tensors have beside their contents is of no use here.
            if case .table(let attributes) = state, case .table(let table) = try top(), pickle.tables[table].isEmpty {
                guard attributes != table else { return }
                for (key, value) in pickle.tables[attributes] { pickle.set(key, value, in: table) }
            }
        default:
            if instruction == .newObjEx { _ = try pop() }
            let arguments = try pop(), function = try pop()
            guard case .tuple(let index) = arguments else { throw error("the arguments of a call are missing") }
            try budget.spend(MemoryBudget.container)
            try push(PickleCalls.result(of: function, pickle.lists[index], in: &pickle, error))
        }
    }

    private mutating func pushGlobal(_ name: String) throws {
        try budget.spend(name.utf8.count)
        try push(.global(name))
    }
}

/// The instructions of pickles that are read, by their bytes.
private enum Instruction: UInt8 {
    case proto = 0x80, frame = 0x95, stop = 0x2E, mark = 0x28, pop = 0x30, popMark = 0x31
    case none = 0x4E, newTrue = 0x88, newFalse = 0x89, binInt = 0x4A, binInt1 = 0x4B, binInt2 = 0x4D
    case long1 = 0x8A, long4 = 0x8B, binFloat = 0x47
    case binUnicode = 0x58, shortBinUnicode = 0x8C, binUnicode8 = 0x8D, binString = 0x54, shortBinString = 0x55
    case binBytes = 0x42, shortBinBytes = 0x43, binBytes8 = 0x8E, byteArray8 = 0x96
    case emptyDict = 0x7D, emptyList = 0x5D, emptyTuple = 0x29, emptySet = 0x8F, frozenSet = 0x91
    case tuple = 0x74, tuple1 = 0x85, tuple2 = 0x86, tuple3 = 0x87
    case append = 0x61, appends = 0x65, setItem = 0x73, setItems = 0x75, addItems = 0x90
    case binGet = 0x68, longBinGet = 0x6A, binPut = 0x71, longBinPut = 0x72, memoize = 0x94
    case global = 0x63, stackGlobal = 0x93, binPersID = 0x51, reduce = 0x52, newObj = 0x81, newObjEx = 0x92
    case build = 0x62
}
