import RiffleFlow
import RiffleNN
import RiffleTensor

/// Teachers, students and samples: flow matching, distillation and solvers.
enum FlowLibrary {
    private static let student = Argument("student", .object("network"), "takes two times: net:two_timed()")
    private static let teacher = Argument("teacher", .object("network"), "a velocity")
    private static let data = Argument("x", .tensor, "data [n, ...]")
    private static let labels = Argument("labels", .tensor, "int32 [n], from 1", default: .none)
    private static let timeArguments = [
        Argument("times", .choice(TimeSampling.names), "how times are drawn", default: .string("uniform")),
        Argument("time_mean", .number, "of the normal number behind logit_normal", default: .number(0)),
        Argument("time_std", .positive, default: .number(1)),
    ]
    private static let initialArguments = [
        Argument("initial_fraction", .fraction(0...1), "the part of the batch that the initial term takes", default: .number(0.25))
    ]

    static let functions: [Function] = [
        Function(
            "flow.matching_loss", [Argument("net", .object("network")), data, labels] + timeArguments,
            Doc("The flow-matching loss of a velocity network: noise at time 0, data at 1, a straight path between.", formula: "L = E |v(x_t, t) - (x1 - x0)|^2, x_t = (1 - t) x0 + t x1", example: "> riffle.flow.matching_loss(riffle.nn.mlp { width = 32 }, riffle.randn(8, 2)):shape()\n[]", source: "Lipman et al. 2022; Liu et al. 2022")
        ) { arguments in
            let loss = try MatchingLoss(times: times(arguments, from: 3))(
                arguments.object(0), arguments.tensor(1), labels: arguments.optionalTensor(2))
            return [.tensor(loss.total)]
        },
        Function(
            "flow.loss.lfmd", [
                student, teacher, data,
                Argument("target", .object("network"), "not used, and taken so that one call serves every two-timed loss", default: .none),
                labels,
                Argument("gradient", .choice(LFMDLoss.Gradient.allCases.map(\.rawValue)), "full also goes through the teacher's input", default: .string("semi")),
                Argument("initial_weight", .nonNegative, "of |u(x, s, s) - v_s(x)|^2", default: .number(0)),
            ] + initialArguments + timeArguments,
            Doc("Lagrangian flow map distillation, with the exact derivative in t. Returns the loss and its parts.", formula: "L = E |d/dt phi(t) - v_t(phi(t))|^2, phi(t) = x_s + (t - s) u(x_s, s, t)", example: exampleOf("lfmd"), source: "Boffi, Albergo and Vanden-Eijnden 2024, 2406.07507")
        ) { arguments in
            var loss = LFMDLoss()
            loss.gradient = LFMDLoss.Gradient(rawValue: arguments.string(5)) ?? .semi
            (loss.initialWeight, loss.initialFraction) = (arguments.number(6), arguments.number(7))
            loss.times = times(arguments, from: 8)
            return values(try loss(arguments.object(0), arguments.object(1), arguments.tensor(2), labels: arguments.optionalTensor(4)))
        },
        Function(
            "flow.loss.itvm", [
                student, teacher, data,
                Argument("target", .object("network"), "what the student looks up to, usually its average; itself when not given", default: .none),
                labels,
                Argument("terminal", .choice(ITVMLoss.Terminal.allCases.map(\.rawValue)), "the form of the terminal term", default: .string("lagged_quotient")),
                Argument("last_step", .choice(["euler", "midpoint", "heun"]), "how the teacher goes the last part", default: .string("heun")),
                Argument("offset", .positive, "the length of the last part", default: .number(0.1)),
                Argument("relative", .boolean, "whether the offset is a part of t - s", default: .boolean(false)),
                Argument("initial_weight", .nonNegative, default: .number(1)),
                Argument("terminal_weight", .nonNegative, default: .number(1)),
            ] + initialArguments + timeArguments,
            Doc("Initial/terminal velocity matching: both ends of a jump, no derivative. Returns the loss and its parts.", formula: "L = E |u(x_s, s, s) - v_s(x_s)|^2 + E |(phi(t) - phi(t')) / (t - t') - w|^2 (lagged_quotient)", example: exampleOf("itvm"), source: "Khungurn et al. 2025, 2505.01169; the forms of the terminal term are explained in docs/methods.md")
        ) { arguments in
            var loss = ITVMLoss()
            loss.terminal = ITVMLoss.Terminal(rawValue: arguments.string(5)) ?? .laggedQuotient
            loss.lastStep = FixedStepMethod(rawValue: arguments.string(6)) ?? .heun
            (loss.offset, loss.isOffsetRelative) = (arguments.number(7), arguments.boolean(8))
            (loss.initialWeight, loss.terminalWeight) = (arguments.number(9), arguments.number(10))
            guard loss.initialWeight + loss.terminalWeight > 0 else { throw RiffleError("itvm", "initial_weight and terminal_weight are both zero") }
            guard !loss.isOffsetRelative || loss.offset <= 1 else { throw RiffleError("itvm", "a relative offset is at most 1, got \(riffleFormat(loss.offset))") }
            loss.initialFraction = arguments.number(11)
            loss.times = times(arguments, from: 12)
            let result = try loss(
                arguments.object(0), arguments.object(1), arguments.tensor(2), target: arguments.optionalObject(3),
                labels: arguments.optionalTensor(4))
            return values(result)
        },
        Function(
            "flow.ode", [
                Argument("net", .object("network")), Argument("x", .tensor, "where it starts: noise, for samples [n, ...]"),
                Argument("method", .choice(FixedStepMethod.allCases.map(\.rawValue) + ["dopri5"]), default: .string("heun")),
                Argument("steps", .integer(1...1_000_000), "equal steps", default: .none),
                Argument("times", .list(.number), "the grid instead, from the first time to the last, up or down", default: .none),
                Argument("from", .number, "the first time, without a grid", default: .none),
                Argument("to", .number, "the last time, without a grid", default: .none),
                Argument("rtol", .positive, "of dopri5; 1e-5 when not given", default: .none), Argument("atol", .positive, "likewise", default: .none),
                Argument("max_steps", .integer(1...Int.max), "of dopri5; 10000 when not given", default: .none), labels,
            ],
            Doc("Follows the velocity of a network from noise at 0 to data at 1. Returns x and { nfe, times, rejected }.", formula: "dx/dt = v(x, t)", example: "> local x, info = riffle.flow.ode(riffle.nn.mlp { width = 32 }, riffle.randn(4, 2), { method = \"heun\", steps = 5 }); return info.nfe\n10", source: "dopri5: Dormand and Prince 1980")
        ) { try ode($0) },
        Function(
            "flow.jump", [
                Argument("net", .object("network"), "takes two times"), Argument("x", .tensor, "noise, for samples [n, ...]"),
                Argument("steps", .integer(1...1_000_000), "equal jumps from 0 to 1", default: .none),
                Argument("times", .list(.number), "the grid instead, up or down", default: .none), labels,
            ],
            Doc("Jumps with a two-timed network, one evaluation a jump. Returns x and { nfe, times }.", formula: "x <- x + (t - s) u(x, s, t)", example: "> riffle.flow.jump(riffle.nn.mlp { width = 32 }:two_timed(), riffle.randn(4, 2), { steps = 2 }):shape()\n[4, 2]")
        ) { arguments in
            let (x, report) = try Sampler.jump(
                arguments.object(0), arguments.tensor(1), along: grid(arguments, "flow.jump", steps: 2, times: 3),
                labels: arguments.optionalTensor(4))
            return [.tensor(x), info(report)]
        },
        Function(
            "flow.times", [Argument("n", .integer(1...1 << 40))] + timeArguments,
            Doc("Training times in [0, 1], drawn as asked.", example: "> riffle.flow.times(3, { times = \"skewed\" }):shape()\n[3]")
        ) { [.tensor(try times($0, from: 1).sample($0.integer(0)))] },
    ]

    static let classes: [ObjectClass] = []

    private static func exampleOf(_ loss: String) -> String {
        "> local teacher = riffle.nn.mlp { width = 32 }; return riffle.flow.loss.\(loss)(teacher:two_timed(), teacher, riffle.randn(8, 2)):shape()\n[]"
    }

    private static func times(_ arguments: Arguments, from place: Int) -> TimeSampling {
        TimeSampling(name: arguments.string(place), mean: arguments.number(place + 1), deviation: arguments.number(place + 2)) ?? .uniform
    }

    private static func values(_ loss: Loss) -> [Value] {
        [.tensor(loss.total), .table(Dictionary(loss.parts.map { ($0.name, Value.number($0.value)) }, uniquingKeysWith: { first, _ in first }))]
    }

    private static func info(_ report: SolverReport) -> Value {
        .table([
            "nfe": .integer(report.evaluations), "times": .list(report.times.map(Value.number)), "rejected": .integer(report.rejected),
        ])
    }

    /// The grid that was asked for, in the one way or the other.
    private static func grid(_ arguments: Arguments, _ name: String, steps: Int, times: Int, from: Double = 0, to: Double = 1) throws -> [Double] {
        guard arguments.has(steps) != arguments.has(times) else {
            throw RiffleError(name, "give steps or times, \(arguments.has(steps) ? "not both" : "one of the two")")
        }
        if let count = arguments.optionalInteger(steps) { return evenGrid(from: from, to: to, steps: count) }
        return arguments.list(times).map { Arguments([$0]).number(0) }
    }

    private static func ode(_ arguments: Arguments) throws -> [Value] {
        let (network, x, labels) = (arguments.object(0, as: Network.self), arguments.tensor(1), arguments.optionalTensor(10))
        let (from, to) = (arguments.optionalNumber(5) ?? 0, arguments.optionalNumber(6) ?? 1)
        func refuse(_ places: [Int], _ names: [String], _ why: String) throws {
            if let place = places.indices.first(where: { arguments.has(places[$0]) }) { throw RiffleError("flow.ode", "\(names[place]) \(why)") }
        }
        guard let method = FixedStepMethod(rawValue: arguments.string(2)) else {
            try refuse([3, 4], ["steps", "times"], "is not for dopri5, which finds its own steps; give from and to, rtol and atol")
            let method = DormandPrince(
                relativeTolerance: arguments.optionalNumber(7) ?? 1e-5, absoluteTolerance: arguments.optionalNumber(8) ?? 1e-5,
                maximumSteps: arguments.optionalInteger(9) ?? 10_000)
            let (result, report) = try Sampler.ode(network, x, from: from, to: to, method, labels: labels)
            return [.tensor(result), info(report)]
        }
        try refuse([7, 8, 9], ["rtol", "atol", "max_steps"], "is for dopri5 alone; \(method.rawValue) takes steps or times")
        if arguments.has(4) { try refuse([5, 6], ["from", "to"], "does not go with times, which say where to start and end") }
        let grid = try grid(arguments, "flow.ode", steps: 3, times: 4, from: from, to: to)
        let (result, report) = try Sampler.ode(network, x, along: grid, method, labels: labels)
        return [.tensor(result), info(report)]
    }
}
