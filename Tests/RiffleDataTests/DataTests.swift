import CKernels
import Foundation
import RiffleMetrics
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleData

@Suite struct CIFARTests {
    /// Records whose pixels depend on their number, channel and column.
    func records(_ count: Int, from first: Int = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        for image in first..<(first + count) {
            bytes.append(UInt8(image % 10))
            for pixel in 0..<3072 {
                bytes.append(UInt8(truncatingIfNeeded: image * 3 + pixel / 1024 * 50 + pixel % 32))
            }
        }
        return bytes
    }

    @Test func recordsAreTensorMemory() throws {
        let scratch = try Scratch(), path = try scratch.file("a.bin", [UInt8](repeating: 0, count: 3073 * 400))
        let before = Int(rk_memory_now().live)
        do {
            let set = try CIFAR(path)
            #expect(Int(rk_memory_now().live) - before >= 3073 * 400 && set.count == 400)
        }
        rk_memory_set_limit(Int(rk_memory_now().live) + 1_000_000)
        defer { rk_memory_set_limit(0) }
        #expect(message { _ = try CIFAR(path) }.contains("out of memory: 1.2 MB asked for"))
    }

    @Test func readsTheBatchesOfAFolder() throws {
        let scratch = try Scratch()
        _ = try scratch.file("data_batch_2.bin", records(2, from: 3))
        _ = try scratch.file("data_batch_1.bin", records(3))
        let one = try scratch.file("test_batch.bin", records(1, from: 7))
        let train = try CIFAR(scratch.path)
        #expect(train.count == 5 && train.labels?.classes[0] == "airplane")
        #expect(train.labels?.numbers == [1, 2, 3, 4, 5])
        #expect(try CIFAR(scratch.path, split: "test").labels?.numbers == [8] && CIFAR(one).count == 1)

        let pixels = try set(train).batch([Draw(4), Draw(4, isMirrored: true)]).x.floats()
        #expect(pixels[3 * (32 + 5) + 2] == Float(4 * 3 + 100 + 5) / 127.5 - 1)
        #expect(pixels[3072 + 3 * (32 + 5) + 2] == Float(4 * 3 + 100 + 26) / 127.5 - 1)

        _ = try scratch.file("batches.meta.txt", Array("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".utf8))
        #expect(try CIFAR(scratch.path).labels?.classes[9] == "j")
        _ = try scratch.file("batches.meta.txt", Array("a\n".utf8))
        #expect(message { _ = try CIFAR(scratch.path) }.contains("found 1"))
    }

    @Test func refusesBadFiles() throws {
        let scratch = try Scratch()
        #expect(message { _ = try CIFAR(scratch.path) }.contains("expected data_batch_*.bin"))
        #expect(message { _ = try CIFAR(scratch.path, split: "valid") }.contains("'valid'"))
        #expect(message { _ = try CIFAR(scratch("none")) }.contains("No such file"))
        for length in [0, 1, 3072, 3074, 6145] {
            let path = try scratch.file("a.bin", [UInt8](repeating: 0, count: length))
            #expect(message { _ = try CIFAR(path) }.contains("records of 3073 bytes, found \(length) bytes"))
        }
        var bytes = records(3)
        bytes[3073] = 10
        #expect(message { _ = try CIFAR(scratch.file("a.bin", bytes)) }.contains("record 2 has the label 10"))
    }

    func set(_ source: CIFAR) throws -> DataSet { DataSet(try PictureSet(source, PictureOptions())) }

    func set(_ count: Int) throws -> DataSet {
        let scratch = try Scratch()
        return try set(CIFAR(scratch.file("a.bin", records(count))))
    }

    @Test func hundredClassesHaveTwoLabels() throws {
        let scratch = try Scratch()
        var bytes: [UInt8] = []
        for image in 0..<3 {
            bytes += [UInt8(image), UInt8(90 + image)] + [UInt8](repeating: UInt8(image), count: 3072)
        }
        _ = try scratch.file("train.bin", bytes)
        _ = try scratch.file("fine_label_names.txt", Array((0..<100).map { "f\($0)\n" }.joined().utf8))
        for (rule, numbers, classes) in [
            (PictureOptions.LabelRule?.none, [91, 92, 93], 100), (.coarse, [1, 2, 3], 20),
        ] {
            var options = PictureOptions()
            options.labels = rule
            let set = DataSet(try PictureFiles.open(scratch.path, options))
            let batch = try set.batch([Draw(0), Draw(1), Draw(2)])
            #expect(try batch.labels?.integers() == numbers && set.classes.count == classes)
            #expect(try batch.x.floats()[2 * 3072] == 2 / 127.5 - 1)
        }
        #expect(message { _ = try CIFAR(scratch.path, .hundred, split: "test") }.contains("expected test.bin"))
    }

    func labels(_ batches: some BatchSequence, _ count: Int) throws -> [[Int]?] {
        try (0..<count).map { _ in try batches.next().flatMap { try $0.batch.labels?.integers() } }
    }

    @Test func orderDependsOnSeedAndPositionAlone() throws {
        let set = try set(10)
        func batches(_ seed: UInt64) throws -> Batches {
            try Batches(set, size: 4, shuffle: true, flip: true, repeats: true, seed: seed)
        }
        let first = try batches(1), all = try (0..<10).map { _ in try first.next() }
        let again = try batches(1)
        for position in [7, 0, 3, 9, 3] {
            again.position = 4 * position
            let (batch, wanted) = (try #require(try again.next()), try #require(all[position]))
            #expect(try batch.batch.x.floats() == wanted.batch.x.floats() && batch.step == position + 1)
        }
        #expect(try labels(batches(2), 5) != labels(batches(1), 5))
        // Four epochs of ten in ten batches of four: each holds every image once, in an order of its own.
        let order = try all.flatMap { try $0?.batch.labels?.integers() ?? [] }
        let epochs = (0..<4).map { Array(order[($0 * 10)..<($0 * 10 + 10)]) }
        #expect(epochs.allSatisfy { $0.sorted() == Array(1...10) } && Set(epochs).count == 4)
    }

    /// A position counts samples, so that batches of another size go on with the next one, where the user allows it.
    @Test func goesOnInBatchesOfAnotherSizeWhereAllowed() throws {
        let set = DataSet(try TensorSource(Tensor((0..<10).map { Float($0) }, [10, 1]), labels: nil))
        func batches(_ size: Int) throws -> Batches {
            try Batches(set, size: size, shuffle: true, repeats: true, seed: 3)
        }
        let (small, large, all) = (try batches(2), try batches(3), try batches(9))
        _ = try small.next()
        var state = try small.saved()
        #expect(
            message { _ = try large.resuming(from: state) }.contains("--allow-changes goes on with the next sample"))
        state.allowsChanges = true
        try large.resuming(from: state)()
        #expect(try large.next()?.batch.x.floats() == Array(all.next()?.batch.x.floats()[2..<5] ?? []))
    }

    @Test func epochsEndUnlessRepeated() throws {
        let set = try set(5)
        let plain = try Batches(set, size: 2)
        #expect(plain.count == 3)
        #expect(try labels(plain, 5) == [[1, 2], [3, 4], [5], nil, [1, 2]])
        let full = try Batches(set, size: 2, dropLast: true)
        #expect(try full.count == 2 && labels(full, 4) == [[1, 2], [3, 4], nil, [1, 2]])
        let endless = try Batches(set, size: 3, repeats: true)
        #expect(try endless.count == nil && labels(endless, 4) == [[1, 2, 3], [4, 5, 1], [2, 3, 4], [5, 1, 2]])
        endless.position = 0
        let some = endless.take(2)
        #expect(try some.count == 2 && labels(some, 3) == [[1, 2, 3], [4, 5, 1], nil] && endless.position == 6)
        // A position may lie inside a batch: samples follow as they would have.
        endless.position = 4
        #expect(try labels(endless, 2) == [[5, 1, 2], [3, 4, 5]])
        plain.position = 8
        #expect(try labels(plain, 3) == [[4, 5], nil, [1, 2]])
        plain.position = 5 + 2
        #expect(try labels(plain.take(4), 5) == [[3, 4], [5], [1, 2], [3, 4], nil])
        #expect(try Batches(set, size: 12, repeats: true).next()?.batch.x.shape == [12, 32, 32, 3])
        for size in [0, -1, Int.max] { #expect(message { _ = try Batches(set, size: size) }.contains("\(size)")) }
        #expect(message { _ = try Batches(set, size: 6, dropLast: true) }.contains("drop_last"))
        endless.position = .max
        #expect(try endless.next()?.batch.x.shape[0] == 3)
    }
}

@Suite struct PlaneSetTests {
    init() { Context.current.random = RandomSource(seed: 5) }

    @Test(arguments: PlaneSet.all) func isCentredAndScaled(set: PlaneSet) throws {
        let count = 200_000, numbers = try set.sample(count).doubles()
        for coordinate in 0..<2 {
            let values = stride(from: coordinate, to: 2 * count, by: 2).map { numbers[$0] }
            let mean = values.reduce(0, +) / Double(count), square = values.reduce(0) { $0 + $1 * $1 } / Double(count)
            // Five standard errors; a fourth moment is at most four here.
            #expect(abs(mean) < 0.012 && abs(square - 1) < 0.02, "\(set.name) \(coordinate): \(mean), \(square)")
        }
        let back = set.raw.mean + set.raw.variance.squareRoot() * SIMD2(numbers[0], numbers[1])
        Context.current.random = RandomSource(seed: 5)
        let raw = try set.raw.sample(1).doubles()
        #expect(abs(raw[0] - back.x) + abs(raw[1] - back.y) < 1e-5)
    }

    @Test func samplesStayOnTheBoard() throws {
        let numbers = try PlaneSet.checkerboard.raw.sample(10_000).doubles()
        for index in stride(from: 0, to: numbers.count, by: 2) {
            let column = Int((2 * (numbers[index] + 1)).rounded(.down)),
                row = Int((2 * (numbers[index + 1] + 1)).rounded(.down))
            #expect((0..<4).contains(column) && (0..<4).contains(row) && (column + row) % 2 == 0)
        }
    }

    @Test func massesAreExact() throws {
        let masses = try PlaneSet.checkerboard.binMasses(50)
        #expect(abs(try masses.doubles().reduce(0, +) - 1) < 1e-12)
        #expect(
            try PlaneSet.checkerboard.binMasses(4).doubles() == (0..<16).map { ($0 / 4 + $0 % 4) % 2 == 0 ? 0.125 : 0 })
        // The thirteenth bin holds half a bin of either square: half and half, so a quarter twice.
        #expect(abs(try masses.doubles()[12 * 50 + 12] - 0.5 / 1250) < 1e-12)
        #expect(message { _ = try PlaneSet.moons.binMasses(50) }.contains("moons"))
        #expect(message { _ = try PlaneSet.moons.sample(-1) }.contains("negative"))
        #expect(try PlaneSet.moons.sample(0).shape == [0, 2])
    }

    @Test func divergenceOfExactSamplesIsThatOfTheirNumber() throws {
        let board = PlaneSet.checkerboard, bounds = try #require(board.bounds), masses = try board.binMasses(50)
        let exact = try Metrics.histogramKL(board.sample(64_000), masses: masses, bounds: bounds)
        #expect(exact > 0.005 && exact < 0.015, "\(exact)")
        let sampled = try Metrics.histogramKL(board.sample(64_000), truth: board.sample(1_000_000), bins: 50)
        #expect(abs(sampled - exact) < 0.003, "\(sampled), exactly \(exact)")
        let shifted = try Metrics.histogramKL(board.sample(64_000) + 0.2, masses: masses, bounds: bounds)
        #expect(shifted > 0.5)
        #expect(try Metrics.histogramKL(.full([10, 2], 100), masses: masses, bounds: bounds) > 2)
        #expect(
            message { _ = try Metrics.histogramKL(.full([10, 2], .nan), masses: masses, bounds: bounds) }.contains(
                "NaN"))
        #expect(
            message { _ = try Metrics.histogramKL(.zeros([10, 3]), masses: masses, bounds: bounds) }.contains("[10, 3]")
        )
        #expect(
            message { _ = try Metrics.histogramKL(.zeros([10, 2]), masses: masses, bounds: -.infinity ... .infinity) }
                .contains("bounds"))
    }
}

@Suite struct DistanceTests {
    @Test func agreesWithPOT() throws {
        let file = try SafeTensors(fixture("distances.safetensors"))
        let (a, b) = (try file.tensor(named: "a"), try file.tensor(named: "b"))
        let directions = try file.tensor(named: "projections").transposed(),
            expected = try file.tensor(named: "sliced_wasserstein").item()
        #expect(abs(try Metrics.slicedWasserstein(a, b, along: directions) / expected - 1) < 1e-5)
        // Other directions give nearly the same; every sample twice is the same distribution.
        let own = try Metrics.slicedWasserstein(a, b)
        #expect(abs(own / expected - 1) < 0.1)
        #expect(abs(try Metrics.slicedWasserstein(.cat([a, a]), b) / own - 1) < 1e-5)
    }

    @Test func unequalNumbersAreMatchedByQuantiles() throws {
        // Quantiles 0, 0, 0 | 1, 1, 1 against 0, 0 | 1, 1 | 3, 3, in sixths.
        let (a, b) = (try Tensor([Float(1), 0], [2, 1]), try Tensor([Float(3), 0, 1], [3, 1]))
        let squares = [0, 0, 1, 0, 4, 4].reduce(0, +) / 6.0
        #expect(abs(try Metrics.slicedWasserstein(a, b) - squares.squareRoot()) < 1e-6)
        #expect(try Metrics.slicedWasserstein(b, a) == Metrics.slicedWasserstein(a, b))
        #expect(abs(try Metrics.slicedWasserstein(a.converted(to: .float64), b) - squares.squareRoot()) < 1e-12)
    }

    @Test func energyIsThatOfItsPairs() throws {
        let (a, b) = (
            try Tensor((0..<33).map { Float($0 * $0 % 17) }, [11, 3]),
            try Tensor((0..<57).map { Float($0 * $0 % 23) }, [19, 3])
        )
        func mean(_ x: Tensor, _ y: Tensor) throws -> Double {
            let gaps = try (x.unsqueezed(1) - y).square().sum([2]).sqrt()
            return try gaps.mean().item()
        }
        let expected = try 2 * mean(a, b) - mean(a, a) - mean(b, b)
        #expect(abs(try Metrics.energyDistance(a, b) / expected - 1) < 1e-5)
        #expect(try Metrics.energyDistance(a, a) < 1e-6)
        #expect(try Metrics.endpointError(.zeros([4, 2]), .ones([4, 2])) == 2)
    }

    @Test func refusesWhatHasNoDistance() throws {
        let a = try Tensor.ones([4, 2])
        #expect(message { _ = try Metrics.slicedWasserstein(a, .ones([4, 3])) }.contains("(a [4, 2], b [4, 3])"))
        #expect(message { _ = try Metrics.energyDistance(a, .full([4, 2], .nan)) }.contains("NaN"))
        #expect(message { _ = try Metrics.slicedWasserstein(a, .zeros([0, 2])) }.contains("[0, 2]"))
        #expect(message { _ = try Metrics.slicedWasserstein(a, a, projections: 0) }.contains("projections"))
        #expect(message { _ = try Metrics.endpointError(a, .ones([5, 2])) }.contains("[5, 2]"))
    }
}
