import RiffleFlow
import RiffleTensor

/// Loops in which networks take turns.
enum TurnLibrary {
    static let functions: [Function] = [
        Function(
            "flow.turns",
            [
                Argument("steps", .integer(1...Int.max), "how often all of them have their turns"),
                Argument("turns", .any, "a list of names, each followed by its number of turns in a step"),
            ],
            Doc(
                "Goes through steps in which networks take turns, such as FGM's online network and generator.",
                example:
                    """
                    > local order, turns = {}, riffle.flow.turns(2, { "online", 2, "generator", 1 })
                    > for step, who in turns do order[#order + 1] = step .. who end
                    > table.concat(order, " ")
                    1online 1online 1generator 2online 2online 2generator
                    """)
        ) { arguments in
            let turns = arguments[named: "turns"]
            guard case .list(let items) = turns, !items.isEmpty, items.count.isMultiple(of: 2) else {
                throw RiffleError(
                    "",
                    "argument 2 'turns' must be a list such as { \"online\", 5, \"generator\", 1 }, got "
                        + turns.described)
            }
            let pairs = try stride(from: 0, to: items.count, by: 2).map { index in
                guard case .string(let name) = items[index] else {
                    throw RiffleError("", "item \(index + 1) of 'turns' must be a name, got \(items[index].described)")
                }
                guard case .integer(let count) = items[index + 1], count >= 1 else {
                    throw RiffleError(
                        "",
                        "item \(index + 2) of 'turns' must be an integer from 1 on, got \(items[index + 1].described)")
                }
                return (name, count)
            }
            return [.object(try Turns(steps: arguments.integer("steps"), pairs))]
        }
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "turns", Turns.self, Doc("Turns of networks, for a loop: for step, who in turns do ... end."),
            properties: [
                Property(
                    "steps", .integer(1...Int.max), "How often all have their turns.", get: { .integer($0.steps) }),
                Property("position", .integer(0...Int.max), "How many turns were given.", get: { .integer($0.given) }),
            ],
            count: { $0.count }, next: { turns, _ in turns.next().map { [.integer($0.step), .string($0.name)] } },
            describe: { "\($0.steps) steps of the turns \($0.order.joined(separator: ", ")), \($0.given) given" })
    ]
}
