import RiffleTensor

/// A JSON file that says how a published network is made. Errors name the file and the key.
package struct ConfigTable {
    private let path: String
    private let table: [String: Value]
    /// The keys that were asked for.
    private var known: Set<String> = []

    /// - Throws: `RiffleError` where the value is no table.
    package init(_ value: Value, named path: String) throws {
        guard case .table(let table) = value else {
            throw RiffleError("", "'\(path)': expected a table of settings, as diffusers' config.json is")
        }
        (self.path, self.table) = (path, table)
    }

    /// What a folder's config.json says, and the path of that file.
    /// - Throws: `RiffleError` where the folder has none.
    package static func config(in folder: String) throws -> (value: Value, path: String) {
        let path = "\(folder)/config.json"
        guard fileExists(path) else { throw RiffleError("", "'\(folder)' has no config.json, which says what it is") }
        return (try JSON.read(path), path)
    }

    package func error(_ message: String) -> RiffleError { RiffleError("", "'\(path)': \(message)") }

    /// A key's value; nil where it is missing or null.
    private mutating func value(_ key: String) -> Value? {
        known.insert(key)
        guard let value = table[key], Arguments([value]).has(0) else { return nil }
        return value
    }

    /// A value of the kind that `read` knows.
    private mutating func read<Result>(_ key: String, _ kind: String, _ read: (Value) -> Result?) throws -> Result? {
        guard let value = value(key) else { return nil }
        guard let result = read(value) else { throw try error("\(key) must be \(kind), got \(JSON.text(value))") }
        return result
    }

    package mutating func integer(_ key: String, _ range: ClosedRange<Int>, usual: Int) throws -> Int {
        try read(key, "a whole number from \(range.lowerBound) to \(range.upperBound)") {
            if case .integer(let number) = $0, range.contains(number) { number } else { nil }
        } ?? usual
    }

    /// - Parameter orNone: whether the list may be empty.
    package mutating func integers(
        _ key: String, _ range: ClosedRange<Int>, usual: [Int], orNone: Bool = false
    ) throws -> [Int] {
        try read(key, "a list of whole numbers from \(range.lowerBound) to \(range.upperBound)") {
            guard case .list(let items) = $0, orNone || !items.isEmpty else { return nil }
            let numbers = items.compactMap { item -> Int? in
                if case .integer(let number) = item, range.contains(number) { number } else { nil }
            }
            return numbers.count == items.count ? numbers : nil
        } ?? usual
    }

    package mutating func number(_ key: String, above least: Double = -.infinity, usual: Double) throws -> Double {
        try read(key, "a number" + (least.isFinite ? " above \(riffleFormat(least))" : "")) { value in
            Arguments([value]).optionalNumber(0).flatMap { $0 > least && $0.isFinite ? $0 : nil }
        } ?? usual
    }

    package mutating func boolean(_ key: String, usual: Bool) throws -> Bool {
        try read(key, "true or false") { if case .boolean(let boolean) = $0 { boolean } else { nil } } ?? usual
    }

    package mutating func word(_ key: String) throws -> String? {
        try read(key, "a word") { if case .string(let word) = $0 { word } else { nil } }
    }

    /// Checks a setting that has one value, or one of a few that mean the same, in all networks that are known here.
    /// - Throws: `RiffleError` where it has another one.
    package mutating func expect(_ key: String, _ wanted: Value...) throws {
        guard let value = value(key) else { return }
        let texts = try wanted.map { try JSON.text($0) }, text = try JSON.text(value)
        guard texts.contains(text) else {
            throw error("\(key) is \(text), and networks with \(texts[0]) alone are known here")
        }
    }

    /// Passes over settings that do not change what a network computes.
    package mutating func pass(over keys: String...) { known.formUnion(keys) }

    /// - Throws: `RiffleError` that names a setting that nothing has asked for, and that is more than a missing one.
    package func checkRest() throws {
        for (key, value) in table.sorted(by: { $0.key < $1.key }) where !known.contains(key) && !key.hasPrefix("_") {
            switch value {
            case .none, .boolean(false): continue
            default: throw try error("the setting \(key) = \(JSON.text(value)) is not known here")
            }
        }
    }
}
