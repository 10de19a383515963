import RiffleTensor
import TestSupport
import Testing

@testable import RiffleNN

/// A network with its encoder is that network under what the encoder gives.
@Suite struct TextConditionedTests {
    private let net: TextConditioned
    private let x: Tensor, t: Tensor, ids: Tensor

    init() throws {
        var clip = CLIPText.Configuration(), mmdit = MMDiT.Configuration(image: [4, 4, 2])
        (clip.vocabulary, clip.width, clip.depth, clip.heads, clip.length) = (10, 8, 2, 2, 5)
        (mmdit.depth, mmdit.headChannels, mmdit.tokenWidth, mmdit.summaryWidth) = (2, 8, 8, 8)
        net = try TextConditioned(encoder: CLIPText(clip), network: MMDiT(mmdit))
        try fill(net)
        x = try Tensor(drawn("x", 96).map { Float(2 * $0 - 1) }, [3, 4, 4, 2])
        t = try Tensor([0.1, 0.5, 0.9] as [Float], [3])
        ids = try Tensor([3, 4, 10, 1, 1, 5, 10, 1, 1, 1, 2, 2, 2, 2, 10] as [Int32], [3, 5])
    }

    /// The whole is its parts one after another; rows of zeros are no text, whatever stands beside them.
    @Test func valuesAreThoseOfTheParts() throws {
        let texts = try net.encoder(ids), whole = try net.velocity(x, t, Condition([ids]))
        let parts = try net.network.velocity(x, t, Condition(texts.tensors))
        #expect(try whole.doubles() == parts.doubles())
        let some = try Tensor.cat([ids.sliced(0, 0..<2), .zeros([1, 5], .int32)])
        let dropped = try net.velocity(x, t, Condition([some]))
        let zeros = try texts.tensors.map { try Tensor.cat([$0.sliced(0, 0..<2), .zeros($0.sliced(0, 0..<1).shape)]) }
        #expect(try dropped.doubles() == net.network.velocity(x, t, Condition(zeros)).doubles())
        #expect(try dropped.sliced(0, 0..<2).doubles() == whole.sliced(0, 0..<2).doubles())
        let none = try net.conditioning.null(like: Condition([ids]))
        #expect(try none.tensors[0].doubles() == Array(repeating: 0, count: 15))
    }

    /// A text that is dropped teaches the encoder nothing, and the others do what they do alone.
    @Test func gradientsReachTheEncoder() throws {
        func gradients(_ condition: Tensor) throws -> [Double] {
            for named in net.parameters { named.parameter.gradient = nil }
            try net.velocity(x, t, Condition([condition])).square().sum().backward()
            return try net.encoder.parameters.flatMap { named in
                try named.parameter.gradient?.doubles() ?? Array(repeating: 0, count: named.parameter.shape.count)
            }
        }
        let whole = try gradients(ids), none = try gradients(.zeros([3, 5], .int32))
        #expect(whole.contains { abs($0) > 1e-3 } && none.allSatisfy { $0 == 0 })
    }

    @Test func copiesShareNothingAndStudentsStartEqual() throws {
        let before = try net.velocity(x, t, Condition([ids])).doubles()
        let copy = try #require(try net.copied() as? Network), student = try net.twoTimed()
        for network in [copy, student] {
            #expect(try network.velocity(x, t, Condition([ids])).doubles() == before)
            for named in network.parameters { try named.parameter.assign(.zeros(named.parameter.shape)) }
        }
        #expect(try net.velocity(x, t, Condition([ids])).doubles() == before)
        #expect(net.description.hasPrefix("text_conditioned mmdit, texts of at most 5 of 10 tokens, "))
    }

    @Test func tokensAreChecked() throws {
        func said(_ tensors: Tensor...) -> String { message { _ = try net.velocity(x, t, Condition(tensors)) } }
        #expect(said().contains("needs texts as tokens, int32 [3, length]"))
        #expect(try said(.ones([2, 5], .int32)).contains("(int32 [2, 5])"))
        #expect(try said(.ones([3, 6], .int32)).contains("texts have at most 5 tokens, got 6"))
        #expect(
            try said(ids.affine(1, 1)).contains("tokens must be from 1 to 10, or a row of zeros for no text, got 11"))
        #expect(try said(ids.affine(1, -1)).contains("got 0 in row 1"))
    }
}
