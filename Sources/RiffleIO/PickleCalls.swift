import RiffleTensor

/// What the few functions that weights need make of their arguments. No other function is known, and none is run.
enum PickleCalls {
    /// The value of a call; an opaque one for functions and classes that are not known.
    static func result(
        of function: PickleValue, _ arguments: [PickleValue], in pickle: inout Pickle, _ error: (String) -> RiffleError
    ) throws -> PickleValue {
        guard case .global(let name) = function else {
            guard case .opaque = function else { throw error("a call of what is no function") }
            return function
        }
        switch name {
        case "collections.OrderedDict", "collections.defaultdict", "argparse.Namespace":
            return table(arguments, in: &pickle)
        case "torch.Size": return arguments.first ?? pickle.newTuple([])
        case "torch.device": return arguments.first ?? .none
        case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
            "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer":
            guard let first = arguments.first else { throw error("a parameter without a tensor") }
            return first
        case "torch._tensor._rebuild_from_type_v2":
            guard arguments.count >= 3, case .global(let type) = arguments[1], isPlain(type),
                let inner = pickle.items(arguments[2])
            else { return .opaque(typeName(arguments) ?? name) }
            // One level alone, so that a pickle cannot make the reader call itself.
            guard case .global(let maker) = arguments[0], maker != name else { return .opaque(name) }
            return try result(of: arguments[0], inner, in: &pickle, error)
        case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3":
            return try tensor(arguments, hasType: name.hasSuffix("v3"), in: &pickle, error)
        default: return .opaque(name)
        }
    }

    private static func isPlain(_ type: String) -> Bool {
        ["torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"].contains(type)
    }

    private static func typeName(_ arguments: [PickleValue]) -> String? {
        if arguments.count > 1, case .global(let name) = arguments[1] { return name }
        return nil
    }

    /// A table, from pairs where there are some.
    private static func table(_ arguments: [PickleValue], in pickle: inout Pickle) -> PickleValue {
        let table = pickle.newTable()
        guard case .table(let index) = table, let pairs = arguments.last.flatMap(pickle.items) else { return table }
        for pair in pairs {
            if let pair = pickle.items(pair), pair.count == 2 { pickle.set(pair[0], pair[1], in: index) }
        }
        return table
    }

    // MARK: - Storages

    /// PyTorch's classes of storages, and what their elements are.
    private static let storageTypes: [String: ElementType] = [
        "FloatStorage": .f32, "DoubleStorage": .f64, "HalfStorage": .f16, "BFloat16Storage": .bf16,
        "LongStorage": .i64, "IntStorage": .i32, "ShortStorage": .i16, "CharStorage": .i8, "ByteStorage": .u8,
        "BoolStorage": .bool, "ComplexFloatStorage": .c64, "ComplexDoubleStorage": .c128,
    ]

    /// The storage that a persistent id names: ("storage", class, key, device, count), and nil in the older form.
    static func storage(_ id: PickleValue, in pickle: inout Pickle, _ error: (String) -> RiffleError) throws
        -> PickleValue
    {
        guard let parts = pickle.items(id), parts.count == 5 || parts.count == 6, case .text("storage") = parts[0],
            case .global(let name) = parts[1], case .text(let key) = parts[2], case .integer(let count) = parts[4],
            count >= 0
        else { throw error("a reference that names no storage of a tensor") }
        if parts.count == 6 {
            guard case .none = parts[5] else { throw error("a view of a storage, as PyTorch wrote before 0.4,") }
        }
        let isUntyped = ["torch.storage.UntypedStorage", "torch.UntypedStorage"].contains(name)
        let short = name.split(separator: ".").last.map(String.init) ?? name
        return pickle.add(
            Pickle.Storage(
                key: key, type: isUntyped || !name.hasPrefix("torch.") ? nil : storageTypes[short],
                typeName: isUntyped ? "" : name, count: count))
    }

    /// (storage, offset, sizes, strides, takes gradients, hooks, type), the type in the third form of the function.
    private static func tensor(
        _ arguments: [PickleValue], hasType: Bool, in pickle: inout Pickle, _ error: (String) -> RiffleError
    ) throws -> PickleValue {
        func sizes(_ value: PickleValue) throws -> [Int] {
            guard let items = pickle.items(value) else { throw error("a tensor without sizes") }
            return try items.map {
                guard case .integer(let size) = $0, size >= 0 else {
                    throw error("a tensor with a wrong size or stride")
                }
                return size
            }
        }
        guard arguments.count >= (hasType ? 7 : 4), case .storage(let index) = arguments[0],
            case .integer(let offset) = arguments[1], offset >= 0
        else { throw error("a tensor without a storage") }
        let shape = try sizes(arguments[2]), strides = try sizes(arguments[3])
        guard shape.count == strides.count else {
            throw error("a tensor of \(shape.count) sizes and \(strides.count) strides")
        }
        let storage = pickle.storages[index]
        var type = storage.type
        if hasType {
            guard case .global(let name) = arguments[6] else { throw error("a tensor without a type") }
            guard name.hasPrefix("torch."), let known = ElementType(word: String(name.dropFirst(6))) else {
                return .opaque("tensor of \(name)")
            }
            type = known
        }
        guard let type else { return .opaque("tensor of \(storage.typeName)") }
        return pickle.add(
            Pickle.Tensor(storage: index, type: type, offset: offset, sizes: shape, strides: strides))
    }
}
