import RiffleNN
import RiffleTensor
import TestSupport
import Testing

/// MM-DiT against diffusers' SD3Transformer2DModel, with times and sign turned to ours.
@Suite struct MMDiTTests {
    @Test(arguments: ["mmdit-plain", "mmdit-dual"]) func agrees(_ name: String) throws {
        let fixture = try NetworkFixture(name)
        let size = try fixture.setting("size", as: [Int].self)
        var c = MMDiT.Configuration(image: [size[0], size[1], try fixture.setting("in_channels")])
        (c.patch, c.depth) = (try fixture.setting("patch_size"), try fixture.setting("num_layers"))
        (c.heads, c.headChannels) = (
            try fixture.setting("num_attention_heads"), try fixture.setting("attention_head_dim")
        )
        (c.tokenWidth, c.summaryWidth) = (
            try fixture.setting("joint_attention_dim"), try fixture.setting("pooled_projection_dim")
        )
        (c.tableSize, c.sampleSize) = (try fixture.setting("pos_embed_max_size"), try fixture.setting("sample_size"))
        c.queryKeyNorm = try fixture.optional("qk_norm") == "rms_norm"
        c.dualBlocks = Set(try fixture.setting("dual_attention_layers", as: [Int].self))
        let network = try MMDiT(c)
        let text = Condition([try fixture.tensor("tokens"), try fixture.tensor("summary")])
        try fixture.check(network) { try network.velocity($0, fixture.tensor("t"), text) }
    }

    private func small() throws -> MMDiT {
        var c = MMDiT.Configuration(image: [4, 6, 2])
        (c.depth, c.heads, c.headChannels, c.tokenWidth, c.summaryWidth) = (2, 2, 8, 6, 5)
        (c.queryKeyNorm, c.dualBlocks) = (true, [0])
        return try MMDiT(c)
    }

    private func checks() throws -> NetworkChecks {
        let tokens = try Tensor(drawn("tokens", 2 * 3 * 6).map { 2 * $0 - 1 }, [2, 3, 6]).cast(.float32)
        let summary = try Tensor(drawn("summary", 2 * 5).map { 2 * $0 - 1 }, [2, 5]).cast(.float32)
        return try NetworkChecks(small(), Condition([tokens, summary]))
    }

    @Test func studentsAndCopies() throws {
        try checks().studentStartsAsTeacher(span: "time_text_embed.span_embedder.linear_1.bias")
        try checks().copies()
        try checks().jumpsOfNoLength()
        try checks().decoupledStudents(depth: 2)
    }

    @Test func forwardMode() throws { try checks().forwardMode() }
    @Test func gradientOfForwardMode() throws { try checks().gradientOfForwardMode() }

    /// A network that counts time from noise answers as one that counts from data does at 1 - t, with the other sign.
    @Test func timeOfNoise() throws {
        let network = try small()
        var c = network.configuration
        c.timeOfNoise = false
        let other = try MMDiT(c)
        try fill(network)
        try fill(other)
        let (x, t) = (try Tensor.randn([2, 4, 6, 2]), try Tensor([0.25, 0.5] as [Float], [2]))
        let text = Condition([try .randn([2, 3, 6]), try .randn([2, 5])])
        #expect(try (network.velocity(x, t, text) + other.velocity(x, 1 - t, text)).abs().max().item() == 0)
    }

    @Test func mistakes() throws {
        let network = try small(), (x, t) = (try Tensor.zeros([2, 4, 6, 2]), try Tensor.zeros([2]))
        let text = #expect(throws: RiffleError.self) { try network.velocity(x, t, Condition([try .zeros([2, 3, 6])])) }
        #expect(text?.description == "mmdit: this network needs a text: { tokens, summary }, got 1 tensors")
        var c = network.configuration
        c.dualBlocks = [2]
        #expect(throws: RiffleError.self) { try MMDiT(c) }
        (c.dualBlocks, c.tableSize) = ([], 2)
        #expect(throws: RiffleError.self) { try MMDiT(c) }
    }
}
