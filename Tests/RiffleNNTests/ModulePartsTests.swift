import RiffleTensor
import Testing

@testable import RiffleNN

/// Every part that a module stores is among those that it lists: a part that a list forgets would never be trained,
/// saved or copied.
@Suite struct ModulePartsTests {
    private static func networks() throws -> [Network] {
        var unet = UNet.Configuration(image: [16, 16, 3])
        (unet.channels, unet.multipliers, unet.blocks, unet.attention) = (32, [1, 2], 1, [8])
        unet.labels = ClassLabels(3, hasNull: true)
        var resampled = unet
        (resampled.residualResampling, resampled.scaleShift, resampled.dropout) = (true, true, 0.1)
        var dit = DiT.Configuration(image: [8, 8, 3])
        (dit.width, dit.depth, dit.heads, dit.labels) = (32, 2, 2, ClassLabels(3))
        var mmdit = MMDiT.Configuration(image: [4, 4, 2])
        (mmdit.depth, mmdit.heads, mmdit.headChannels, mmdit.tokenWidth, mmdit.summaryWidth) = (3, 2, 8, 6, 5)
        (mmdit.queryKeyNorm, mmdit.dualBlocks) = (true, [0])
        let all: [Network] = [
            try MLP(.init(width: 8, labels: ClassLabels(2))), try UNet(unet), try UNet(resampled), try DiT(dit),
            try MMDiT(mmdit),
        ]
        return try all + all.map { try $0.twoTimed() } + all.map { try $0.adapted(rank: 2) }
    }

    @Test func everyStoredPartIsListed() throws {
        var seen = 0
        for network in try Self.networks() { seen += try check(network, network.kind) }
        var clip = CLIPText.Configuration(), t5 = T5Encoder.Configuration()
        (clip.vocabulary, clip.width, clip.depth, clip.heads, clip.projection) = (10, 8, 2, 2, 4)
        (t5.vocabulary, t5.width, t5.depth, t5.heads, t5.headWidth, t5.feedForward) = (10, 8, 2, 2, 4, 8)
        seen += try check(CLIPText(clip), "clip_text") + check(T5Encoder(t5), "t5_encoder")
        var mmdit = MMDiT.Configuration(image: [4, 4, 2])
        (mmdit.depth, mmdit.headChannels, mmdit.tokenWidth, mmdit.summaryWidth) = (1, 8, 8, 4)
        seen += try check(TextConditioned(encoder: CLIPText(clip), network: MMDiT(mmdit)), "text_conditioned")
        var autoencoder = KLAutoencoder.Configuration()
        autoencoder.channels = [32, 64]
        seen += try check(KLAutoencoder(autoencoder), "autoencoder")
        seen += try check(TinyAutoencoder(.init()), "tiny_autoencoder")
        seen += try check(ConvNorm(Conv2d(3, 4, bias: true)), "conv_norm")
        #expect(seen > 500, "reflection found \(seen) parts alone")
    }

    /// - Returns: how many stored parts were found in the module and below.
    private func check(_ module: Module, _ name: String) throws -> Int {
        let parameters = Set(module.entries.map { ObjectIdentifier($0.parameter) })
        let below = Set(descendants(of: module).map(ObjectIdentifier.init)), stored = parts(of: module)
        for (label, part) in stored {
            // A part may list those of its parts, or their parameters, in place of itself.
            let own = (part as? Module)?.entries.map(\.parameter) ?? [part as? Parameter].compactMap { $0 }
            let isListed =
                own.isEmpty
                ? below.contains(ObjectIdentifier(part)) : own.allSatisfy { parameters.contains(ObjectIdentifier($0)) }
            #expect(isListed, "\(name).\(label) is stored and not listed")
        }
        return try module.children.reduce(stored.count) { try $0 + check($1.module, "\(name).\($1.name)") }
    }

    private func descendants(of module: Module) -> [Module] {
        module.children.flatMap { [$0.module] + descendants(of: $0.module) }
    }

    private func parts(of module: Module) -> [(String, AnyObject)] {
        func found(_ value: Any, _ label: String) -> [(String, AnyObject)] {
            if let part = value as? Module { return [(label, part)] }
            if let part = value as? Parameter { return [(label, part)] }
            let mirror = Mirror(reflecting: value)
            guard
                mirror.displayStyle == .collection || mirror.displayStyle == .optional || mirror.displayStyle == .tuple
                    || mirror.displayStyle == .struct
            else { return [] }
            return mirror.children.flatMap { found($0.value, label) }
        }
        var result: [(String, AnyObject)] = [], mirror: Mirror? = Mirror(reflecting: module)
        while let level = mirror {
            result += level.children.flatMap { found($0.value, $0.label ?? "") }
            mirror = level.superclassMirror
        }
        return result
    }
}
