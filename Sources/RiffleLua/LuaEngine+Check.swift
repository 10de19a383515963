import RiffleTensor

// What the command `riffle check` asks of flow.check.

extension LuaEngine {
    /// What a method's training came to.
    package struct Check {
        package let measure: String
        package let error: Double
        package let limit: Double
        package let isWithin: Bool
    }

    /// The methods that have a check, in their order.
    package func checkedMethods() throws -> [String] {
        try runInternal("local _, internal = ... return internal.checked").first?.list.map(\.brief) ?? []
    }

    /// Trains by a method and measures.
    /// - Throws: the error that ended the training, such as a loss that is not finite.
    package func check(_ method: String, seed: Int) throws -> Check {
        let source = """
            local riffle, method, seed = require "riffle", ...
            local check = riffle.flow.check(method, { seed = seed })
            return check.measure, check.error, check.within, check.ok
            """
        let values = try run(Array(source.utf8), name: "=[riffle check]", arguments: [.string(method), .integer(seed)])
        guard values.count == 4, case .string(let measure) = values[0], case .number(let error) = values[1],
            case .number(let limit) = values[2], case .boolean(let isWithin) = values[3]
        else { throw RiffleError("check", "the training gave no result") }
        return Check(measure: measure, error: error, limit: limit, isWithin: isWithin)
    }
}
