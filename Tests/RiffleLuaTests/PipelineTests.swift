import Foundation
import RiffleTensor
import Testing

@testable import RiffleLua

/// Published pipelines from the front door.
@Suite(.serialized) struct PipelineTests {
    private static let script = """
        local riffle = require "riffle"
        local flow, folder, out = riffle.flow, ...
        riffle.seed(1)
        local sd3 = riffle.sd3(folder)
        assert(tostring(sd3):find("text_encoder_3: t5_encoder 405 tokens", 1, true))
        assert(sd3.shift == 3 and sd3.autoencoder.factor == 2)
        local prompt, none = sd3:encode { "a red car", "two" }, sd3:encode { "" }
        assert(#prompt == 2 and prompt[1]:shape()[2] == 333)
        local noise = riffle.randn(sd3:latents(2, 64, 32))
        local options = { method = "euler", times = flow.shifted_times(2, sd3.shift), labels = prompt }
        local latents = flow.ode(flow.guide(sd3.network, { scale = 5, none = none }), noise, options)
        local pictures = sd3:decode(latents)
        assert(tostring(pictures:shape()) == "[2, 64, 32, 3]" and pictures:abs():max():item() <= 1)
        sd3:save(out)
        local again = flow.ode(riffle.sd3(out).network, noise, options)
        assert((again - flow.ode(sd3.network, noise, options)):abs():max():item() == 0)
        """

    @Test func foldersMakePicturesFromScripts() throws {
        let out = NSTemporaryDirectory() + "riffle-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: out) }
        let script = Self.script.replacing(
            "= riffle.flow, ...", with: "= riffle.flow, \"\(ScriptTests.folder)/../../Fixtures/sd3\", \"\(out)\"")
        do { _ = try LuaEngine().run(script, name: "=test") } catch let error as LuaError {
            Issue.record("\(error)\n\(error.traceback)")
        }
    }
}
