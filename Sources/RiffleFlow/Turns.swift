import RiffleTensor

/// Steps in which networks take turns, such as FGM's online network and generator.
package final class Turns: Resumable {
    /// Who has each turn of a step, in order.
    package let order: [String]
    /// How often all of them have their turns.
    package let steps: Int
    /// Turns given so far.
    package private(set) var given = 0
    /// Turns in all steps.
    package var count: Int { steps * order.count }

    /// - Parameter turns: names, each with its number of turns in a step.
    /// - Throws: `RiffleError` when there are no turns, or more than can be counted.
    package init(steps: Int, _ turns: [(name: String, count: Int)]) throws {
        let inStep = turns.reduce(0) { min(1_000_000, $0 + $1.count) }
        guard steps >= 1, inStep >= 1, inStep < 1_000_000, turns.allSatisfy({ $0.count >= 1 }),
            !steps.multipliedReportingOverflow(by: inStep).overflow
        else {
            throw RiffleError("", "steps and turns count from 1, with fewer than 1000000 turns a step")
        }
        self.steps = steps
        order = turns.flatMap { Array(repeating: $0.name, count: $0.count) }
    }

    /// The step, from 1, and who has the turn; nil at the end.
    package func next() -> (step: Int, name: String)? {
        guard given < count else { return nil }
        defer { given += 1 }
        return (given / order.count + 1, order[given % order.count])
    }

    package func saved() throws -> SavedState {
        SavedState(values: ["given": .integer(given), "order": .list(order.map(Value.string))])
    }

    package func resuming(from state: SavedState) throws -> () throws -> Void {
        let given = try state.integer("given")
        guard try state.texts("order") == order else {
            throw RiffleError(
                "", "the turns of a step are \(order.joined(separator: ", ")), and others in the state")
        }
        guard given <= count else {
            throw RiffleError("", "there are \(count) turns, and the state has given \(given)")
        }
        return { self.given = given }
    }
}
