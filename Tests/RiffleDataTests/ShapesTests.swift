import RiffleTensor
import Testing

@testable import RiffleData

@Suite struct ShapesTests {
    /// The detector finds in drawn pictures what their captions ask for, and in others' pictures it does not.
    @Test(arguments: [(32, nil, 120), (48, nil, 30), (32, 8, 120), (48, 16, 30)] as [(Int, Int?, Int)])
    func theDetectorIsExact(_ size: Int, _ cells: Int?, _ count: Int) throws {
        let seed = UInt64.random(in: 0...1_000_000)
        let batch = try ShapesSet(size: size, cells: cells, seed: seed).batch((0..<count).map { Draw($0) })
        let captions = try #require(batch.captions)
        let score = try ShapesSet.score(batch.x, captions)
        for kind in ShapesRequest.Kind.allCases { #expect(score[kind] == 1, "\(kind), seed \(seed)") }
        // Pictures with the captions of the next sample of their kind: few of these fit.
        let others = Array(captions[6...] + captions[..<6])
        #expect(try ShapesSet.score(batch.x, others).mean < 0.3, "seed \(seed)")
    }

    /// Noise is found out as such, and noise of a tenth hides nothing.
    @Test func noiseIsNoForm() throws {
        let batch = try ShapesSet().batch((0..<120).map { Draw($0) })
        let captions = try #require(batch.captions)
        var random = RandomSource(seed: 5)
        let noise = try random.normal(batch.x.shape)
        #expect(try ShapesSet.score(noise, captions).mean == 0)
        #expect(try ShapesSet.score(batch.x + noise * 0.1, captions).mean > 0.95)
    }

    /// Prompts are unseen, of all kinds alike, and words that make no caption are refused.
    @Test func promptsAreHeldOut() throws {
        let shapes = ShapesSet(), prompts = try shapes.prompts(60)
        let seen = Set(try (0..<3000).map { try shapes.caption(of: $0) })
        let kinds = prompts.compactMap { ShapesRequest(caption: $0)?.kind }
        for kind in ShapesRequest.Kind.allCases {
            #expect(kinds.count { $0 == kind } == 10)
            let words = Set(ShapesRequest.all(of: kind).map(\.caption))
            #expect(kind == .singleObject || seen.isDisjoint(with: prompts.filter(words.contains)))
        }
        #expect(throws: RiffleError.self) { try shapes.prompts(61) }
        #expect(throws: RiffleError.self) { try ShapesSet.score(Tensor.zeros([1, 32, 32, 3]), ["a dog"]) }
        #expect(throws: RiffleError.self) { try ShapesSet.score(Tensor.zeros([1, 32, 32, 3]), []) }
        #expect(throws: RiffleError.self) { try ShapesSet.score(Tensor.zeros([1, 32, 30, 3]), ["a red circle"]) }
    }
}
