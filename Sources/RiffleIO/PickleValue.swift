import RiffleTensor

/// What a pickle holds, as data. Tables, lists and tensors are numbers of entries in the lists of `Pickle`, so that
/// neither depth nor cycles matter where values are freed.
enum PickleValue {
    case none
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    /// A class or function by its full name.
    case global(String)
    case tuple(Int)
    case list(Int)
    case table(Int)
    case storage(Int)
    case tensor(Int)
    /// A value of a class that is not read, by the class's name.
    case opaque(String)
}

/// The values of one pickle.
struct Pickle {
    /// A stretch of memory that tensors share.
    struct Storage {
        let key: String
        /// Nil where the file does not say.
        let type: ElementType?
        /// The class of a storage whose type has no counterpart.
        let typeName: String
        /// The number of elements, or of bytes where the type is nil.
        let count: Int
    }

    struct Tensor {
        let storage: Int
        let type: ElementType
        /// In elements.
        let offset: Int
        let sizes: [Int]
        let strides: [Int]
    }

    private(set) var root = PickleValue.none
    private(set) var lists: [[PickleValue]] = []
    private(set) var tables: [[(key: PickleValue, value: PickleValue)]] = []
    private(set) var storages: [Storage] = []
    private(set) var tensors: [Tensor] = []
    /// The bytes of the file that it was read from.
    private(set) var size = 0
    /// What the values took since it was asked for.
    private var cost = 0

    init() {}

    mutating func finish(_ root: PickleValue, size: Int) { (self.root, self.size) = (root, size) }

    /// About the bytes of memory that the values of the lists took since this was last asked for.
    mutating func takeCost() -> Int {
        defer { cost = 0 }
        return cost
    }

    mutating func newList() -> PickleValue {
        cost += MemoryBudget.container
        lists.append([])
        return .list(lists.count - 1)
    }

    mutating func newTuple(_ items: ArraySlice<PickleValue>) -> PickleValue {
        cost += MemoryBudget.container + items.count * MemoryBudget.value
        lists.append(Array(items))
        return .tuple(lists.count - 1)
    }

    /// The items of a tuple or list; nil for anything else.
    func items(_ value: PickleValue) -> [PickleValue]? {
        switch value {
        case .tuple(let index), .list(let index): lists[index]
        default: nil
        }
    }

    mutating func newTable() -> PickleValue {
        cost += MemoryBudget.container
        tables.append([])
        return .table(tables.count - 1)
    }

    mutating func append(_ values: ArraySlice<PickleValue>, to list: Int) {
        cost += values.count * MemoryBudget.value
        lists[list] += values
    }

    mutating func set(_ key: PickleValue, _ value: PickleValue, in table: Int) {
        cost += 2 * MemoryBudget.value
        tables[table].append((key, value))
    }

    mutating func add(_ storage: Storage) -> PickleValue {
        cost += MemoryBudget.container
        storages.append(storage)
        return .storage(storages.count - 1)
    }

    mutating func add(_ tensor: Tensor) -> PickleValue {
        cost += MemoryBudget.container + (tensor.sizes.count + tensor.strides.count) * MemoryBudget.value
        tensors.append(tensor)
        return .tensor(tensors.count - 1)
    }
}
