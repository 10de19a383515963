import Foundation
import RiffleIO
import RiffleTensor

/// A row of a run's log.
package struct LogRow {
    package let step: Int
    /// Seconds since 1970.
    package let time: Double
    /// Seconds that the run has spent training.
    package let seconds: Double
    /// The script's values, in its order: numbers, finite or not, booleans and strings.
    package let values: [(name: String, value: Value)]

    package init(step: Int, time: Double, seconds: Double, values: [(name: String, value: Value)]) {
        self.step = step
        self.time = time
        self.seconds = seconds
        self.values = values
    }

    static let ownKeys = ["step", "time", "seconds", "not_finite"]

    /// The row as a line of JSON. A number that is not finite is null, and `not_finite` says what it was.
    func line() -> [UInt8] {
        var text = "{\"step\": \(step), \"time\": \(time), \"seconds\": \(seconds)"
        var strange: [String] = []
        for (name, value) in values {
            let key = JSON.text(name)
            if case .number(let number) = value, !number.isFinite { strange.append("\(key): \"\(number)\"") }
            text += ", \(key): \(JSON.word(value) ?? "null")"
        }
        if !strange.isEmpty { text += ", \"not_finite\": {\(strange.joined(separator: ", "))}" }
        return Array((text + "}\n").utf8)
    }
}

/// Reads log.jsonl. Lines that are no rows, such as a last line that was torn off, are passed over.
package struct LogFile {
    private let path: String
    private let file: InputFile
    let size: Int
    /// The keys of the last row, in their order. Foundation's tables have no order, and most rows have the same keys.
    private var order: [String] = []

    private static let piece = 1 << 20

    package init(_ path: String) throws {
        self.path = path
        file = try InputFile(path)
        size = file.size
    }

    /// Gives `body` each row in order.
    package mutating func rows(_ body: (LogRow) throws -> Void) throws {
        var start = 0
        // A line longer than a piece is none of ours.
        while start < size {
            let bytes = try file.bytes(min(LogFile.piece, size - start), at: start)
            guard let last = bytes.lastIndex(of: UInt8(ascii: "\n")) else {
                start += bytes.count
                continue
            }
            for line in bytes[..<last].split(separator: UInt8(ascii: "\n")) {
                if let row = row(Array(line)) { try body(row) }
            }
            start += last + 1
        }
    }

    /// The last row of the log; nil where there is none.
    package static func last(_ path: String) throws -> LogRow? {
        var log = try LogFile(path)
        let start = max(0, log.size - (1 << 16))
        let bytes = try log.file.bytes(log.size - start, at: start)
        let whole = bytes.prefix((bytes.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1)
        for line in whole.split(separator: UInt8(ascii: "\n")).reversed() {
            if let row = log.row(Array(line)) { return row }
        }
        return nil
    }

    /// The end of the last whole line within the first `bytes` bytes.
    static func endOfLine(_ file: InputFile, within bytes: Int) throws -> Int {
        var end = min(bytes, file.size)
        while end > 0 {
            let start = max(0, end - piece)
            let found = try file.bytes(end - start, at: start).lastIndex(of: UInt8(ascii: "\n"))
            if let found { return start + found + 1 }
            end = start
        }
        return 0
    }

    private mutating func row(_ line: [UInt8]) -> LogRow? {
        guard case .table(let table)? = try? JSON.value(line, named: path),
            case .integer(let step)? = table["step"], step >= 0, let time = number(table["time"]),
            let seconds = number(table["seconds"])
        else { return nil }
        if order.count != table.count || !order.allSatisfy({ table[$0] != nil }) { order = keys(in: line) }
        let strange = Arguments([table["not_finite"] ?? .none]).table(0)
        let values = order.compactMap { name -> (name: String, value: Value)? in
            guard !LogRow.ownKeys.contains(name), let value = table[name] else { return nil }
            if case .string(let word)? = strange[name], let number = Double(word) { return (name, .number(number)) }
            return (name, value)
        }
        return LogRow(step: step, time: time, seconds: seconds, values: values)
    }

    private func number(_ value: Value?) -> Double? { Arguments([value ?? .none]).optionalNumber(0) }

    /// The keys of a table's JSON text, in their order and each of them once.
    private func keys(in line: [UInt8]) -> [String] {
        var keys: [String] = [], known = Set<String>()
        // A key is a string inside of one bracket that a colon follows.
        var depth = 0, start: Int?, string = 0..<0, isEscaped = false
        for (index, byte) in line.enumerated() {
            if let begin = start {
                if byte == UInt8(ascii: "\""), !isEscaped { (start, string) = (nil, begin..<index + 1) }
                isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): start = index
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ":") where depth == 1:
                guard case .string(let key)? = try? JSON.value(Array(line[string]), named: path) else { continue }
                if known.insert(key).inserted { keys.append(key) }
            default: continue
            }
        }
        return keys
    }
}
