extension Catalogue {
    /// An error message of Lua's, with a hint where a method was used as a field or a field was called as a method.
    func explained(_ message: String) -> String {
        if let match = message.firstMatch(of: /attempt to .* a function value \((?:field|method) '(\w+)'\)/) {
            let name = String(match.output.1)
            // Operations are methods of tensors, too.
            let isMethod = entries.contains { $0.lastName == name && ($0.isMethod || $0.parent.isEmpty) }
            if isMethod { return "\(message); \(name) is a method: x:\(name)()" }
        }
        if let match = message.firstMatch(of: /attempt to call an? \w+ value \(method '(\w+)'\)/) {
            let name = String(match.output.1)
            let isField = classes.contains { $0.fields.contains { $0.name == name } }
            if isField { return "\(message); \(name) is a field: x.\(name)" }
        }
        return message
    }
}
