import RiffleIO
import RiffleTensor

/// Prompts in a text file, one a line, or in a file of JSON lines, of which each is a table with "prompt".
package struct PromptList {
    package let prompts: [String]
    /// The tables of a file of JSON lines, as they are written there; nil for text.
    package let tables: [String]?
    package let path: String

    /// - Parameter path: of JSON lines where it ends in .jsonl.
    /// - Throws: `RiffleError` that names the file and the line.
    package init(_ path: String) throws {
        let file = try InputFile(path)
        var lines = try PromptList.lines(file)
        while lines.last == "" { lines.removeLast() }
        guard !lines.isEmpty else { throw file.error("it has no prompts; each line is one") }
        let isJSON = path.lowercased().hasSuffix(".jsonl")
        prompts = try lines.enumerated().map { index, line in
            let number = index + 1
            guard !line.allSatisfy(\.isWhitespace) else {
                throw file.error("line \(number) is empty; each line is a prompt")
            }
            return isJSON ? try PromptList.prompt(in: line, number, file) : line
        }
        tables = isJSON ? lines : nil
        self.path = path
    }

    /// The lines, without their ends and the mark of UTF-8 that some editors begin a file with.
    private static func lines(_ file: InputFile) throws -> [String] {
        try Memory.check(file.size)
        var bytes = try file.bytes(file.size, at: 0)[...]
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        let newline = UInt8(ascii: "\n"), carriage = UInt8(ascii: "\r")
        // Each line is a slice, and then a string of its own.
        try Memory.check(4 * bytes.count + 100 * bytes.count { $0 == newline })
        return try bytes.split(separator: newline, omittingEmptySubsequences: false).enumerated().map { index, line in
            let text = (line.last == carriage ? line.dropLast() : line).withUnsafeBytes { String(bytes: $0) }
            guard text.isUnicode else { throw file.error("line \(index + 1) is not UTF-8") }
            guard !text.utf8.contains(0) else { throw file.error("line \(index + 1) has a zero byte") }
            return text
        }
    }

    private static func prompt(in line: String, _ number: Int, _ file: InputFile) throws -> String {
        guard case .table(let table) = try JSON.value(line: line.utf8, number, of: file),
            case .string(let prompt)? = table["prompt"]
        else {
            throw file.error("line \(number): expected a table with \"prompt\", a text")
        }
        guard !prompt.allSatisfy(\.isWhitespace) else { throw file.error("line \(number): its prompt is empty") }
        return prompt
    }
}
