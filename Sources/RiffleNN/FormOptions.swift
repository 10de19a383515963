import RiffleTensor

/// The options that a form's modules have, read from their configurations, with the precision behind them.
struct ConfigurationOptions<Made: Module>: Sendable {
    private let read: @Sendable (Made) -> [(name: String, value: Value)]?
    private let usual: @Sendable () -> [(name: String, value: Value)]

    /// - Parameter configuration: that of a module, nil for one of another form.
    init<Configuration: Sendable>(
        _ options: [Option<Configuration>], usual: Configuration,
        _ configuration: @escaping @Sendable (Made) -> Configuration?
    ) {
        @Sendable func values(_ root: Configuration) -> [(name: String, value: Value)] {
            options.map { ($0.argument(of: usual).name, $0.value(in: root)) }
        }
        read = { configuration($0).map(values) }
        self.usual = { values(usual) }
    }

    /// The options of a module, in the order of the arguments; nil for one of another form.
    func options(of module: Made, _ precision: Precision) -> [(name: String, value: Value)]? {
        read(module).map { $0 + [(NetworkForm.precision.name, .string(precision.rawValue))] }
    }

    /// The options that `options(of:_:)` gives of a module for which nobody gave any.
    var usualOptions: [String: Value] {
        let precision = (NetworkForm.precision.name, Value.string(Precision.float32.rawValue))
        return Dictionary(uniqueKeysWithValues: usual() + [precision])
    }
}

/// The options by which a form makes a module, as files keep them.
struct FormOptions {
    /// The form's name, such as `mlp`.
    let name: String
    let arguments: [Argument]
    /// By name; those without a value are left out.
    let values: [String: Value]

    /// The options that a module has.
    init(_ name: String, _ arguments: [Argument], of module: [(name: String, value: Value)]) {
        (self.name, self.arguments) = (name, arguments)
        values = Dictionary(uniqueKeysWithValues: module.filter { !$0.value.isNone })
    }

    /// The options that a file keeps.
    /// - Throws: `RiffleError` that says what is no option of the form, or no value of one.
    init(_ name: String, _ arguments: [Argument], reading values: [String: Value]) throws {
        for (option, value) in values.sorted(by: { $0.key < $1.key }) {
            guard let argument = arguments.first(where: { $0.name == option }) else {
                throw RiffleError("", "riffle.nn.\(name) has no option '\(option)'")
            }
            guard argument.type.takes(value) else {
                throw RiffleError("", "riffle.nn.\(name) takes no such \(option): \(value.inLua)")
            }
        }
        (self.name, self.arguments, self.values) = (name, arguments, values)
    }

    /// Lua that makes a module of the form, without the options that have their usual values.
    func lua(_ usual: [String: Value]) -> String {
        let given = arguments.compactMap { argument -> String? in
            guard let text = values[argument.name]?.inLua, usual[argument.name]?.inLua != text else { return nil }
            return "\(argument.name) = \(text)"
        }
        return "riffle.nn.\(name) " + (given.isEmpty ? "{}" : "{ \(given.joined(separator: ", ")) }")
    }

    /// What the form's function gets.
    /// - Throws: `RiffleError` where an option is missing that has to be given.
    func given() throws -> Arguments {
        let given = arguments.map { values[$0.name] ?? $0.defaultValue.value }
        if let missing = zip(arguments, given).first(where: { $0.isRequired && $1.isNone }) {
            throw RiffleError("", "riffle.nn.\(name) needs the option '\(missing.0.name)'")
        }
        return Arguments(given, arguments)
    }
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
