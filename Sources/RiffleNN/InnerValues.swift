import RiffleTensor

/// Values of a network's blocks, which a discriminator's heads look at.
final class InnerValues {
    /// Ends an evaluation of which nothing more is wanted.
    struct AllFound: Error {}

    private var missing: Set<String>
    private(set) var values: [String: Tensor] = [:]

    init(_ names: [String]) { missing = Set(names) }

    /// Takes what a block gives where it is wanted.
    /// - Throws: `AllFound` with the last one.
    func take(_ name: String, _ value: Tensor) throws {
        guard missing.remove(name) != nil else { return }
        values[name] = value
        if missing.isEmpty { throw AllFound() }
    }
}

extension Network {
    /// The values of some blocks for samples at times. The network is evaluated no further than to the last of them.
    /// - Parameters:
    ///   - names: of `blockNames`.
    ///   - times: [n] each, as many as the network takes.
    /// - Returns: in the order of the names, [n, height, width, channels], or [n, width] of networks for points.
    /// - Throws: `RiffleError` for names that are of no block, and inputs that do not fit.
    package func innerValues(at names: [String], _ x: Tensor, _ times: [Tensor], _ condition: Condition? = nil) throws
        -> [Tensor]
    {
        try checkBlocks(names)
        let times = try checkedInputs(x, times, condition), found = InnerValues(names)
        recorder = found
        defer { recorder = nil }
        do { _ = try evaluateInOwnPrecision(x, times, condition) } catch is InnerValues.AllFound {}
        return try names.compactMap { try found.values[$0].map(map(ofBlock:)) }
    }

    /// - Throws: `RiffleError` where a name is of no block, or none is given.
    package func checkBlocks(_ names: [String]) throws {
        guard !names.isEmpty else { throw RiffleError("features", "one name of a block or more is needed") }
        guard let stranger = names.first(where: { !blockNames.contains($0) }) else { return }
        guard !blockNames.isEmpty else {
            throw RiffleError("features", "a \(kind) has no blocks whose values could be taken")
        }
        throw RiffleError(
            "features",
            "this \(kind) has no block '\(stranger)'\(suggestion(for: stranger, among: blockNames)); there are "
                + blockNames.joined(separator: ", "))
    }
}
