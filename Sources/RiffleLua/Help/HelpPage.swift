/// Text of help, whose lines break at words.
struct HelpPage {
    let width: Int
    private(set) var lines: [String] = []

    init(width: Int) { self.width = max(width, 20) }

    var text: String { lines.joined(separator: "\n") }

    /// Adds text that goes on, where it does not fit, `hanging` columns further right.
    mutating func add(_ text: String = "", indent: Int = 0, hanging: Int = 0) {
        var line = spaces(indent), isEmpty = true
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

    /// Adds lines that have to stay as they are, such as code.
    mutating func add(verbatim text: String, indent: Int) {
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            lines.append(spaces(indent) + line)
        }
    }

    /// Adds rows of a name and what there is to say of it: in columns, or the one below the other where names are long.
    mutating func add(rows: [(name: String, text: String)], indent: Int) {
        let column = (rows.map(\.name.count).max() ?? 0) + 2
        for row in rows {
            if indent + column > width / 2 {
                add(row.name, indent: indent, hanging: 2)
                add(row.text, indent: indent + 4)
                continue
            }
            // Words are split at single blanks: the blanks of the column have to be something else meanwhile.
            let name = (row.name + spaces(column - row.name.count)).replacing(" ", with: "\u{A0}")
            let before = lines.count
            add(name + row.text, indent: indent, hanging: column)
            for place in before..<lines.count { lines[place] = lines[place].replacing("\u{A0}", with: " ") }
        }
    }

    private func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
}
