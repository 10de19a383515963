import RiffleIO
import RiffleTensor

/// Numbers in a text file, a sample a line, separated by commas, semicolons or tabs (RFC 4180).
package enum CSVFile {
    /// A column by its name in the header, or by its number from 1.
    package enum Column: Sendable, CustomStringConvertible {
        case name(String)
        case number(Int)

        package var description: String {
            switch self {
            case .name(let name): "'\(name)'"
            case .number(let number): "\(number)"
            }
        }

        fileprivate var isName: Bool { if case .name = self { true } else { false } }
    }

    /// Reads the columns of samples, and their classes: each text of the column of labels is a class, in the order of
    /// numbers where all of them are whole numbers, and of letters otherwise.
    /// - Parameters:
    ///   - columns: all but that of labels where nil.
    ///   - hasHeader: whether the first line names the columns. Where nil, it does if a column is asked for by name,
    ///     or a word stands above a number.
    /// - Throws: `RiffleError` that names the file and the line.
    package static func read(_ path: String, columns: [Column]? = nil, labels: Column? = nil, hasHeader: Bool? = nil)
        throws -> TensorSource
    {
        let file = try InputFile(path)
        // Of two bytes of text comes a number at most, in an array that grows by doubling.
        try Memory.check(10 * file.size)
        var lines = CSVLines(try file.bytes(file.size, at: 0), file)
        guard let first = try lines.next() else { throw file.error("it has no lines") }
        var pending = [first]
        if let second = try lines.next() { pending.append(second) }
        let isAskedByName = (columns ?? []).contains(where: \.isName) || labels?.isName ?? false
        let isHeader = hasHeader ?? (isAskedByName || isWordAboveNumber(pending))
        let header = isHeader ? pending.removeFirst().fields : nil
        let layout = try Layout(first.fields.count, header, columns, labels, file)

        var numbers: [Float] = []
        var classes: [String] = []
        var count = 0
        func add(_ line: CSVLines.Line) throws {
            guard line.fields.count == first.fields.count else {
                throw file.error("line \(line.number) has \(line.fields.count) columns, expected \(first.fields.count)")
            }
            for column in layout.columns {
                let text = line.fields[column]
                guard let number = Float(text), number.isFinite else {
                    throw file.error("line \(line.number), column \(column + 1): expected a number, found '\(text)'")
                }
                numbers.append(number)
            }
            if let column = layout.labels { classes.append(line.fields[column]) }
            count += 1
        }
        for line in pending { try add(line) }
        while let line = try lines.next() {
            try Interrupt.check()
            try add(line)
        }
        guard count >= 1 else { throw file.error("it has no samples, only a header") }
        return try TensorSource(
            Tensor(numbers, [count, layout.columns.count]),
            layout.labels == nil ? nil : try Labels(words: classes, file),
            origin: path)
    }

    private static func isWordAboveNumber(_ lines: [CSVLines.Line]) -> Bool {
        guard lines.count == 2 else { return false }
        return zip(lines[0].fields, lines[1].fields).contains { Float($0) == nil && Float($1) != nil }
    }

    /// Which columns are read, counted from 0.
    private struct Layout {
        let columns: [Int]
        let labels: Int?

        init(_ count: Int, _ header: [String]?, _ wanted: [Column]?, _ labels: Column?, _ file: InputFile) throws {
            func index(_ column: Column) throws -> Int {
                switch column {
                case .number(let number) where (1...count).contains(number): return number - 1
                case .number(let number): throw file.error("there is no column \(number) of \(count)")
                case .name(let name):
                    let found = (header ?? []).indices.filter { header?[$0] == name }
                    guard found.count == 1 else {
                        let problem =
                            found.isEmpty ? "there is no column '\(name)'" : "several columns are called '\(name)'"
                        throw file.error(problem + (found.isEmpty ? suggestion(for: name, among: header ?? []) : ""))
                    }
                    return found[0]
                }
            }
            let own = try labels.map(index)
            self.labels = own
            columns = try wanted?.map(index) ?? (0..<count).filter { $0 != own }
            guard !columns.isEmpty else { throw file.error("there is no column beside that of labels") }
        }
    }
}

extension Labels {
    /// Classes by their words.
    fileprivate init(words: [String], _ file: InputFile) throws {
        let distinct = Set(words)
        guard distinct.count <= Labels.mostClasses else {
            throw file.error("\(distinct.count) classes, expected at most \(Labels.mostClasses)")
        }
        let whole = distinct.compactMap { word in Int(word).map { ($0, word) } }
        let classes = whole.count == distinct.count ? whole.sorted { $0 < $1 }.map(\.1) : distinct.sorted()
        let numbers = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, Int32($0 + 1)) })
        self.init(words.map { numbers[$0] ?? 0 }, classes: classes)
    }
}

/// The lines of a CSV file that are not empty.
private struct CSVLines {
    struct Line {
        /// From 1.
        let number: Int
        let fields: [String]
    }

    private let bytes: [UInt8]
    private let file: InputFile
    private let separator: UInt8
    private var position = 0
    private var line = 0

    init(_ bytes: [UInt8], _ file: InputFile) {
        self.bytes = bytes
        self.file = file
        // Of the separators in the first line, the one that occurs most.
        let first = bytes.prefix { $0 != 0x0A }
        let counts = ",;\t".utf8.map { mark in (mark, first.count { $0 == mark }) }
        separator = counts.max { $0.1 < $1.1 }.flatMap { $0.1 > 0 ? $0.0 : nil } ?? UInt8(ascii: ",")
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    mutating func next() throws -> Line? {
        while position < bytes.count {
            line += 1
            let number = line
            let fields = try fields()
            if fields.count > 1 || fields[0] != "" { return Line(number: number, fields: fields) }
        }
        return nil
    }

    private mutating func fields() throws -> [String] {
        var fields: [String] = []
        while true {
            fields.append(try field())
            // Now and then: a field of one byte takes many times its bytes, in an array that grows by doubling.
            if fields.count % (1 << 16) == 0 { try Memory.check(fields.count * 3 * MemoryLayout<String>.stride) }
            guard position < bytes.count else { return fields }
            let mark = bytes[position]
            position += 1
            if mark == 0x0A { return fields }
        }
    }

    /// A field, up to the separator or the line's end.
    private mutating func field() throws -> String {
        let start = position
        while position < bytes.count, bytes[position] != separator, bytes[position] != 0x0A, bytes[position] != 0x22 {
            position += 1
        }
        let plain = text(bytes[start..<position])
        guard position < bytes.count, bytes[position] == 0x22 else { return plain }
        guard plain.isEmpty else { throw file.error("line \(line): a quotation mark inside a field") }
        return try quoted()
    }

    /// A field in quotation marks, in which two of them are one.
    private mutating func quoted() throws -> String {
        let first = line
        var content: [UInt8] = []
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == 0x0A { line += 1 }
            if byte != 0x22 {
                content.append(byte)
            } else if position < bytes.count, bytes[position] == 0x22 {
                content.append(0x22)
                position += 1
            } else {
                let end = position
                while position < bytes.count, bytes[position] != separator, bytes[position] != 0x0A { position += 1 }
                guard text(bytes[end..<position]).isEmpty else {
                    throw file.error("line \(line): text behind a quotation mark")
                }
                return content.withUnsafeBytes { String(bytes: $0) }
            }
        }
        throw file.error("line \(first): a quotation mark is not closed")
    }

    /// Bytes without the white space around them.
    private func text(_ part: ArraySlice<UInt8>) -> String {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }
        let start = part.firstIndex { !isSpace($0) } ?? part.endIndex
        let end = part.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? start
        return bytes[start..<max(start, end)].withUnsafeBytes { String(bytes: $0) }
    }
}
