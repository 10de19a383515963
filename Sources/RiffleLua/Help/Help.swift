import RiffleTensor

extension Catalogue {
    /// The page of a function, method, class, namespace or topic; or a list of the pages that mention the words.
    /// - Parameter width: the longest line in columns.
    /// - Throws: `RiffleError` with the nearest name where no page mentions the words.
    package func help(_ topic: String, width: Int = 100) throws -> String {
        var page = HelpPage(width: width)
        let name = topic.hasPrefix("riffle.") ? String(topic.dropFirst("riffle.".count)) : topic
        let words = name.lowercased().split(separator: " ").map(stem)
        if words.isEmpty || name == "riffle" {
            addOverview(to: &page)
        } else if addNamed(name, to: &page) {
            let topics = Guide.sections.filter { $0.isNamed(words) }.map(\.title)
            if !topics.isEmpty { page.add("topic: " + topics.joined(separator: ", "), hanging: 2) }
        } else if let ours = Aliases.names[name]?.first(where: { lastNames.contains($0) }) {
            page.add("\(name) is called \(ours) here.")
            page.add()
            if !addNamed(ours, to: &page) { addMentions(of: [ours], to: &page) }
        } else if !addMentions(of: words, to: &page) {
            let hint = Aliases.hint(for: name, among: names + lastNames)
            throw RiffleError("help", "nothing is named '\(topic)' or speaks of it" + hint)
        }
        return page.text
    }

    private var lastNames: Set<String> { Set(names.map { String($0.split { ".:".contains($0) }.last ?? "") }) }

    private func stem(_ word: Substring) -> String {
        word.count > 3 && word.hasSuffix("s") ? String(word.dropLast()) : String(word)
    }

    /// Adds the page of what has this name, or of a method of this name. False where there is none.
    private func addNamed(_ topic: String, to page: inout HelpPage) -> Bool {
        var name = topic
        let kind = classes.first { $0.word == name.replacing(" ", with: "_") }
        if let entry = self[name] { add(entry, to: &page) }
        if namespaces.contains(name) { addNamespace(name, to: &page) }
        if let kind { add(kind, to: &page) }
        if !page.lines.isEmpty { return true }
        // A method may stand under the class that its class extends, or be given without a class: tensors come first
        // then.
        if let colon = name.firstIndex(of: ":") {
            name = String(name[name.index(after: colon)...])
            if let entry = self[name] {
                add(entry, to: &page)
                return true
            }
        }
        let methods = entries.filter { $0.lastName == name }
        guard let entry = methods.first(where: { $0.parent == "tensor" }) ?? methods.first else { return false }
        add(entry, to: &page)
        let others = methods.filter { $0.name != entry.name }.map(\.title)
        if !others.isEmpty { page.add("also: " + others.joined(separator: ", "), hanging: 2) }
        return true
    }

    /// Adds the topics with the words in their titles, and lists all else that mentions them. False where nothing does.
    @discardableResult
    private func addMentions(of words: [String], to page: inout HelpPage) -> Bool {
        let before = page.lines.count
        let named = Guide.sections.filter { $0.isNamed(words) }
        for section in named { section.add(to: &page) }
        func speaks(_ texts: [String]) -> Bool {
            let text = texts.joined(separator: " ").lowercased()
            return words.allSatisfy { text.contains($0) }
        }
        let topics = Guide.sections.filter { $0.mentions(words) && !$0.isNamed(words) }.map(\.title)
        if !topics.isEmpty { page.add("topics that speak of it: " + topics.joined(separator: ", "), hanging: 2) }
        // Functions with the words in their name or summary come before those with the words in their arguments.
        let close = entries.filter { speaks([$0.title, $0.doc.summary]) }
        let isClose = Set(close.map(\.name))
        let far = entries.filter { entry in
            let parameters = entry.parameters.flatMap { [$0.name, $0.summary] }
            return !isClose.contains(entry.name)
                && speaks([entry.title, entry.doc.summary, entry.doc.source] + parameters)
        }
        let shown = (close + far).prefix(24)
        let hidden = close.count + far.count - shown.count
        if !shown.isEmpty {
            page.add("functions that speak of it")
            page.add(rows: shown.map { ($0.title, $0.doc.summary) }, indent: 2)
            if hidden > 0 { page.add("and \(hidden) more", indent: 2) }
        }
        return page.lines.count > before
    }

    private func addOverview(to page: inout HelpPage) {
        page.add("riffle: flow-matching models and few-step generators")
        page.add()
        page.add("topics")
        page.add(Guide.sections.map { "\"\($0.title)\"" }.joined(separator: ", "), indent: 2)
        for (head, words) in [
            ("namespaces", namespaces.sorted()),
            ("functions", entries.filter { $0.parent.isEmpty }.map(\.name).sorted()),
            ("classes of objects", classes.map(\.word).sorted()),
        ] {
            page.add(head)
            page.add(words.joined(separator: " "), indent: 2)
        }
        page.add()
        page.add("help(\"name\") says more about each; help(\"some words\") lists what mentions them.")
    }

    private func add(_ entry: Entry, to page: inout HelpPage) {
        page.add(entry.signature, hanging: 4)
        page.add(entry.doc.summary, indent: 2)
        let facts = [("formula", entry.doc.formula), ("shapes", entry.doc.shapes)].filter { !$0.1.isEmpty }
        for (name, text) in facts {
            let lines = text.split(separator: "\n").map(String.init)
            page.add(rows: lines.enumerated().map { ($0 == 0 ? name : "       ", $1) }, indent: 2)
        }
        let shown = entry.isMethod ? entry.parameters.dropFirst() : entry.parameters[...]
        if !shown.isEmpty {
            page.add("arguments", indent: 2)
            page.add(
                rows: shown.map { parameter in
                    var text = parameter.type
                    if let value = parameter.defaultText {
                        text += value == "nil" ? ", optional" : ", default \(value)"
                    }
                    if !parameter.summary.isEmpty { text += ": \(parameter.summary)" }
                    return (parameter.name, text)
                }, indent: 4)
        }
        if !entry.doc.parts.isEmpty {
            page.add("parts, each a number: the mean over its samples before its weight", indent: 2)
            page.add(rows: entry.doc.parts.map { ($0.name, $0.summary) }, indent: 4)
        }
        if !entry.doc.example.isEmpty {
            page.add("example", indent: 2)
            page.add(verbatim: entry.doc.example, indent: 4)
        }
        if !entry.doc.source.isEmpty { page.add(rows: [("source", entry.doc.source)], indent: 2) }
    }

    private func add(_ entry: Class, to page: inout HelpPage) {
        page.add(entry.word.replacing("_", with: " "))
        page.add(entry.doc.summary, indent: 2)
        if let general = entry.extends { page.add("Has the methods of a \(general), too.", indent: 2) }
        if !entry.fields.isEmpty {
            page.add("fields", indent: 2)
            page.add(
                rows: entry.fields.map { field in
                    (field.name, "\(field.type): \(field.summary)\(field.isSettable ? " Can be set." : "")")
                }, indent: 4)
        }
        addListing("methods", entries.filter { $0.parent == entry.word }, to: &page)
    }

    private func addNamespace(_ namespace: String, to page: inout HelpPage) {
        page.add("riffle.\(namespace)")
        addListing("functions", entries.filter { $0.parent == namespace && !$0.isMethod }, to: &page)
        let inner = namespaces.filter { $0.hasPrefix(namespace + ".") }.sorted().map { "riffle.\($0)" }
        if !inner.isEmpty { page.add("and " + inner.joined(separator: ", "), indent: 2) }
    }

    private func addListing(_ head: String, _ entries: [Entry], to page: inout HelpPage) {
        guard !entries.isEmpty else { return }
        page.add(head, indent: 2)
        page.add(rows: entries.map { ($0.lastName, $0.doc.summary) }, indent: 4)
    }
}
