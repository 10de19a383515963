import RiffleTensor
import Testing

@testable import RiffleLua

/// What is said of functions is true and complete.
@Suite(.serialized) struct DocumentationTests {
    static let entries: [Catalogue.Entry] = {
        do { return try LuaEngine().catalogue.entries } catch { fatalError("the engine does not start: \(error)") }
    }()
    static let examples = entries.filter { !$0.doc.example.isEmpty }.map(\.name)

    @Test(arguments: examples) func example(_ name: String) throws {
        let entry = try #require(Self.entries.first { $0.name == name })
        let lines = entry.doc.example.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let code = lines.filter { $0.hasPrefix("> ") }.map { $0.dropFirst(2) }
        let expected = lines.filter { !$0.hasPrefix("> ") }.joined(separator: "\n")
        let last = code.last ?? ""
        let engine = try LuaEngine()
        let show = "local riffle = require 'riffle'\n"
        // The last line is an expression or a statement, and earlier ones may declare locals for it.
        let before = code.dropLast().joined(separator: "\n")
        let results: String
        do {
            results = try engine.show("\(show)\(before)\nreturn \(last)")
        } catch {
            do { results = try engine.show("\(show)\(before)\n\(last)") } catch {
                Issue.record("\(name): \(error)")
                return
            }
        }
        #expect(results == expected, "\(name)")
    }

    @Test func everyFunctionIsDescribed() {
        #expect(Self.entries.count > 200 && Self.examples.count > 200, "few functions are in the catalogue")
        #expect(Set(Self.entries.map(\.name)).count == Self.entries.count, "a name is used twice")
        for entry in Self.entries {
            let summary = entry.doc.summary
            #expect(summary.hasSuffix(".") && summary.count <= 140, "\(entry.name): '\(summary)'")
            #expect(entry.lastName.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" }, "\(entry.name)")
            let names = entry.parameters.map(\.name)
            #expect(Set(names).count == names.count, "\(entry.name): arguments \(names)")
        }
    }

    @Test func theReferencePageIsUpToDate() throws {
        let file = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/docs/reference.md"
        let page = String(decoding: try contents(of: file), as: UTF8.self)
        let isUpToDate = page == (try LuaEngine()).catalogue.reference
        #expect(isUpToDate, "docs/reference.md is stale: run `riffle docs > docs/reference.md`")
    }

    @Test func helpFindsEverything() throws {
        let catalogue = try LuaEngine().catalogue
        for name in catalogue.names { #expect(try !catalogue.help(name).isEmpty) }
        #expect(try catalogue.help("matmul").contains("riffle.matmul(a, b"))
        #expect(try catalogue.help("riffle.matmul") == catalogue.help("matmul"))
        #expect(try catalogue.help("backward").contains("tensor:backward"))
        #expect { try catalogue.help("matmull") } throws: { "\($0)".contains("did you mean 'matmul'?") }
    }
}

extension LuaEngine {
    /// Runs a chunk and gives its results as the session prints them.
    func show(_ source: String) throws -> String {
        let chunk = try run("return function()\n\(source)\nend", name: "=example")
        let show = try runInternal(
            """
            local _, internal = ...
            return function(fn)
              local results = table.pack(fn())
              for i = 1, results.n do results[i] = internal.show(results[i]) end
              return table.concat(results, "\\t", 1, results.n)
            end
            """)
        let function = try #require(show.first?.anyObject as? LuaFunction)
        return try #require(try function(chunk).first).brief
    }
}
