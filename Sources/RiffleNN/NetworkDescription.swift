import RiffleTensor

/// What makes a network but its numbers: the form's name in `NetworkForm.all`, the options, and how many times the
/// network takes. Files keep the description, so that a network is made from its file alone.
package struct NetworkDescription {
    package let form: NetworkForm
    /// By name; those without a value are left out.
    package let options: [String: Value]
    package let times: Int

    /// - Returns: nil for what is no network of `NetworkForm.all`, such as a network that a script defines.
    package init?(_ module: Module) {
        guard let network = module as? Network else { return nil }
        for form in NetworkForm.all {
            guard let options = form.options(of: network) else { continue }
            self.form = form
            self.options = Dictionary(uniqueKeysWithValues: options)
            times = network.times
            return
        }
        return nil
    }

    // MARK: - As files keep it

    package var value: Value {
        .table(["form": .string(form.name), "options": .table(options), "times": .integer(times)])
    }

    /// - Throws: `RiffleError` that says what is no description of a network that this library has.
    package init(_ value: Value) throws {
        guard case .table(let table) = value, case .string(let name) = table["form"],
            case .table(let options) = table["options"], case .integer(let times) = table["times"]
        else { throw RiffleError("", "it has no form, options and times") }
        guard let form = NetworkForm.all.first(where: { $0.name == name }) else {
            throw RiffleError("", "there is no network '\(name)'" + suggestion(for: name, among: NetworkForm.names))
        }
        guard (1...2).contains(times) else { throw RiffleError("", "a network takes 1 time or 2, not \(times)") }
        for (name, value) in options.sorted(by: { $0.key < $1.key }) {
            guard let argument = form.arguments.first(where: { $0.name == name }) else {
                throw RiffleError("", "riffle.nn.\(form.name) has no option '\(name)'")
            }
            guard argument.type.takes(value) else {
                throw RiffleError("", "riffle.nn.\(form.name) takes no such \(name): \(value.inLua)")
            }
        }
        (self.form, self.options, self.times) = (form, options, times)
    }

    // MARK: - In Lua

    /// Lua that makes a network of this form: `riffle.nn.mlp { width = 64 }:two_timed()`.
    package var lua: String {
        let usual = form.usualOptions
        let given = form.arguments.compactMap { argument -> String? in
            guard let text = options[argument.name]?.inLua, usual[argument.name]?.inLua != text else { return nil }
            return "\(argument.name) = \(text)"
        }
        let table = given.isEmpty ? "{}" : "{ \(given.joined(separator: ", ")) }"
        return "riffle.nn.\(form.name) \(table)" + (times == 2 ? ":two_timed()" : "")
    }

    // MARK: - The network

    /// The network with the given numbers; all of its parameters take gradients. Memory is taken for these numbers
    /// alone, after their shapes are known to be those that the description asks for.
    /// - Parameters:
    ///   - shapes: of the tensors, in the layout of files, by name.
    ///   - tensor: reads one of them.
    /// - Throws: `RiffleError` where no such network can be made, or names or shapes are not its own.
    package func network(shapes: [String: Shape], tensor: (String) throws -> Tensor) throws -> Network {
        let values = form.arguments.map { argument -> Value in
            options[argument.name] ?? argument.defaultValue.value
        }
        if let missing = zip(form.arguments, values).first(where: { $0.isRequired && $1.isNone }) {
            throw RiffleError("", "riffle.nn.\(form.name) needs the option '\(missing.0.name)'")
        }
        let network = try withoutNumbers { try form(Arguments(values, form.arguments), times: times) }
        try network.load(shapes: shapes, tensor: tensor)
        return network
    }
}

extension NetworkForm {
    fileprivate static var names: [String] { all.map(\.name) }
}

extension Argument {
    fileprivate var isRequired: Bool { if case .required = defaultValue { true } else { false } }
}

extension Value {
    var isNone: Bool { if case .none = self { true } else { false } }

    /// A plain value as Lua writes it.
    fileprivate var inLua: String {
        switch self {
        case .boolean(let boolean): "\(boolean)"
        case .integer(let integer): "\(integer)"
        case .number(let number): riffleExact(number)
        case .string(let text): "\"\(text)\""
        case .list(let items): items.isEmpty ? "{}" : "{ \(items.map(\.inLua).joined(separator: ", ")) }"
        case .none, .tensor, .object, .table: "nil"
        }
    }
}

extension ArgumentType {
    /// Whether a plain value, such as a file keeps, is of this type, which is that of a network's option.
    fileprivate func takes(_ value: Value) -> Bool {
        let number = Arguments([value]).optionalNumber(0)
        return switch (self, value) {
        case (.integer(let range), .integer(let integer)): range.contains(integer)
        case (.boolean, .boolean): true
        case (.choice(let words), .string(let word)): words.contains(word)
        case (.list(let type), .list(let items)): items.allSatisfy(type.takes)
        case (.positive, _): number.map { $0 > 0 && $0.isFinite } ?? false
        case (.fraction(let range), _): number.map(range.contains) ?? false
        default: false
        }
    }
}
