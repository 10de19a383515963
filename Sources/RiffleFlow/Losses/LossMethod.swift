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

/// A loss of a student that needs a teacher and has no target.
package protocol LossByTeacher: LossWithOptions {
    func callAsFunction(_ student: Network, _ teacher: Network, _ data: Tensor, _ condition: Condition?) throws -> Loss
}

/// A loss as callers see it: its name, its arguments, its options with their defaults, and the function that computes
/// it. Every loss declares its method in its own file; `LossMethod.all` lists the methods.
package struct LossMethod: Sendable {
    package let name: String
    package private(set) var doc: Doc
    /// Networks and data first, then options.
    package let arguments: [Argument]
    private let compute: @Sendable (Arguments) throws -> Loss

    package func callAsFunction(_ arguments: Arguments) throws -> Loss { try compute(arguments) }

    /// - Parameters:
    ///   - usual: the loss with the defaults of its options.
    ///   - given: the arguments for networks and data.
    ///   - options: the loss's own options.
    ///   - shared: the options that the loss shares with others.
    ///   - doc: the documentation without the sentence on the results.
    ///   - compute: computes the loss, which has the caller's options, from the arguments.
    init<Method: LossWithOptions>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, given: [Argument], _ options: [Option<Method>],
        shared: [Option<LossOptions>], _ doc: Doc, compute: @escaping @Sendable (Method, Arguments) throws -> Loss
    ) {
        self.name = name
        self.doc = doc
        self.doc.summary += " Returns the loss and its parts."
        let path: WritableKeyPath<Method, LossOptions> & Sendable = \.options
        let all = options + shared.of(path)
        arguments = given + all.arguments(of: usual())
        self.compute = { arguments in try compute(all.read(arguments, into: usual()), arguments) }
    }

    package static let all: [LossMethod] =
        [
            LFMDLoss.method, ITVMLoss.method, TVMLoss.method, FMMLoss.method, IMMLoss.method, EFMDLoss.method,
            AlphaFlowLoss.method,
        ]
        + SelfDistillationLoss.methods + MeanFlowLoss.methods + AYFLoss.methods
        + [
            PFMMLoss.method, ProgressiveLoss.method, ShortcutLoss.method, ConsistencyLoss.method,
            ConsistencyFMLoss.method,
        ]
        + [
            FACMLoss.method, TwinFlowLoss.method, FGMLoss.method, FGMOnlineLoss.method, DMDLoss.method,
            FreeFlowLoss.method, KDLoss.method, DriftingLoss.method, AdversarialLoss.method, DiscriminatorLoss.method,
        ]
}

// MARK: - Students

extension LossMethod {
    /// The arguments that losses of students share.
    struct StudentArguments {
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
    static func withTeacher<Method: LossWithOptions>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, student: Argument = .student,
        target: Argument = .target, _ options: [Option<Method>], shared: [Option<LossOptions>] = LossOptions.students,
        _ doc: Doc,
        compute: @escaping @Sendable (Method, StudentArguments, _ teacher: Network) throws -> Loss
    ) -> LossMethod {
        LossMethod(
            name, usual, given: [student, .teacher, .data, target, .labels], options, shared: shared, doc.called(name)
        ) {
            try compute($0, StudentArguments($1), $1.object("teacher"))
        }
    }

    /// A loss that needs a teacher and has no target.
    static func withTeacher<Method: LossByTeacher>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, student: Argument = .student,
        _ options: [Option<Method>], shared: [Option<LossOptions>] = LossOptions.students, _ doc: Doc
    ) -> LossMethod {
        withTeacher(name, usual, student: student, target: .unusedTarget, options, shared: shared, doc) {
            try $0($1.student, $2, $1.data, $1.condition)
        }
    }

    /// A loss that learns from data alone where it has no teacher.
    static func fromData<Method: LossFromData>(
        _ name: String, _ usual: @escaping @Sendable () -> Method, student: Argument = .student,
        target: Argument = .target, _ options: [Option<Method>], _ doc: Doc
    ) -> LossMethod {
        let given = [student, .optionalTeacher, .data, target, .labels]
        return LossMethod(name, usual, given: given, options, shared: LossOptions.students, doc.called(name)) {
            let given = StudentArguments($1)
            return try $0(
                given.student, $1.optionalObject("teacher"), given.data, target: given.target, given.condition)
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
    static let generator = Argument(
        "generator", .object("network"), "makes samples z + v(z, 0), or with two times z + u(z, 0, 1)")
    static let online = Argument("online", .object("network"), "the velocity of the generator's own flow")
    static let generatorNoise = Argument("z", .tensor, "noise [n, ...] for the generator")
}

// MARK: - Arguments of students' losses

extension Doc {
    /// With an example that calls the loss of a student. The doc's own `example` holds the arguments that follow the
    /// data.
    fileprivate func called(_ name: String) -> Doc {
        let call = "return riffle.flow.loss.\(name)(teacher:two_timed(), teacher, riffle.randn(8, 2)\(example)):shape()"
        var doc = self
        doc.example = "> local teacher = riffle.nn.mlp { width = 32 }; \(call)\n[]"
        return doc
    }
}

extension Argument {
    static let student = Argument("student", .object("network"), "takes two times: net:two_timed()")
    static let steppingStudent = Argument("student", .object("network"), "takes one or two times")
    static let teacher = Argument("teacher", .object("network"), "a velocity")
    static let optionalTeacher = Argument(
        "teacher", .object("network"), "a velocity; nil to learn from the data alone", default: .none)
    package static let data = Argument("x", .tensor, "data [n, ...]")
    package static let labels = Argument(
        "labels", .tensors, "classes, int32 [n] from 1; or a text, { tokens, summary }", default: .none)
    static let target = Argument(
        "target", .object("network"),
        "what the student looks up to, usually its average; the student itself when not given",
        default: .none)
    static let targetWithoutTeacher = Argument(
        "target", .object("network"),
        "what the student looks up to, usually its average; not used where a teacher is given",
        default: .none)
    static let unusedTarget = Argument(
        "target", .object("network"), "not used; allowed so that the same call works for every two-timed loss",
        default: .none
    )
}

extension Arguments {
    /// The condition that an argument of labels or texts gives; nil where the argument is not given.
    package func condition(_ name: String) -> Condition? { has(name) ? Condition(tensors(name)) : nil }
}

extension Doc.Part {
    static let initial = Doc.Part("initial", "u(x, s, s) against the teacher, where initial_weight is above 0")
    static let velocity = Doc.Part(
        "velocity", "u(x, s, s) against the velocity, on the samples that learn the velocity")
}

/// Summaries of options that several losses have.
extension String {
    static let initialFraction = "the part of the batch that the initial term takes"
    static let diagonal = "the part of the batch that learns the velocity, with t = s"
}

// MARK: - Options of all losses

extension LossOptions {
    package static let timing: [Option<LossOptions>] = TimeSampling.options.of(\.times)
    static let route = Option<LossOptions>("path", \.path, "the path from noise to data")
    static let labelDropout = Option<LossOptions>(
        "label_dropout", \.labelDropout, .fraction(0...1), "the part of the labels that is replaced by none")
    /// How samples are weighed.
    static let weighing = Option<LossOptions>(
        "weight", \.weight, .object("loss_weight"),
        "the weight of each sample: a function(s, t), or a learned one: nn.loss_weight()")
    /// How residuals become numbers.
    static let measure: [Option<LossOptions>] = [
        Option(
            "huber", \.huber, .fraction(1e-12...1e12),
            "c of sqrt(r^2 + c^2) - c instead of r^2, r the root mean square of a sample's residual"),
        Option("adaptive", \.adaptivePower, .fraction(0...10), "p of the weight 1 / (r^2 + 0.001)^p, a constant"),
        weighing,
    ]
    /// The options of the path, of the coupling of noise with data on it, and of labels.
    static let onPath = [route, Option("coupling", \.coupling, "how noise is paired with data"), labelDropout]
    /// Where students' jumps start.
    private static let starts = Option<LossOptions>(
        "points", \.points,
        "where jumps start: on the path, or where the target's own jump from noise leads, which needs no data")
    package static let all = timing + onPath + measure
    /// Those of students, who can make points of their own.
    static let students = timing + onPath + [starts] + measure
    /// The same without a coupling, for generated data, which are mixed with independent noise.
    static let onGeneratedPath = [route, labelDropout]
}
