import Glibc
import RiffleIO
import RiffleTensor
import Testing

/// riffle eval as its users know it: stopped anywhere, it goes on to the same numbers.
@Suite struct EvaluationTests {
    /// A folder with two networks, a classifier and pictures.
    private func prepared() throws -> String {
        let folder = temporaryFolder()
        let code = """
            riffle.seed(1)
            local net = riffle.nn.unet { image = { 16, 16, 3 }, channels = 32, multipliers = { 1 }, blocks = 1 }
            net:save("\(folder)/teacher.safetensors")
            net:two_timed():save("\(folder)/student.safetensors")
            riffle.nn.classifier(3, { size = 16, channels = 8 }):save("\(folder)/classifier.safetensors")
            riffle.data.save("\(folder)/real.npy", riffle.rand(300, 16, 16, 3))
            """
        #expect(try riffle(["-e", code]).code == 0)
        return folder
    }

    /// The rows of an evaluation without their seconds, as text.
    private func rows(_ path: String) throws -> [String] {
        guard case .list(let rows) = try JSON.read(path) else { return [] }
        return try rows.map { row in
            guard case .table(var fields) = row else { return "" }
            fields["seconds_per_sample"] = nil
            return try JSON.text(.table(fields))
        }
    }

    /// Mistakes are found before samples are made, so that nobody waits for them.
    @Test func mistakesAreFoundFirst() throws {
        let folder = try prepared()
        let code = """
            local x = riffle.rand(3, 16, 16, 3)
            riffle.data.save("\(folder)/one.npy", x:slice(1, 1, 1))
            riffle.data.save("\(folder)/nan.npy", x * (0 / 0))
            riffle.nn.classifier(3, { size = 16, channels = 8 }):save("\(folder)/alexnet.safetensors")
            """
        #expect(try riffle(["-e", code]).code == 0)
        #expect(rename("\(folder)/alexnet.safetensors", "\(folder)/alexnet-owt-7be5be79.pth") == 0)
        try Npz.write([("mu", .zeros([2])), ("sigma", .zeros([2, 2]))], to: "\(folder)/other.npz")
        let cases: [(arguments: [String], message: String)] = [
            (["--data", "one.npy"], "two pictures or more have a covariance, and there is one of one.npy"),
            (["--data", "nan.npy"], "picture 1 of 'nan.npy': a number is NaN or infinite"),
            (
                ["--data", "other.npz"],
                "the statistics of other.npz are of 2 features, those of samples [16, 16, 3] of "
            ),
            (["--metric", "lpips"], "is not the published file of the weights 'alexnet': its sha256 is"),
            (["--metric", "lpips", "--backbone", "vgg16"], "the weights 'vgg16' are not there"),
            (["--out", "table.txt"], "'table.txt': tables are written as .csv, .json or .png"),
            (["--out", "nowhere/table.csv"], "cannot write 'nowhere/table.csv': No such file or directory"),
            (["--nfe", "1", "--sampler", "heun"], "teacher: heun takes 2 evaluations a step"),
            (["--start", "0.2"], "--start is for --sampler generate, got --sampler euler"),
            (["--sampler", "generate", "--start", "1"], "teacher: start must be from 0 to 0.999, got 1"),
            (["--nfe", "-1"], "--nfe is a list of positive whole numbers such as 1,2,4, got '-1'"),
            (["--metric", "fid,fid"], "the measure 'fid' is there twice"),
            (["teacher.safetensors"], "the model 'teacher' is there twice"),
            (["--n", "1"], "got --n 1"),
        ]
        for (arguments, message) in cases {
            let data = arguments.contains("--data") ? [] : ["--data", "real.npy"]
            let ran = try riffle(
                ["eval", "teacher.safetensors", "student.safetensors", "--features", "classifier.safetensors"] + data
                    + arguments, in: folder, settings: ["RIFFLE_WEIGHTS=\(folder)"])
            #expect(ran.code != 0 && ran.error.contains(message) && !ran.error.contains("evaluation\n"), "\(ran)")
            #expect(ran.output.isEmpty)
        }
    }

    /// Networks of one time and of two are generators from the start on that is asked for.
    @Test func generatorsHaveTheirStart() throws {
        let folder = try prepared()
        func samplers(_ start: String) throws -> [String] {
            let ran = try riffle(
                [
                    "eval", "teacher.safetensors", "student.safetensors", "--data", "real.npy", "--features",
                    "classifier.safetensors", "--nfe", "1", "--n", "4", "--sampler", "generate", "--start", start,
                    "--out", "table.json",
                ], in: folder)
            #expect(ran.code == 0, "\(ran)")
            return try rows("\(folder)/table.json")
        }
        let (early, late) = (try samplers("0"), try samplers("0.2"))
        #expect(early.count == 2 && early.allSatisfy { $0.contains("\"sampler\": \"generate\"") }, "\(early)")
        #expect(late.count == 2 && late.allSatisfy { $0.contains("\"sampler\": \"generate from 0.2\"") }, "\(late)")
    }

    @Test func goesOnAfterBeingKilled() throws {
        let folder = try prepared(), seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        func evaluate(
            _ count: Int, _ out: String, _ more: [String] = [], settings: [String] = [], killedAfter: Int? = nil
        ) throws -> Int32 {
            let ran = try riffle(
                [
                    "eval", "teacher=teacher.safetensors", "student=student.safetensors", "--data", "real.npy",
                    "--features", "classifier.safetensors", "--backbone", "classifier.safetensors", "--metric",
                    "fid,lpips", "--nfe", "1,2", "--n", "\(count)", "--batch", "16", "--out", out,
                ] + more, in: folder, settings: settings, killedAfter: killedAfter.map { ($0, SIGKILL) })
            #expect([0, -SIGKILL].contains(ran.code), "\(ran), seed \(seed)")
            return ran.code
        }
        #expect(try evaluate(300, "whole.json") == 0)
        let whole = try rows("\(folder)/whole.json")
        #expect(whole.count == 4 && whole.allSatisfy { $0.contains("\"FD\": ") && $0.contains("\"PD\": ") }, "\(whole)")
        for _ in 0..<4 {
            _ = try evaluate(
                140, "part.json", ["--keep", "kept"], killedAfter: 300 + Int(random.uniform([1]).item() * 1500))
        }
        // Fewer threads finish it, and more samples are added to those that are there.
        #expect(try evaluate(300, "resumed.json", ["--keep", "kept"], settings: ["RIFFLE_THREADS=1"]) == 0)
        #expect(try rows("\(folder)/resumed.json") == whole, "seed \(seed)")
    }
}
