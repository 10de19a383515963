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
