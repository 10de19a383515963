import Glibc
import RiffleTensor
import Testing

@testable import RiffleLua

/// The scripts that readers copy run: examples and the code in the guides, with few steps.
@Suite(.serialized) struct GuideTests {
    private static let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()

    private func run(_ arguments: [String], in folder: String) throws -> String {
        let result = try riffle(arguments, in: folder)
        #expect(result.code == 0, "\(result.error)")
        return result.output
    }

    /// Runs an example as it is, for three steps, in a folder of its own.
    private func example(_ name: String, _ arguments: [String] = [], in folder: String) throws -> String {
        try run(["\(Self.root)/examples/\(name).lua", "--steps", "3"] + arguments, in: folder)
    }

    @Test(arguments: [
        ("quickstart", ["--seed", "2"], "ITVM student"),
        (
            "compare", ["--set", "moons", "--methods", "itvm,lfmd + shortcut,fgm,rcm,adversarial,progressive"],
            "progressive"
        ),
        ("adversarial", ["--set", "moons"], "f-distill, 1 evaluation"),
        ("one_step", ["--set", "moons"], "generator, 1 evaluation"), ("guided", [], "student of it, 1 evaluation"),
        ("text_to_image", ["--student_steps", "1", "--prompts", "6", "--batch", "2"], "ITVM, 4 evaluations"),
        ("reflow", ["--set", "circles"], "round 2"), ("union", ["--set", "circles"], "union, 1 evaluation"),
    ])
    func pictures(_ name: String, _ arguments: [String], _ expected: String) throws {
        let folder = temporaryFolder()
        #expect(try example(name, arguments, in: folder).contains(expected))
        #expect(access("\(folder)/\(name).png", R_OK) == 0)
    }

    @Test func ownLoss() throws {
        #expect(try example("own_loss", in: temporaryFolder()).contains("student, 4 evaluations"))
    }

    @Test func checkLosses() throws {
        #expect(try example("check_losses", in: temporaryFolder()).contains("right\tloss: NOT within 0.15"))
    }

    /// A generator of a random pipeline, in a folder that says that it is one; adapters, prompts of a file and previews
    /// by a small autoencoder likewise.
    @Test func fgmOfAPipeline() throws {
        let folder = temporaryFolder()
        let small = "riffle.nn.tiny_autoencoder { channels = 8, encoder_blocks = { 1, 1 }, decoder_blocks = { 1, 1 } }"
        _ = try run(["-e", "\(small):save('taesd.safetensors')"], in: folder)
        try write("two cats\na dog\n", to: "\(folder)/prompts.txt")
        for (out, more) in [
            ("fgm-sd3", []),
            ("adapted", ["--lora", "2", "--run", "runs/adapted", "--out", "adapted", "--taesd", "taesd.safetensors"]),
        ] {
            #expect(try example("fgm_sd3", ["--tiny"] + more, in: folder).hasSuffix("--out picture.png\n"))
            let made = try run(["txt2img", out, "a red car", "--out", "\(out).png"], in: folder)
            #expect(made == "\(out).png: 32 x 32, 1 step, from time 0.286, no guidance, seed 0\n")
        }
        #expect(access("\(folder)/runs/fgm_sd3/images/generator/00000003.png", R_OK) == 0)
        // The folder that was made is a pipeline to train from.
        let own = [
            "--model", "fgm-sd3", "--prompts", "prompts.txt", "--size", "16", "--run", "own", "--out", "own-sd3",
        ]
        #expect(try example("fgm_sd3", own + ["--parts", "2"], in: folder).contains("2 prompts as tokens"))
        let mistakes = [
            ([], "--model and --prompts are required"),
            (
                ["--model", "/no/sd3", "--prompts", "prompts.txt", "--run", "other"],
                "'/no/sd3' has no model_index.json"
            ),
            (
                ["--model", "fgm-sd3", "--prompts", "no.txt", "--run", "third", "--out", "new", "--size", "16"],
                "cannot read 'no.txt'"
            ),
            (["--model", "fgm-sd3", "--prompts", "no.txt", "--run", "fourth"], "is the folder that is read from"),
            (["--tiny", "--parts", "0"], "--parts is 1 or more, got 0"),
        ]
        for (arguments, says) in mistakes {
            let ran = try riffle(["examples", "run", "fgm_sd3"] + arguments, in: folder)
            #expect(ran.code == 1 && ran.error.contains(says), "\(ran)")
        }
    }

    /// Every example that trains says what is wrong with its options.
    @Test(arguments: Examples.all.map(\.name).filter { $0 != "tensors" }) func stepsAreWholeNumbers(_ name: String)
        throws
    {
        for (arguments, expected) in [
            (["--steps", "many"], "--steps needs a whole number"), (["--steps"], "--steps needs a value"),
        ] {
            let result = try riffle(["examples", "run", name] + arguments, in: temporaryFolder())
            #expect(result.code == 1 && result.error.contains(expected), "\(result)")
        }
    }

    /// A folder with a file of CIFAR-10 that has 64 pictures.
    private func cifarFolder() throws -> String {
        let folder = temporaryFolder()
        let file = try #require(fopen("\(folder)/data_batch_1.bin", "w"))
        for record in 0..<64 {
            for byte in 0..<3073 { fputc(Int32(byte == 0 ? record % 10 : (record * 7 + byte) % 256), file) }
        }
        fclose(file)
        return folder
    }

    /// A classifier is trained, and the papers' protocol measures with it.
    @Test func paperProtocol() throws {
        let folder = try cifarFolder()
        #expect(try example("classifier", ["--data", folder], in: folder).contains("classifier sha"))
        let shown = try example(
            "paper_cifar10",
            ["--small", "--data", folder, "--samples", "2", "--features", "classifier.safetensors"], in: folder)
        for words in ["FD: tf1 resize, classifier", "reference CIFAR-10 train 64", "FGM, Huang"] {
            #expect(shown.contains(words), "\(shown)")
        }
        #expect(access("\(folder)/runs/paper/table.png", R_OK) == 0)
    }

    @Test func cifar10() throws {
        let folder = try cifarFolder()
        #expect(
            try example("cifar10", ["--data", folder, "--samples", "2"], in: folder).contains("64 images of 10 classes")
        )
        for name in [
            "teacher.safetensors", "teacher/images/teacher/00000003.png", "student/images/student-1/00000003.png",
            "student.safetensors", "student/status.json",
        ] {
            #expect(access("\(folder)/runs/cifar10/\(name)", R_OK) == 0, "\(name)")
        }
    }

    /// A page of the repository, whose loops over steps are short.
    private static func page(_ path: String) throws -> String {
        let text = String(decoding: try contents(of: "\(root)/\(path)"), as: UTF8.self)
        let short = text.replacing(#/riffle\.progress\(\d+/#, with: "riffle.progress(3")
        try #require(short != text, "\(path) has no loop over steps")
        return short
    }

    private func run(code: String, in folder: String) throws -> String {
        try write(code, to: "\(folder)/script.lua")
        return try run(["\(folder)/script.lua"], in: folder)
    }

    /// The program of README, with few steps and few samples.
    static func readmeProgram() throws -> String {
        let program = try #require(try page("README.md").firstMatch(of: #/```lua\n([^`]*)```/#)?.output.1)
        return String(program).replacing(#/randn\(\d+/#, with: "randn(20")
    }

    @Test func readme() throws {
        let folder = temporaryFolder()
        _ = try run(code: Self.readmeProgram(), in: folder)
        #expect(access("\(folder)/moons.png", R_OK) == 0)
    }

    /// The script of a page, which begins as all scripts do.
    private static func script(of page: String) throws -> String {
        let text = String(decoding: try contents(of: "\(root)/docs/\(page)"), as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.firstIndex { $0.hasPrefix("    local riffle") })
        return lines[start...].prefix { $0.isEmpty || $0.hasPrefix("    ") }.joined(separator: "\n")
    }

    /// The script of the page on measures.
    @Test func measures() throws {
        let folder = temporaryFolder()
        let shown = try run(code: try Self.script(of: "measures.md"), in: folder)
        for words in ["FD ", "KD ", "precision ", "pixels of 4 x 4", "seconds a sample"] {
            #expect(shown.contains(words), "\(shown)")
        }
        #expect(access("\(folder)/table.csv", R_OK) == 0)
    }

    /// The script of the page on runs, stopped and gone on with by the options that the page names.
    @Test func runs() throws {
        let folder = temporaryFolder()
        try write(try Self.script(of: "runs.md"), to: "\(folder)/train.lua")
        func train(_ arguments: String...) throws -> (output: String, error: String, code: Int32) {
            try riffle(["train.lua"] + arguments, in: folder)
        }
        let test = try train("--test-run")
        #expect(test.code == 0 && test.output.contains("memory at most"), "\(test)")
        #expect(try train("--steps", "3").code == 0)
        let longer = try train("--steps", "5")
        #expect(longer.code == 1 && longer.error.contains("steps is 5, and was 3"), "\(longer)")
        let on = try train("--steps", "5", "--allow-changes")
        #expect(on.code == 0 && on.error.contains("goes on from step 3 of 5"), "\(on)")
        let anew = try train("--steps", "2", "--resume", "none")
        #expect(anew.code == 0 && anew.error.contains("is in runs/moons/earlier/1"), "\(anew)")
        #expect(try train("--help").output.contains("--lr X"))
        let unused = try riffle(["-", "--resume", "none"], input: "require 'riffle'.args {}", in: folder)
        #expect(unused.error.contains("are for scripts that make a run"), "\(unused)")
        #expect(try riffle(["runs"], in: folder).output.contains("2/2"))
        #expect(try riffle(["report", "runs/moons"], in: folder).code == 0)
    }

    /// Indented blocks that begin by requiring riffle are whole scripts.
    @Test func gettingStarted() throws {
        var lines = try Self.page("docs/getting-started.md").split(
            separator: "\n", omittingEmptySubsequences: false)[...]
        var output = ""
        while let start = lines.firstIndex(where: { $0.hasPrefix("    local riffle") }) {
            let block = lines[start...].prefix { $0.isEmpty || $0.hasPrefix("    ") }
            output += try run(code: block.joined(separator: "\n"), in: temporaryFolder())
            lines = lines[block.endIndex...]
        }
        for line in [
            "4 pictures, 16 high and 16 wide, 3 channels, from .", "[\"setosa\", \"versicolor\"]", "[32, 2]\t[32]\t32",
            "[1, 2]", "[2, 8, 8, 3]\ttwo blue ones, and much more b",
        ] {
            #expect(output.contains(line), "\(output)")
        }
    }
}
