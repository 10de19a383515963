import CLuaBridge
import RiffleIO
import RiffleTensor

/// Lua with the library in it: runs scripts and single lines.
///
/// One thread uses an engine from beginning to end; the closures below it are marked Sendable only because functions
/// of the library have to be.
package final class LuaEngine: @unchecked Sendable {
    let state: LuaState
    private(set) var classes: [ObjectClass] = []
    private(set) var classesByWord: [String: Int] = [:]
    private var classNumbers: [ObjectIdentifier: Int32] = [:]
    private(set) var tensorClass: Int32 = -1
    private(set) var parameterClass: Int32 = -1
    private var bindings: [Binding] = []
    /// The values of `...` in scripts.
    let arguments: [Value]
    package let catalogue = Catalogue()
    let memory = GarbagePolicy()
    private(set) lazy var session = Result { try Session(self) }
    /// What the command line says of the script's run, and whether a run has asked for it.
    /// Nil until riffle.args has read the command line.
    var runOptions: RunOptions?
    var runOptionsAreUsed = false
    /// The source of the script that runs last; empty where none does.
    var source: [UInt8] = []
    /// Whether Ctrl-C stopped the last program.
    package internal(set) var wasInterrupted = false

    /// - Parameters:
    ///   - script: the value of `arg[0]`.
    ///   - arguments: the other values of `arg`.
    package init(script: String = "riffle", arguments: [String] = []) throws {
        self.arguments = arguments.map(Value.string)
        _ = SystemLibrary.started
        let library = rlua_library(
            context: Unmanaged.passUnretained(memory).toOpaque(),
            release: { object in
                guard let object else { return }
                Unmanaged<AnyObject>.fromOpaque(object).release()
            },
            collected: { memory in
                guard let memory else { return }
                Unmanaged<GarbagePolicy>.fromOpaque(memory).takeUnretainedValue().collected()
            },
            definition: { _, object in
                guard let object else { return 0 }
                return (Unmanaged<AnyObject>.fromOpaque(object).takeUnretainedValue() as? HasDefinition)?
                    .definitionRef ?? 0
            })
        guard let pointer = rlua_open(library) else { throw RiffleError("", "Lua does not start") }
        state = LuaState(pointer)
        state.engine = self
        Context.current.reclaim = { [state] in
            guard state.engine != nil else { return }
            rlua_reclaim(state.pointer)
            Memory.clearCache()
        }
        UnfinishedWork.onLoss { message in
            Progress.finishVisible()
            Console.error("riffle: \(message)\n")
        }
        register(Library.classes)
        for function in Library.functions + engineFunctions { register(function) }
        for function in internals + runInternals { define(RLUA_INTERNAL, function) }
        try runPrelude()
        setArguments(script, arguments)
        Context.current.callLocation = { [state] in state.engine?.callLocation ?? "" }
        rlua_interruptible(pointer)
    }

    /// The user's line that runs, such as `script.lua:12`; empty where none does.
    private var callLocation: String {
        var text = [CChar](repeating: 0, count: 128)
        rlua_location(state.pointer, &text, text.count)
        return text.withUnsafeBufferPointer { $0.baseAddress.map { String(cBytes: $0) } ?? "" }
    }

    deinit {
        state.engine = nil
        rlua_close(state.pointer)
    }

    // MARK: - Registration

    private func row(_ function: Function, _ form: Binding.Form, title: String) -> OpaquePointer? {
        let handsOn = function.arguments.contains { if case .unread = $0.type { true } else { false } }
        let binding = Binding(function, form, title: title, engine: self)
        bindings.append(binding)
        return rlua_row_new(
            state.pointer, Binding.body, Unmanaged.passUnretained(binding).toOpaque(),
            handsOn ? RLUA_BY_REFERENCE : RLUA_BY_VALUE)
    }

    private func define(_ root: rlua_root, _ function: Function) {
        let isInternal = root == RLUA_INTERNAL
        let title = isInternal ? function.name : "riffle.\(function.name)"
        rlua_define(
            state.pointer, root, function.name, row(function, isInternal ? .primitive : .function, title: title))
    }

    /// Adds a function under its path; tensor operations become methods of tensors and parameters, too.
    private func register(_ function: Function) {
        if function.name.hasPrefix("autodiff.") {
            define(
                RLUA_INTERNAL,
                Function(String(function.name.dropFirst(9)), function.arguments, function.doc, body: function.body))
            return
        }
        if !function.doc.summary.isEmpty { catalogue.add(function) }
        if let colon = function.name.firstIndex(of: ":") {
            let name = function.name[function.name.index(after: colon)...]
            addMethod(function, named: String(name), to: String(function.name[..<colon]))
            return
        }
        define(RLUA_RIFFLE, function)
        guard !function.name.contains("."), let first = function.arguments.first?.type else { return }
        switch first {
        case .tensor, .operand: addMethod(function, named: function.name, to: "tensor")
        default: break
        }
    }

    private func addMethod(_ function: Function, named name: String, to word: String) {
        guard let number = classesByWord[word] else { return }
        let isMethod = function.name.contains(":")
        let row = row(
            function, isMethod ? .method : .function, title: isMethod ? function.name : "riffle.\(function.name)")
        for (other, candidate) in classes.enumerated() where other == number || candidate.extends == word {
            // A field of a class hides a method of the class that it extends.
            if other != number, candidate.properties.contains(where: { $0.name == name }) { continue }
            rlua_class_set(state.pointer, Int32(other), RLUA_METHOD, name, row)
        }
        catalogue.addMember(name, of: word)
    }

    private func register(_ all: [ObjectClass]) {
        for entry in all {
            let isTensor = entry.word == "tensor"
            let number = rlua_class_new(state.pointer, entry.word, !isTensor, isTensor)
            classesByWord[entry.word] = Int(number)
            classes.append(entry)
            if isTensor { tensorClass = number }
            if entry.word == "parameter" { parameterClass = number }
            if !entry.doc.summary.isEmpty { catalogue.add(entry) }
        }
        for (number, entry) in classes.enumerated() {
            let number = Int32(number)
            for property in entry.properties {
                rlua_class_set(
                    state.pointer, number, RLUA_GETTER, property.name,
                    row(property.getter, .field, title: property.getter.name))
                if let setter = property.setter {
                    rlua_class_set(
                        state.pointer, number, RLUA_SETTER, property.name, row(setter, .field, title: setter.name))
                }
                catalogue.addMember(property.name, of: entry.word)
            }
            for (name, function) in entry.metamethods {
                let form: Binding.Form = function.name.contains("__") ? .open : .function
                rlua_class_set(state.pointer, number, RLUA_META, name, row(function, form, title: function.title))
            }
            rlua_class_set(state.pointer, number, RLUA_META, "__index", row(indexing(entry), .open, title: ""))
            rlua_class_set(state.pointer, number, RLUA_META, "__newindex", row(assigning(entry), .open, title: ""))
        }
        for entry in classes { for method in entry.methods { register(method) } }
    }

    /// The function for object[key] where neither a method nor a property has that name.
    private func indexing(_ entry: ObjectClass) -> Function {
        Function("index", [Argument("object", .object(entry.word)), Argument("key", .any, default: .none)], Doc("")) {
            [unowned self] arguments in
            let object = arguments[0].anyObject
            if let object, let found = try entry.index(object, arguments[1]) { return [found] }
            guard case .string(let name) = arguments[1] else {
                throw RiffleError(
                    "", "\(ArgumentType.object(entry.word).expected) cannot be indexed with \(arguments[1].described)")
            }
            let kind = entry.word.replacing("_", with: " ")
            throw RiffleError(
                "",
                "\(kind) has no method or field '\(name)'"
                    + Aliases.hint(for: name, among: self.catalogue.members(of: entry)))
        }
    }

    /// The function for object[key] = value where no property that can be set has that name.
    private func assigning(_ entry: ObjectClass) -> Function {
        let declared = [
            Argument("object", .object(entry.word)), Argument("key", .any, default: .none),
            Argument("value", .unread, default: .none),
        ]
        return Function("assign", declared, Doc("")) { [unowned self] arguments in
            let kind = entry.word.replacing("_", with: " ")
            let settable = entry.properties.filter { $0.setter != nil }.map(\.name)
            guard case .string(let name) = arguments[1] else {
                let way =
                    entry.word == "tensor"
                    ? "; tensors never change: riffle.where(mask, a, x) and riffle.cat make new ones" : ""
                throw RiffleError(
                    "", "[\(arguments[1].described)] of \(ArgumentType.object(entry.word).expected) cannot be set\(way)"
                )
            }
            guard !self.catalogue.members(of: entry).contains(name) else {
                throw RiffleError("", "'\(name)' of \(ArgumentType.object(entry.word).expected) cannot be set")
            }
            throw RiffleError(
                "", "\(kind) has no field '\(name)' that can be set" + Aliases.hint(for: name, among: settable))
        }
    }

    func isTensor(_ number: Int32) -> Bool { number == tensorClass || number == parameterClass }

    /// The number of an object's class, remembered for each Swift type.
    func classNumber(of object: AnyObject) -> Int32? {
        let type = ObjectIdentifier(type(of: object))
        if let number = classNumbers[type] { return number }
        guard let number = classes.firstIndex(where: { $0.contains(object) }) else { return nil }
        classNumbers[type] = Int32(number)
        return Int32(number)
    }

    // MARK: - Running

    /// Runs a chunk of Lua and returns its results.
    /// - Throws: `LuaError` with message and traceback.
    @discardableResult
    package func run(_ source: String, name: String) throws -> [Value] { try run(source.bytes, name: name) }

    /// - Parameter results: the number of results, -1 for all. Others are not converted.
    @discardableResult
    package func run(_ bytes: [UInt8], name: String, arguments: [Value] = [], results: Int = -1) throws -> [Value] {
        var outcome = rlua_outcome()
        rlua_begin(state.pointer, &outcome)
        defer { rlua_done(state.pointer, &outcome) }
        var message = rlua_value()
        let ref = bytes.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                rlua_load(state.pointer, $0.baseAddress, $0.count, name.systemName, &message)
            }
        }
        guard ref != 0 else { throw RiffleError("", message.text) }
        return try call(LuaReference(state: state, ref: ref), arguments, results: results)
    }

    /// Clears an interrupt after it has stopped a computation.
    func resumeAfterInterrupt() {
        Interrupt.clear()
        rlua_resume(state.pointer)
    }

    /// Calls a function of the registry.
    func call(_ function: LuaReference, _ arguments: [Value], results: Int) throws -> [Value] {
        var outcome = rlua_outcome()
        rlua_begin(state.pointer, &outcome)
        defer { rlua_done(state.pointer, &outcome) }
        rlua_call(state.pointer, function.ref, try write(arguments), arguments.count, Int32(results), &outcome)
        switch outcome.code {
        case RLUA_OK:
            return try (0..<outcome.count).map { index in
                do { return try value(&outcome.results[index]) } catch let error as Mismatch {
                    throw RiffleError("", "the function returned \(error.got)")
                }
            }
        case RLUA_RAISED:
            throw LuaError(
                reference: LuaReference(state: state, ref: outcome.error),
                description: catalogue.explained(rlua_error_text(state.pointer, outcome.error).text),
                traceback: rlua_traceback(state.pointer).text)
        default: throw RiffleError("", outcome.message.text)
        }
    }
}
