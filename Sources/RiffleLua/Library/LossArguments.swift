import RiffleFlow
import RiffleNN
import RiffleTensor

/// What every loss takes from Lua, declared and read in one place.
enum LossArguments {
    static let student = Argument("student", .object("network"), "takes two times: net:two_timed()")
    static let steppingStudent = Argument("student", .object("network"), "takes two times, or one")
    static let teacher = Argument("teacher", .object("network"), "a velocity")
    static let optionalTeacher = Argument("teacher", .object("network"), "a velocity; nil to learn from the data alone", default: .none)
    static let data = Argument("x", .tensor, "data [n, ...]")
    static let noise = Argument("z", .tensor, "noise [n, ...] for the generator")
    static let target = Argument("target", .object("network"), "what the student looks up to, usually its average; itself when not given", default: .none)
    static let standingTarget = Argument("target", .object("network"), "what the student looks up to, usually its average; a teacher, where given, answers instead", default: .none)
    static let unusedTarget = Argument("target", .object("network"), "not used, and taken so that one call serves every two-timed loss", default: .none)
    static let labels = Argument("labels", .tensors, "classes, int32 [n] from 1; or a text, { tokens, summary }", default: .none)
    static func diagonal(_ part: Double) -> Argument {
        Argument("diagonal", .fraction(0...1), "the part of the batch that learns the velocity, with t = s", default: .number(part))
    }

    static let initialPart = Doc.Part("initial", "u(x, s, s) against the teacher, where initial_weight is above 0")
    static let velocityPart = Doc.Part("velocity", "u(x, s, s) against the velocity, on the samples that learn it")

    /// How times are drawn.
    static func timing(_ usual: String = "uniform") -> [Argument] {
        [
            Argument("times", .choice(TimeSampling.names), "how times are drawn", default: .string(usual)),
            Argument("time_mean", .finite, "of the normal number behind logit_normal", default: .number(0)),
            Argument("time_std", .positive, default: .number(1)),
        ]
    }

    /// The path, what is paired on it, and which labels are told.
    static let path = [
        route, Argument("coupling", .choice(Coupling.allCases.map(\.rawValue)), "of noise with data", default: .string("independent")),
        labelDropout,
    ]
    static let route = Argument("path", .choice(Path.allCases.map(\.rawValue)), "from noise to data", default: .string("linear"))
    static let labelDropout = Argument("label_dropout", .fraction(0...1), "the part of the labels that is replaced by none", default: .number(0))

    static let weight = Argument("weight", .object("loss_weight"), "of each sample: a function(s, t), or learned: nn.loss_weight()", default: .none)

    /// How residuals become numbers.
    static func measure(adaptive: Double = 0) -> [Argument] {
        [
            Argument("huber", .fraction(1e-12...1e12), "c of sqrt(r^2 + c^2) - c instead of r^2, r the root mean square of a sample's residual", default: .none),
            Argument("adaptive", .fraction(0...10), "p of the weight 1 / (r^2 + 0.001)^p, a constant", default: .number(adaptive)), weight,
        ]
    }

    /// The options of most losses, with the method's own defaults.
    static func shared(times: String = "uniform", adaptive: Double = 0) -> [Argument] { timing(times) + path + measure(adaptive: adaptive) }

    /// Reads what a loss declares of these options.
    static func options(_ arguments: Arguments) throws -> LossOptions {
        var options = LossOptions()
        if arguments.declares("times") { options.times = try times(arguments) }
        if arguments.declares("path") { options.path = Path(rawValue: arguments.string("path")) ?? .linear }
        if arguments.declares("coupling") { options.coupling = Coupling(rawValue: arguments.string("coupling")) ?? .independent }
        options.labelDropout = arguments.number("label_dropout")
        options.weight = arguments.optionalObject("weight")
        if arguments.declares("huber") {
            options.norm = arguments.optionalNumber("huber").map { .huber($0) } ?? .square
            options.adaptivePower = arguments.number("adaptive")
        }
        return options
    }

    static func times(_ arguments: Arguments) throws -> TimeSampling {
        let isNormal = arguments.string("times") == "logit_normal"
        guard isNormal || arguments.number("time_mean") == 0 && arguments.number("time_std") == 1 else {
            throw RiffleError("", "time_mean and time_std are of times = 'logit_normal', got '\(arguments.string("times"))'")
        }
        return TimeSampling(name: arguments.string("times"), mean: arguments.number("time_mean"), deviation: arguments.number("time_std")) ?? .uniform
    }

    static func condition(_ arguments: Arguments, _ name: String = "labels") -> Condition? {
        arguments.has(name) ? Condition(arguments.tensors(name)) : nil
    }

    static func values(_ loss: Loss) -> [Value] {
        [.tensor(loss.total), .table(Dictionary(loss.parts.map { ($0.name, Value.number($0.value)) }, uniquingKeysWith: { first, _ in first }))]
    }
}
