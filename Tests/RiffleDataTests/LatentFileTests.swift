import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleData

/// Files of what an encoder makes of a set.
@Suite struct LatentFileTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func pictures(_ count: Int) throws -> Tensor {
        let shape: Shape = [count, 4, 2, 3]
        return try Tensor(drawn("pictures", shape.count).map(Float.init), shape)
    }

    /// Means of pairs of rows: half as high.
    private func encode(_ x: Tensor) throws -> Tensor {
        try x.reshaped(to: [x.shape[0], 2, 2, 2, 3]).mean([2])
    }

    @Test(arguments: [1, 3, 7, 100], [true, false]) func holdsWhatWasEncoded(_ size: Int, _ labelled: Bool) throws {
        let x = try pictures(7), path = scratch("latents.safetensors")
        let labels = labelled ? try Tensor([3, 1, 2, 3, 1, 1, 2] as [Int32], [7]) : nil
        var sizes: [Int] = []
        try LatentFile.write(DataSet(TensorSource(x, labels: labels)), to: path, batch: size) {
            sizes.append($0.shape[0])
            return try encode($0)
        }
        #expect(sizes.reduce(0, +) == 7 && sizes.dropLast().allSatisfy { $0 == size })
        let set = DataSet(try PictureFiles.open(path, PictureOptions()))
        let batch = try set.batch((0..<7).map { Draw($0) })
        #expect(try batch.x.doubles() == encode(x).doubles() && batch.x.shape == [7, 2, 2, 3])
        #expect(try batch.labels?.integers() == labels?.integers() && scratch.names == ["latents.safetensors"])
    }

    @Test func textsAreKept() throws {
        let x = try pictures(3), tokens = try Tensor(drawn("t", 12).map(Float.init), [3, 2, 2])
        let summary = try Tensor(drawn("s", 12).map(Float.init), [3, 4]), path = scratch("texts")
        try SafeTensors.write([("x", x), ("tokens", tokens), ("summary", summary)], to: path)
        try LatentFile.write(DataSet(LatentSource(path)), to: scratch("latents"), batch: 2, encode: encode)
        let batch = try DataSet(LatentSource(scratch("latents"))).batch([Draw(2), Draw(0)])
        let order = try Tensor([3, 1] as [Int32], [2])
        #expect(try batch.x.doubles() == encode(x).take(order).doubles())
        #expect(try batch.text?.tokens.doubles() == tokens.take(order).doubles())
        #expect(try batch.text?.summary.doubles() == summary.take(order).doubles())
    }

    /// An error in the middle leaves an older file as it is.
    @Test func appearsWholeOrNotAtAll() throws {
        let set = DataSet(try TensorSource(pictures(5), labels: nil)), path = try scratch.file("old", [1, 2, 3])
        var calls = 0
        let found = message {
            try LatentFile.write(set, to: path, batch: 2) {
                calls += 1
                guard calls < 3 else { throw RiffleError("encode", "it stopped") }
                return try encode($0)
            }
        }
        #expect(try found == "encode: it stopped" && contents(path) == [1, 2, 3] && scratch.names == ["old"])
        #expect(message { try LatentFile.write(set, to: path, batch: 2) { try $0.sum() } }.contains("2 samples were"))
        #expect(message { try LatentFile.write(set, to: scratch("a.npy"), batch: 2, encode: encode) }.contains("a.npy"))
        #expect(scratch.names == ["old"])
    }
}
