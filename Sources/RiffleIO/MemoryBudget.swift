import RiffleTensor

/// Counts the memory that many small values take, and compares the sum with the memory limit now and then, and with
/// the bytes that the values were read from.
struct MemoryBudget {
    /// About what a value, and what a list or table of values takes, with its share of the memory that arrays reserve.
    static let value = 64, container = 160
    private static let step = 16 << 20
    /// What any file may take, and what each of its bytes may.
    private static let free = 1 << 20, factor = 512

    private var spent = 0
    private var next = MemoryBudget.step

    /// - Throws: `RiffleError` of kind `outOfMemory`.
    mutating func spend(_ bytes: Int) throws {
        spent += bytes
        guard spent >= next else { return }
        try Memory.check(spent)
        next = spent + MemoryBudget.step
    }

    /// Whether no more was spent than so many bytes of a file may take. Values that each byte of a file brings take
    /// less; more come where few bytes refer to many values over and over.
    func fits(_ bytes: Int) -> Bool { spent <= MemoryBudget.free + MemoryBudget.factor * bytes }
}
