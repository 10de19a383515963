import RiffleIO
import RiffleMetrics
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleEvaluation

/// Statistics say of which features they are, and those of other programs are said not to.
@Suite struct KeptStatisticsTests {
    private let colours = FeatureExtractor(title: "colours", side: nil) { try $0.mean([1, 2]) }
    private let pictures: Pictures

    init() throws {
        Context.current.random = RandomSource(seed: 3)
        pictures = try Pictures(.rand([6, 4, 4, 3]))
    }

    @Test func aFileKeepsItsOrigin() throws {
        let scratch = try Scratch(), path = scratch("a.npz"), measures = PictureMeasures(colours)
        let kept = try measures.statistics(of: pictures)
        try kept.write(to: path)
        let back = try KeptStatistics(contentsOf: path)
        #expect(back.origin == KeptStatistics.Origin(features: "colours", sizing: "own size") && back.name == "a.npz")
        #expect(try measures.frechet(.statistics(back), .pictures(pictures)).value == 0)
        for other in [
            FeatureExtractor(title: "others", side: nil) { try $0.mean([1, 2]) },
            FeatureExtractor(title: "colours", side: 4) { try $0.mean([1, 2]) },
        ] {
            let text = message { _ = try PictureMeasures(other).frechet(.statistics(back), .pictures(pictures)) }
            #expect(
                text.contains("the statistics of a.npz are of colours, own size, and the features are of"), "\(text)")
        }
        try Npz.write([("mu", .zeros([3]))], texts: [("protocol.json", "{}")], to: path)
        #expect(message { _ = try KeptStatistics(contentsOf: path) }.contains("no array 'sigma'"))
        try kept.statistics.write(to: path, texts: [("protocol.json", "{\"features\": 3}")])
        #expect(message { _ = try KeptStatistics(contentsOf: path) }.contains("should say features and sizing"))
    }

    @Test func othersAreOfUnknownProtocol() throws {
        let path = fixture("metrics/statistics-edm.npz"), foreign = try Side(path: path)
        let six = FeatureExtractor(title: "six", side: nil) { try Tensor.cat([$0.mean([1, 2]), $0.mean([1, 2])], 1) }
        let found = try PictureMeasures(six).frechet(foreign, .pictures(pictures))
        #expect(
            found.protocolText.contains(
                "reference statistics-edm.npz of an unknown number (which does not say of which features and resize "),
            "\(found)")
        #expect(
            message { _ = try PictureMeasures(colours).frechet(foreign, .pictures(pictures)) }.contains(
                "the statistics of statistics-edm.npz are of 6 features, those of a tensor of 3 (colours)"))
    }
}
