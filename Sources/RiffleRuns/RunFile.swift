/// The names of what is in a run's folder.
package enum RunFile {
    static let status = "status.json"
    static let log = "log.jsonl"
    /// Rows of the log that a run went back behind.
    static let asideLog = "log.aside.jsonl"
    static let table = "metrics.csv"
    static let config = "config.json"
    static let environment = "environment.json"
    static let script = "script.lua"
    package static let lock = "lock"
    static let checkpoints = "checkpoints"
    static let images = "images"
    /// Holds what earlier runs have left, where a run began anew.
    static let earlier = "earlier"

    /// What a run makes in its folder, beside event files.
    static let all: Set = [
        status, log, asideLog, table, config, environment, script, lock, checkpoints, images, earlier,
    ]

    /// The checkpoint of a step.
    static func checkpoint(_ step: Int) -> String { "\(checkpoints)/step-\(padded(step, to: 8)).safetensors" }

    /// The step of a checkpoint's name in its folder; nil for other files.
    static func step(ofCheckpoint name: String) -> Int? { step(of: name, between: "step-", and: ".safetensors") }

    /// The picture of a name at a step.
    static func picture(_ name: String, _ step: Int) -> String { "\(images)/\(name)/\(padded(step, to: 8)).png" }

    /// The step of a picture's name in its folder; nil for other files.
    static func step(ofPicture name: String) -> Int? { step(of: name, between: "", and: ".png") }

    private static func step(of name: String, between start: String, and end: String) -> Int? {
        let digits = name.dropFirst(start.count).dropLast(end.count)
        guard let step = Int(digits), step >= 0, name == start + padded(step, to: 8) + end else { return nil }
        return step
    }
}

/// A number with zeros in front of it.
package func padded(_ number: Int, to count: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, count - digits.count)) + digits
}
