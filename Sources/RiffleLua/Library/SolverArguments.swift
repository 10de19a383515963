import RiffleFlow
import RiffleTensor

/// How a script asks for a solver: a method with a grid of times, or an adaptive one with tolerances.
struct SolverArguments {
    enum Choice {
        case grid(FixedStepMethod, [Double])
        /// Where times are given, from the first of them to the last.
        case adaptive(DormandPrince, from: Double, to: Double, at: [Double]?)
    }

    static let methods = ArgumentType.choice(FixedStepMethod.allCases.map(\.rawValue) + ["dopri5"])
    static let steps = Argument("steps", .integer(1...1_000_000), "equal steps", default: .none)
    static let tolerances = [
        Argument("rtol", .positive, "of dopri5; 1e-5 when not given", default: .none),
        Argument("atol", .positive, "likewise", default: .none),
        Argument("max_steps", .integer(1...Int.max), "of dopri5; 10000 when not given", default: .none),
    ]

    let choice: Choice

    /// Reads `method` (where none is named: heun for a grid, else dopri5), `steps`, `times`, `rtol`, `atol` and
    /// `max_steps`, and `from` and `to` where the function declares them. A function that does tells states on the way,
    /// so that it takes times for dopri5.
    /// - Parameters:
    ///   - operation: the function's name, for messages.
    ///   - from: the first time, where the script names none.
    ///   - to: the last time, likewise.
    /// - Throws: `RiffleError` for options that do not go together.
    init(_ arguments: Arguments, _ operation: String, from: Double, to: Double) throws {
        let ends = ["from", "to"].filter(arguments.declares)
        func refuse(_ names: [String], _ why: String) throws {
            if let name = names.first(where: { arguments.has($0) }) { throw RiffleError(operation, "\(name) \(why)") }
        }
        let from = ends.isEmpty ? from : arguments.optionalNumber("from") ?? from
        let to = ends.isEmpty ? to : arguments.optionalNumber("to") ?? to
        let name =
            arguments.has("method")
            ? arguments.string("method") : arguments.has("steps") || arguments.has("times") ? "heun" : "dopri5"
        if arguments.has("times") { try refuse(ends, "does not go with times, which say where to start and end") }
        guard let method = FixedStepMethod(rawValue: name) else {
            let usable = ends.isEmpty ? ["rtol", "atol"] : ["times", "from", "to", "rtol", "atol"]
            try refuse(
                ends.isEmpty ? ["steps", "times"] : ["steps"],
                "is not for dopri5, which finds its own steps; give \(usable.joined(separator: ", "))")
            let method = DormandPrince(
                relativeTolerance: arguments.optionalNumber("rtol") ?? 1e-5,
                absoluteTolerance: arguments.optionalNumber("atol") ?? 1e-5,
                maximumSteps: arguments.optionalInteger("max_steps") ?? 10_000)
            let times = arguments.has("times") ? arguments.numbers("times") : nil
            choice = .adaptive(method, from: from, to: to, at: times)
            return
        }
        try refuse(["rtol", "atol", "max_steps"], "is for dopri5 alone; \(method.rawValue) takes steps or times")
        choice = .grid(method, try SolverArguments.grid(arguments, operation, from: from, to: to))
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

extension SolverReport {
    /// As scripts see it.
    var fields: [String: Value] {
        ["nfe": .integer(evaluations), "times": .list(times.map(Value.number)), "rejected": .integer(rejected)]
    }
}
