import RiffleTensor

extension Catalogue {
    /// What there is to say of a function, method, class or room.
    /// - Throws: `RiffleError` with the nearest name when there is nothing of that name.
    public func help(_ topic: String) throws -> String {
        var name = topic
        if name.hasPrefix("riffle.") { name.removeFirst("riffle.".count) }
        if name.isEmpty || name == "riffle" { return overview }
        let kind = classes.first { $0.word == name.replacing(" ", with: "_") }
        let found = [self[name].map(text(of:)), rooms.contains(name) ? text(ofRoom: name) : nil, kind.map(text(of:))]
        if found.contains(where: { $0 != nil }) { return found.compactMap { $0 }.joined(separator: "\n\n") }
        // A method of its class's superclass, or by its name alone, a tensor's first.
        if let colon = name.firstIndex(of: ":") {
            name = String(name[name.index(after: colon)...])
            if let entry = self[name] { return text(of: entry) }
        }
        let methods = entries.filter { $0.lastName == name }
        if let entry = methods.first(where: { $0.parent == "tensor" }) ?? methods.first {
            let others = methods.filter { $0.name != entry.name }.map(\.title)
            return text(of: entry) + (others.isEmpty ? "" : "\n\nalso: " + others.joined(separator: ", "))
        }
        let lastNames = names.map { String($0.split { ".:".contains($0) }.last ?? "") }
        throw RiffleError("help", "there is nothing named '\(topic)'" + suggestion(for: name, among: names + lastNames))
    }

    private var overview: String {
        var lines = ["riffle: flow-matching models and few-step generators", "", "rooms"]
        lines.append(contentsOf: wrapped(rooms.sorted()))
        lines.append("functions")
        lines.append(contentsOf: wrapped(entries.filter { $0.parent.isEmpty }.map(\.name).sorted()))
        lines.append("classes of objects")
        lines.append(contentsOf: wrapped(classes.map(\.word).sorted()))
        return (lines + ["", "help(\"name\") tells more of each."]).joined(separator: "\n")
    }

    func text(of entry: Entry) -> String {
        var lines = [entry.signature]
        if !entry.doc.summary.isEmpty { lines.append("  " + entry.doc.summary) }
        func section(_ name: String, _ text: String) {
            guard !text.isEmpty else { return }
            let rows = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            lines.append("  " + padded(name, 9) + rows[0])
            lines += rows.dropFirst().map { String(repeating: " ", count: 11) + $0 }
        }
        section("formula", entry.doc.formula)
        section("shapes", entry.doc.shapes)
        let shown = entry.isMethod ? entry.parameters.dropFirst() : entry.parameters[...]
        if !shown.isEmpty {
            lines.append("  arguments")
            let width = shown.map(\.name.count).max() ?? 0
            for parameter in shown {
                var text = parameter.type
                if let value = parameter.defaultText { text += value == "nil" ? ", optional" : ", default \(value)" }
                if !parameter.summary.isEmpty { text += ": \(parameter.summary)" }
                lines.append("    " + padded(parameter.name, width + 2) + text)
            }
        }
        section("example", entry.doc.example)
        section("source", entry.doc.source)
        return lines.joined(separator: "\n")
    }

    private func text(of entry: Class) -> String {
        var lines = [entry.word.replacing("_", with: " "), "  " + entry.doc.summary]
        if let general = entry.extends { lines.append("  Has the methods of a \(general), too.") }
        if !entry.fields.isEmpty {
            lines.append("  fields")
            let width = entry.fields.map(\.name.count).max() ?? 0
            for field in entry.fields {
                lines.append("    \(padded(field.name, width + 2))\(field.type): \(field.summary)\(field.isSettable ? " Can be set." : "")")
            }
        }
        lines += listing("methods", entries.filter { $0.parent == entry.word })
        return lines.joined(separator: "\n")
    }

    private func text(ofRoom room: String) -> String {
        let inner = rooms.filter { $0.hasPrefix(room + ".") }.sorted().map { "riffle.\($0)" }
        return (["riffle.\(room)"] + listing("functions", entries.filter { $0.parent == room && !$0.isMethod })
            + (inner.isEmpty ? [] : ["  and " + inner.joined(separator: ", ")])).joined(separator: "\n")
    }

    private func listing(_ head: String, _ entries: [Entry]) -> [String] {
        guard !entries.isEmpty else { return [] }
        let width = entries.map(\.lastName.count).max() ?? 0
        return ["  " + head] + entries.map { "    \(padded($0.lastName, width + 2))\($0.doc.summary)" }
    }

    private func wrapped(_ words: [String]) -> [String] {
        var lines = [" "]
        for word in words {
            if lines[lines.count - 1].count + word.count > 98 { lines.append(" ") }
            lines[lines.count - 1] += " " + word
        }
        return lines
    }

    private func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
}
