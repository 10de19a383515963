import Foundation
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleData

/// Options by key path, for tests.
private func options(_ change: (inout PictureOptions) -> Void) -> PictureOptions {
    var options = PictureOptions()
    change(&options)
    return options
}

private func open(_ path: String, _ change: (inout PictureOptions) -> Void = { _ in }) throws -> DataSet {
    DataSet(try PictureFiles.open(path, options(change)))
}

private func all(_ set: DataSet) throws -> Batch { try set.batch((0..<set.count).map { Draw($0) }) }

/// A folder with pictures of the fixtures under given names.
private func folder(_ files: [(name: String, fixture: String)]) throws -> Scratch {
    let scratch = try Scratch()
    for file in files {
        let target = scratch(file.name)
        try FileManager.default.createDirectory(
            atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: fixture("pictures/\(file.fixture)"), toPath: target)
    }
    return scratch
}

private let kinds = [
    "grey.jpg", "inks.jpg", "progressive.jpg", "lossy.webp", "alpha.webp", "grey1.png", "palette-alpha.png",
    "grey-alpha.png", "rgba.png",
]

@Suite struct PictureSetTests {
    @Test func foldersAreClasses() throws {
        let scratch = try folder(
            [
                ("b/2.jpg", "rgb.jpg"), ("b/1/x.png", "rgba.png"), ("a/0.webp", "lossy.webp"),
                ("a/deep/er/1.jpg", "inks.jpg"),
            ])
        _ = try scratch.file("a/notes.txt", Array("no picture".utf8))
        _ = try scratch.file(".hidden.png", [1])
        let set = try open(scratch.path)
        #expect(set.count == 4 && set.classes == ["a", "b"] && set.sampleShape == [18, 24, 3])
        #expect(try all(set).labels?.integers() == [1, 1, 2, 2])
        #expect(
            set.description
                == "4 pictures in 2 classes, 18 high and 24 wide, 3 channels, from \(scratch.path) (skipped: 1 of no "
                + "known format (a/notes.txt))")
        // A picture beside the folders: there are no classes, which are an error where they are asked for.
        let mixed = try folder([("b/2.jpg", "rgb.jpg"), ("a/1.png", "rgba.png"), ("0.webp", "lossy.webp")])
        let plain = try open(mixed.path)
        #expect(!plain.isLabelled && plain.count == 3)
        #expect(plain.description.contains("(no labels: 1 picture, 0.webp, lies beside the class folders)"))
        let asked = message { _ = try open(mixed.path) { $0.labels = .folders } }
        #expect(asked.contains("1 picture, 0.webp, lies beside the class folders; labels = \"none\""), "\(asked)")
        #expect(try !open(mixed.path) { $0.labels = PictureOptions.LabelRule.none }.description.contains("no labels"))
        let empty = try Scratch()
        #expect(message { _ = try open(empty.path) }.contains("no pictures in '\(empty.path)'"))
    }

    @Test func kindsOfPicturesMix() throws {
        let scratch = try folder(kinds.map { ($0, $0) })
        for channels in [1, 3, 4] {
            let batch = try all(open(scratch.path) { $0.channels = channels })
            #expect(batch.x.shape == [kinds.count, 18, 24, channels])
            let first = try ImageFile.load(scratch("alpha.webp"), channels: channels).floats()
            #expect(try Array(batch.x.floats().prefix(first.count)) == first)
        }
        let small = try open(scratch.path) { ($0.size, $0.crop) = (PictureSize(width: 8, height: 8), .center) }
        #expect(try all(small).x.shape == [kinds.count, 8, 8, 3])
    }

    @Test func sizesThatDifferAreNamed() throws {
        let scratch = try folder([("a.png", "rgba.png"), ("b.png", "rgba.png"), ("c.png", "photo.png")])
        let report = message { _ = try open(scratch.path) }
        #expect(
            report.contains("/a.png' is 18 high and 24 wide, ") && report.contains("/c.png' is 32 high"), "\(report)")
        let shaped = message { _ = try open(scratch.path) { $0.size = PictureSize(width: 9, height: 9) } }
        #expect(
            shaped.contains("/a.png', 18 high and 24 wide, would be stretched to be 9 high and 9 wide"), "\(shaped)")
        let same = try folder([("a.png", "rgba.png"), ("b.png", "rgba.png")])
        let set = try open(same.path) { $0.size = PictureSize(width: 9, height: 9) }
        #expect(set.description.contains("(stretched from 18 high and 24 wide)"))
    }

    @Test func archivesAndArraysHoldTheSamePictures() throws {
        let stored = try open(fixture("pictures/stored.npz")), wanted = try all(stored)
        #expect(stored.sampleShape == [8, 10, 3] && stored.classes == ["0", "1", "2"])
        #expect(try wanted.labels?.integers() == [1, 2, 3, 3, 2, 1])
        for name in ["deflated.npz", "floats.npy"] {
            let set = try open(fixture("pictures/\(name)"))
            let difference = try (all(set).x - wanted.x).abs().max().item()
            #expect(difference < 1e-6 && set.isLabelled == (name == "deflated.npz"), "\(name)")
        }
        let zip = try open(fixture("pictures/edm.zip")) { $0.size = PictureSize(width: 4, height: 4) }
        #expect(try zip.sampleShape == [4, 4, 3] && all(zip).labels?.integers() == [1, 2, 3, 1, 2, 3])
        #expect(try !open(fixture("pictures/edm.zip")) { $0.labels = PictureOptions.LabelRule.none }.isLabelled)
        let digits = try open(fixture("pictures/train-images-idx3-ubyte.gz"))
        let same = try open(fixture("pictures/t10k-images-idx3-ubyte"))
        #expect(try digits.sampleShape == [8, 10, 1] && all(digits).x.floats() == all(same).x.floats())
        #expect(try all(digits).labels?.integers() == wanted.labels?.integers())
        #expect(try open(fixture("pictures/t10k-images-idx3-ubyte")) { $0.channels = 3 }.sampleShape == [8, 10, 3])
    }

    @Test func arraysInAnotherOrderAreGathered() throws {
        let scratch = try Scratch()
        let header = Npy.header(type: "|u1", shape: [2, 2, 2])
        let fortran = String(decoding: header.dropFirst(10), as: UTF8.self).replacing(
            "'fortran_order': False, ", with: "'fortran_order': True,  ")
        let set = try open(scratch.file("a.npy", header.prefix(10) + Array(fortran.utf8) + [1, 2, 3, 4, 5, 6, 7, 8]))
        #expect(try all(set).x.floats() == [1, 5, 3, 7, 2, 6, 4, 8].map { Float($0) / 127.5 - 1 })
        #expect(set.description.contains("(in Fortran's order, gathered in memory)"))
        let planes = try open(
            scratch.file("b.npy", Npy.header(type: "|u1", shape: [1, 2, 1, 5]) + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
        #expect(try all(planes).x.floats() == [1, 6, 2, 7, 3, 8, 4, 9, 5, 10].map { Float($0) / 127.5 - 1 })
        #expect(
            planes.description
                == "1 picture, 1 high and 5 wide, 2 channels, from \(scratch("b.npy")) (channels first in the file)")
    }

    @Test(arguments: [
        (255, "has floats from 0 to 255, expected -1 to 1"), (3, "from 0 to 3 in the first, expected -1 to 1"),
    ])
    func floatsOfAnotherRangeAreNamed(high: Float, words: String) throws {
        let scratch = try Scratch(), path = scratch("a.npy")
        try Npy.write(Tensor([0, high, 1, 0], [1, 2, 2]), to: path)
        let report = high > 10 ? message { _ = try open(path) } : try open(path).description
        #expect(report.contains(words) && report.contains(path), "\(report)")
    }

    @Test func latentsHaveTexts() throws {
        let set = try open(fixture("pictures/latents.safetensors"))
        let batch = try set.batch([Draw(4), Draw(0)])
        let text = try #require(batch.text)
        #expect(batch.x.shape == [2, 4, 4, 2] && text.tokens.shape == [2, 4, 8] && text.summary.shape == [2, 3])
        // The latents are F16 there, and the tokens the same numbers in F32.
        let difference = try (batch.x.reshaped(to: [2, 32]) - text.tokens.reshaped(to: [2, 32])).abs().max().item()
        #expect(difference < 2e-3)
        #expect(
            message { _ = try open(fixture("pictures/latents.safetensors")) { $0.channels = 3 } }.contains(
                "as they are"))
    }

    // MARK: - Broken sets

    /// The third picture's header is sound, and its pixels are cut.
    private func withCutPixels() throws -> Scratch {
        let scratch = try folder((0..<6).map { ("\($0).jpg", $0 % 2 == 0 ? "rgb.jpg" : "half.jpg") })
        let whole = try contents(scratch("2.jpg"))
        _ = try scratch.file("2.jpg", Array(whole.dropLast(60)))
        return scratch
    }

    @Test func aBrokenPictureIsTheErrorOfItsBatch() throws {
        let scratch = try withCutPixels()
        let batches = try Batches(open(scratch.path), size: 2)
        #expect(try batches.next()?.batch.x.shape[0] == 2)
        for _ in 0..<2 {
            #expect(message { _ = try batches.next() }.contains("/2.jpg': the file ends too early"))
            #expect(batches.position == 2)
        }
        batches.position = 4
        #expect(try batches.next()?.step == 3)
    }

    @Test func theNextPictureStandsInForABrokenOne() throws {
        let scratch = try withCutPixels()
        _ = try scratch.file("7.png", Array(contents(fixture("pictures/rgba.png")).prefix(20)))
        #expect(message { _ = try open(scratch.path) }.contains("/7.png': the file ends too early"))
        let set = try open(scratch.path) { $0.skipsBroken = true }
        #expect(set.count == 6 && set.description.contains("skipped: 1 broken (7.png: "))
        let batch = try set.batch([Draw(2), Draw(3)])
        let rows = try batch.x.floats()
        #expect(rows.prefix(rows.count / 2) == rows.suffix(rows.count / 2))
        #expect(set.description.contains("1 broken, the next picture stands in ("), "\(set.description)")
    }

    @Test func labelsOfArchivesAreChecked() throws {
        let picture = try contents(fixture("pictures/rgba.png"))
        let deep = String(repeating: "[", count: 100_000)
        for (json, problem) in [
            ("{\"labels\": [[\"a.png\", 0]]}", "'b.png' has no label"), ("[1]", "expected a table"), ("{", "not JSON"),
            ("{\"labels\": 3}", "should be a list"), ("{\"labels\": [[\"a.png\", 1.5]]}", "item 1"),
            ("{\"labels\": [[\"a.png\", -1], [\"b.png\", 0]]}", "label 1 is -1"), (deep, "not JSON"),
            ("{\"labels\": [[\"a.png\", 1e300], [\"b.png\", 0]]}", "item 1"),
            ("{\"labels\": [[\"a.png\", 1], [\"a.png\", 0]]}", "two labels"),
        ] {
            let scratch = try Scratch()
            for name in ["a.png", "b.png"] { _ = try scratch.file(name, picture) }
            _ = try scratch.file("dataset.json", Array(json.utf8))
            let report = message { _ = try open(scratch.path) }
            #expect(report.contains("dataset.json'") && report.contains(problem), "\(report)")
        }
    }

    @Test(arguments: ["stored.npz", "deflated.npz", "edm.zip", "floats.npy", "latents.safetensors"])
    func damagedFilesAreRefusedOrRead(name: String) throws {
        let whole = try contents(fixture("pictures/\(name)"))
        let scratch = try Scratch(), path = scratch(name)
        func read(_ bytes: [UInt8]) throws { _ = try all(open(scratch.file(name, bytes))) }
        for length in stride(from: 0, to: whole.count, by: whole.count / 60) {
            #expect(message { try read(Array(whole[..<length])) }.contains("'\(path)"), "\(length)")
        }
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        for place in try random.integers([150], through: whole.count).integers() {
            var broken = whole
            broken[place - 1] ^= UInt8(place % 255 + 1)
            do { try read(broken) } catch let error as RiffleError {
                #expect(error.description.contains(path), "seed \(seed): \(error)")
            }
        }
    }
}

// MARK: - Order

/// A set that counts its own samples, slowly enough that a thread reads ahead.
private final class CountingSet: SampleSet {
    let count = 10
    let isAtHand: Bool
    init(isAtHand: Bool) { self.isAtHand = isAtHand }

    func batch(_ draws: [Draw]) throws -> Batch {
        if draws.contains(where: { $0.number == 9 }) { throw RiffleError("", "nine is broken") }
        return Batch(x: try Tensor(draws.map { Float($0.number) }, [draws.count, 1]))
    }
}

@Suite(.serialized) struct ReadAheadTests {
    @Test func readingAheadChangesNothing() throws {
        func steps(_ isAtHand: Bool) throws -> [String] {
            let batches = try Batches(CountingSet(isAtHand: isAtHand), size: 3, shuffle: true, seed: 4)
            return (0..<40).map { round in
                if round % 11 == 10 { batches.position = 5 * round % 13 }
                do {
                    guard let (step, batch) = try batches.next() else { return "end at \(batches.position)" }
                    return "\(step) \(try batch.x.floats()) at \(batches.position)"
                } catch {
                    batches.position += 1
                    return "\(error)"
                }
            }
        }
        let plain = try steps(true)
        #expect(try steps(false) == plain && plain.contains("nine is broken"))
    }

    @Test func threadsEndWithTheirBatches() throws {
        func threads() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count }
        let before = try threads()
        for _ in 0..<20 { _ = try Batches(CountingSet(isAtHand: false), size: 3).next() }
        for _ in 0..<100 where try threads() > before + 2 { usleep(20_000) }
        #expect(try threads() <= before + 2)
    }

    @Test func randomCropsDependOnSeedAndIndexAlone() throws {
        let scratch = try folder((0..<4).map { ("\($0).png", "photo.png") })
        let set = try open(scratch.path) { ($0.size, $0.crop) = (PictureSize(width: 16, height: 16), .random) }
        func batches(_ seed: UInt64) throws -> Batches { try Batches(set, size: 2, repeats: true, seed: seed) }
        let first = try batches(1), all = try (0..<6).map { _ in try first.next()?.batch.x.floats() }
        let again = try batches(1)
        again.position = 8
        #expect(try again.next()?.batch.x.floats() == all[4] && Set(all).count > 3)
        #expect(try batches(2).next()?.batch.x.floats() != all[0])
    }

    @Test func partsOfASplitShareNothing() throws {
        let x = try Tensor((0..<50).map { Float($0) }, [50, 1])
        let set = DataSet(try TensorSource(x, labels: nil)), parts = try set.split(0.3, seed: 1)
        let (rest, part) = (try all(parts.rest).x.floats(), try all(parts.part).x.floats())
        #expect(part.count == 15 && (rest + part).sorted() == (0..<50).map { Float($0) } && part == part.sorted())
        #expect(try all(set.split(0.3, seed: 1).part).x.floats() == part)
        #expect(try all(set.split(0.3, seed: 2).part).x.floats() != part)
        #expect(parts.part.description == "15 of 50 samples [1]")
        #expect(message { _ = try set.split(0, seed: 1) }.contains("a part of 0 makes sets of 50 and 0 samples"))
    }
}

@Suite struct OwnNumbersTests {
    @Test func tensorsAreChecked() throws {
        let x = try Tensor.zeros([3, 2]), labels = try Tensor([2, 1, 2] as [Int32], [3])
        let set = DataSet(try TensorSource(x, labels: labels))
        #expect(try all(set).labels?.integers() == [2, 1, 2] && set.classes == ["1", "2"])
        #expect(
            message { _ = try TensorSource(x, labels: Tensor([0, 1, 2] as [Int32], [3])) }.contains("label 1 is 0"))
        #expect(message { _ = try TensorSource(x, labels: Tensor([1] as [Int32], [1])) }.contains("int32 [3]"))
        #expect(message { _ = try TensorSource(labels, labels: nil) }.contains("x must be floats"))
    }

    @Test func tablesAreRead() throws {
        let scratch = try Scratch()
        func read(_ text: String, _ columns: [CSVFile.Column]? = nil, _ labels: CSVFile.Column? = nil) throws -> DataSet
        {
            DataSet(try CSVFile.read(scratch.file("a.csv", Array(text.utf8)), columns: columns, labels: labels))
        }
        let table = try read("a,\"b \"\"c\"\"\",kind\r\n1,2e1,dog\r\n\r\n3, -4 ,cat\r\n5,6,\"dog\"", nil, .name("kind"))
        #expect(try all(table).x.floats() == [1, 20, 3, -4, 5, 6] && all(table).labels?.integers() == [2, 1, 2])
        #expect(try table.classes == ["cat", "dog"] && all(read("1;2\n3;4\n")).x.floats() == [1, 2, 3, 4])
        #expect(try all(read("a\tb\n1\t2\n", [.name("b"), .number(1)])).x.floats() == [2, 1])
        let numbered = try read("1,10\n2,9\n3,10\n", nil, .number(2))
        #expect(try numbered.classes == ["9", "10"] && all(numbered).labels?.integers() == [2, 1, 2])
        for (text, problem) in [
            ("", "no lines"), ("a,b\n", "expected a number"), ("1,2\n3\n", "line 2 has 1 columns"),
            ("1,2\n3,x\n", "line 2, column 2: expected a number, found 'x'"), ("1,nan\n", "found 'nan'"),
            ("1,\"2\n", "not closed"), ("1,2\n3,\n", "found ''"), ("1,2\"3\n", "quotation mark"),
        ] {
            let report = message { _ = try read(text) }
            #expect(report.contains("a.csv'") && report.contains(problem), "\(text): \(report)")
        }
        #expect(message { _ = try read("a,b\n1,2\n", [.name("c")]) }.contains("no column 'c'"))
        #expect(message { _ = try read("1,2\n", [.number(3)]) }.contains("no column 3 of 2"))
    }
}

@Suite struct PackedPicturesTests {
    @Test func anArrayHoldsWhatTheFolderHeld() throws {
        let scratch = try folder(kinds.enumerated().map { ("\($0 % 2 == 0 ? "x" : "y")/\($1)", $1) })
        let change: (inout PictureOptions) -> Void = {
            ($0.size, $0.crop) = (PictureSize(width: 8, height: 8), .center)
        }
        let set = try open(scratch.path, change)
        let written = try PackedPictures(scratch.path, options(change)).write(to: scratch("set.npy")) { _, _ in }
        let packed = try open(scratch("set.npy")), (a, b) = (try all(set), try all(packed))
        #expect(written == kinds.count && packed.classes == ["0", "1"])
        #expect(try a.x.floats() == b.x.floats() && a.labels?.integers() == b.labels?.integers())
        #expect(
            message { _ = try PackedPictures(scratch.path, options(change)).write(to: scratch("a.npz")) { _, _ in } }
                .contains("packed as .npy"))
    }

    @Test func brokenPicturesAreLeftOut() throws {
        let scratch = try folder((0..<4).map { ("\($0).jpg", "rgb.jpg") })
        _ = try scratch.file("1.jpg", Array(contents(scratch("1.jpg")).dropLast(60)))
        let target = scratch("set.npy")
        #expect(
            message { _ = try PackedPictures(scratch.path, PictureOptions()).write(to: target) { _, _ in } }.contains(
                "/1.jpg'"))
        #expect(!scratch.names.contains { $0.contains("npy") || $0.contains("part") })
        let pictures = try PackedPictures(scratch.path, options { $0.skipsBroken = true })
        #expect(try pictures.write(to: target) { _, _ in } == 3 && open(target).count == 3)
        #expect(pictures.pictures.broken?.count == 1 && pictures.pictures.broken?.first.contains("/1.jpg'") ?? false)
    }
}
