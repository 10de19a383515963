/// The sections of the guide, docs/getting-started.md, which are the topics of help.
struct Guide {
    struct Section {
        let title: String
        let lines: [String]
    }

    static let sections: [Section] = {
        var sections: [(title: String, lines: [String])] = []
        let page = String(decoding: PackageResources.getting_started_md, as: UTF8.self)
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("## ") {
                sections.append((String(line.dropFirst(3)), []))
            } else if !sections.isEmpty {
                sections[sections.count - 1].lines.append(String(line))
            }
        }
        return sections.map { Section(title: $0.title, lines: $0.lines) }
    }()
}

extension Guide.Section {
    /// Adds the section as plain text: paragraphs get new line breaks, rows of tables become columns, code stays as it
    /// is.
    func add(to page: inout HelpPage) {
        page.add(title)
        var paragraph: [String] = [], rows: [(name: String, text: String)] = []
        func finish(_ page: inout HelpPage) {
            if !paragraph.isEmpty { page.add(plain(paragraph.joined(separator: " ")), indent: 2) }
            if !rows.isEmpty { page.add(rows: rows, indent: 2) }
            paragraph = []
            rows = []
        }
        for line in lines {
            if line.hasPrefix("    ") {
                finish(&page)
                page.add(verbatim: line, indent: 0)
            } else if line.isEmpty {
                finish(&page)
                if page.lines.last != "" { page.add() }
            } else if line.hasPrefix("|") {
                let cells = line.split(separator: "|").map { plain($0.split(separator: " ").joined(separator: " ")) }
                if cells.count > 1, !cells[0].hasPrefix("---") { rows.append((cells[0], cells[1])) }
            } else {
                paragraph.append(line)
            }
        }
        finish(&page)
    }

    /// Text without the marks of Markdown; of a link only its text.
    private func plain(_ text: String) -> String {
        text.replacing("`", with: "").replacing(/\[([^\]]*)\]\([^)]*\)/) { String($0.output.1) }
    }

    /// Whether the title has every word.
    func isNamed(_ words: [String]) -> Bool { words.allSatisfy { title.lowercased().contains($0) } }
    /// Whether title and text together have every word.
    func mentions(_ words: [String]) -> Bool {
        let text = ([title] + lines).joined(separator: " ").lowercased()
        return words.allSatisfy { text.contains($0) }
    }
}
