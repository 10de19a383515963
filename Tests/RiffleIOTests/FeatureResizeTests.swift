import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

@Suite(.serialized) struct FeatureResizeTests {
    /// What torch-fidelity, PyTorch and clean-fid made of a picture (`scripts/check_metrics.py`).
    private let expected: Npz

    init() throws { expected = try Npz(fixture("metrics/resized.npz")) }

    @Test(arguments: FeatureResize.allCases, [[5, 9], [17, 13], [2, 3]])
    func isResizedAsTheToolsResize(way: FeatureResize, size: [Int]) throws {
        let picture = try expected.tensor("picture"), pair = try Tensor.cat([picture, picture * 0 + 7])
        let images = try ByteImages(pair.viewed(as: [2, 11, 7, 3]))
        let wanted = try expected.tensor("\(way.rawValue).\(size[0])x\(size[1])")
        for threads in [1, 2] {
            let before = Processor.threads
            Processor.threads = threads
            defer { Processor.threads = before }
            let found = try way.resized(images, width: size[1], height: size[0])
            #expect(found.shape == [2, size[0], size[1], 3])
            let parts = try found.sliced(0, 0..<1).viewed(as: wanted.shape)
            #expect(try (parts - wanted).abs().max().item() < 1e-5 * 255)
            // A picture of one colour keeps it, whatever lies beside it.
            #expect(try found.sliced(0, 1..<2).floats().allSatisfy { abs($0 - 7) < 1e-5 })
        }
    }

    @Test(arguments: FeatureResize.allCases) func theSameSizeChangesNothing(way: FeatureResize) throws {
        let numbers = (0..<24).map { Int32($0 * 37 % 256) }
        let images = try ByteImages(Tensor(numbers, [2, 3, 4, 1]))
        #expect(try way.resized(images, width: 4, height: 3).floats() == numbers.map(Float.init))
        #expect(message { _ = try way.resized(images, width: 0, height: 3) }.contains("0 x 3"))
    }

    /// The bytes that a PNG file would hold.
    @Test func picturesAreRoundedAsFilesAre() throws {
        let scratch = try Scratch(), path = scratch("a.png")
        let image = try Tensor((0..<45).map { (index: Int) -> Float in Float(index) / 17 - 1.2 }, [3, 5, 3])
        for range in [nil, 0...1, -3...2.5] as [ClosedRange<Double>?] {
            try ImageGrid.save(image, to: path, range: range)
            let file = try ImageFile.bytes(InputFile(path)),
                found = try ByteImages(image.viewed(as: [1, 3, 5, 3]), range: range)
            #expect(found.bytes == file.samples)
        }
        #expect(
            message { _ = try ByteImages(.full([1, 2, 2, 3], .nan)) }.contains("NaN has no brightness, and 12 of 12"))
        #expect(message { _ = try ByteImages(.zeros([2, 2, 3])) }.contains("[2, 2, 3]"))
        #expect(message { _ = try ByteImages(Tensor([300] as [Int32], [1, 1, 1, 1])) }.contains("one is 300"))
    }
}
