import Foundation
import RiffleIO
import RiffleTensor

/// The log's numbers as a table for other programs, metrics.csv: a row a row of the log, a column a name.
///
/// When a name appears, the file is written anew from the log, whole or not at all. That waits for the next flush, so
/// that several new names cost one writing, and takes at most a twentieth of the time.
final class MetricsTable {
    private let path: String, logPath: String
    private let warn: (String) -> Void
    private var columns: [String] = []
    private var known: Set<String> = []
    /// Nil while the file lacks a column, or rows.
    private var file: GrowingFile?
    private var hasReadColumns = false
    private var notBefore = 0.0

    init(in folder: String, warn: @escaping (String) -> Void) {
        path = "\(folder)/\(RunFile.table)"
        logPath = "\(folder)/\(RunFile.log)"
        self.warn = warn
    }

    /// Adds a row of the log, which is already in the log's buffer.
    func append(_ row: LogRow) {
        if note(row) { file = nil }
        file?.append(line(row))
    }

    /// Gives what there is to the system.
    /// - Parameters:
    ///   - logIsWhole: whether the system has all rows of the log.
    ///   - always: whether to write the table anew even if that took much of the last time.
    func flush(logIsWhole: Bool, always: Bool = false) {
        file?.flush()
        let now = Profiler.now()
        guard file == nil, logIsWhole, always || now >= notBefore else { return }
        do {
            try rewrite()
        } catch {
            warn("\(error)")
        }
        notBefore = Profiler.now() + 20 * (Profiler.now() - now)
    }

    private func rewrite() throws {
        var log = try LogFile(logPath)
        // Rows of this process are known; those of an earlier one have to be read for their columns.
        if !hasReadColumns { try log.rows { _ = note($0) } }
        hasReadColumns = true
        try AtomicFile.write(to: path) { output in
            try output.write(header)
            var part: [UInt8] = []
            try log.rows { row in
                part += line(row)
                guard part.count > 1 << 16 else { return }
                try output.write(part)
                part = []
            }
            try output.write(part)
        }
        file = try GrowingFile(path, warn: warn)
    }

    /// Whether a row has a column that is new.
    private func note(_ row: LogRow) -> Bool {
        let before = columns.count
        for (name, value) in row.values where MetricsTable.text(value) != nil && known.insert(name).inserted {
            columns.append(name)
        }
        return columns.count > before
    }

    private var header: [UInt8] {
        Array(
            ((["step", "time", "seconds"] + columns).map(MetricsTable.quotedField).joined(separator: ",") + "\r\n").utf8
        )
    }

    private func line(_ row: LogRow) -> [UInt8] {
        let values = Dictionary(row.values.map { ($0.name, $0.value) }) { $1 }
        let fields = columns.map { values[$0].flatMap(MetricsTable.text) ?? "" }
        return Array((["\(row.step)", "\(row.time)", "\(row.seconds)"] + fields).joined(separator: ",").utf8) + [
            0x0D, 0x0A,
        ]
    }

    /// The text of a number, `nan`, `inf` and `-inf` among them; nil for other values.
    private static func text(_ value: Value) -> String? {
        switch value {
        case .integer(let integer): "\(integer)"
        case .number(let number): "\(number)"
        default: nil
        }
    }

    /// A field of RFC 4180.
    static func quotedField(_ text: String) -> String {
        guard text.utf8.contains(where: { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }) else { return text }
        return "\"\(text.replacingOccurrences(of: "\"", with: "\"\""))\""
    }
}
