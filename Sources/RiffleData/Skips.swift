/// Files that a set passed over, and why.
package struct Skips: Sendable {
    private var groups: [(reason: String, count: Int, names: [String])] = []

    package init() {}

    /// How many files were passed over.
    package var count: Int { groups.reduce(0) { $0 + $1.count } }

    /// - Parameter reason: words that follow a number, such as `of no known format`.
    package mutating func add(_ name: String, _ reason: String) {
        let index = groups.firstIndex { $0.reason == reason } ?? groups.endIndex
        if index == groups.endIndex { groups.append((reason, 0, [])) }
        groups[index].count += 1
        // A few names tell what kind of files these are.
        if groups[index].names.count < 3 { groups[index].names.append(name) }
    }

    /// `2 of no known format (a.txt, b.txt), 1 broken (c.png: the file ends too early)`; empty where there are none.
    package var description: String {
        groups.map { group in
            let names = group.names.joined(separator: ", ") + (group.count > group.names.count ? ", ..." : "")
            return "\(group.count) \(group.reason) (\(names))"
        }.joined(separator: ", ")
    }
}
