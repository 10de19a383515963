import CLuaBridge
import RiffleNN
import RiffleTensor

/// An object that borrows fields and `forward` from a table of Lua's.
protocol HasDefinition: AnyObject {
    /// The table's reference in Lua's registry.
    var definitionRef: Int32 { get }
}

/// A network whose function is written in Lua.
///
/// This object holds parts and parameters, so that copies, averages and files work as for every module. The rest of the
/// table that `nn.module` got, such as `forward`, stays in Lua, and copies share it.
final class LuaModule: Network, HasDefinition {
    /// A field of the table: a part, or a list or table that has parts in it.
    indirect enum Part {
        case module(Module)
        case parameter(Parameter)
        case value(Value)
        case list([Part])
        case table([String: Part])
    }

    private let parts: [String: Part]
    private let names: [String]
    private let definition: LuaReference
    private let forwardFunction: LuaFunction
    private let timesWanted: Int
    private let conditioningWanted: Conditioning

    var definitionRef: Int32 { definition.ref }

    init(
        _ parts: [String: Part], definition: LuaReference, forward: LuaFunction, times: Int,
        _ conditioning: Conditioning
    ) {
        self.parts = parts
        names = parts.keys.sorted()
        self.definition = definition
        forwardFunction = forward
        timesWanted = times
        conditioningWanted = conditioning
    }

    override var kind: String { "module" }
    override var times: Int { timesWanted }
    override var conditioning: Conditioning { conditioningWanted }

    override var children: [(name: String, module: Module)] {
        var found: [(name: String, module: Module)] = []
        walk { name, part in if case .module(let module) = part { found.append((name, module)) } }
        return found
    }

    override var ownParameters: [NamedParameter] {
        var found: [NamedParameter] = []
        walk { name, part in if case .parameter(let parameter) = part { found.append(NamedParameter(name, parameter)) }
        }
        return found
    }

    private func walk(_ visit: (String, Part) -> Void) {
        func walk(_ part: Part, _ name: String) {
            switch part {
            case .list(let items): for (index, item) in items.enumerated() { walk(item, "\(name).\(index + 1)") }
            case .table(let table): for key in table.keys.sorted() { table[key].map { walk($0, "\(name).\(key)") } }
            default: visit(name, part)
            }
        }
        for name in names { parts[name].map { walk($0, name) } }
    }

    /// The value of `self.name` in Lua, for parts and tables of them.
    func part(_ name: String) -> Value? {
        func value(_ part: Part) -> Value {
            switch part {
            case .module(let module): .object(module)
            case .parameter(let parameter): .object(parameter)
            case .value(let plain): plain
            case .list(let items): .list(items.map(value))
            case .table(let table): .table(table.mapValues(value))
            }
        }
        return parts[name].map(value)
    }

    override func blank() throws -> Module {
        // A part that occurs several times does so in the copy, too.
        var twins: [ObjectIdentifier: Part] = [:]
        func twin(of object: AnyObject, _ make: () throws -> Part) rethrows -> Part {
            if let twin = twins[ObjectIdentifier(object)] { return twin }
            let made = try make()
            twins[ObjectIdentifier(object)] = made
            return made
        }
        func blank(_ part: Part) throws -> Part {
            switch part {
            case .module(let module): try twin(of: module) { .module(try module.blank()) }
            case .parameter(let parameter): twin(of: parameter) { .parameter(Parameter(parameter.value)) }
            case .value: part
            case .list(let items): .list(try items.map(blank))
            case .table(let table): .table(try table.mapValues(blank))
            }
        }
        return LuaModule(
            try parts.mapValues(blank), definition: definition, forward: forwardFunction, times: timesWanted,
            conditioningWanted)
    }

    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        try forward([x] + times + (condition?.tensors ?? []))
    }

    // Passes all tensors on: a part of another network need not take times.
    override func forward(_ inputs: [Tensor]) throws -> Tensor {
        try forwardFunction.tensor([.object(self)] + inputs.map(Value.tensor), of: "module", named: "forward")
    }
}

/// A Lua function(x, t) as a velocity.
final class LuaVelocity: Network {
    private let function: LuaFunction

    init(_ function: LuaFunction) { self.function = function }

    override var kind: String { "function" }

    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        try function.tensor(
            ([x] + times + (condition?.tensors ?? [])).map(Value.tensor), of: "velocity", named: "the function")
    }
}

/// A Lua function(s, t) as the weights of losses.
final class LuaWeight: LossWeight {
    private let function: LuaFunction

    init(_ function: LuaFunction) { self.function = function }

    override func weigh(_ losses: Tensor, _ s: Tensor, _ t: Tensor) throws -> Tensor {
        let weights = try function.tensor([.tensor(s), .tensor(t)], of: "weight", named: "the function")
        guard weights.shape == losses.shape || weights.count == 1 else {
            throw RiffleError(
                "weight", "the function must return [\(losses.count)], a number for each sample, got \(weights.shape)")
        }
        return try losses * weights
    }
}

extension LuaFunction {
    /// The function's result, which has to be a tensor.
    func tensor(_ arguments: [Value], of operation: String, named name: String) throws -> Tensor {
        let results = try self(arguments)
        guard let result = Arguments(results).optionalTensor(0) else {
            throw RiffleError(operation, "\(name) must return a tensor, got \(results.first?.described ?? "nil")")
        }
        return result
    }
}

extension LuaModule {
    /// A network from the table that `nn.module` got.
    /// - Parameter fields: the fields of the table that are modules or parameters, or tables with some in them.
    convenience init(
        _ fields: [String: Value], definition: LuaReference, forward: LuaFunction, times: Int,
        _ conditioning: Conditioning
    ) throws {
        func part(_ value: Value) -> Part {
            switch value {
            case .object(let module as Module): .module(module)
            case .object(let parameter as Parameter): .parameter(parameter)
            case .list(let items): .list(items.map(part))
            case .table(let table): .table(table.mapValues(part))
            default: .value(value)
            }
        }
        self.init(fields.mapValues(part), definition: definition, forward: forward, times: times, conditioning)
    }
}

// MARK: - Where an error happened

extension LuaEngine {
    /// An error with the names of the modules whose Lua code was running, each the name in the module around it.
    func located(_ error: RiffleError) -> RiffleError {
        final class Found { var modules: [Module] = [] }
        let found = Found()
        rlua_each_call(state.pointer, Unmanaged.passUnretained(found).toOpaque()) { context, object in
            guard let context, let object else { return }
            let module = Unmanaged<AnyObject>.fromOpaque(object).takeUnretainedValue() as? Module
            module.map { Unmanaged<Found>.fromOpaque(context).takeUnretainedValue().modules.append($0) }
        }
        // Goes from the innermost module outwards; the path begins at a module that is no part of the one around it.
        var error = error
        for (inner, outer) in zip(found.modules, found.modules.dropFirst()) {
            guard let name = outer.name(of: inner) else { break }
            error = error.within(name)
        }
        return error
    }
}
