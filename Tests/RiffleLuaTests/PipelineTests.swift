import Foundation
import RiffleTensor
import Testing

@testable import RiffleIO
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

    /// Pictures are the ones of the settings that are named, whatever is made beside them.
    @Test func commandMakesPictures() throws {
        let folder = temporaryFolder()
        func make(_ arguments: String...) throws -> String {
            let ran = try riffle(["txt2img", Self.pipeline, "a red car", "--size", "16x24"] + arguments, in: folder)
            #expect(ran.code == 0, "\(ran)")
            return ran.output
        }
        let said = try make("--steps", "2", "--guidance", "5", "--count", "2", "--out", "car.PNG")
        #expect(said == "car-1.PNG to car-2.PNG: 16 x 24, 2 steps, shift 3, guidance 5, seed 0\n")
        #expect(try make("--steps", "2", "--guidance", "5").hasPrefix("picture.png: 16 x 24"))
        #expect(try contents(of: "\(folder)/car-1.PNG") == contents(of: "\(folder)/picture.png"))
        #expect(try contents(of: "\(folder)/car-1.PNG") != contents(of: "\(folder)/car-2.PNG"))
        #expect(try make("--steps", "1").contains("1 step, shift 3, no guidance"))
        #expect(try make("--start", "0.2", "-o", "start.png").contains("1 step, from time 0.2, no guidance"))
        #expect(try contents(of: "\(folder)/start.png") != contents(of: "\(folder)/picture.png"))
        let script = "print(riffle.image.load('start.png'):shape())"
        #expect(try riffle(["-e", script], in: folder).output == "[16, 24, 3]\n")
    }

    // MARK: - GenEval

    private static let prompts = """
        {"tag": "single_object", "include": [{"class": "car", "count": 1}], "prompt": "a photo of a car"}
        {"tag": "two_object", "include": [], "prompt": "a photo of a cat \\u0026 a dog"}

        """

    /// Folders as the evaluator reads them; what is there is kept, and more samples can be asked for later.
    @Test func commandMakesGenEvalsFolders() throws {
        let folder = temporaryFolder()
        try write(Self.prompts, to: "\(folder)/prompts.jsonl")
        func make(_ arguments: String..., killedAfter wait: (Int, Int32)? = nil) throws -> (
            output: String, error: String, code: Int32
        ) {
            try riffle(
                ["geneval", "prompts.jsonl", "out", "--model", Self.pipeline, "--size", "16", "--steps", "2"]
                    + arguments,
                in: folder, killedAfter: wait)
        }
        let made = try make("--samples", "2")
        #expect(made.code == 0 && made.output.hasPrefix("4 pictures of 2 prompts in out: 16 x 16"), "\(made)")
        func picture(_ prompt: Int, _ sample: Int) -> String { "\(folder)/out/0000\(prompt)/samples/0000\(sample).png" }
        let lines = Self.prompts.split(separator: "\n")
        for (index, line) in lines.enumerated() {
            #expect(try contents(of: "\(folder)/out/0000\(index)/metadata.jsonl") == Array("\(line)\n".utf8))
        }
        let first = try contents(of: picture(0, 1))
        try write("kept", to: picture(1, 0))
        unlink(picture(0, 1))
        #expect(try make("--samples", "3").code == 0)
        #expect(try contents(of: picture(0, 1)) == first && contents(of: picture(1, 0)) == Array("kept".utf8))
        #expect(try Set((0..<3).map { try contents(of: picture(0, $0)) }).count == 3)
        #expect(try Set(namesInFolder("\(folder)/out/00001/samples")).count == 5)
        #expect(try make("--samples", "2").error.contains("'out' has more than 2 pictures of a prompt"))
        // Whether something is missing or not.
        let other = try make("--seed", "1", "--samples", "3")
        #expect(
            other.code == 1
                && other.error.contains("other settings: sampling was '16 x 16, 2 steps, shift 3, guidance 7, seed 0'"),
            "\(other)")
        try write(Self.prompts.replacing("cat", with: "cow"), to: "\(folder)/prompts.jsonl")
        #expect(try make().error.contains("metadata.jsonl': it is of another prompt"))
    }

    /// The table of the published summary.
    @Test func commandShowsGenEvalsTable() throws {
        let path = "\(temporaryFolder())/results.jsonl"
        func row(_ tag: String, _ prompt: Int, _ isCorrect: Bool) -> String {
            "{\"tag\": \"\(tag)\", \"correct\": \(isCorrect), \"metadata\": \"{\\\"n\\\": \(prompt)}\"}\n"
        }
        try write(
            row("colors", 1, true) + row("colors", 1, false) + row("colors", 2, false) + row("counting", 3, true),
            to: path)
        let shown = try riffle(["geneval", "--results", path])
        #expect(
            shown.error == "no pictures of single_object, two_object, position, color_attr: this is no GenEval score\n")
        let table = """
            Summary
            =======
            Total images: 4
            Total prompts: 3
            % correct images: 50.00%
            % correct prompts: 66.67%

            Task breakdown
            ==============
            colors           = 33.33% (1 / 3)
            counting         = 100.00% (1 / 1)

            Overall score (avg. over tasks): 0.66667

            """
        #expect(shown.output == table, "\(shown)")
        try write("{\"tag\": \"colors\"}\n", to: path)
        #expect(try riffle(["geneval", "--results", path]).error.contains("line 1: expected a table with \"tag\""))
    }

    static let mistakes: [([String], String)] = [
        (["encode", "/no/folder", "PROMPTS", "-o", "x"], "'/no/folder' has no model_index.json"),
        (["encode", pipeline, "/no/prompts", "-o", "x"], "cannot read '/no/prompts'"),
        (["encode", pipeline, "PROMPTS", "-o", "/no/x"], "cannot write '/no/x'"),
        (["encode", pipeline, "PROMPTS", "-o", "x.png"], "prompts are written as .safetensors"),
        (["encode", pipeline, "PROMPTS", "-o", "x", "--batch", "0"], "--batch is a whole number"),
        (["txt2img", "/no/folder", "x"], "'/no/folder' has no model_index.json"),
        (["txt2img", pipeline, "x", "--out", "/no/x.png"], "cannot write '/no/x.png'"),
        (["txt2img", pipeline, "x", "--out", "x.jpg"], "pictures are written as .png"),
        (["txt2img", pipeline, "x", "--steps", "0"], "steps must be from 1 to 1000, got 0"),
        (["txt2img", pipeline, "x", "--steps", "two"], "The value 'two' is invalid"),
        (["txt2img", pipeline, "x", "--guidance", "nan"], "guidance must be a number from 1, which is none, got nan"),
        (["txt2img", pipeline, "x", "--guidance", "-7"], "got -7"),
        (["txt2img", pipeline, "x", "--size", "17"], "multiple of 4 up to 64 pixels, got 17"),
        (["txt2img", pipeline, "x", "--size", "wide"], "--size must be a side such as 256"),
        (["txt2img", pipeline, "x", "--steps", "1", "--negative", "y"], "--negative counts for nothing"),
        (["txt2img", pipeline, "x", "--start", "0", "--shift", "3"], "counts for nothing in a generator's"),
        (["txt2img", pipeline, "x", "--count", "0"], "--count is a whole number"),
        (["txt2img", pipeline, "x", "--seed", "-1"], "--seed is 0 or more"),
        (["txt2img", pipeline], "Missing expected argument"),
        (["geneval", "prompts.txt", "out", "--model", pipeline], "is no .jsonl"),
        (["geneval", "prompts.txt", "out"], "--results alone prints a table"),
        (["geneval", "--results", "/no/results"], "cannot read '/no/results'"),
        (["geneval", "--results", "prompts.txt"], "prompts.txt' is not JSON"),
        (["geneval", "--results", "prompts.txt", "--model", pipeline], "--results alone prints a table"),
    ]

    @Test(arguments: mistakes) func commandsNameMistakes(_ arguments: [String], _ says: String) throws {
        let folder = temporaryFolder()
        try write("a red car\n", to: "\(folder)/prompts.txt")
        let words = arguments.map { $0 == "PROMPTS" ? "prompts.txt" : $0 }
        let ran = try riffle(words, in: folder)
        #expect(ran.code != 0 && ran.error.contains(says), "\(ran)")
        #expect(try Set(namesInFolder(folder)) == [".", "..", "prompts.txt"])
    }
}
