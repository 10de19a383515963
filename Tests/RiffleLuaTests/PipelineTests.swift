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

    private static let pipeline = ScriptTests.folder + "/../../Fixtures/sd3"

    /// What `riffle encode` writes is what the pipeline makes of the prompts.
    @Test func commandEncodesPrompts() throws {
        let folder = temporaryFolder(), out = "\(folder)/prompts.safetensors"
        try write("a red car\n\(String(repeating: "two cats ", count: 60))\n", to: "\(folder)/prompts.txt")
        let ran = try riffle(["encode", Self.pipeline, "\(folder)/prompts.txt", "-o", out, "--batch", "1"])
        #expect(ran.code == 0 && ran.output.hasPrefix("2 prompts as tokens"), "\(ran)")
        #expect(ran.error.contains("prompt 2 is cut: CLIP takes 77 tokens of it, which end with '..."), "\(ran)")
        let script = """
            local prompts, sd3 = riffle.data.prompts("\(out)"), riffle.sd3("\(Self.pipeline)")
            local batch, wanted = prompts:batches({ size = 2 })(), sd3:encode(prompts.texts)
            local function off(a, b) return (a - b):abs():max():item() end
            print(off(batch.labels[1], wanted[1]) < 1e-5, off(batch.labels[2], wanted[2]) < 1e-5, batch.x)
            print(off(prompts.none[1], sd3:encode("")[1]) < 1e-5, batch.captions[1])
            sd3:encode_prompts(prompts.texts, "\(folder)/again.safetensors", { batch = 1 })
            """
        #expect(try riffle(["-e", script]).output == "true\ttrue\tnil\ntrue\ta red car\n")
        #expect(try contents(of: "\(folder)/again.safetensors") == contents(of: out))
    }
}
