import Foundation
import RiffleIO
import RiffleTensor

@testable import RiffleRuns

/// A run's folder as training would leave it: noisy curves that fall, and pictures that come out of noise.
enum MadeRun {
    /// - Parameter resumedAt: a step at which the run is killed, to go on from the checkpoint a tenth earlier.
    static func write(to folder: String, steps: Int = 2000, resumedAt: Int? = nil, pictures: Bool = true) throws {
        try JSON.write(
            .table([
                "lr": .number(1e-3), "batch": .integer(128), "steps": .integer(steps), "model": .string("unet"),
                "widths": .list([64, 128, 128].map(Value.integer)), "ema": .boolean(true),
            ]), to: folder + "/config.json")
        try JSON.write(
            .table([
                "riffle": .string("0.1.0"), "processor": .string("AMD EPYC 9B45"), "level": .string("avx512"),
                "threads": .integer(2), "seed": .integer(1), "host": .string("bench"),
            ]), to: folder + "/environment.json")
        try AtomicFile.write("local riffle = require \"riffle\"\nprint(1 < 2)\n".utf8, to: folder + "/script.lua")
        var log: RunLog? = try RunLog(folder: folder, resumed: nil) { print($0) }
        let middle = resumedAt ?? steps
        let checkpoint = middle - middle / 10
        var bytes = 0
        for step in 1...middle {
            try log.map { try row($0, step, steps, pictures: pictures) }
            if step == checkpoint { bytes = log?.flush() ?? 0 }
        }
        log = nil
        guard resumedAt != nil else { return try status(folder, "finished", steps, steps) }
        let next = try RunLog(folder: folder, resumed: (checkpoint, bytes)) { print($0) }
        for step in (checkpoint + 1)...steps { try row(next, step, steps, pictures: pictures) }
        next.close()
        try status(folder, "stopped", steps, steps)
    }

    static func status(_ folder: String, _ state: String, _ step: Int, _ steps: Int, message: String = "") throws {
        try JSON.write(
            .table([
                "state": .string(state), "step": .integer(step), "steps": .integer(steps), "loss": .number(0.125),
                "time": .number(RunLog.now() - 70), "process": .integer(1), "message": .string(message),
                "checkpoint": .string("checkpoints/step-00001800.safetensors"),
            ]), to: folder + "/status.json")
    }

    private static func row(_ log: RunLog, _ step: Int, _ steps: Int, pictures: Bool) throws {
        let part = Double(step) / Double(steps)
        let noise = noise(step)
        let loss = step == steps / 3 ? Double.nan : 0.12 + 0.9 * exp(-6 * part) * (1 + 0.25 * noise) + 0.01 * noise
        var values: [(String, Value)] = [
            ("loss", .number(loss)), ("gradient_norm", .number(abs(0.4 + exp(-3 * part) * (1 + noise)))),
            ("lr", .number(1e-3 * min(1, 20 * part) * 0.5 * (1 + cos(3.14159 * part)))),
        ]
        if step % (steps / 20) == 0 {
            values += [("fid", .number(8 + 190 * exp(-5 * part))), ("note", .string("<evaluated>"))]
        }
        try log.write(step: step, seconds: 0.25 * Double(step), values)
        guard step % (steps / 10) == 0 else { return }
        try log.histogram("weights", step: step, Tensor((0..<1000).map { Float(self.noise($0 + step)) }, [1000]))
        if pictures { try log.image("samples", step: step, sheet(part), columns: 8) }
    }

    /// A number from -1 to 1 that looks random.
    private static func noise(_ index: Int) -> Double {
        let x = sin(Double(index) * 12.9898) * 43758.5453
        return 2 * (x - floor(x)) - 1
    }

    /// 32 small pictures of discs on a ground, with less noise the further the run is.
    private static func sheet(_ part: Double) throws -> Tensor {
        var pixels: [Float] = []
        for image in 0..<32 {
            let (x0, y0) = (16 + 7 * noise(3 * image), 16 + 7 * noise(3 * image + 1))
            let radius = 6 + 3 * noise(3 * image + 2)
            for y in 0..<32 {
                for x in 0..<32 {
                    let inside = hypot(Double(x) - x0, Double(y) - y0) < radius
                    for channel in 0..<3 {
                        let color = noise(97 * image + channel + (inside ? 31 : 0))
                        let grain = noise(image * 9973 + y * 331 + x * 17 + channel)
                        pixels.append(Float(part * color + (1 - part) * grain))
                    }
                }
            }
        }
        return try Tensor(pixels, [32, 32, 32, 3])
    }
}
