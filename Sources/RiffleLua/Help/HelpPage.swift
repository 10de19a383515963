/// A page of help, whose lines break between words.
struct HelpPage {
    let width: Int
    private(set) var lines: [String] = []

    init(width: Int) { self.width = max(width, 20) }

    var text: String { lines.joined(separator: "\n") }

    /// Adds text. Where it does not fit into a line, the lines that follow are indented by `hanging` more columns.
    mutating func add(_ text: String = "", indent: Int = 0, hanging: Int = 0) {
        var line = spaces(indent)
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = spaces(min(indent + hanging, width / 2))
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        lines.append(isEmpty ? "" : line)
    }

    /// Adds lines that must not be broken, such as code.
    mutating func add(verbatim text: String, indent: Int) {
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            lines.append(spaces(indent) + line)
        }
    }

    /// Adds rows of a name and a text: in two columns, or the text below the name where names are long.
    mutating func add(rows: [(name: String, text: String)], indent: Int) {
        let column = (rows.map(\.name.count).max() ?? 0) + 2
        for row in rows {
            if indent + column > width / 2 {
                add(row.name, indent: indent, hanging: 2)
                add(row.text, indent: indent + 4)
                continue
            }
            // Text is split into words at blanks, so that those of the column become no-break spaces for the moment.
            let name = (row.name + spaces(column - row.name.count)).replacing(" ", with: "\u{A0}")
            let before = lines.count
            add(name + row.text, indent: indent, hanging: column)
            for index in before..<lines.count { lines[index] = lines[index].replacing("\u{A0}", with: " ") }
        }
    }

    private func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
}
