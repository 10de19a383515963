import Glibc
import RiffleTensor
import Testing

@testable import RiffleLua

/// The scripts that readers copy run: examples and the code in the guides, with few steps and their files elsewhere.
@Suite(.serialized) struct GuideTests {
    private static let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()

    /// A text of the repository with every count of steps made small and every file put in `folder`.
    private static func text(_ path: String, folder: String) throws -> String {
        var text = String(decoding: try contents(of: "\(root)/\(path)"), as: UTF8.self)
        for count in ["100000", "6000", "4000", "3000", "2000"] { text.replace(count, with: "3") }
        // The largest part of the CIFAR-10 example is sampling.
        text.replace("method = \"heun\", steps = 15", with: "method = \"euler\", steps = 1")
        for name in [
            "quickstart.png", "moons.png", "cifar10-", "compare.png", "one_step.png", "guided.png", "reflow.png",
            "net.safetensors", "teacher.safetensors",
        ] { text.replace("\"\(name)", with: "\"\(folder)/\(name)") }
        return text
    }

    private func run(_ source: String, _ arguments: [String] = [], folder: String) throws -> String {
        try write(source, to: "\(folder)/script.lua")
        let result = try riffle(["\(folder)/script.lua"] + arguments)
        #expect(result.code == 0, "\(result.error)")
        return result.output
    }

    @Test func quickstart() throws {
        let folder = temporaryFolder()
        let output = try run(Self.text("examples/quickstart.lua", folder: folder), ["--seed", "2"], folder: folder)
        #expect(output.contains("ITVM student") && access("\(folder)/quickstart.png", R_OK) == 0)
    }

    @Test(arguments: [
        ("compare", ["--steps", "3", "--set", "moons", "itvm", "lfmd + shortcut"], "itvm"),
        ("one_step", ["moons"], "generator, 1 evaluation"),
        ("guided", [], "student of it, 1 evaluation"), ("reflow", ["circles"], "round 2"),
    ])
    func pictures(_ name: String, _ arguments: [String], _ told: String) throws {
        let folder = temporaryFolder()
        let output = try run(Self.text("examples/\(name).lua", folder: folder), arguments, folder: folder)
        #expect(output.contains(told) && access("\(folder)/\(name).png", R_OK) == 0)
    }

    @Test func ownLoss() throws {
        let folder = temporaryFolder()
        #expect(
            try run(Self.text("examples/own_loss.lua", folder: folder), folder: folder).contains(
                "student, 4 evaluations"))
    }

    @Test func cifar10() throws {
        let folder = temporaryFolder()
        try write("", to: "\(folder)/data_batch_1.bin")
        guard let file = fopen("\(folder)/data_batch_1.bin", "w") else { throw RiffleError("", "cannot write") }
        for record in 0..<64 {
            for byte in 0..<3073 { fputc(Int32(byte == 0 ? record % 10 : (record * 7 + byte) % 256), file) }
        }
        fclose(file)
        _ = try run(Self.text("examples/cifar10.lua", folder: folder), [folder, "1"], folder: folder)
        for name in ["cifar10-teacher.png", "cifar10-student-1.png", "cifar10-student.safetensors"] {
            #expect(access("\(folder)/\(name)", R_OK) == 0, "\(name)")
        }
    }

    static func readmeProgram(folder: String) throws -> String {
        let page = try text("README.md", folder: folder)
        return try #require(
            page.components(separatedBy: "```lua\n").dropFirst().first?.components(separatedBy: "```").first)
    }

    @Test func readme() throws {
        let folder = temporaryFolder()
        _ = try run(Self.readmeProgram(folder: folder), folder: folder)
        #expect(access("\(folder)/moons.png", R_OK) == 0)
    }

    /// Indented blocks that begin by requiring riffle are whole scripts.
    @Test func gettingStarted() throws {
        let folder = temporaryFolder()
        var lines = try Self.text("docs/getting-started.md", folder: folder).split(
            separator: "\n", omittingEmptySubsequences: false)[...]
        var output = ""
        while let start = lines.firstIndex(where: { $0.hasPrefix("    local riffle") }) {
            let block = lines[start...].prefix { $0.isEmpty || $0.hasPrefix("    ") }
            output += try run(block.joined(separator: "\n"), folder: folder)
            lines = lines[block.endIndex...]
        }
        #expect(output == "[1, 2]\n")
    }
}

extension String {
    fileprivate mutating func replace(_ old: String, with new: String) {
        self = components(separatedBy: old).joined(separator: new)
    }

    fileprivate func components(separatedBy separator: String) -> [String] {
        var (parts, rest) = ([String](), Substring(self))
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
