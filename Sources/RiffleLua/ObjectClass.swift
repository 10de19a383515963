import RiffleTensor

/// A Swift class as Lua sees it: the word for it in messages, its methods, fields and behaviour.
///
/// A namespace's functions and classes stand in a file of `Library/`, in an enum with `static let functions:
/// [Function]` and `static let classes: [ObjectClass]`, which `Library.all` lists. Argument checks, messages, help,
/// completion, the reference page and their tests follow from there.
///
///     ObjectClass(
///         "optimizer", Optimizer.self, Doc("Changes parameters along their gradients."),
///         methods: [
///             Method("step", [Argument("loss", .tensor)], Doc("...", example: "...")) { optimizer, arguments in
///                 [.number(try optimizer.step(arguments.tensor(0)))]
///             }
///         ],
///         properties: [
///             Property("lr", .positive, "The learning rate.", get: { .number($0.lr) }, set: { $0.lr = $1.number(0) })
///         ],
///         describe: { "adamw, lr \($0.lr)" })
///
/// - A function of `functions` that is named `optimizer:step` becomes a method as well; its first argument is the
///   receiver. A `Method` gets the receiver separately, and its arguments are those in the parentheses.
/// - An argument of type `.object("optimizer")` takes any object of this class. List a subclass before its superclass.
/// - `call` is the body of `object(...)`; `next` that of a `for` loop, which gets the first value that its last call
///   returned, or `.none` at the beginning, and returns nil at the end.
/// - `index` is the body of `object[key]` and `object.key` where there is no method and no property of that name; it
///   returns nil for "no such key".
/// - Functions and classes without a summary do not appear in help and on the reference page.
/// - A Lua function is an `.object(LuaFunction)`; an argument of type `.object("function")` takes one.
package struct ObjectClass: Sendable {
    package typealias Body = @Sendable (Arguments) throws -> [Value]

    package let word: String
    package let doc: Doc
    package let methods: [Function]
    let properties: [AnyProperty]
    let contains: @Sendable (AnyObject) -> Bool
    /// Metamethods by their names, such as `__len`; the receiver is the first argument.
    let metamethods: [String: Function]
    let index: @Sendable (AnyObject, Value) throws -> Value?
    /// The word of a class whose methods this class has, too.
    let extends: String?
    /// Makes an object of this class from another value, where that is possible.
    let convert: @Sendable (Value) -> AnyObject?

    package init<Object: AnyObject>(
        _ word: String, _ type: Object.Type, _ doc: Doc, extends: String? = nil,
        methods: [Method<Object>] = [], properties: [Property<Object>] = [],
        count: (@Sendable (Object) -> Int)? = nil,
        call: (@Sendable (Object, [Value]) throws -> [Value])? = nil,
        next: (@Sendable (Object, Value) throws -> [Value]?)? = nil,
        index: (@Sendable (Object, Value) throws -> Value?)? = nil,
        convert: (@Sendable (Value) -> Object?)? = nil,
        metamethods: [String: Function] = [:],
        describe: (@Sendable (Object) -> String)? = nil
    ) {
        self.word = word
        self.doc = doc
        self.extends = extends
        contains = { $0 is Object }
        self.methods = methods.map { method in
            Function("\(word):\(method.name)", [Argument(word, .object(word))] + method.arguments, method.doc) {
                arguments in
                try method.body(arguments.object(0), Arguments(Array(arguments.values.dropFirst()), method.arguments))
            }
        }
        self.properties = properties.map { AnyProperty($0, of: word) }
        self.index = { object, key in
            guard let index, let object = object as? Object else { return nil }
            return try index(object, key)
        }
        self.convert = { value in convert?(value) }

        /// A metamethod of the class, whose body gets the receiver separately and the other arguments unchecked.
        func metamethod(_ name: String, _ body: @escaping @Sendable (Object, [Value]) throws -> [Value]) -> Function {
            Function("\(word):\(name)", [Argument(word, .object(word))], Doc("")) { arguments in
                let object: Object = arguments.object(0)
                return try body(object, Array(arguments.values.dropFirst()))
            }
        }
        var all = metamethods
        if let count { all["__len"] = metamethod("__len") { object, _ in [.integer(count(object))] } }
        if let call { all["__call"] = metamethod("__call", call) }
        // A for loop calls object(nil, control).
        if let next {
            all["__call"] = metamethod("__call") { object, rest in
                try next(object, rest.count > 1 ? rest[1] : .none) ?? [.none]
            }
        }
        all["__tostring"] = metamethod("__tostring") { object, _ in [.string(describe?(object) ?? word)] }
        self.metamethods = all
    }
}

/// A method of a class of objects: `body` gets the receiver and the arguments in the parentheses.
package struct Method<Object: AnyObject>: Sendable {
    let name: String
    let arguments: [Argument]
    let doc: Doc
    let body: @Sendable (Object, Arguments) throws -> [Value]

    package init(
        _ name: String, _ arguments: [Argument] = [], _ doc: Doc,
        body: @escaping @Sendable (Object, Arguments) throws -> [Value]
    ) {
        self.name = name
        self.arguments = arguments
        self.doc = doc
        self.body = body
    }
}

/// A field of an object, which Lua reads, and writes where there is a `set`.
package struct Property<Object: AnyObject>: Sendable {
    let name: String
    let type: ArgumentType
    let summary: String
    let takesNil: Bool
    let get: @Sendable (Object) throws -> Value
    let set: (@Sendable (Object, Arguments) throws -> Void)?

    /// - Parameters:
    ///   - takesNil: whether the field may be set to nil.
    ///   - set: gets the new value, checked against `type`, as argument 0.
    package init(
        _ name: String, _ type: ArgumentType, _ summary: String, takesNil: Bool = false,
        get: @escaping @Sendable (Object) throws -> Value, set: (@Sendable (Object, Arguments) throws -> Void)? = nil
    ) {
        self.takesNil = takesNil
        self.name = name
        self.type = type
        self.summary = summary
        self.get = get
        self.set = set
    }
}

/// A property of any class, as functions that Lua calls.
struct AnyProperty: Sendable {
    let name: String
    let type: ArgumentType
    let summary: String
    let getter: Function
    let setter: Function?

    init<Object: AnyObject>(_ property: Property<Object>, of word: String) {
        name = property.name
        type = property.type
        summary = property.summary
        let receiver = Argument(word, .object(word))
        getter = Function("\(word).\(name)", [receiver], Doc(property.summary)) { [try property.get($0.object(0))] }
        setter = property.set.map { set in
            Function(
                "\(word).\(property.name)",
                [receiver, Argument(property.name, property.type, default: property.takesNil ? .none : .required)],
                Doc(property.summary)
            ) {
                try set($0.object(0), Arguments([$0[1]]))
                return []
            }
        }
    }
}
