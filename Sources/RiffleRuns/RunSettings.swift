import RiffleIO
import RiffleTensor

/// How a run saves, and what it does where something is not as it should be.
package struct RunSettings: Sendable {
    /// Where a run goes on from.
    package enum Resume: Sendable, Equatable {
        /// The last checkpoint of its folder; from the beginning where there is none.
        case latest
        /// The beginning: what the folder holds is put aside.
        case none
        case path(String)

        package init(_ text: String) {
            self =
                switch text {
                case "latest": .latest
                case "none": .none
                default: .path(text)
                }
        }
    }

    /// What a run does with a step whose loss or gradient is not finite.
    package enum OnBadNumbers: String, Sendable, CaseIterable {
        /// The step's error ends the program.
        case stop
        /// The step changes nothing, and the run goes on.
        case skip
        /// The run goes back to its last checkpoint, and on from there with other random numbers.
        case goBack = "go_back"
    }

    package enum Goal: String, Sendable, CaseIterable { case smallest, largest }

    /// A checkpoint after every so many steps.
    package var saveEvery: Int?
    /// A checkpoint when so many minutes have passed since the last one.
    package var saveMinutes: Double?
    /// How many of the last checkpoints are kept.
    package var keep = 3
    /// The logged value by which the best checkpoint is kept as well.
    package var best: String?
    package var goal = Goal.smallest
    package var onBadNumbers = OnBadNumbers.stop
    package var resume = Resume.latest
    /// Whether a run goes on with another configuration or script.
    package var allowsChanges = false
    /// Whether the run ends after a step, a checkpoint and a picture.
    package var isTest = false

    package init() {}

    package static let usual = RunSettings()

    package static let options: [Option<RunSettings>] = [
        Option("save_every", \.saveEvery, .integer(1...Int.max), "steps from one checkpoint to the next"),
        Option(
            "save_minutes", \.saveMinutes, .positive,
            "minutes from one checkpoint to the next; 10 where neither is given"),
        Option("keep", \.keep, .integer(1...1_000_000), "how many of the last checkpoints stay"),
        Option(
            "best", \.best, .string,
            "a logged value; the checkpoint with the best last value of it stays, too"),
        Option("goal", \.goal, "which values of it are better"),
        Option(
            "on_bad_numbers", \.onBadNumbers,
            "where a loss or a gradient is not finite: stop with the error, skip the step, or go back to the last "
                + "checkpoint and on with other random numbers"),
    ]

    /// Whether an option of the script sets one of these that say when a run saves and what it keeps, by its name and
    /// its value. They change no number.
    func saves(by name: String, _ value: Value?) -> Bool {
        guard let value, name != "on_bad_numbers" else { return false }
        let argument = RunSettings.options.arguments(of: self).first { $0.name == name }
        return argument.map { RunIdentity.equal($0.defaultValue.value, value) } ?? false
    }

    func isBetter(_ a: Double, _ b: Double) -> Bool { goal == .smallest ? a < b : a > b }
}

/// What a run is made of beside its tracked objects: a checkpoint of another identity is not gone on from.
package struct RunIdentity {
    package let config: [String: Value]
    package let script: [UInt8]
    /// What the run computes with: versions, processor, threads, seed.
    package let environment: [String: Value]

    package init(config: [String: Value], script: [UInt8], environment: [String: Value]) {
        self.config = config
        self.script = script
        self.environment = environment
    }

    var scriptHash: String { Digest.sha256(script) }

    func write(to folder: RunFolder) throws {
        try folder.write(.table(config), to: RunFile.config)
        try folder.write(.table(environment), to: RunFile.environment)
        try AtomicFile.write(script, to: folder(RunFile.script))
    }

    /// What differs in the record of a checkpoint, a line for each item. How the run's own folder is called does not
    /// count, nor does when the run saves: neither changes a number.
    /// - Parameter folder: the run's folder now.
    func differences(from record: [String: Value], folder: String, settings: RunSettings) -> [String] {
        var lines: [String] = []
        let values = Arguments([record["config"] ?? .none, record["folder"] ?? .none])
        let (older, olderFolder) = (values.table(0), values.optionalString(1) ?? "")
        for name in Set(config.keys).union(older.keys).sorted() where !RunIdentity.equal(config[name], older[name]) {
            let inside = RunIdentity.way(from: config[name], to: folder)
            if inside != nil, inside == RunIdentity.way(from: older[name], to: olderFolder) { continue }
            if settings.saves(by: name, config[name]) { continue }
            func text(_ value: Value?) -> String { value.flatMap { try? JSON.text($0, nonFinite: .null) } ?? "nothing" }
            lines.append("\(name) is \(text(config[name])), and was \(text(older[name]))")
        }
        if case .string(let hash)? = record["script"], hash != scriptHash { lines.append("the script is another one") }
        return lines
    }

    /// The names that lead from the folder that a value names to the run's; nil where it names none around that.
    private static func way(from value: Value?, to folder: String) -> ArraySlice<Substring>? {
        guard case .string(let path)? = value, path.hasPrefix("/") == folder.hasPrefix("/") else { return nil }
        let (outer, inner) = (parts(path), parts(folder))
        return outer.isEmpty || !inner.starts(with: outer) ? nil : inner[outer.count...]
    }

    private static func parts(_ path: String) -> [Substring] { path.split(separator: "/").filter { $0 != "." } }

    /// Whether two values are equal, where 1 equals 1.0.
    static func equal(_ a: Value?, _ b: Value?) -> Bool {
        if let a = Arguments([a ?? .none]).optionalNumber(0), let b = Arguments([b ?? .none]).optionalNumber(0) {
            return a == b
        }
        func text(_ value: Value?) -> String? { try? JSON.text(value ?? .none, nonFinite: .null) }
        return text(a) == text(b)
    }
}
