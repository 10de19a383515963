/// An option of a value, such as a loss or a network's configuration: its name, its type, and the property that the
/// option sets. The default is the property's value in the root that `argument(of:)` gets.
package struct Option<Root>: Sendable {
    private let declare: @Sendable (Root) -> Argument
    private let assign: @Sendable (inout Root, Arguments) -> Void
    private let read: @Sendable (Root) -> Value

    /// The argument that declares the option; its default is the property's value in `usual`.
    package func argument(of usual: Root) -> Argument { declare(usual) }

    /// The property's value, as the argument takes it.
    package func value(in root: Root) -> Value { read(root) }

    /// Sets the property to the value that the caller gave, if any.
    package func set(_ root: inout Root, to arguments: Arguments) { assign(&root, arguments) }

    /// - Parameter isRequired: whether callers have to give the option; then the property's own value is never used.
    package init<Property: OptionValue>(
        _ name: String, _ path: WritableKeyPath<Root, Property> & Sendable, _ type: ArgumentType,
        _ summary: String = "",
        isRequired: Bool = false
    ) {
        declare = {
            Argument(name, type, summary, default: isRequired ? .required : .init($0[keyPath: path].asValue))
        }
        assign = { root, arguments in
            if let value = Property(arguments[named: name]) { root[keyPath: path] = value }
        }
        read = { $0[keyPath: path].asValue }
    }

    /// An option that chooses among the cases of an enum.
    package init<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ name: String, _ path: WritableKeyPath<Root, Choice> & Sendable, _ summary: String = "",
        isRequired: Bool = false
    ) {
        let words = Choice.allCases.map(\.rawValue)
        declare = {
            Argument(
                name, .choice(words), summary, default: isRequired ? .required : .string($0[keyPath: path].rawValue))
        }
        assign = { root, arguments in
            if let choice = arguments.optionalString(name).flatMap(Choice.init) { root[keyPath: path] = choice }
        }
        read = { .string($0[keyPath: path].rawValue) }
    }

    /// An option for an object, which callers may leave out.
    package init<Object: AnyObject>(
        _ name: String, _ path: WritableKeyPath<Root, Object?> & Sendable, _ type: ArgumentType, _ summary: String = ""
    ) {
        declare = { _ in Argument(name, type, summary, default: .none) }
        assign = { root, arguments in root[keyPath: path] = arguments.optionalObject(name) }
        read = { $0[keyPath: path].map(Value.object) ?? .none }
    }

    private init(
        declare: @escaping @Sendable (Root) -> Argument, assign: @escaping @Sendable (inout Root, Arguments) -> Void,
        read: @escaping @Sendable (Root) -> Value
    ) {
        self.declare = declare
        self.assign = assign
        self.read = read
    }

    /// The same option of an outer value, which holds this option's root at `path`.
    package func of<Outer>(_ path: WritableKeyPath<Outer, Root> & Sendable) -> Option<Outer> {
        Option<Outer>(
            declare: { [declare] in declare($0[keyPath: path]) },
            assign: { [assign] in assign(&$0[keyPath: path], $1) },
            read: { [read] in read($0[keyPath: path]) })
    }
}

extension Array {
    /// The same options of an outer value, which holds the options' root at `path`.
    package func of<Root, Outer>(_ path: WritableKeyPath<Outer, Root> & Sendable) -> [Option<Outer>]
    where Element == Option<Root> {
        map { $0.of(path) }
    }

    /// The arguments that declare the options; their defaults are the values in `usual`.
    package func arguments<Root>(of usual: Root) -> [Argument] where Element == Option<Root> {
        map { $0.argument(of: usual) }
    }

    /// A copy of `usual` with the values that the caller gave.
    package func read<Root>(_ arguments: Arguments, into usual: Root) -> Root where Element == Option<Root> {
        reduce(into: usual) { $1.set(&$0, to: arguments) }
    }
}

/// A value of a property that an argument can hold.
package protocol OptionValue: SendableMetatype {
    /// Nil where the caller gave nothing.
    init?(_ value: Value)
    var asValue: Value { get }
}

extension Argument.Default {
    /// The default that is a value; none for a list, which an argument cannot declare: the property keeps its own where
    /// the caller gives no list.
    init(_ value: Value) {
        self =
            switch value {
            case .boolean(let boolean): .boolean(boolean)
            case .integer(let integer): .integer(integer)
            case .number(let number): .number(number)
            case .string(let string): .string(string)
            case .none, .tensor, .object, .list, .table: .none
            }
    }
}

extension Double: OptionValue {
    package init?(_ value: Value) {
        guard let number = Arguments([value]).optionalNumber(0) else { return nil }
        self = number
    }
    package var asValue: Value { .number(self) }
}

extension Int: OptionValue {
    package init?(_ value: Value) {
        guard let integer = Arguments([value]).optionalInteger(0) else { return nil }
        self = integer
    }
    package var asValue: Value { .integer(self) }
}

extension Bool: OptionValue {
    package init?(_ value: Value) {
        guard case .boolean(let boolean) = value else { return nil }
        self = boolean
    }
    package var asValue: Value { .boolean(self) }
}

extension String: OptionValue {
    package init?(_ value: Value) {
        guard case .string(let text) = value else { return nil }
        self = text
    }
    package var asValue: Value { .string(self) }
}

extension [Int]: OptionValue {
    package init?(_ value: Value) {
        guard case .list = value else { return nil }
        self = Arguments([value]).integers(0)
    }
    package var asValue: Value { .list(map(Value.integer)) }
}

extension Shape: OptionValue {
    package init?(_ value: Value) {
        guard let sizes = [Int](value) else { return nil }
        self.init(sizes)
    }
    package var asValue: Value { sizes.asValue }
}

extension Optional: OptionValue where Wrapped: OptionValue {
    package init?(_ value: Value) {
        guard let wrapped = Wrapped(value) else { return nil }
        self = .some(wrapped)
    }
    package var asValue: Value { self?.asValue ?? .none }
}
