import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleNN

/// Autoencoders against diffusers' in float64 (scripts/make_autoencoder_fixtures.py).
@Suite struct AutoencoderTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    struct Reference {
        private let file: SafeTensors
        let config: Value
        let shapes: [String: Shape]
        private let size: [Int]

        init(_ name: String) throws {
            file = try SafeTensors(fixture("autoencoder/\(name).safetensors"))
            let path = file.path
            func setting(_ key: String, _ metadata: [String: String]) throws -> Value {
                try JSON.value(Array(#require(metadata[key]).utf8), named: path)
            }
            config = try setting("config", file.metadata)
            size = Arguments([try setting("size", file.metadata)]).integers(0)
            guard case .table(let table) = try setting("shapes", file.metadata) else { throw RiffleError("", path) }
            shapes = table.mapValues { Shape(Arguments([$0]).integers(0)) }
        }

        func tensor(_ name: String) throws -> Tensor { try file.tensor(named: name) }
        /// As [n, height, width, channels].
        func images(_ name: String) throws -> Tensor { try tensor(name).permuted([0, 2, 3, 1]) }

        /// The network without numbers of its own.
        func autoencoder() throws -> PictureAutoencoder {
            try PictureAutoencoder.described(by: config, named: "config.json")
        }

        func filled() throws -> PictureAutoencoder {
            let autoencoder = try autoencoder()
            for named in autoencoder.parameters { try named.parameter.assign(.zeros(named.parameter.shape)) }
            try fill(autoencoder)
            return autoencoder
        }

        func pictures(_ net: PictureAutoencoder) throws -> Tensor {
            try AutoencoderTests.noise("pictures", [2, net.imageChannels, size[0], size[1]]).permuted([0, 2, 3, 1])
        }
    }

    static let plain = ["quant", "shifted", "plain"], all = plain + ["tiny", "tiny-wide"]

    /// Normal-sized numbers keyed by a name, in the layout of files.
    fileprivate static func noise(_ name: String, _ shape: Shape) throws -> Tensor {
        try Tensor(drawn(name, shape.count).map { Float((2 * $0 - 1) * 3.0.squareRoot()) }, shape)
    }

    /// The largest difference, relative to the largest number of the reference.
    private func difference(_ got: Tensor, _ wanted: Tensor) throws -> Double {
        try #require(got.shape == wanted.shape)
        return try (got - wanted).abs().max().item() / wanted.abs().max().item()
    }

    private func same(_ a: Tensor, _ b: Tensor) throws -> Bool { try a.doubles() == b.doubles() }

    /// Both halves, means and log-variances, and the gradients of all parameters.
    @Test(arguments: all) func valuesAndGradientsAreTheReferences(name: String) throws {
        let reference = try Reference(name), net = try reference.filled()
        let parameters = Dictionary(uniqueKeysWithValues: net.parameters.map { ($0.name, $0) })
        #expect(parameters.mapValues(\.fileShape) == reference.shapes)
        let posterior = try net.posterior(reference.pictures(net))
        let shape = posterior.mean.shape
        let files: Shape = [shape[0], shape[3], shape[1], shape[2]]
        func weighed(_ name: String, _ value: Tensor) throws -> Tensor {
            let s = value.shape
            return try (value * Self.noise("c.\(name)", [s[0], s[3], s[1], s[2]]).permuted([0, 2, 3, 1])).sum()
        }
        var latents = posterior.mean
        var loss = try weighed("mean", latents)
        #expect(try difference(latents, reference.images("mean")) < 1e-5)
        if let variance = posterior.logVariance {
            #expect(try difference(variance, reference.images("variance")) < 1e-5)
            loss = try loss + weighed("variance", variance)
            latents = try latents + (variance * 0.5).exp() * Self.noise("noise", files).permuted([0, 2, 3, 1])
        }
        let output = try net.pictures(latents)
        #expect(try difference(output, reference.images("output")) < 1e-5)
        try (loss + weighed("output", output)).backward()
        let norms = try reference.tensor("norms").doubles(), dots = try reference.tensor("dots").doubles()
        for (index, name) in reference.shapes.keys.sorted().enumerated() {
            let named = try #require(parameters[name])
            let gradient = try named.layout.toFile(named.parameter.gradient ?? .zeros(named.parameter.shape))
            let norm = try gradient.square().sum().item().squareRoot()
            let dot = try (gradient * Self.noise("probe.\(name)", gradient.shape)).sum().item()
            let margin = 1e-4 * max(1, norms[index])
            #expect(abs(norm - norms[index]) < margin && abs(dot - dots[index]) < margin, "\(name)")
        }
    }

    /// Scaled latents, pictures of them, and both by tiles.
    @Test(arguments: plain) func codesAndTilesAreTheReferences(name: String) throws {
        let reference = try Reference(name), net = try reference.filled()
        #expect(try difference(net.encode(reference.pictures(net)), reference.images("encoded")) < 1e-5)
        let latents = try Self.noise("latents", [1, net.latentChannels, 7, 11]).permuted([0, 2, 3, 1])
        let decoded = try net.decode(latents), tiled = try net.decode(latents, tile: 4)
        let some = try (1...2).reduce(decoded) { x, dim in
            try Tensor.cat(stride(from: 0, to: x.shape[dim], by: 4).map { try x.sliced(dim, $0..<$0 + 1) }, dim)
        }
        #expect(try difference(some, reference.images("decoded")) < 1e-5)
        #expect(try difference(tiled, reference.images("tiled")) < 1e-5)
        #expect(try difference(net.encode(decoded, tile: 4), reference.images("tiled_encoded")) < 1e-5)
        #expect(try same(net.decode(latents, tile: 12), decoded))
    }

    /// Nothing is recorded unless inputs take gradients, and what is recorded has the same values.
    @Test(arguments: all) func gradientsAreKeptForInputsThatTakeThem(name: String) throws {
        let net = try Reference(name).filled(), pictures = try Reference(name).pictures(net)
        let latents = try net.encode(pictures), decoded = try net.decode(latents)
        #expect(!latents.needsGradient && !decoded.needsGradient)
        let x = Parameter(pictures)
        let z = try net.encode(x.tensor), again = try net.decode(z)
        #expect(z.needsGradient && again.needsGradient)
        #expect(try difference(z, latents) < 1e-6 && difference(again, decoded) < 1e-5)
        try again.square().sum().backward()
        #expect(try #require(x.gradient).abs().max().item() > 0)
    }

    @Test func drawsFollowThePosterior() throws {
        let shape: Shape = [1, 50, 50, 4], mean = try Tensor.full(shape, 3), half = try Tensor.full(shape, -1.3862944)
        let drawn = try Posterior(mean: mean, logVariance: half).draw()
        // Four standard errors of 10,000 numbers of deviation 1 / 2.
        #expect(try abs(drawn.mean().item() - 3) < 0.02 && abs(drawn.variance().item() - 0.25) < 0.015)
        #expect(try same(Posterior(mean: mean, logVariance: nil).draw(), mean))
        let net = try Reference("quant").filled(), pictures = try Reference("quant").pictures(net)
        let means = try net.encode(pictures), draw = try net.encode(pictures, drawn: true)
        #expect(try !same(draw, means) && !same(draw, net.encode(pictures, drawn: true)))
        #expect(try !same(net.reconstruct(pictures).pictures, net.reconstruct(pictures).pictures))
        net.isTraining = false
        let (y, posterior) = try net.reconstruct(pictures)
        #expect(try same(y, net.pictures(posterior.mean)) && difference(net.decode(means), y) < 1e-5)
    }

    /// Copies, files and folders, and older files' names of attention.
    @Test(arguments: all) func copiesAndFiles(name: String) throws {
        let reference = try Reference(name), net = try reference.filled(), pictures = try reference.pictures(net)
        (net.scaling, net.shift) = (0.7, -0.2)
        let latents = try net.encode(pictures)
        net.precision = .bfloat16
        let copy = try #require(try net.copied(trainable: false) as? PictureAutoencoder)
        #expect(try same(copy.encode(pictures), net.encode(pictures)) && copy.description == net.description)
        #expect(copy.description.contains(", bf16, ") && copy.parameters.allSatisfy { !$0.parameter.isTrainable })
        net.precision = .float32
        try net.save(to: scratch("net.safetensors"))
        let again = try #require(try PictureAutoencoder.open(file: scratch("net.safetensors")))
        #expect(try same(again.encode(pictures), latents) && again.description == net.description)
        #expect(try JSON.text(again.config) == JSON.text(net.config))

        try JSON.write(net.config, to: scratch("config.json"))
        #expect(message { _ = try PictureAutoencoder.open(folder: scratch.path) }.contains("has no weights; expected"))
        let older = try net.state().map { name, tensor in
            var name = name
            for (new, old) in [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")] {
                name = name.split(separator: ".\(new).", omittingEmptySubsequences: false).joined(separator: ".\(old).")
            }
            return (name, tensor)
        }
        #expect(
            older.contains { $0.0.hasSuffix("query.weight") } == net.parameters.contains { $0.name.contains("to_q") })
        try SafeTensors.write(older, to: scratch("diffusion_pytorch_model.safetensors"))
        #expect(try same(PictureAutoencoder.open(folder: scratch.path).encode(pictures), latents))
    }

    /// A folder of two files of BF16 with an index.
    @Test func foldersOfShards() throws {
        let net = try Reference("shifted").filled(), pictures = try Reference("shifted").pictures(net)
        for named in net.parameters {
            let bits = try named.parameter.value.floats().map { Float(bitPattern: $0.bitPattern & 0xFFFF_0000) }
            try named.parameter.assign(Tensor(bits, named.parameter.shape))
        }
        let state = try net.state(), halves = [state.prefix(20), state.dropFirst(20)]
        var files: [String: Value] = [:]
        for (index, half) in halves.enumerated() {
            let name = "diffusion_pytorch_model-0000\(index + 1)-of-00002.safetensors"
            var (bytes, _) = try SafeTensors.header(half.map { ($0.name, .bf16, $0.tensor.shape) }, metadata: [:], name)
            for (entry, tensor) in half {
                bytes += try tensor.floats().flatMap { [UInt8($0.bitPattern >> 16 & 255), UInt8($0.bitPattern >> 24)] }
                files[entry] = .string(name)
            }
            _ = try scratch.file(name, bytes)
        }
        let index = Value.table(["weight_map": .table(files)])
        try JSON.write(index, to: scratch("diffusion_pytorch_model.safetensors.index.json"))
        try JSON.write(net.config, to: scratch("config.json"))
        let again = try PictureAutoencoder.open(folder: scratch.path)
        #expect(try same(again.encode(pictures), net.encode(pictures)))
    }

    @Test func mistakesAreNamed() throws {
        let net = try Reference("shifted").autoencoder()
        #expect(
            message { _ = try net.encode(.zeros([1, 8, 10, 3])) }
                == "autoencoder: height and width of pictures must be multiples of 4 (pictures [1, 8, 10, 3])")
        #expect(
            message { _ = try net.encode(.zeros([8, 8, 3])) }
                == "autoencoder: pictures must be floats [n, height, width, 3] (pictures float32 [8, 8, 3])")
        #expect(
            message { _ = try net.decode(.zeros([1, 2, 2, 4])) }
                == "autoencoder: latents must be floats [n, height, width, 16], as this decoder takes them (latents "
                + "float32 [1, 2, 2, 4])")
        #expect(
            message { _ = try net.decode(.zeros([1, 2, 2, 16]), tile: 30) }
                == "tile: the side of a tile must be a multiple of 4 latents, got 30")
        var c = TinyAutoencoder.Configuration()
        c.decoderBlocks = [1]
        #expect(
            message { _ = try TinyAutoencoder(c) }
                == "tiny_autoencoder: encoder and decoder have the same number of levels, 1 to 16, got 4 and 1")
        #expect(
            message { _ = try PictureAutoencoder.open(folder: scratch.path) }.contains("has no config.json"))
    }

    /// A setting that this autoencoder does not have is named; one that changes nothing is passed over.
    @Test(arguments: [
        ("quant", "_class_name", #""AutoencoderDC""#, "AutoencoderDC; autoencoders are AutoencoderKL and Autoencoder"),
        ("quant", "act_fn", #""relu""#, #"act_fn is "relu", and networks with "silu" alone are known here"#),
        ("quant", "down_block_types", #"["DownEncoderBlock2D"]"#, "down_block_types is"),
        ("quant", "use_quant_conv", "false", "use_quant_conv and use_post_quant_conv differ"),
        ("quant", "out_channels", "4", "in_channels 3 and out_channels 4 differ"),
        ("quant", "latents_mean", "[0, 1, 2, 3]", "the setting latents_mean = [0, 1, 2, 3] is not known here"),
        ("quant", "norm_num_groups", "5", "8 channels do not make 5 equal groups"),
        ("quant", "block_out_channels", "[8, -1]", "block_out_channels must be a list of whole numbers from 1"),
        ("quant", "scaling_factor", "0", "scaling_factor must be a number above 0, got 0"),
        ("tiny", "decoder_block_out_channels", "[4, 4, 4, 8]", "decoder_block_out_channels is [4, 4, 4, 8]"),
        ("tiny", "upsample_fn", #""bilinear""#, "upsample_fn is"), ("tiny", "num_decoder_blocks", "[1]", "got 4 and 1"),
        ("quant", "latents_mean", "null", ""), ("quant", "anything", "false", ""), ("tiny", "latent_shift", "7", ""),
    ]) func settingsThatAreNotKnown(_ name: String, _ key: String, _ json: String, _ problem: String) throws {
        guard case .table(var table) = try Reference(name).config else { throw RiffleError("", "no table") }
        table[key] = try JSON.value(Array(json.utf8), named: key)
        func make() throws { _ = try PictureAutoencoder.described(by: .table(table), named: "vae/config.json") }
        guard !problem.isEmpty else { return try make() }
        let found = message(make)
        #expect(found.hasPrefix("'vae/config.json': ") && found.contains(problem), "\(found)")
    }
}
