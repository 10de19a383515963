import RiffleFlow
import RiffleTensor

/// How a script asks for a solver: a method with a grid of times, or the adaptive one with tolerances.
struct SolverArguments {
    enum Choice {
        case grid(FixedStepMethod, [Double])
        /// Where times are given, from the first of them to the last.
        case adaptive(DormandPrince, from: Double, to: Double, at: [Double]?)
    }

    private static let adaptive = "dopri5"
    /// What is taken where the script names no tolerances.
    private static let usual = DormandPrince()
    /// The method of a grid for which the script names none.
    static let usualMethod = FixedStepMethod.heun

    static let methods = ArgumentType.choice(FixedStepMethod.allCases.map(\.rawValue) + [adaptive])
    static let steps = Argument("steps", .integer(1...1_000_000), "equal steps", default: .none)
    static let tolerances = [
        Argument(
            "rtol", .positive, "of dopri5; \(riffleFormat(usual.relativeTolerance)) when not given", default: .none),
        Argument(
            "atol", .positive, "of dopri5; \(riffleFormat(usual.absoluteTolerance)) when not given", default: .none),
        Argument(
            "max_steps", .integer(1...Int.max), "of dopri5; \(usual.maximumSteps) when not given", default: .none),
    ]

    let choice: Choice

    /// Reads `method` (where none is named: heun for a grid, else dopri5), `steps`, `times`, `rtol`, `atol` and
    /// `max_steps`, and `from` and `to` where the function declares them. A function that declares `from` and `to`
    /// returns states on the way, so that it takes times for dopri5.
    /// - Parameters:
    ///   - operation: the function's name, for messages.
    ///   - from: the first time, where the script names none.
    ///   - to: the last time, where the script names none.
    /// - Throws: `RiffleError` for options that do not go together.
    init(_ arguments: Arguments, _ operation: String, from: Double, to: Double) throws {
        let ends = ["from", "to"].filter(arguments.declares)
        let from = ends.isEmpty ? from : arguments.optionalNumber("from") ?? from
        let to = ends.isEmpty ? to : arguments.optionalNumber("to") ?? to
        if arguments.has("times") {
            try arguments.refuse(ends, operation, "does not go with times, which say where to start and end")
        }
        let hasGrid = arguments.has("steps") || arguments.has("times")
        let name =
            arguments.optionalString("method") ?? (hasGrid ? Self.usualMethod.rawValue : Self.adaptive)
        if let method = FixedStepMethod(rawValue: name) {
            try arguments.refuse(
                Self.tolerances.map(\.name), operation, "is for dopri5 alone; \(name) takes steps or times")
            choice = .grid(method, try Self.grid(arguments, operation, from: from, to: to))
        } else {
            let usable = ends.isEmpty ? ["rtol", "atol"] : ["times", "from", "to", "rtol", "atol"]
            try arguments.refuse(
                ends.isEmpty ? ["steps", "times"] : ["steps"], operation,
                "is not for dopri5, which finds its own steps; give \(usable.joined(separator: ", "))")
            let times = arguments.has("times") ? arguments.numbers("times") : nil
            choice = .adaptive(Self.adaptive(arguments), from: from, to: to, at: times)
        }
    }

    private static func adaptive(_ arguments: Arguments) -> DormandPrince {
        var method = usual
        if let tolerance = arguments.optionalNumber("rtol") { method.relativeTolerance = tolerance }
        if let tolerance = arguments.optionalNumber("atol") { method.absoluteTolerance = tolerance }
        if let steps = arguments.optionalInteger("max_steps") { method.maximumSteps = steps }
        return method
    }

    /// The grid of `steps` or `times`, one of which has to be given.
    static func grid(_ arguments: Arguments, _ operation: String, from: Double = 0, to: Double = 1) throws -> [Double] {
        guard arguments.has("steps") != arguments.has("times") else {
            throw RiffleError(
                operation, "give steps or times, \(arguments.has("steps") ? "not both" : "one of the two")")
        }
        if let count = arguments.optionalInteger("steps") { return evenGrid(from: from, to: to, steps: count) }
        return arguments.numbers("times")
    }
}

extension Arguments {
    /// - Throws: `RiffleError` that names the first of the arguments that was given, and says why it cannot be.
    fileprivate func refuse(_ names: [String], _ operation: String, _ reason: String) throws {
        if let name = names.first(where: { has($0) }) { throw RiffleError(operation, "\(name) \(reason)") }
    }
}

extension SolverReport {
    /// As scripts see it.
    var fields: [String: Value] {
        ["nfe": .integer(evaluations), "times": .list(times.map(Value.number)), "rejected": .integer(rejected)]
    }
}
