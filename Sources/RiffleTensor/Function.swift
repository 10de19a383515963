/// A value that goes into or comes out of a function, as Lua sees it.
package enum Value {
    case none
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case tensor(Tensor)
    /// Anything with identity that is not a tensor: a parameter, module, optimizer, data set.
    case object(AnyObject)
    case list([Value])
    case table([String: Value])
}

/// The type of an argument. RiffleLua checks values against the type and words the error.
package indirect enum ArgumentType: Sendable {
    case tensor
    /// A tensor or a number.
    case operand
    /// A list of tensors.
    case tensors
    case number
    /// A number that is neither infinite nor NaN.
    case finite
    /// A finite number above zero.
    case positive
    /// A finite number from zero on.
    case nonNegative
    /// A number in a closed range.
    case fraction(ClosedRange<Double>)
    case integer(ClosedRange<Int>)
    /// An integer for height and width, or a list of one for each; arrives as an integer or as the list.
    case sides(ClosedRange<Int>)
    /// A number of bytes, or a size in words such as `1.5 GiB`; arrives as an integer.
    case bytes
    case boolean
    case string
    /// One of the given words.
    case choice([String])
    /// Sizes of dimensions: a list, or as many numbers as follow.
    case shape
    /// A dimension. Lua counts from 1, with -1 for the last; the value arrives counted from 0, negatives unchanged.
    case dim
    /// One dimension or a list of dimensions, counted in the same way.
    case dims
    /// An index along a dimension, counted in the same way.
    case index
    case dtype
    /// An object of the class that RiffleLua knows by this word, such as `module`.
    case object(String)
    case list(ArgumentType)
    case table
    /// A table whose keys are names.
    case named
    case any
    /// Any value, which the function hands on unread: a table comes back as the same table. A function with such an
    /// argument takes no table of named options.
    case unread
}

extension ArgumentType {
    /// Whether an argument of this type takes tensors.
    var isOfTensors: Bool {
        switch self {
        case .tensor, .tensors, .operand: true
        default: false
        }
    }
}

/// One argument of a function: its name, its type, and its value where the caller gives none.
package struct Argument: Sendable {
    package enum Default: Sendable {
        case required, none
        case boolean(Bool)
        case integer(Int)
        case number(Double)
        case string(String)

        /// What the function gets.
        package var value: Value {
            switch self {
            case .required, .none: .none
            case .boolean(let boolean): .boolean(boolean)
            case .integer(let integer): .integer(integer)
            case .number(let number): .number(number)
            case .string(let string): .string(string)
            }
        }
    }

    package let name: String
    package let type: ArgumentType
    package let summary: String
    package let defaultValue: Default

    package init(
        _ name: String, _ type: ArgumentType, _ summary: String = "", default defaultValue: Default = .required
    ) {
        self.name = name
        self.type = type
        self.summary = summary
        self.defaultValue = defaultValue
    }
}

extension Argument {
    /// An argument that takes one of the cases of an enum.
    package init<Choice: RawRepresentable<String> & CaseIterable>(
        _ name: String, oneOf type: Choice.Type, _ summary: String = ""
    ) {
        self.init(name, .choice(Choice.allCases.map(\.rawValue)), summary)
    }

    /// An argument that takes one of the cases of an enum; `usual` where the caller gives none.
    package init<Choice: RawRepresentable<String> & CaseIterable>(_ name: String, usual: Choice, _ summary: String = "")
    {
        self.init(name, .choice(Choice.allCases.map(\.rawValue)), summary, default: .string(usual.rawValue))
    }
}

/// The documentation of a function: the source of help, the reference page and the editor stub.
package struct Doc: Sendable {
    /// One sentence that ends with a period, at most 100 characters.
    package var summary: String
    package let formula: String
    package let shapes: String
    /// Lua lines that begin with `> `, each followed by what they print; run by a test.
    package var example: String
    /// Paper and equation.
    package let source: String
    /// The numbers in the table that a loss returns beside its value.
    package let parts: [Part]

    /// A named number in that table.
    package struct Part: Sendable {
        package let name: String
        package let summary: String

        package init(_ name: String, _ summary: String) {
            self.name = name
            self.summary = summary
        }
    }

    package init(
        _ summary: String, formula: String = "", shapes: String = "", example: String = "", source: String = "",
        parts: [Part] = []
    ) {
        self.summary = summary
        self.formula = formula
        self.shapes = shapes
        self.example = example
        self.source = source
        self.parts = parts
    }
}

/// A function that Lua can call: name, typed arguments, documentation and body.
///
/// `name` is the path from `riffle`, such as `flow.ode`; a method of a class of objects is written `tensor:item`.
package struct Function: Sendable {
    package let name: String
    package let arguments: [Argument]
    package let doc: Doc
    package let body: @Sendable (Arguments) throws -> [Value]

    package init(
        _ name: String, _ arguments: [Argument] = [], _ doc: Doc,
        body: @escaping @Sendable (Arguments) throws -> [Value]
    ) {
        self.name = name
        self.arguments = arguments
        self.doc = doc
        self.body = body
    }
}

/// The arguments of one call, checked against their types and in the order of their declaration.
///
/// The accessors trap on a type that the declaration rules out: that would be a mistake of the library.
package struct Arguments {
    package let values: [Value]
    /// The declared arguments, for access by name.
    private let declared: [Argument]

    package init(_ values: [Value], _ declared: [Argument] = []) {
        self.values = values
        self.declared = declared
    }

    package subscript(_ index: Int) -> Value { index < values.count ? values[index] : .none }

    package func has(_ index: Int) -> Bool { if case .none = self[index] { false } else { true } }

    package func tensor(_ index: Int) -> Tensor { optionalTensor(index)! }
    package func optionalTensor(_ index: Int) -> Tensor? {
        switch self[index] {
        case .tensor(let tensor): tensor
        case .object(let parameter as Parameter): parameter.tensor
        default: nil
        }
    }
    package func tensors(_ index: Int) -> [Tensor] { self[index].list.map { Arguments([$0]).tensor(0) } }

    package func number(_ index: Int) -> Double { optionalNumber(index)! }
    package func optionalNumber(_ index: Int) -> Double? {
        switch self[index] {
        case .number(let number): number
        case .integer(let integer): Double(integer)
        default: nil
        }
    }

    package func integer(_ index: Int) -> Int { optionalInteger(index)! }
    package func optionalInteger(_ index: Int) -> Int? {
        if case .integer(let integer) = self[index] { integer } else { nil }
    }
    package func integers(_ index: Int) -> [Int] { self[index].list.map { Arguments([$0]).integer(0) } }

    package func boolean(_ index: Int) -> Bool {
        if case .boolean(let boolean) = self[index] { boolean } else { false }
    }

    package func string(_ index: Int) -> String { optionalString(index)! }
    package func optionalString(_ index: Int) -> String? {
        if case .string(let string) = self[index] { string } else { nil }
    }

    package func dtype(_ index: Int, default dtype: DType = .float32) -> DType {
        optionalString(index).flatMap(DType.init(name:)) ?? dtype
    }

    package func shape(_ index: Int) -> Shape { Shape(integers(index)) }

    package func object<Class: AnyObject>(_ index: Int, as type: Class.Type = Class.self) -> Class {
        optionalObject(index)!
    }
    package func optionalObject<Class: AnyObject>(_ index: Int, as type: Class.Type = Class.self) -> Class? {
        if case .object(let object) = self[index] { object as? Class } else { nil }
    }
    package func list(_ index: Int) -> [Value] { self[index].list }
    package func strings(_ index: Int) -> [String] { self[index].list.map { Arguments([$0]).string(0) } }
    package func numbers(_ index: Int) -> [Double] { self[index].list.map { Arguments([$0]).number(0) } }
    package func table(_ index: Int) -> [String: Value] {
        if case .table(let table) = self[index] { table } else { [:] }
    }
}

/// Access by name, for functions with many options.
extension Arguments {
    package subscript(named name: String) -> Value { self[index(of: name)] }

    private func index(of name: String) -> Int {
        guard let index = declared.firstIndex(where: { $0.name == name }) else {
            preconditionFailure("no argument is declared as \(name)")
        }
        return index
    }

    package func has(_ name: String) -> Bool { has(index(of: name)) }
    package func declares(_ name: String) -> Bool { declared.contains { $0.name == name } }
    package func tensor(_ name: String) -> Tensor { tensor(index(of: name)) }
    package func optionalTensor(_ name: String) -> Tensor? { optionalTensor(index(of: name)) }
    package func tensors(_ name: String) -> [Tensor] { tensors(index(of: name)) }
    package func number(_ name: String) -> Double { number(index(of: name)) }
    package func optionalNumber(_ name: String) -> Double? { optionalNumber(index(of: name)) }
    package func integer(_ name: String) -> Int { integer(index(of: name)) }
    package func optionalInteger(_ name: String) -> Int? { optionalInteger(index(of: name)) }
    package func integers(_ name: String) -> [Int] { integers(index(of: name)) }
    package func boolean(_ name: String) -> Bool { boolean(index(of: name)) }
    package func string(_ name: String) -> String { string(index(of: name)) }
    /// The value of an argument that was declared with the cases of an enum.
    package func choice<Choice: RawRepresentable<String>>(_ name: String, as type: Choice.Type = Choice.self) -> Choice
    {
        Choice(rawValue: string(name))!
    }
    package func optionalString(_ name: String) -> String? { optionalString(index(of: name)) }
    package func dtype(_ name: String) -> DType { dtype(index(of: name)) }
    package func shape(_ name: String) -> Shape { shape(index(of: name)) }
    package func list(_ name: String) -> [Value] { list(index(of: name)) }
    package func strings(_ name: String) -> [String] { strings(index(of: name)) }
    package func numbers(_ name: String) -> [Double] { numbers(index(of: name)) }
    package func table(_ name: String) -> [String: Value] { table(index(of: name)) }
    package func object<Class: AnyObject>(_ name: String, as type: Class.Type = Class.self) -> Class {
        object(index(of: name))
    }
    package func optionalObject<Class: AnyObject>(_ name: String, as type: Class.Type = Class.self) -> Class? {
        optionalObject(index(of: name))
    }
}

extension Value {
    /// The items of a list; the value alone where it is no list, and nothing for `none`.
    package var list: [Value] {
        switch self {
        case .list(let values): values
        case .none: []
        default: [self]
        }
    }
}
