import Foundation
import RiffleData
import RiffleFlow
import RiffleIO
import RiffleRuns
import RiffleTensor

/// What the arguments of a script say of its run.
struct RunOptions {
    var resume: String?
    var allowsChanges = false
    var isTest = false
}

/// The loop of a run: the run, and what gives each of its steps.
final class RunLoop {
    enum Source {
        case steps
        case batches(any BatchSequence)
        case turns(Turns)
    }

    let run: Run
    let source: Source
    private let steps: Int

    init(_ run: Run, steps: Int, _ source: Source) throws {
        self.run = run
        self.steps = steps
        self.source = source
        try run.begin(steps: steps)
    }

    /// Samples that a step takes; nil where that is not known.
    var samples: Int? {
        if case .batches(let batches) = source { batches.samples } else { nil }
    }

    /// The next step with what belongs to it; nil at the end.
    func next() throws -> [Value]? {
        guard run.step < steps else { return nil }
        switch source {
        case .steps: return began(run.step + 1, nil)
        case .batches(let batches):
            // An epoch's end between two batches is no end here.
            guard let (_, batch) = try batches.next() ?? batches.next() else { return nil }
            return began(run.step + 1, .table(BatchLibrary.parts(of: batch)))
        case .turns(let turns): return turns.next().map { began($0.step, .string($0.name)) } ?? nil
        }
    }

    private func began(_ step: Int, _ item: Value?) -> [Value] {
        run.runningStep = step
        return [.integer(step)] + (item.map { [$0] } ?? [])
    }

    /// Ends the iteration that `next` began.
    func finish() throws -> Run.Demand {
        guard let step = run.runningStep else { return .nothing }
        defer { run.runningStep = nil }
        let isWhole = if case .turns(let turns) = source { turns.given.isMultiple(of: turns.order.count) } else { true }
        return try run.finish(step: step, isWhole: isWhole)
    }
}

/// Runs and checkpoints.
enum RunLibrary {
    static let classes: [ObjectClass] = [
        ObjectClass(
            "run", Run.self,
            Doc("A training with a folder: checkpoints, from which it goes on to the same bits, and a log."),
            methods: [
                Method(
                    "log", [Argument("values", .named, "numbers, truths or short texts, by name")],
                    Doc("Adds a row for the step that runs to log.jsonl, metrics.csv and the TensorBoard file.")
                ) { run, arguments in
                    let values = arguments.table("values")
                    try run.log(Measured.withProtocols(values))
                    if let loss = Arguments([values["loss"] ?? .none]).optionalNumber(0) {
                        Progress.note(loss: loss)
                    }
                    return []
                },
                Method(
                    "image",
                    [
                        Argument("name", .string, "of the folder below images/"),
                        Argument("images", .tensor, "numbers that are not finite are drawn as 0"),
                        Argument("columns", .integer(1...100_000), "images a row", default: .integer(8)),
                        Argument(
                            "range", .list(.number), "the values of black and white; where not given { -1, 1 }",
                            default: .none),
                    ],
                    Doc("Writes images as images/NAME/STEP.png, and to the TensorBoard file.")
                ) { run, arguments in
                    try run.image(
                        arguments.string("name"), arguments.tensor("images"), columns: arguments.integer("columns"),
                        range: arguments.range("range"))
                    return []
                },
                Method(
                    "close", [], Doc("Writes out the log and gives the folder free; the end of the program does, too.")
                ) {
                    run, _ in
                    run.close()
                    return []
                },
                Method(
                    "histogram", [Argument("name", .string), Argument("x", .tensor)],
                    Doc("Adds the distribution of a tensor's numbers to the TensorBoard file.")
                ) { run, arguments in
                    try run.histogram(arguments.string("name"), arguments.tensor("x"))
                    return []
                },
            ],
            properties: [
                Property("folder", .string, "Where its files are.", get: { .string($0.folder.path) }),
                Property("step", .integer(0...Int.max), "The last step that was finished.", get: { .integer($0.step) }),
                Property("best", .table, "The best logged value at a checkpoint, { value, step }, or nil.") {
                    $0.best.map { .table(["value": .number($0.value), "step": .integer($0.step)]) } ?? .none
                },
                Property("bad_steps", .integer(0...Int.max), "Steps whose numbers went wrong.") {
                    .integer($0.badSteps)
                },
            ],
            describe: { "run in \($0.folder.path), \($0.step)\($0.steps.map { " of \($0)" } ?? "") steps done" }),
        ObjectClass("run_loop", RunLoop.self, Doc("")),
        ObjectClass("tracked", Tracked.self, Doc("")),
        ObjectClass("notes", Notes.self, Doc("")),
    ]

    /// An object that has a state.
    static func resumable(_ value: Value, _ name: String) throws -> any Resumable {
        guard case .object(let object) = value, let resumable = object as? any Resumable else {
            throw RiffleError(
                "",
                "'\(name)' is \(value.described), which has no state; modules, optimizers, averages, batches, turns "
                    + "and tables of your own values have")
        }
        return resumable
    }
}
