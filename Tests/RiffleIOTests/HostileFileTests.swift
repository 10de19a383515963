import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

/// Readers of files meet changes of every kind: the seeds of `scripts/fuzz` and small fixtures, changed at random,
/// are read or refused, by an error that names the file.
@Suite struct HostileFileTests {
    /// How a file is read, with the folder of its seeds.
    enum Reader: String, CaseIterable, CustomTestStringConvertible {
        case safetensors, npy, npz, older, zip, json, png, jpeg, webp, idx, gzip

        var testDescription: String { rawValue }

        /// Fixtures beside the seeds.
        var fixtures: [String] {
            switch self {
            case .safetensors: ["weights.safetensors", "float8.safetensors"]
            case .npz: ["archive.npz", "pictures/deflated.npz"]
            case .older: ["single.pt", "tensors-older5.pt", "tensors-protocol5.pt"]
            case .zip: ["pictures/edm.zip"]
            case .png: ["pictures/palette-alpha.png", "pictures/turned6.png"]
            case .jpeg: ["pictures/progressive.jpg", "pictures/inks.jpg"]
            case .webp: ["pictures/alpha.webp", "pictures/lossless.webp"]
            case .gzip: ["pictures/train-images-idx3-ubyte.gz"]
            case .npy, .json, .idx: []
            }
        }

        func files() throws -> [[UInt8]] {
            let folder = fixture("../ReaderFuzzer/seeds/\(rawValue)")
            let seeds = ((try? namesInFolder(folder)) ?? []).filter { !$0.hasPrefix(".") }
            return try (seeds.map { "\(folder)/\($0)" } + fixtures.map(fixture)).map(contents)
        }

        func read(_ path: String) throws {
            switch self {
            case .safetensors, .npy, .npz, .older:
                let file = try TensorFile(allOf: path)
                for entry in file.entries.prefix(20) { _ = try entry.tensor() }
            case .zip:
                let archive = try ZipArchive(path)
                for entry in archive.entries { _ = try archive.read(entry) }
            case .json: _ = try JSON.read(path)
            case .png, .jpeg, .webp: _ = try ImageFile.load(path, channels: 3)
            case .idx, .gzip: _ = try IDX.stored(path).tensor()
            }
        }
    }

    @Test(arguments: Reader.allCases) func changedFilesAreReadOrRefused(reader: Reader) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(state: seed)
        let scratch = try Scratch(), files = try reader.files()
        Memory.setLimit(Memory.now.live + 1 << 30)
        defer { Memory.setLimit(0) }
        for number in 0..<300 {
            let path = try scratch.file(
                "hostile.\(reader)", damaged(files.randomElement(using: &random) ?? [], &random))
            do { try reader.read(path) } catch let error as RiffleError {
                #expect(
                    error.description.contains("hostile.") || error.kind == .outOfMemory,
                    "seed \(seed), case \(number): \(error)")
            }
        }
    }
}
