import CKernels
import Glibc
import RiffleTensor
import Testing

@testable import RiffleIO
@testable import RiffleLua

/// Lua scripts that test through the front door, each in a state of its own.
@Suite(.serialized) struct ScriptTests {
    static let folder = String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/") ?? #filePath.endIndex)) + "/lua"
    static let scripts = [
        "adapters.lua",
        "arguments.lua", "check.lua", "gradients.lua", "hostile.lua", "losses.lua", "measures.lua", "networks.lua",
        "objects.lua",
        "optimizers.lua", "out_of_memory.lua", "pairs.lua", "progress.lua", "runs.lua", "sizes.lua", "solvers.lua",
        "tensors.lua", "texts.lua",
    ]

    @Test(arguments: scripts) func script(_ name: String) throws {
        let before = rk_memory_now().live
        do {
            let engine = try LuaEngine(script: name)
            try engine.session.get().require(from: Self.folder)
            do {
                try engine.run(try contents(of: "\(Self.folder)/\(name)"), name: "@\(name)")
            } catch let error as LuaError {
                Issue.record("\(error)\n\(error.traceback)")
            }
        }
        #expect(rk_memory_now().live == before, "tensors are left over")
    }

    @Test func everyScriptIsListed() throws {
        #expect(try namesInFolder(Self.folder).filter { $0.hasSuffix(".lua") } == Self.scripts)
    }
}

/// A whole file.
func contents(of path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw RiffleError("", "cannot open \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&part, 1, part.count, file), count > 0 { bytes += part[..<count] }
    return bytes
}

extension LuaEngine {
    /// Runs lines and gives what they return, or the message of what they raise.
    func answer(_ source: String) -> [Value] {
        do { return try run(source, name: "=test") } catch { return [.string("\(error)")] }
    }
}
