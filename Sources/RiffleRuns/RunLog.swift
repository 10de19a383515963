import Foundation
import RiffleIO
import RiffleTensor

/// What a run leaves to look at: rows in log.jsonl and metrics.csv, pictures under images/, and events for TensorBoard.
///
/// A mistake in a call is an error. Trouble with the disk is none, nor are numbers that are not finite: training goes
/// on, `warn` gets the first message about each file and each picture's name, and what the disk did not take is tried
/// again with later rows.
package final class RunLog {
    private let folder: String
    private let log: GrowingFile
    private let table: MetricsTable
    private let events: EventFile
    private let warn: (String) -> Void
    /// Pictures that could not be written, of which the first is reported.
    private var hasLostPicture = false
    /// The names whose pictures had numbers that are not finite, which are reported once a name.
    private var strangeNames: Set<String> = []
    /// Rows that no buffer has yet. Many at a time take less of a training's time than one after each step, when the
    /// processor's caches hold the network.
    private var waiting: [LogRow] = []
    // The start of the second that runs, and the flushes in it.
    private var second = 0.0, flushes = 0

    /// Begins a log, or goes on with one.
    ///
    /// Rows of log.jsonl beyond the checkpoint go to the end of log.aside.jsonl, and the rows before stay as they are,
    /// byte for byte. A log without a checkpoint is set aside as a whole. TensorBoard gets a new file, which makes it
    /// forget what is beyond the checkpoint.
    ///
    /// - Parameters:
    ///   - folder: the folder of the run, which is there.
    ///   - resumed: the step of the checkpoint, and the bytes that `flush` returned there; nil for a new run.
    ///   - warn: takes messages about trouble with the disk, and about numbers that cannot be shown.
    /// - Throws: `RiffleError` when the files cannot be made or set aside.
    package init(folder: String, resumed: (step: Int, bytes: Int)?, warn: @escaping (String) -> Void) throws {
        self.folder = folder
        self.warn = warn
        let path = "\(folder)/\(RunFile.log)"
        if fileExists(path) {
            try RunLog.setAside(path, in: folder, beyond: resumed?.bytes ?? 0, warn: warn)
        } else if let resumed, resumed.bytes > 0 {
            warn("'\(path)' is missing; the log begins anew at step \(resumed.step)")
        }
        let hasEvents = try !EventFile.names(in: folder).isEmpty
        log = try GrowingFile(path, warn: warn)
        table = MetricsTable(in: folder, warn: warn)
        events = try EventFile(
            in: folder, time: RunLog.now(), keeping: hasEvents ? resumed?.step ?? -1 : nil, warn: warn)
        table.flush(logIsWhole: true)
        events.flush()
    }

    deinit { close() }

    /// Adds a row.
    /// - Parameters:
    ///   - step: 0 or more.
    ///   - seconds: spent training so far.
    ///   - values: numbers, tensors of one number, booleans and short texts, by name. Texts and booleans are in
    ///   log.jsonl alone.
    /// - Throws: `RiffleError` that names the value that cannot be logged; nothing is then written.
    package func write(step: Int, seconds: Double, _ values: [(String, Value)]) throws {
        try RunLog.check(step)
        var seen: Set<String> = []
        let checked = try values.map { name, value in
            guard seen.insert(name).inserted else {
                throw RiffleError("", "'\(name)' is given twice in a row of the log")
            }
            return (name: name, value: try RunLog.checked(name, value))
        }
        waiting.append(LogRow(step: step, time: RunLog.now(), seconds: seconds, values: checked))
        flushOftenEnough()
    }

    /// Writes the waiting rows into the files' buffers.
    private func writeWaiting() {
        for row in waiting {
            log.append(row.line())
            table.append(row)
            let scalars = row.values.compactMap { name, value in
                Arguments([value]).optionalNumber(0).map { (name, $0) }
            }
            if !scalars.isEmpty { events.scalars(scalars, step: row.step, time: row.time) }
        }
        waiting.removeAll(keepingCapacity: true)
    }

    /// Adds a picture of images, laid out in rows. Numbers that are not finite are drawn as bytes of 0.
    /// - Parameters:
    ///   - name: letters, digits, `_`, `-` and `.`.
    ///   - images: `[n, height, width, channels]`, or one picture, as `ImageGrid.save` takes them.
    ///   - range: the values of black and white; -1 and 1 where nil.
    /// - Throws: `RiffleError` for names and images that do not fit.
    package func image(
        _ name: String, step: Int, _ images: Tensor, columns: Int = 8, range: ClosedRange<Double>? = nil
    ) throws {
        try RunLog.check(step)
        try RunLog.checkFileName(name)
        let picture = try ImageGrid.encoded(images, columns: columns, range: range, text: ["step": "\(step)"])
        do {
            try makeFolders("\(folder)/\(RunFile.images)/\(name)")
            try AtomicFile.write(picture.bytes, to: "\(folder)/\(RunFile.picture(name, step))")
        } catch {
            if !hasLostPicture { warn("\(error)") }
            hasLostPicture = true
        }
        if picture.notFinite > 0, strangeNames.insert(name).inserted {
            warn(
                "the picture '\(name)' at step \(step) has \(picture.notFinite) numbers that are not finite, of "
                    + "\(images.count), which are drawn as 0; later ones are not reported")
        }
        writeWaiting()
        events.image(name, picture.bytes, size: picture.size, step: step, time: RunLog.now())
        events.flush()
    }

    /// Adds a histogram of a tensor's finite numbers for TensorBoard.
    package func histogram(_ name: String, step: Int, _ x: Tensor) throws {
        try RunLog.check(step)
        try RunLog.checkName(name)
        guard let counts = BucketCounts(x) else {
            return warn("the histogram '\(name)' at step \(step) is left out: it has no finite number")
        }
        writeWaiting()
        events.histogram(name, counts, step: step, time: RunLog.now())
    }

    /// Brings everything to the disk.
    /// - Returns: the bytes of log.jsonl, by which a checkpoint knows its rows.
    @discardableResult
    package func flush() -> Int {
        writeWaiting()
        log.sync()
        table.flush(logIsWhole: log.flush(), always: true)
        events.sync()
        return log.size
    }

    /// Writes out what is left. Rows may follow all the same.
    package func close() {
        writeWaiting()
        table.flush(logIsWhole: log.flush(), always: true)
        events.flush()
    }

    // MARK: - Time

    /// Seconds since 1970, in whole milliseconds.
    static func now() -> Double { (Date().timeIntervalSince1970 * 1000).rounded() / 1000 }

    /// Readers should see a row at once, and a thousand rows a second should not cost a thousand writes: twenty rows
    /// of a second are flushed, the rest of them with the next second's.
    private func flushOftenEnough() {
        let now = Profiler.now()
        if now - second >= 1 { (second, flushes) = (now, 0) }
        guard flushes < 20 else { return }
        flushes += 1
        writeWaiting()
        table.flush(logIsWhole: log.flush())
        events.flush()
    }

    // MARK: - Setting aside

    /// Moves the lines of the log that begin beyond the first `bytes` bytes to the end of log.aside.jsonl. A last line
    /// that was torn off is dropped.
    private static func setAside(_ path: String, in folder: String, beyond bytes: Int, warn: (String) -> Void) throws {
        let file = try InputFile(path)
        if file.size < bytes {
            warn("'\(path)' has \(file.size) bytes, and had \(bytes) at the checkpoint; it goes on with what is there")
        }
        let kept = try LogFile.endOfLine(file, within: bytes)
        let end = try LogFile.endOfLine(file, within: file.size)
        if end > kept {
            var trouble: String?
            let aside = try GrowingFile("\(folder)/\(RunFile.asideLog)") { trouble = $0 }
            for start in stride(from: kept, to: end, by: 1 << 20) {
                aside.append(try file.bytes(min(1 << 20, end - start), at: start))
            }
            aside.sync()
            if let trouble { throw RiffleError("", trouble) }
        }
        guard kept < file.size else { return }
        guard truncate(path.systemName, off_t(kept)) == 0 else {
            throw RiffleError("", "cannot shorten '\(path)': \(systemMessage())")
        }
    }

    // MARK: - Checks

    private static let longestText = 1000, longestName = 200

    private static func check(_ step: Int) throws {
        guard step >= 0 else { throw RiffleError("", "a step is 0 or more, got \(step)") }
    }

    private static func checkName(_ name: String) throws {
        guard (1...longestName).contains(name.utf8.count), name.isUnicode,
            !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
        else {
            throw RiffleError(
                "", "a name in the log has 1 to \(longestName) bytes of text without control characters, got '\(name)'")
        }
    }

    private static func checkFileName(_ name: String) throws {
        let isPlain = name.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0 & 0xDF) || [0x5F, 0x2D, 0x2E].contains($0)
        }
        guard isPlain, (1...100).contains(name.utf8.count), !name.hasPrefix(".") else {
            throw RiffleError(
                "",
                "the name of a picture has 1 to 100 letters, digits, '_', '-' and '.', and no '.' at the beginning, "
                    + "got '\(name)'")
        }
    }

    private static func checked(_ name: String, _ value: Value) throws -> Value {
        try checkName(name)
        guard !LogRow.ownKeys.contains(name) else {
            throw RiffleError("", "'\(name)' is a column of the log's own; give the value another name")
        }
        switch value {
        case .number, .integer, .boolean: return value
        case .string(let text):
            guard text.utf8.count <= longestText else {
                throw RiffleError(
                    "", "a text in the log has at most \(longestText) bytes, '\(name)' has \(text.utf8.count)")
            }
            return .string(text.repaired)
        case .tensor(let tensor) where tensor.count == 1: return .number(tensor.element(0))
        case .tensor(let tensor):
            throw RiffleError("", "the log takes single numbers, '\(name)' is a tensor \(tensor.shape); take its mean")
        case .none, .object, .list, .table:
            throw RiffleError("", "the log takes numbers, booleans and short texts, '\(name)' is none of these")
        }
    }
}
