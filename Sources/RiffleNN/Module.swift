import RiffleTensor

/// A part of a network: parameters and smaller parts, each with a name.
///
/// A subclass keeps its parts in constants, lists them in `children`, `ownParameters` and `ownBuffers`, and makes a
/// blank twin of itself in `blank()`; names, counting, copying, loading and saving follow from those.
open class Module {
    /// Whether dropout acts. Averages and samplers evaluate without it.
    package var isTraining: Bool {
        get { trains }
        set {
            trains = newValue
            for child in children { child.module.isTraining = newValue }
        }
    }
    var trains = true
    /// Where this module is the average of a network: how often the average was updated.
    package internal(set) var updateCount: UpdateCount?
    /// Where this module is an adapted network: what it has of its own. The rest is the base's, which stands still.
    package internal(set) var adaptation: Adaptation?
    /// The layer that this module is, or has in itself under its own name, and that adapters can change.
    var adaptable: (any AdaptableLayer)? { nil }

    public init() {}

    /// Parts in order, by name.
    open var children: [(name: String, module: Module)] { [] }
    /// Parameters that belong to no part, by name.
    open var ownParameters: [NamedParameter] { [] }
    /// Numbers that files hold and training leaves alone, such as fixed positions, by name: parameters always frozen.
    open var ownBuffers: [NamedParameter] { [] }
    /// Names that some files hold beside, and that mean nothing here.
    package var namesWithoutUse: Set<String> { [] }
    /// What older files call parts, by the parts' names.
    package var olderNames: [String: String] { [:] }
    /// The word that describes the kind, such as `linear`.
    open var kind: String { "module" }
    /// The module's sizes in words, for its description.
    open var summary: String { "" }
    /// How the module computes where that is not usual, such as `bf16`; for its description.
    open var settings: String { "" }

    /// A module of the same form with parameters of its own, whose values don't matter.
    open func blank() throws -> Module { throw RiffleError("copy", "a \(kind) cannot be copied") }

    /// Takes over what is neither a parameter nor part of the form from a module of the same form.
    open func takeSettings(of twin: Module) {}

    /// How many of the tensors behind the first are times, for which callers may give a number.
    open var times: Int { 0 }
    /// How many tensors `forward` takes.
    open var arity: ClosedRange<Int> { 1...1 }

    /// The module's function, for modules that take plain tensors.
    open func forward(_ inputs: [Tensor]) throws -> Tensor { throw RiffleError(kind, "this module cannot be called") }

    /// Every parameter, depth first, with its full name.
    package var parameters: [NamedParameter] {
        ownParameters + children.flatMap { child in child.module.parameters.map { $0.within(child.name) } }
    }

    /// What files hold: every parameter and buffer, depth first, with its full name.
    package var entries: [NamedParameter] {
        ownParameters + ownBuffers
            + children.flatMap { child in
                child.module.entries.map { $0.within(child.name, older: olderNames[child.name]) }
            }
    }

    /// How many numbers the parameters hold; a parameter that occurs twice counts once.
    package var count: Int {
        var known: Set<ObjectIdentifier> = []
        return parameters.reduce(0) {
            known.insert(ObjectIdentifier($1.parameter)).inserted ? $0 + $1.parameter.shape.count : $0
        }
    }

    /// A copy with parameters of its own. The two share memory until the parameters of one change.
    /// - Parameter trainable: whether the copy takes gradients; the base under adapters never does.
    package func copied(trainable: Bool = true) throws -> Module {
        let copy = try withoutNumbers { try blank() }
        try copy.takeAdapters(of: self)
        for (from, to) in zip(entries, copy.entries) { try to.parameter.share(from.parameter) }
        for named in copy.parameters { named.parameter.isTrainable = trainable }
        copy.isTraining = trainable && isTraining
        for (from, to) in zip(everyModule, copy.everyModule) {
            to.adaptation = from.adaptation
            to.takeSettings(of: from)
        }
        copy.freezeBases()
        return copy
    }

    /// The full name of a part at any depth, empty for the module itself; nil for what is no part.
    package func name(of part: Module) -> String? {
        if part === self { return "" }
        for child in children {
            if let name = child.module.name(of: part) { return name.isEmpty ? child.name : "\(child.name).\(name)" }
        }
        return nil
    }

    /// This module and all its parts.
    final var everyModule: [Module] { [self] + children.flatMap(\.module.everyModule) }

    /// Has every parameter and buffer keep its numbers as another type. What is kept as bfloat16 takes half the memory
    /// and stands still: gradients pass through the module to its inputs and its adapters alone.
    package func store(as dtype: DType) throws {
        for entry in entries { try entry.parameter.store(as: dtype) }
    }

    /// Runs `body` with every parameter frozen: gradients pass through the module to its inputs alone.
    package func frozen<Result>(_ body: () throws -> Result) rethrows -> Result {
        let thawed = parameters.map(\.parameter).filter(\.isTrainable)
        for parameter in thawed { parameter.isTrainable = false }
        defer { for parameter in thawed { parameter.isTrainable = true } }
        return try body()
    }

    /// Runs `body`; an error from inside gets this module's name into its path.
    package func named<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as RiffleError {
            throw error.within(name)
        }
    }

    /// Runs `body` with dropout off.
    package func evaluating<Result>(_ body: () throws -> Result) rethrows -> Result { try training([], body) }

    /// Runs `body` with dropout in some of this module and its parts alone.
    func training<Result>(_ some: [Module], _ body: () throws -> Result) rethrows -> Result {
        let before = everyModule.filter(\.isTraining)
        func set(_ modules: [Module]) {
            isTraining = false
            for module in modules { module.trains = true }
        }
        set(some)
        defer { set(before) }
        return try body()
    }
}

/// A parameter with its name and the way that files lay it out.
public struct NamedParameter {
    package enum Layout: Sendable {
        case plain
        /// [out, height, width, in] here, [out, in, height, width] in files, as PyTorch has it.
        case convolution
        /// [out, in] here, [out, in, 1] in files: a convolution over positions of width 1.
        case pointwise

        func inFile(_ s: Shape) -> Shape {
            switch self {
            case .plain: s
            case .convolution: [s[0], s[3], s[1], s[2]]
            case .pointwise: [s[0], s[1], 1]
            }
        }

        func toFile(_ x: Tensor) throws -> Tensor {
            self == .convolution ? try x.permuted([0, 3, 1, 2]) : try x.reshaped(to: inFile(x.shape))
        }

        func fromFile(_ x: Tensor) throws -> Tensor {
            switch self {
            case .plain: x
            case .convolution: try x.permuted([0, 2, 3, 1])
            case .pointwise: try x.reshaped(to: [x.shape[0], x.shape[1]])
            }
        }
    }

    package let name: String
    package let parameter: Parameter
    package let layout: Layout
    /// Whether files may lack it, which leaves the value as it is.
    let isOptional: Bool
    /// The name in older files, where that is another one.
    private let olderName: String?

    package init(_ name: String, _ parameter: Parameter, _ layout: Layout = .plain, isOptional: Bool = false) {
        self.init(name, older: nil, parameter, layout, isOptional)
    }

    private init(
        _ name: String, older olderName: String?, _ parameter: Parameter, _ layout: Layout, _ isOptional: Bool
    ) {
        self.name = name
        self.olderName = olderName
        self.parameter = parameter
        self.layout = layout
        self.isOptional = isOptional
    }

    /// - Parameter older: the parent's name in older files, where that is another one.
    func within(_ parent: String, older: String? = nil) -> NamedParameter {
        let isRenamed = older != nil || olderName != nil
        return NamedParameter(
            "\(parent).\(name)", older: isRenamed ? "\(older ?? parent).\(olderName ?? name)" : nil, parameter, layout,
            isOptional)
    }

    /// The entry under the name that a file with these names has for it.
    fileprivate func named(as names: some Collection<String>) -> NamedParameter {
        guard let olderName, !names.contains(name), names.contains(olderName) else { return self }
        return NamedParameter(olderName, older: nil, parameter, layout, isOptional)
    }

    /// The parameter's value from a file's tensor.
    func value(in file: Tensor) throws -> Tensor { try layout.fromFile(file.converted(to: parameter.dtype)) }

    /// The parameter's shape in files.
    package var fileShape: Shape { layout.inFile(parameter.shape) }
}

// MARK: - States

extension Module {
    /// The value of every parameter and buffer that files hold under its name, in the layout of files.
    package func state() throws -> [(name: String, tensor: Tensor)] {
        try withoutGradient {
            try keptEntries.map { ($0.name, try $0.layout.toFile($0.parameter.value)) }
        }
    }

    /// Sets every parameter and buffer from a state in the layout of files; all of them or none.
    /// - Parameter strict: whether missing and unexpected names are errors. Shapes always have to agree.
    /// - Returns: the names that were missing and those that were unexpected.
    /// - Throws: `RiffleError` that lists missing, unexpected and mis-shaped names.
    @discardableResult
    package func load(
        shapes: [String: Shape], strict: Bool = true, tensor: (String) throws -> Tensor
    ) throws -> (missing: [String], unexpected: [String]) {
        let (missing, unexpected, load) = try loading(shapes: shapes, strict: strict, tensor: tensor)
        try load()
        return (missing, unexpected)
    }

    /// Checks what `load` checks and reads all tensors, and changes nothing.
    /// - Returns: the names that were missing and unexpected, and what sets the parameters and buffers.
    func loading(shapes: [String: Shape], strict: Bool, tensor: (String) throws -> Tensor) throws
        -> (missing: [String], unexpected: [String], load: () throws -> Void)
    {
        let (missing, unexpected) = try checkNames(shapes, strict: strict)
        let values = try withoutGradient {
            try keptEntries(as: shapes).filter { shapes[$0.name] != nil }
                .map { ($0, try $0.value(in: tensor($0.name))) }
        }
        return (
            missing, unexpected,
            { [self] in
                for (entry, value) in values { try entry.parameter.assign(value) }
                if let entry = keptEntries.first(where: { !$0.parameter.hasNumbers }) {
                    throw RiffleError("load", "\(entry.name) was made without numbers, and nothing gave it some")
                }
            }
        )
    }

    /// What a file keeps, under the names that a file with these tensors has for it.
    private func keptEntries(as shapes: [String: Shape]) -> [NamedParameter] {
        keptEntries.map { $0.named(as: shapes.keys) }
    }

    /// - Returns: the names that are missing and unexpected.
    /// - Throws: `RiffleError` that lists these, where `strict`, and names of another shape.
    @discardableResult
    package func checkNames(_ shapes: [String: Shape], strict: Bool) throws -> (missing: [String], unexpected: [String])
    {
        let named = keptEntries(as: shapes)
        let missing = named.filter { !$0.isOptional && shapes[$0.name] == nil }.map(\.name)
        let unexpected = Set(shapes.keys).subtracting(named.map(\.name)).subtracting(namesWithoutUse).sorted()
        let misshaped = named.compactMap { entry -> String? in
            guard let shape = shapes[entry.name], shape != entry.fileShape else { return nil }
            return "\(entry.name) is \(shape), not \(entry.fileShape)"
        }
        var complaints: [String] = []
        if strict, !missing.isEmpty { complaints.append("missing: \(Module.listed(missing))") }
        if strict, !unexpected.isEmpty { complaints.append("unexpected: \(Module.listed(unexpected))") }
        if !misshaped.isEmpty { complaints.append("of another shape: \(Module.listed(misshaped))") }
        guard complaints.isEmpty else { throw RiffleError("load", complaints.joined(separator: "; ")) }
        return (missing, unexpected)
    }

    private static func listed(_ names: [String]) -> String {
        let shown = names.prefix(6).joined(separator: ", ")
        return names.count > 6 ? "\(shown) and \(names.count - 6) more" : shown
    }
}

extension Module: CustomStringConvertible {
    /// Kind, sizes and number of parameters, then the parts.
    public var description: String {
        let parts = children.map { name, module in
            // A part without sizes shows its number of parameters instead.
            "\n  \(name): \(module.head)" + (module.summary.isEmpty ? ", \(module.counted)" : "")
        }
        return "\(head)\(settings.isEmpty ? "" : ", \(settings)"), \(counted)" + parts.joined()
    }

    private var head: String { kind + (summary.isEmpty ? "" : " \(summary)") }
    private var counted: String { "\(grouped(count)) parameters" }

    private func grouped(_ number: Int) -> String {
        let digits = Array(String(number))
        return digits.enumerated().map { index, digit in
            (digits.count - index) % 3 == 0 && index > 0 ? ",\(digit)" : String(digit)
        }.joined()
    }
}
