import Foundation
import RiffleIO
import RiffleTensor

/// What is in a run's folder, read for a report or a picture. The run may go on meanwhile.
package struct RunRecord {
    package let folder: String
    package let status: RunStatus
    /// The options of the script, and what the run found on its machine; empty where the files are missing.
    package let config: [String: Value], environment: [String: Value]
    package let script: String?
    /// The numbers of the log, in the order of their first appearance.
    package let curves: [Curve]
    package let rowCount: Int
    /// Seconds that the run has spent training.
    package let seconds: Double
    /// The pictures' names with the steps at which there is one.
    package let pictures: [(name: String, steps: [Int])]

    /// - Throws: `RiffleError` where the folder is no run's, or its log cannot be read.
    package init(_ folder: String) throws {
        self.folder = folder
        status = try RunStatus(folder)
        config = RunRecord.table("\(folder)/\(RunFile.config)")
        environment = RunRecord.table("\(folder)/\(RunFile.environment)")
        script = RunRecord.text("\(folder)/\(RunFile.script)")
        pictures = RunRecord.pictures(folder)
        var log = Log()
        let rows = "\(folder)/\(RunFile.log)"
        if fileExists(rows) { try log.read(rows) }
        (curves, rowCount, seconds) = (log.curves, log.rows, log.seconds)
    }

    /// The last parts of the folder's path, enough to know the run by.
    package var name: String {
        let whole = realpath(folder.systemName, nil).map { path in
            defer { free(path) }
            return String(cBytes: path)
        }
        return (whole ?? folder).split(separator: "/").last.map(String.init) ?? folder
    }

    package func curve(_ name: String) -> Curve? { curves.first { $0.name == name } }

    /// The bytes of a picture.
    package func picture(_ name: String, step: Int) throws -> [UInt8] {
        let file = try InputFile("\(folder)/\(RunFile.picture(name, step))")
        return try file.bytes(file.size)
    }

    private struct Log {
        private(set) var curves: [Curve] = []
        private(set) var rows = 0
        private(set) var seconds = 0.0
        private var index: [String: Int] = [:]

        mutating func read(_ path: String) throws {
            var file = try LogFile(path)
            // A value takes seven bytes of the file or more, and 24 bytes here.
            try Memory.check(8 * file.size)
            try file.rows { add($0) }
        }

        private mutating func add(_ row: LogRow) {
            rows += 1
            seconds = row.seconds
            for (name, value) in row.values {
                guard let number = Arguments([value]).optionalNumber(0) else { continue }
                if index[name] == nil {
                    index[name] = curves.count
                    curves.append(Curve(name))
                }
                if let at = index[name] { curves[at].append(step: row.step, seconds: row.seconds, number) }
            }
        }
    }

    private static func table(_ path: String) -> [String: Value] {
        Arguments([(try? JSON.read(path)) ?? .none]).table(0)
    }

    private static func text(_ path: String) -> String? {
        guard let file = try? InputFile(path), file.size <= JSON.usualLimit else { return nil }
        return (try? file.bytes(file.size, at: 0)).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func pictures(_ folder: String) -> [(name: String, steps: [Int])] {
        let images = "\(folder)/\(RunFile.images)"
        let names = (try? namesInFolder(images)) ?? []
        return names.filter { !$0.hasPrefix(".") }.compactMap { name in
            let steps = ((try? namesInFolder("\(images)/\(name)")) ?? []).compactMap(RunFile.step(ofPicture:))
            return steps.isEmpty ? nil : (name, steps.sorted())
        }
    }
}
