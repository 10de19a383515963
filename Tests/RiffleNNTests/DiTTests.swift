import RiffleNN
import RiffleTensor
import Testing

/// DiT against a reference in PyTorch with the published checkpoints' names.
@Suite struct DiTTests {
    @Test(arguments: ["dit-two-times", "dit-classes"]) func agrees(_ name: String) throws {
        let fixture = try NetworkFixture(name)
        var c = DiT.Configuration(image: Shape(try fixture.setting("image")))
        c.patch = try fixture.setting("patch")
        (c.width, c.depth, c.heads) = (
            try fixture.setting("width"), try fixture.setting("depth"), try fixture.setting("heads")
        )
        c.labels = ClassLabels(try fixture.optional("classes"), hasNull: true)
        c.learnedSigma = try fixture.setting("learn_sigma")
        c.times = try fixture.setting("two_times") ? 2 : 1
        let network = try DiT(c)
        try fixture.check(network) { x in
            let s = try fixture.tensor("s"), labels = try fixture.labels()
            return c.times == 2
                ? try network.average(x, s, fixture.tensor("t"), labels) : try network.velocity(x, s, labels)
        }
    }

    private func small(decoupled: Int = 0) throws -> DiT {
        var c = DiT.Configuration(image: [4, 8, 2])
        (c.width, c.depth, c.heads, c.labels) = (16, 2, 2, ClassLabels(3, hasNull: true))
        c.decoupled = decoupled
        return try DiT(c)
    }

    private func checks(decoupled: Int = 0) throws -> NetworkChecks {
        try NetworkChecks(small(decoupled: decoupled), Condition([try Tensor([2, 4] as [Int32], [2])]))
    }

    @Test func studentsAndCopies() throws {
        try checks().studentStartsAsTeacher(span: "span_embedder.mlp.0.bias")
        try checks().copies()
        try checks().jumpsOfNoLength()
        try checks().decoupledStudents(depth: 2)
    }

    @Test(arguments: [0, 1]) func forwardMode(decoupled: Int) throws { try checks(decoupled: decoupled).forwardMode() }
    @Test(arguments: [0, 1]) func gradientOfForwardMode(decoupled: Int) throws {
        try checks(decoupled: decoupled).gradientOfForwardMode()
    }

    /// Blocks start as the identity and the output as zero; positions are in files and not among what is trained.
    @Test func starts() throws {
        let network = try small()
        let labels = Condition([try Tensor([1, 2] as [Int32], [2])])
        #expect(try network.velocity(.randn([2, 4, 8, 2]), .rand([2]), labels).abs().max().item() == 0)
        let state = try network.state()
        let positions = try #require(state.first { $0.name == "pos_embed" }).tensor
        #expect(positions.shape == [1, 8, 16])
        #expect(!network.parameters.contains { $0.name == "pos_embed" })
        #expect(network.count == state.reduce(0) { $0 + $1.tensor.count } - positions.count)
        let weight = try #require(state.first { $0.name == "blocks.1.attn.qkv.weight" }).tensor
        let bound = (6.0 / (16 + 48)).squareRoot(), largest = try weight.abs().max().item()
        #expect(largest <= bound && largest > 0.9 * bound)
    }

    @Test func mistakes() throws {
        let network = try small(), (x, t) = (try Tensor.zeros([2, 4, 8, 2]), try Tensor.zeros([2]))
        let label = #expect(throws: RiffleError.self) {
            try network.velocity(x, t, Condition([try Tensor([1, 5] as [Int32], [2])]))
        }
        #expect(label?.description == "dit: labels must be from 1 to 3, or 4 for none, got 5 (int32 [2])")
        var c = DiT.Configuration(image: [8, 8, 3], size: .base)
        #expect(c.sizes.width == 768 && c.sizes.heads == 12)
        c.patch = 3
        let patches = #expect(throws: RiffleError.self) { try DiT(c) }
        #expect(patches?.description == "dit: patches of 3 x 3 pixels do not fill the image [8, 8, 3]")
    }
}
