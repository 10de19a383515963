import RiffleNN
import RiffleTensor

/// A loss that takes the options of all losses beside its own.
package protocol LossWithOptions: SendableMetatype {
    var options: LossOptions { get set }
}

/// A loss of a student that learns from data alone where it has no teacher.
package protocol LossFromData: LossWithOptions {
    func callAsFunction(
        _ student: Network, _ teacher: Network?, _ data: Tensor, target: Network?, _ condition: Condition?
    ) throws -> Loss
}

/// A loss of a student that looks up to its teacher alone.
package protocol LossByTeacher: LossWithOptions {
    func callAsFunction(_ student: Network, _ teacher: Network, _ data: Tensor, _ condition: Condition?) throws -> Loss
}

/// A loss as callers know it: its name, what it is given, its options with their defaults, and how it is computed.
/// Every loss declares its own beside itself; `LossMethod.all` lists them.
package struct LossMethod: Sendable {
    package let name: String
    package private(set) var doc: Doc
    /// Networks and data first, then options.
    package let arguments: [Argument]
    private let compute: @Sendable (Arguments) throws -> Loss

    package func callAsFunction(_ arguments: Arguments) throws -> Loss { try compute(arguments) }

    /// - Parameters:
    ///   - usual: the loss with the defaults of its options.
    ///   - given: the networks and data that callers hand over.
    ///   - options: those of the loss itself.
    ///   - shared: those that it shares with other losses.
    ///   - doc: without the sentence on what is returned.
    ///   - compute: of the loss, with the caller's options, and what it is given.
    init<Method: LossWithOptions>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, given: [Argument], _ options: [Option<Method>],
        shared: [Option<LossOptions>], _ doc: Doc, compute: @escaping @Sendable (Method, Arguments) throws -> Loss
    ) {
        self.name = name
        self.doc = doc
        self.doc.summary += " Returns the loss and its parts."
        let path: WritableKeyPath<Method, LossOptions> & Sendable = \.options, all = options + shared.of(path)
        arguments = given + all.arguments(of: usual())
        self.compute = { arguments in try compute(all.read(arguments, into: usual()), arguments) }
    }

    package static let all: [LossMethod] =
        [LFMDLoss.method, ITVMLoss.method, TVMLoss.method, FMMLoss.method, EFMDLoss.method, AlphaFlowLoss.method]
        + SelfDistillationLoss.methods + MeanFlowLoss.methods + AYFLoss.methods
        + [
            PFMMLoss.method, ProgressiveLoss.method, ShortcutLoss.method, ConsistencyLoss.method,
            ConsistencyFMLoss.method,
        ]
        + [FGMLoss.method, FGMOnlineLoss.method, DMDLoss.method]
}

// MARK: - Students

extension LossMethod {
    /// What the loss of a student is given.
    struct Lesson {
        let student: Network
        let data: Tensor
        let target: Network?
        let condition: Condition?

        init(_ arguments: Arguments) {
            student = arguments.object("student")
            data = arguments.tensor("x")
            target = arguments.optionalObject("target")
            condition = arguments.condition("labels")
        }
    }

    /// A loss that needs a teacher.
    static func taught<Method: LossWithOptions>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, student: Argument = .student,
        target: Argument = .target,
        _ options: [Option<Method>], shared: [Option<LossOptions>] = LossOptions.all, _ doc: Doc,
        compute: @escaping @Sendable (Method, Lesson, _ teacher: Network) throws -> Loss
    ) -> LossMethod {
        LossMethod(
            name, usual, given: [student, .teacher, .data, target, .labels], options, shared: shared, doc.called(name)
        ) {
            try compute($0, Lesson($1), $1.object("teacher"))
        }
    }

    /// A loss that needs a teacher, and no target.
    static func taught<Method: LossByTeacher>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, student: Argument = .student,
        _ options: [Option<Method>], shared: [Option<LossOptions>] = LossOptions.all, _ doc: Doc
    ) -> LossMethod {
        taught(name, usual, student: student, target: .unusedTarget, options, shared: shared, doc) {
            try $0($1.student, $2, $1.data, $1.condition)
        }
    }

    /// A loss that learns from data alone where it has no teacher.
    static func fromData<Method: LossFromData>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, student: Argument = .student,
        target: Argument = .target, _ options: [Option<Method>], _ doc: Doc
    ) -> LossMethod {
        let given = [student, .optionalTeacher, .data, target, .labels]
        return LossMethod(name, usual, given: given, options, shared: LossOptions.all, doc.called(name)) {
            let lesson = Lesson($1)
            return try $0(
                lesson.student, $1.optionalObject("teacher"), lesson.data, target: lesson.target, lesson.condition)
        }
    }
}

// MARK: - Generators

extension LossMethod {
    /// An example that calls the loss of a generator.
    static func example(_ call: String) -> String {
        """
        > local teacher = riffle.nn.mlp { width = 32 }; local z = riffle.randn(8, 2)
        > riffle.flow.loss.\(call):shape()
        []
        """
    }
}

extension Argument {
    static let generator = Argument("generator", .object("network"), "z + v(z, 0), or with two times z + u(z, 0, 1)")
    static let online = Argument("online", .object("network"), "a velocity, that of the generator's own flow")
    static let generatorNoise = Argument("z", .tensor, "noise [n, ...] for the generator")
}

// MARK: - What students' losses are given

extension Doc {
    /// With an example that calls the loss of a student; what the doc has as its example stands behind the data.
    fileprivate func called(_ name: String) -> Doc {
        let call = "return riffle.flow.loss.\(name)(teacher:two_timed(), teacher, riffle.randn(8, 2)\(example)):shape()"
        var doc = self
        doc.example = "> local teacher = riffle.nn.mlp { width = 32 }; \(call)\n[]"
        return doc
    }
}

extension Argument {
    static let student = Argument("student", .object("network"), "takes two times: net:two_timed()")
    static let steppingStudent = Argument("student", .object("network"), "takes two times, or one")
    static let teacher = Argument("teacher", .object("network"), "a velocity")
    static let optionalTeacher = Argument(
        "teacher", .object("network"), "a velocity; nil to learn from the data alone", default: .none)
    package static let data = Argument("x", .tensor, "data [n, ...]")
    package static let labels = Argument(
        "labels", .tensors, "classes, int32 [n] from 1; or a text, { tokens, summary }", default: .none)
    static let target = Argument(
        "target", .object("network"), "what the student looks up to, usually its average; itself when not given",
        default: .none)
    static let standingTarget = Argument(
        "target", .object("network"),
        "what the student looks up to, usually its average; a teacher, where given, answers instead",
        default: .none)
    static let unusedTarget = Argument(
        "target", .object("network"), "not used, and taken so that one call serves every two-timed loss", default: .none
    )
}

extension Arguments {
    /// What an argument of labels or texts says.
    package func condition(_ name: String) -> Condition? { has(name) ? Condition(tensors(name)) : nil }
}

extension Doc.Part {
    static let initial = Doc.Part("initial", "u(x, s, s) against the teacher, where initial_weight is above 0")
    static let velocity = Doc.Part("velocity", "u(x, s, s) against the velocity, on the samples that learn it")
}

/// Summaries of options that several losses have.
extension String {
    static let initialFraction = "the part of the batch that the initial term takes"
    static let diagonal = "the part of the batch that learns the velocity, with t = s"
}

// MARK: - Options of all losses

extension LossOptions {
    package static let timing: [Option<LossOptions>] = TimeSampling.options.of(\.times)
    static let route = Option<LossOptions>("path", \.path, "from noise to data")
    static let labelDropout = Option<LossOptions>(
        "label_dropout", \.labelDropout, .fraction(0...1), "the part of the labels that is replaced by none")
    /// How samples are weighed.
    static let weighing = Option<LossOptions>(
        "weight", \.weight, .object("loss_weight"), "of each sample: a function(s, t), or learned: nn.loss_weight()")
    /// How residuals become numbers.
    static let measure: [Option<LossOptions>] = [
        Option(
            "huber", \.huber, .fraction(1e-12...1e12),
            "c of sqrt(r^2 + c^2) - c instead of r^2, r the root mean square of a sample's residual"),
        Option("adaptive", \.adaptivePower, .fraction(0...10), "p of the weight 1 / (r^2 + 0.001)^p, a constant"),
        weighing,
    ]
    /// The path, what is paired on it, and which labels are told.
    static let onPath = [route, Option("coupling", \.coupling, "of noise with data"), labelDropout]
    package static let all = timing + onPath + measure
    /// The noise that generated data are mixed with is independent of them.
    static let onGeneratedPath = [route, labelDropout]
}
