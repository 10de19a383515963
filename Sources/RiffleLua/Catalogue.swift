import RiffleNN
import RiffleTensor

/// Everything that Lua can call, in words: the source of help, completion and the reference page.
package final class Catalogue {
    /// The description of an argument.
    struct Parameter {
        let name: String
        let type: String
        let summary: String
        /// The default as Lua writes it; nil where the argument has to be given.
        let defaultText: String?
        /// The words that are allowed; empty where the argument is no choice of words.
        var choices: [String] = []
    }

    struct Entry {
        /// `flow.ode`, or `tensor:item`.
        let name: String
        let parameters: [Parameter]
        let doc: Doc

        var isMethod: Bool { name.contains(":") }
        /// `riffle.flow.ode`, or `tensor:item`.
        var title: String { isMethod ? name : "riffle.\(name)" }
        /// The part of the path before the last dot or colon.
        var parent: String { name.lastIndex(where: { $0 == "." || $0 == ":" }).map { String(name[..<$0]) } ?? "" }
        var lastName: String {
            name.lastIndex(where: { $0 == "." || $0 == ":" }).map { String(name[name.index(after: $0)...]) } ?? name
        }

        /// `riffle.conv2d(x, weight [, bias, stride = 1])`
        var signature: String {
            let shown = isMethod ? parameters.dropFirst() : parameters[...]
            // Arguments before a required one have to be given, if only as nil.
            let needed = shown.lastIndex { $0.defaultText == nil }.map { $0 + 1 } ?? shown.startIndex
            let fixed = shown[..<needed].map { $0.defaultText == nil ? $0.name : "\($0.name) or nil" }.joined(
                separator: ", ")
            let free = shown[needed...].map { $0.name + ($0.defaultText == "nil" ? "" : " = \($0.defaultText ?? "")") }
                .joined(separator: ", ")
            return "\(title)(\(fixed)\(free.isEmpty ? "" : fixed.isEmpty ? "[\(free)]" : " [, \(free)]"))"
        }
    }

    struct Field {
        let name: String
        let type: String
        let summary: String
        let isSettable: Bool
    }

    struct Class {
        let word: String
        let doc: Doc
        let fields: [Field]
        let extends: String?
    }

    private(set) var entries: [Entry] = []
    private var indices: [String: Int] = [:]
    private(set) var classes: [Class] = []
    private var members: [String: Set<String>] = [:]

    func add(_ function: Function) {
        add(Entry(name: function.name, parameters: function.arguments.map(Parameter.init), doc: function.doc))
    }

    func add(_ entry: Entry) {
        indices[entry.name] = entries.count
        entries.append(entry)
    }

    func add(_ entry: ObjectClass) {
        let fields = entry.properties.map {
            Field(name: $0.name, type: $0.type.brief, summary: $0.summary, isSettable: $0.setter != nil)
        }
        classes.append(Class(word: entry.word, doc: entry.doc, fields: fields, extends: entry.extends))
    }

    func addMember(_ name: String, of word: String) { members[word, default: []].insert(name) }

    func members(of entry: ObjectClass) -> Set<String> {
        members[entry.word, default: []].union(entry.extends.flatMap { members[$0] } ?? [])
    }

    subscript(_ name: String) -> Entry? { indices[name].map { entries[$0] } }

    /// Names that `help` knows.
    var names: [String] { entries.map(\.name) + classes.map(\.word) + Array(namespaces) }

    /// Names of tables of functions, such as `flow`.
    var namespaces: Set<String> {
        var namespaces: Set<String> = []
        for entry in entries where !entry.isMethod {
            var path = entry.parent
            while !path.isEmpty {
                namespaces.insert(path)
                path = path.lastIndex(of: ".").map { String(path[..<$0]) } ?? ""
            }
        }
        return namespaces
    }
}

extension Catalogue.Parameter {
    init(_ argument: Argument) {
        name = argument.name
        type = argument.type.brief
        summary = argument.summary
        choices =
            switch argument.type {
            case .choice(let words): words
            case .dtype: DType.computed.map(\.description)
            default: []
            }
        switch argument.defaultValue {
        case .required: defaultText = nil
        case .none: defaultText = "nil"
        case .boolean(let boolean): defaultText = "\(boolean)"
        case .integer(let integer):
            defaultText = "\(argument.type.countsFromOne && integer >= 0 ? integer + 1 : integer)"
        case .number(let number):
            defaultText = number == .infinity ? "math.huge" : number == -.infinity ? "-math.huge" : riffleFormat(number)
        case .string(let string): defaultText = "\"\(string)\""
        }
    }
}

extension Function {
    var title: String { name.contains(":") ? String(name.prefix { $0 != ":" }) : "riffle.\(name)" }
}

extension Value {
    var anyObject: AnyObject? {
        switch self {
        case .tensor(let tensor): tensor
        case .object(let object): object
        default: nil
        }
    }

    /// A key in words.
    var brief: String {
        switch self {
        case .string(let string): string
        case .integer(let integer): "\(integer)"
        case .number(let number): riffleFormat(number)
        case .boolean(let boolean): "\(boolean)"
        default: "?"
        }
    }

    /// A value in a few words, for messages.
    var described: String {
        switch self {
        case .none: "nil"
        case .string(let string): "'\(string)'"
        case .list(let items): items.isEmpty ? "an empty table" : "a list of \(items.count)"
        case .table: "a table"
        case .tensor(let tensor): "a tensor \(tensor.shape)"
        case .object(is LuaFunction): "a function or table"
        case .object(let parameter as Parameter): "a parameter \(parameter.shape)"
        case .object(is Network): "a network"
        case .object: "an object"
        default: brief
        }
    }
}
