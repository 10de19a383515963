import RiffleTensor
import Testing

@testable import RiffleLua

@Suite(.serialized) struct LossPartsTests {
    private static let losses = Library.functions.filter { $0.name.hasPrefix("flow.loss.") }

    /// A call of a loss with all its weights above 0, so that every part is there.
    private func call(_ loss: Function) -> String {
        let given = [
            "student": "teacher:two_timed()", "generator": "teacher:copy()", "online": "teacher:copy()",
            "teacher": "teacher", "r1": "1",
            "x": "riffle.randn(8, 2)", "z": "riffle.randn(8, 2)",
        ]
        let options = loss.arguments.map { argument -> String in
            if let value = given[argument.name] { return "\(argument.name) = \(value)" }
            if argument.name == "discriminator", case .required = argument.defaultValue {
                return "discriminator = riffle.nn.discriminator(teacher)"
            }
            switch argument.type {
            case _ where argument.name.hasSuffix("_weight"): return "\(argument.name) = 1"
            case _ where argument.name == "alpha": return "alpha = 0.5"
            case .integer where argument.name == "steps": return "steps = 4"
            default: return ""
            }
        }
        return
            "riffle.flow.loss.\(loss.name.split(separator: ".").last ?? "") { "
            + "\(options.filter { !$0.isEmpty }.joined(separator: ", ")) }"
    }

    /// Help and reference name the parts that a loss returns, and no others.
    @Test(arguments: losses) func everyPartIsDeclared(_ loss: Function) throws {
        let engine = try LuaEngine()
        let answer = engine.answer(
            """
            local riffle = require "riffle"
            riffle.seed(1)
            local teacher = riffle.nn.mlp { width = 8 }
            local loss, parts = \(call(loss))
            local names = {}
            for name, part in pairs(parts) do
              assert(type(part) == "number")
              names[#names + 1] = name
            end
            return names
            """)
        let found = Arguments(answer.first?.list ?? []).values.map {
            if case .string(let name) = $0 { name } else { "?" }
        }
        #expect(found.sorted() == loss.doc.parts.map(\.name).sorted(), "\(loss.name): \(answer)")
        #expect(loss.doc.parts.allSatisfy { !$0.summary.isEmpty } && !loss.doc.parts.isEmpty)
    }

    @Test func thereAreLosses() { #expect(Self.losses.count > 15) }
}
