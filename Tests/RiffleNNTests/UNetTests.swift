import RiffleNN
import RiffleTensor
import Testing

/// The U-Net against torchcfm's.
@Suite struct UNetTests {
    @Test(arguments: ["unet-plain", "unet-classes", "unet-scale-shift"]) func agrees(_ name: String) throws {
        let fixture = try NetworkFixture(name)
        let network = try UNet(configuration(fixture))
        try fixture.check(network) { try network.velocity($0, fixture.tensor("t"), fixture.labels()) }
    }

    @Test func studentsAndCopies() throws {
        var configuration = UNet.Configuration(image: [8, 8, 3])
        (configuration.channels, configuration.multipliers, configuration.blocks, configuration.attention) = (32, [1, 2], 1, [4])
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
        c.heads = try fixture.setting("num_heads")
        let headChannels = try fixture.setting("num_head_channels", as: Int.self)
        c.headChannels = headChannels < 0 ? nil : headChannels
        c.scaleShift = try fixture.setting("use_scale_shift_norm")
        c.residualResampling = try fixture.setting("resblock_updown")
        c.conditioning = try fixture.optional("num_classes").map { .classes($0, hasNull: false) } ?? .none
        return c
    }
}
