import RiffleNN
import RiffleTensor
import Testing

/// Where attention acts beside the middle, as widths of images.
@Suite struct UNetAttentionTests {
    private func widths(_ width: Int, _ attention: [Int]?) throws -> [Int] {
        var c = UNet.Configuration(image: [4, width, 1])
        (c.channels, c.multipliers, c.blocks, c.attention) = (32, [1, 1, 1], 1, attention)
        let names = try UNet(c).entries.map(\.name).filter {
            $0.hasPrefix("input_blocks") && $0.hasSuffix("qkv.weight")
        }
        // Each level has a stage of residual blocks, and one that halves the image.
        return names.compactMap { Int($0.split(separator: ".")[1]) }.map { width >> (($0 - 1) / 2) }
    }

    /// torchcfm's attention_resolutions "16", as its U-Net reads it: at the level that is width // 16 times smaller.
    @Test(
        arguments: [(28, [28]), (24, [24]), (32, [16]), (64, [16]), (16, [16]), (48, []), (12, [])] as [(Int, [Int])])
    func torchcfmsChoice(_ width: Int, _ expected: [Int]) throws { #expect(try widths(width, nil) == expected) }

    @Test(arguments: [[28], [14, 7], []] as [[Int]]) func givenWidths(_ attention: [Int]) throws {
        #expect(try widths(28, attention) == attention)
    }

    @Test(arguments: [16, 9, 20, 0, -14]) func aWidthThatNoLevelHas(_ width: Int) {
        let error = #expect(throws: RiffleError.self) { try widths(28, [28, width]) }
        #expect(error?.message.contains("[28, 14, 7], and \(width) is none of them") == true)
    }
}

/// The U-Net against torchcfm's.
@Suite struct UNetTests {
    @Test(arguments: ["unet-plain", "unet-classes", "unet-scale-shift"]) func agrees(_ name: String) throws {
        let fixture = try NetworkFixture(name)
        let network = try UNet(configuration(fixture))
        try fixture.check(network) { try network.velocity($0, fixture.tensor("t"), fixture.labels()) }
    }

    @Test func studentsAndCopies() throws {
        var configuration = UNet.Configuration(image: [8, 8, 3])
        (configuration.channels, configuration.multipliers, configuration.blocks, configuration.attention) = (
            32, [1, 2], 1, [4]
        )
        let checks = try NetworkChecks(UNet(configuration))
        try checks.studentStartsAsTeacher(span: "span_embed.0.bias")
        try checks.copies()
        try checks.jumpsOfNoLength()
        try checks.forwardMode()
        try checks.gradientOfForwardMode()
    }

    private func configuration(_ fixture: NetworkFixture) throws -> UNet.Configuration {
        let dim = try fixture.setting("dim", as: [Int].self)
        var c = UNet.Configuration(image: [dim[1], dim[2], dim[0]])
        c.channels = try fixture.setting("num_channels")
        c.multipliers = try fixture.setting("channel_mult")
        c.blocks = try fixture.setting("num_res_blocks")
        c.attention = [try fixture.setting("attention_resolutions")]
        let headChannels = try fixture.setting("num_head_channels", as: Int.self)
        if headChannels < 0 { c.heads = try fixture.setting("num_heads") } else { c.headChannels = headChannels }
        c.scaleShift = try fixture.setting("use_scale_shift_norm")
        c.residualResampling = try fixture.setting("resblock_updown")
        c.labels = ClassLabels(try fixture.optional("num_classes"))
        return c
    }
}
