import Foundation
import RiffleIO
import RiffleTensor

/// What GenEval's published evaluator found in pictures: a JSON line for each, with the task as "tag", "correct", and
/// the prompt's "metadata".
package struct GenEvalResults {
    private struct Task {
        var correct = 0
        var count = 0
        var share: Double { Double(correct) / Double(count) }
    }

    /// The tasks of the published prompts, whose mean is the score.
    package static let tasks = ["single_object", "two_object", "counting", "colors", "position", "color_attr"]

    /// In the order of the file.
    private var names: [String] = []
    private var tasks: [String: Task] = [:]
    /// Whether any picture of a prompt is right.
    private var prompts: [String: Bool] = [:]

    /// - Throws: `RiffleError` that names the file and the line.
    package init(_ path: String) throws {
        let file = try InputFile(path)
        // The lines, and strings of them.
        try Memory.check(4 * file.size)
        let bytes = try file.bytes(file.size, at: 0)
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
        where !line.isEmpty {
            try add(line, number: index + 1, file)
        }
        guard !tasks.isEmpty else { throw file.error("it has no results; each line is one") }
    }

    private mutating func add(_ line: ArraySlice<UInt8>, number: Int, _ file: InputFile) throws {
        guard case .table(let table) = try JSON.value(line: line, number, of: file),
            case .string(let tag)? = table["tag"],
            case .boolean(let isCorrect)? = table["correct"], case .string(let prompt)? = table["metadata"]
        else {
            throw file.error(
                "line \(number): expected a table with \"tag\", \"metadata\" and \"correct\", as GenEval's evaluator "
                    + "writes it")
        }
        if tasks[tag] == nil { names.append(tag) }
        tasks[tag, default: Task()].count += 1
        tasks[tag, default: Task()].correct += isCorrect ? 1 : 0
        prompts[prompt, default: false] = prompts[prompt, default: false] || isCorrect
    }

    /// The tasks of the published prompts that have no picture.
    package var missing: [String] { Self.tasks.filter { tasks[$0] == nil } }
}

extension GenEvalResults: CustomStringConvertible {
    /// As the published summary prints it.
    package var description: String {
        let all = Task(
            correct: tasks.values.reduce(0) { $0 + $1.correct }, count: tasks.values.reduce(0) { $0 + $1.count })
        let found = Task(correct: prompts.values.count { $0 }, count: prompts.count)
        func percent(_ task: Task) -> String { String(format: "%.2f%%", 100 * task.share) }
        let rows = names.map { name in
            let task = tasks[name, default: Task()]
            let padding = String(repeating: " ", count: max(0, 16 - name.count))
            return "\(name)\(padding) = \(percent(task)) (\(task.correct) / \(task.count))"
        }
        let mean = names.reduce(0) { $0 + tasks[$1, default: Task()].share } / Double(names.count)
        return """
            Summary
            =======
            Total images: \(all.count)
            Total prompts: \(found.count)
            % correct images: \(percent(all))
            % correct prompts: \(percent(found))

            Task breakdown
            ==============
            \(rows.joined(separator: "\n"))

            Overall score (avg. over tasks): \(String(format: "%.5f", mean))
            """
    }
}
