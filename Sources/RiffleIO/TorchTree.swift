import RiffleTensor

/// The tables of a pickle as a flat list: a tensor's name is the path to it, with dots between.
struct TorchTree {
    private let pickle: Pickle
    private let storages: [TorchStorage]
    private let error: (String) -> RiffleError
    private var found = TensorListing()
    private var budget = MemoryBudget()
    private var visits = 0

    private static let deepest = 64
    /// Tables may stand in several tables, and each in several again: a short pickle can spell very many paths.
    private static let mostVisits = 2_000_000
    /// A tensor may repeat the elements of its storage, as those do that were expanded: so often, or up to a size.
    private static let mostRepeats = 1024, smallCount = 1 << 18
    /// About the memory of an item while its table is visited.
    private static let item = 96

    init(_ pickle: Pickle, _ storages: [TorchStorage], error: @escaping (String) -> RiffleError) {
        self.pickle = pickle
        self.storages = storages
        self.error = error
    }

    consuming func listing() throws -> TensorListing {
        try visit(pickle.root, [], isInList: false)
        if case .tensor = pickle.root { found.isSingle = true }
        return found
    }

    private mutating func visit(_ value: PickleValue, _ path: [String], isInList: Bool) throws {
        visits += 1
        guard visits <= TorchTree.mostVisits, path.count <= TorchTree.deepest else {
            throw error(
                "a pickle of more than \(TorchTree.mostVisits) values, or \(TorchTree.deepest) tables in one another")
        }
        switch value {
        case .table(let index):
            // As in Python, a later value of a key replaces an earlier one.
            var last: [String: Int] = [:]
            let items = pickle.tables[index].map { (key: TorchTree.text($0.key), value: $0.value) }
            for (position, item) in items.enumerated() {
                try spend(TorchTree.item + item.key.utf8.count)
                last[item.key] = position
            }
            for (position, item) in items.enumerated() where last[item.key] == position {
                try visit(item.value, path + [item.key], isInList: false)
            }
        case .list(let index), .tuple(let index):
            for (position, item) in pickle.lists[index].enumerated() {
                try visit(item, path + ["\(position)"], isInList: true)
            }
        case .tensor(let index): try add(pickle.tensors[index], path)
        case .opaque(let name): found.refused[try joined(path)] = name
        case .storage: found.refused[try joined(path)] = "storage without a tensor"
        case .none, .boolean, .integer, .number, .text, .global:
            if !isInList, !path.isEmpty { found.metadata[try joined(path)] = TorchTree.text(value) }
        }
    }

    private mutating func joined(_ path: [String]) throws -> String {
        try spend(MemoryBudget.container + path.reduce(0) { $0 + $1.utf8.count + 1 })
        return path.joined(separator: ".")
    }

    private mutating func spend(_ bytes: Int) throws {
        try budget.spend(bytes)
        guard budget.fits(pickle.size) else {
            throw error("a pickle of \(pickle.size) bytes that spells far more names than it has bytes for")
        }
    }

    private mutating func add(_ tensor: Pickle.Tensor, _ path: [String]) throws {
        let name = path.isEmpty ? TensorListing.onlyName : try joined(path)
        let storage = storages[tensor.storage], size = tensor.type.bits / 8
        guard size > 0 else {
            found.refused[name] = "tensor of \(tensor.type.word)"
            return
        }
        // With some to spare, so that bytes of elements can be counted without asking again.
        guard let count = checkedProduct(tensor.sizes + [32]) else {
            throw error("the shape of tensor '\(name)' is too large: \(Shape(tensor.sizes))")
        }
        if count > 0 {
            var last: Int? = tensor.offset
            for (length, stride) in zip(tensor.sizes, tensor.strides) {
                guard let way = checkedProduct([length - 1, stride]), let before = last else { last = nil; break }
                let (sum, isOver) = before.addingReportingOverflow(way)
                last = isOver ? nil : sum
            }
            let elements = storage.size / size
            guard let last, last < elements else {
                throw error(
                    "tensor '\(name)', \(tensor.type.word) \(Shape(tensor.sizes)) with strides \(tensor.strides) from "
                        + "element \(tensor.offset) on, does not fit its storage of \(storage.size) bytes")
            }
            guard count / 32 <= TorchTree.smallCount || count / 32 / TorchTree.mostRepeats <= elements else {
                throw error(
                    "tensor '\(name)' \(Shape(tensor.sizes)) repeats the \(elements) elements of its storage more "
                        + "than \(TorchTree.mostRepeats) times")
            }
        }
        found.tensors.append(
            StoredTensor(
                name, tensor.type, Shape(tensor.sizes), in: storage.source,
                at: count == 0 ? storage.offset : storage.offset + tensor.offset * size, strides: tensor.strides,
                containers: Array(path.dropLast())))
    }

    private static func text(_ value: PickleValue) -> String {
        switch value {
        case .text(let text), .global(let text): text
        case .integer(let number): "\(number)"
        case .number(let number): riffleFormat(number)
        case .boolean(let isTrue): isTrue ? "true" : "false"
        case .none: "none"
        case .tuple, .list, .table, .storage, .tensor, .opaque: "(a key that is no text)"
        }
    }
}
