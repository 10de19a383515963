import Glibc
import RiffleTensor

/// Everything that a value stores, down to numbers, words and tensors, each under its path.
struct Stored {
    enum Leaf {
        case text(String)
        case tensor(Tensor)
    }

    private(set) var leaves: [(path: String, leaf: Leaf)] = []
    private var seen: Set<ObjectIdentifier> = []

    init(_ value: Any) { add(value, "") }

    private mutating func add(_ value: Any, _ path: String) {
        switch value {
        case let tensor as Tensor:
            leaves.append((path, .tensor(tensor)))
            return
        case let parameter as Parameter:
            leaves.append((path, .tensor(parameter.value)))
            return
        case let table as [String: Value]:
            for (key, item) in table.sorted(by: { $0.key < $1.key }) { add(item, "\(path).\(key)") }
            return
        default: break
        }
        let mirror = Mirror(reflecting: value)
        // An object that several properties hold is visited once.
        if mirror.displayStyle == .class, !seen.insert(ObjectIdentifier(value as AnyObject)).inserted { return }
        var level: Mirror? = mirror
        while let current = level {
            for (index, child) in current.children.enumerated() {
                add(child.value, "\(path).\(child.label ?? "\(index)")")
            }
            level = current.superclassMirror
        }
        if mirror.children.isEmpty, mirror.displayStyle != .class { leaves.append((path, .text("\(value)"))) }
    }

    /// The first difference from another value, in words; nil where both store the same bits.
    func difference(from other: Stored) -> String? {
        if leaves.map(\.path) != other.leaves.map(\.path) {
            return "\(leaves.map(\.path)) and \(other.leaves.map(\.path))"
        }
        for (one, two) in zip(leaves, other.leaves) where !Self.isSame(one.leaf, two.leaf) {
            return "\(one.path): \(one.leaf) and \(two.leaf)"
        }
        return nil
    }

    private static func isSame(_ one: Leaf, _ two: Leaf) -> Bool {
        switch (one, two) {
        case (.text(let a), .text(let b)): a == b
        case (.tensor(let a), .tensor(let b)):
            a.shape == b.shape && a.dtype == b.dtype && memcmp(a.pointer, b.pointer, a.count * a.dtype.size) == 0
        default: false
        }
    }
}
