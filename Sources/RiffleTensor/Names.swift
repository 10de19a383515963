/// The name among `candidates` that is most like `name`; nil where no candidate is like enough to be meant.
package func nearest(_ name: String, in candidates: some Sequence<String>) -> String? {
    let wanted = Array(name.lowercased().utf8)
    // A letter is a large part of a short name: in a name of up to four letters a replaced letter makes another name,
    // and of a name of up to three letters only a swap of two letters makes a near one.
    let limit = max(1, wanted.count / 4)
    let replacing = wanted.count <= 4 ? 2 : 1
    var best: (distance: Int, name: String)?
    for candidate in candidates where candidate != name && (wanted.count > 3 || candidate.utf8.count == wanted.count) {
        let distance = editDistance(wanted, Array(candidate.lowercased().utf8), replacing: replacing)
        if distance <= limit, best.map({ (distance, candidate) < ($0.distance, $0.name) }) ?? true {
            best = (distance, candidate)
        }
    }
    return best?.name
}

/// `, did you mean 'x'?`, or nothing when no candidate is near.
package func suggestion(for name: String, among candidates: some Sequence<String>) -> String {
    nearest(name, in: candidates).map { ", did you mean '\($0)'?" } ?? ""
}

/// Insertions, deletions, swaps of neighbours and replacements, which count `replacing`, that turn `a` into `b`.
private func editDistance(_ a: [UInt8], _ b: [UInt8], replacing: Int) -> Int {
    var before: [Int] = []
    var previous = Array(0...b.count)
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var cost = min(previous[j] + (a[i] == b[j] ? 0 : replacing), previous[j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, before[j - 1] + 1) }
            row.append(cost)
        }
        before = previous
        previous = row
    }
    return previous[b.count]
}
