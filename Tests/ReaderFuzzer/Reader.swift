import RiffleData
import RiffleIO
import RiffleMetrics
import RiffleNN
import RiffleRuns
import RiffleTensor
import RiffleText

/// The readers of files, each with the most memory that it may take.
enum Reader: String, CaseIterable {
    case safetensors, index, npy, npz, torch, pickle, older, zip, json, png, jpeg, webp, idx, gzip, csv, dataset, cifar
    case checkpoint, log, clip, merges, openclip, unigram, spiece

    /// So many bytes for any file, and so many for each byte of the file.
    struct Bound {
        let base: Int, factor: Int
        func bytes(_ size: Int) -> Int { base + factor * size }
    }

    var bound: Bound {
        let base = 1 << 19
        return switch self {
        // Numbers that become wider, beside the bytes that they come of.
        case .npy, .idx, .cifar: Bound(base: base, factor: 24)
        // An entry of the header, in arrays and tables of names.
        case .safetensors: Bound(base: base, factor: 64)
        case .csv: Bound(base: base, factor: 64)
        // What JSON.footprint allows.
        case .json, .dataset, .log, .index, .checkpoint, .clip, .unigram: Bound(base: base, factor: 832)
        // Pieces, in arrays and tables by their text, of five bytes or more.
        case .merges, .spiece: Bound(base: base, factor: 256)
        // The merges that are taken are bounded, whatever the rest inflates to.
        case .openclip: Bound(base: 128 << 20, factor: 256)
        // Deflate makes 1032 bytes of one.
        case .npz, .gzip: Bound(base: base, factor: 6 * 1032)
        // What pickles may make of a byte, and a tensor that repeats its elements 1024 times, in their order and as
        // float64; small ones may repeat more.
        case .torch, .pickle, .older: Bound(base: 8 << 20, factor: 6 * 1032)
        // Beside deflate's factor, a byte has 8 pixels, and a pixel becomes 4 floats beside 4 bytes.
        case .png, .zip: Bound(base: base, factor: 1032 * 8 * 24)
        // A bit stands for 128 blocks of 64 pixels, each of which becomes 3 bytes or floats.
        case .jpeg: Bound(base: base, factor: 8 * 128 * 64 * 18)
        // A picture of 2^24 pixels may take any number of bytes.
        case .webp: Bound(base: 512 << 20, factor: 4096 * 32)
        }
    }

    /// The name of the file that a case is written to.
    var fileName: String {
        switch self {
        case .npy: "input.npy"
        case .safetensors, .checkpoint: "input.safetensors"
        case .csv: "input.csv"
        case .cifar: "input.bin"
        case .log: "log.jsonl"
        case .merges: "merges.txt"
        default: "input"
        }
    }

    /// Writes the files that stand beside a case.
    func prepare(_ folder: String) throws {
        if self == .merges {
            let pieces = ["a", "b", "ab", "<|startoftext|>", "<|endoftext|>"]
            let numbers = Dictionary(uniqueKeysWithValues: pieces.enumerated().map { ($1, Value.integer($0)) })
            try JSON.write(.table(numbers), to: "\(folder)/vocab.json")
        }
        guard self == .index else { return }
        for name in ["a", "b"] {
            try SafeTensors.write(
                [("\(name).x", try Tensor.zeros([2])), ("\(name).y", try Tensor.zeros([1]))], metadata: [:],
                to: "\(folder)/\(name).safetensors")
        }
    }

    /// The files that an input stands for: as it is, and with checksums put right or inside of an archive.
    func forms(of input: [UInt8]) -> [[UInt8]] {
        switch self {
        case .png: [input, Wrapping.repaired(png: input)]
        case .gzip, .openclip: [input, Wrapping.gzip(input)]
        case .npz: [input, Wrapping.archive([("arr_0.npy", input)])]
        case .pickle: [Wrapping.archive(Reader.torchEntries(input))]
        case .dataset:
            [Wrapping.archive([("dataset.json", input), ("0/a.png", Reader.dot), ("1/b.png", Reader.dot)])]
        default: [input]
        }
    }

    /// Reads all that the file has.
    func read(_ path: String, _ folder: String) throws {
        switch self {
        case .safetensors:
            try both(
                { try Reader.tensors(path) },
                { try both({ try Reader.samples(path) }, { try Reader.networks(path) }) })
        case .npy: try both({ try Reader.tensors(path) }, { try Reader.pictures(path) })
        case .npz:
            try both(
                { try Reader.tensors(path) },
                { try both({ try Reader.pictures(path) }, { _ = try FeatureStatistics(contentsOf: path) }) })
        case .index, .torch, .pickle, .older: try Reader.tensors(path)
        case .zip: try both({ try Reader.entries(path) }, { try Reader.pictures(path) })
        case .json: _ = try JSON.text(JSON.read(path), nonFinite: .null)
        case .png, .jpeg, .webp: try Reader.picture(path)
        case .idx, .gzip, .dataset, .cifar: try Reader.pictures(path)
        case .csv:
            try both({ _ = try CSVFile.read(path) }, { _ = try CSVFile.read(path, labels: .number(1)) })
        case .checkpoint:
            try both(
                { _ = try Checkpoint(path).restore(Tracked()) },
                { try both({ try Checkpoint(path).restore(Reader.tracked()) }, { try Reader.networks(path) }) })
        case .clip, .openclip: try Reader.encode(CLIPTokenizer(path: path))
        case .merges: try Reader.encode(CLIPTokenizer(path: folder))
        case .unigram, .spiece: try Reader.encode(T5Tokenizer(path: path))
        case .log:
            try both({ _ = try RunRecord(folder) }, { _ = try LogFile.last(path) })
        }
    }

    /// Both ways of reading a file; an error of the first does not hide what the second does.
    private func both(_ first: () throws -> Void, _ second: () throws -> Void) throws {
        let one = Result(catching: first)
        try second()
        try one.get()
    }
}

extension Reader {
    private static func tensors(_ path: String) throws {
        let file = try TensorFile(allOf: path)
        for entry in file.entries.prefix(50) {
            let tensor = Result { try entry.tensor() }
            var size = 0
            try entry.pieces { size += $0.count }
            if size != entry.byteCount { throw RiffleError("", "expected \(entry.byteCount) bytes, found \(size)") }
            _ = try tensor.get()
        }
        _ = try TensorFile(path)
    }

    private static func networks(_ path: String) throws {
        let file = try NetworkFile(path)
        for entry in file.entries { _ = try file.network(entry.name) }
    }

    private static func samples(_ path: String) throws {
        let latents = Result { try batch(of: LatentSource(path)) }
        let pairs = try PairFile(path)
        _ = try pairs.batch([Draw(0), Draw(pairs.count - 1)])
        try latents.get()
    }

    private static func batch(of source: any SampleSource) throws {
        for number in Set([0, source.count - 1]) {
            let numbers = UnsafeMutableBufferPointer<Float>.allocate(capacity: source.sampleShape.count)
            defer { numbers.deallocate() }
            _ = try source.copy(Draw(number, isMirrored: true), to: numbers)
            _ = try source.text(of: [number])
        }
    }

    private static func pictures(_ path: String) throws {
        var options = PictureOptions()
        options.size = PictureSize(width: 7, height: 5)
        options.crop = .center
        try batch(of: PictureFiles.open(path, options))
    }

    private static func entries(_ path: String) throws {
        let archive = try ZipArchive(path)
        for entry in archive.entries {
            _ = try archive.read(entry)
            _ = try archive.offset(of: entry)
        }
    }

    private static func picture(_ path: String) throws {
        let source = try InputFile(path), header = try ImageFile.header(source)
        let raster = try ImageFile.bytes(source)
        guard header.width == raster.width, header.height == raster.height, header.channels == raster.channels else {
            throw RiffleError("", "the header says \(header), found \(raster.width) x \(raster.height)")
        }
        for filter in ResizeFilter.allCases {
            let fitting = Fitting(width: 9, height: 5, channels: 4, crop: .center, filter: filter)
            _ = try fitting.bytes(raster, name: source.name)
        }
        _ = try ImageFile.load(path)
        _ = try ImageFile.load(path, channels: 1)
    }

    private static func encode(_ tokenizer: Tokenizer) throws {
        let ids = try tokenizer.encode(["", "a  photo, it's 12 \u{1100}\u{1161} \u{FB01} <|endoftext|></s>"]).ids
        _ = try tokenizer.decode(ids)
    }

    private static func tracked() throws -> Tracked {
        let tracked = Tracked()
        try tracked.add("net", Linear(2, 1))
        return tracked
    }

    /// The entries of a PyTorch file whose pickle is the input; its first byte chooses the sizes of the storages.
    private static func torchEntries(_ input: [UInt8]) -> [(name: String, bytes: [UInt8])] {
        let sizes =
            (input.first ?? 0) & 1 == 0
            ? [48, 12, 12, 6, 12, 24, 48, 6, 3, 6, 3, 96, 96, 4, 0]
            : [64, 32, 64, 8, 64, 32, 64, 8, 4, 64, 64, 4, 32, 32, 4, 64, 64, 4, 8, 8, 12]
        let storages = sizes.enumerated().map { number, size in
            (name: "a/data/\(number)", bytes: (0..<size).map { UInt8(truncatingIfNeeded: 37 * $0) })
        }
        return [("a/data.pkl", Array(input.dropFirst())), ("a/byteorder", Array("little".utf8))] + storages
    }

    /// A PNG of one grey pixel.
    private static let dot: [UInt8] = Wrapping.repaired(
        png: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13] + Array("IHDR".utf8)
            + [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10] + Array("IDAT".utf8)
            + [0x78, 0x9C, 0x63, 0x68, 0, 0, 0, 0x82, 0, 0x81] + [0, 0, 0, 0, 0, 0, 0, 0] + Array("IEND".utf8)
            + [0, 0, 0, 0])
}
