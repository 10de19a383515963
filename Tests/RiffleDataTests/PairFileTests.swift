import Foundation
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleData

@Suite struct PairFileTests {
    init() { Context.current.random = RandomSource(seed: 3) }

    private struct Pairs {
        let noise: Tensor, x: Tensor, labels: Tensor

        init(_ count: Int, _ shape: [Int]) throws {
            (noise, x) = (try .randn(Shape([count] + shape)), try .randn(Shape([count] + shape)))
            labels = try Tensor((0..<count).map { Int32($0 + 1) }, [count])
        }

        func write(to path: String, pieces: [Int], labelled: Bool = true) throws {
            let writer = try PairWriter(path, count: x.shape[0], shape: x.shape.removing(0), labels: labelled)
            var begin = 0
            for piece in pieces {
                let rows = begin..<(begin + piece)
                try writer.add(
                    noise.sliced(0, rows), x.sliced(0, rows), labels: labelled ? labels.sliced(0, rows) : nil)
                begin += piece
            }
            try writer.close()
        }
    }

    @Test(arguments: [[], [2], [4, 3, 2]], [true, false]) func givesBackWhatWasWritten(_ shape: [Int], _ labelled: Bool)
        throws
    {
        let scratch = try Scratch(), path = scratch("pairs"), pairs = try Pairs(11, shape)
        try pairs.write(to: path, pieces: [4, 0, 1, 6], labelled: labelled)
        #expect(scratch.names == ["pairs"])
        let set = try PairFile(path)
        #expect(set.count == 11 && set.sampleShape == Shape(shape) && set.isLabelled == labelled)
        for numbers in [Array(0..<11), [10, 0, 1, 2, 2, 7, 6], []] {
            let batch = try set.batch(numbers.map { Draw($0) }),
                index = try Tensor(numbers.map { Int32($0 + 1) }, [numbers.count])
            #expect(
                try batch.x.doubles() == pairs.x.take(index).doubles()
                    && batch.x.shape == Shape([numbers.count] + shape))
            #expect(try batch.noise?.doubles() == pairs.noise.take(index).doubles())
            #expect(try batch.labels?.integers() == (labelled ? numbers.map { $0 + 1 } : nil))
        }
        // Any reader of the format finds the tensors.
        #expect(try SafeTensors(path).tensor(named: "x").doubles() == pairs.x.doubles())
    }

    @Test func orderDependsOnSeedAndPositionAlone() throws {
        let scratch = try Scratch(), path = scratch("pairs")
        try Pairs(10, [2]).write(to: path, pieces: [10])
        let set = try PairFile(path)
        func batches(_ seed: UInt64) throws -> Batches {
            try Batches(set, size: 4, shuffle: true, repeats: true, seed: seed)
        }
        let first = try batches(1), all = try (0..<10).map { _ in try first.next()?.batch }, again = try batches(1)
        for position in [7, 0, 3, 9, 3] {
            again.position = 4 * position
            let (batch, wanted) = (try #require(try again.next()).batch, try #require(all[position]))
            #expect(try batch.noise?.floats() == wanted.noise?.floats() && batch.noise != nil)
            #expect(try batch.labels?.integers() == wanted.labels?.integers() && batch.labels != nil)
        }
        let order = try all.flatMap { try $0?.labels?.integers() ?? [] }
        #expect((0..<4).allSatisfy { order[($0 * 10)..<($0 * 10 + 10)].sorted() == Array(1...10) })
        #expect(try batches(2).next()?.batch.labels?.integers() != all[0]?.labels?.integers())
        #expect(message { _ = try Batches(set, size: 2, flip: true) }.contains("only pictures"))
    }

    /// Nothing is there before the end, and an older file stays as it is.
    @Test func appearsWholeOrNotAtAll() throws {
        let scratch = try Scratch(), path = scratch("pairs"), pairs = try Pairs(4, [2])
        let half = try (pairs.noise.sliced(0, 0..<2), pairs.x.sliced(0, 0..<2))
        do {
            let writer = try PairWriter(path, count: 4, shape: [2])
            try writer.add(half.0, half.1)
            #expect(!scratch.names.contains("pairs") && scratch.names.count == 1)
        }
        #expect(scratch.names.isEmpty, "a forgotten writer leaves nothing")

        _ = try scratch.file("pairs", [1, 2, 3])
        let short = try PairWriter(path, count: 4, shape: [2])
        try short.add(half.0, half.1)
        #expect(message { try short.close() }.contains("'\(path)' was to have 4 pairs, and was closed with 2"))
        #expect(message { try short.add(half.0, half.1) }.contains("'\(path)' is closed"))
        #expect(message { try short.close() }.contains("is closed"))
        #expect(try contents(path) == [1, 2, 3] && scratch.names == ["pairs"])

        let dropped = try PairWriter(path, count: 4, shape: [2])
        dropped.discard()
        dropped.discard()
        #expect(message { try dropped.add(half.0, half.1) }.contains("is closed") && scratch.names == ["pairs"])
        try pairs.write(to: path, pieces: [4])
        #expect(try PairFile(path).count == 4)
    }

    @Test func refusesWhatDoesNotFit() throws {
        let scratch = try Scratch(), path = scratch("pairs")
        let writer = try PairWriter(path, count: 4, shape: [2], labels: true)
        let (a, labels) = (try Tensor.zeros([3, 2]), try Tensor.ones([3], .int32))
        #expect(
            message { try writer.add(a, .zeros([3, 3]), labels: labels) }.contains(
                "floats [n, 2] (noise float32 [3, 2], x float32 [3, 3])"))
        #expect(message { try writer.add(.zeros([3, 1]), .zeros([3, 1]), labels: labels) }.contains("[n, 2]"))
        #expect(message { try writer.add(.scalar(1), .scalar(1), labels: labels) }.contains("float32 []"))
        #expect(message { try writer.add(.zeros([3, 2], .int32), a, labels: labels) }.contains("int32 [3, 2]"))
        #expect(message { try writer.add(a, a) }.contains("labels must be int32 [3], one a pair, and were not given"))
        #expect(message { try writer.add(a, a, labels: .ones([3])) }.contains("(labels float32 [3])"))
        #expect(message { try writer.add(a, a, labels: .ones([2], .int32)) }.contains("(labels int32 [2])"))
        #expect(message { try writer.add(a, a, labels: .zeros([3], .int32)) }.contains("labels count from 1 (got 0)"))
        try writer.add(a, a.cast(.float64), labels: labels)
        #expect(
            message { try writer.add(a, a, labels: labels) }.contains(
                "has space for 4 pairs: 3 are there, and 3 more were given"))
        #expect(writer.added == 3)
        let plain = try PairWriter(path, count: 4, shape: [2])
        #expect(message { try plain.add(a, a, labels: labels) }.contains("'\(path)' was begun without labels"))

        for (count, shape) in [
            (0, [2]), (-1, [2]), (3, [0]), (3, [-1]), (.max, [2]), (1 << 40, [1 << 40]), (2, [1, 1, 1, 1, 1, 1, 1, 1]),
        ] as [(Int, Shape)] {
            _ = message { _ = try PairWriter(path, count: count, shape: shape) }
        }
        #expect(
            message { _ = try PairWriter(scratch("no/such/folder"), count: 1, shape: [1]) }.contains("No such file"))
        #expect(message { _ = try PairWriter(scratch.path, count: 1, shape: [1]) }.contains("not a regular file"))
        #expect(message { _ = try PairWriter("/dev/full", count: 1, shape: [1]) }.contains("not a regular file"))
    }

    @Test func aDiskThatIsTooSmallIsReportedAtOnce() throws {
        let scratch = try Scratch()
        #expect(message { _ = try PairWriter(scratch("a"), count: 1 << 40, shape: [1 << 10]) }.contains("cannot write"))
        #expect(scratch.names.isEmpty)
    }

    /// Files in the format that hold no pairs, and what is said of them.
    @Test func refusesOtherFiles() throws {
        let scratch = try Scratch(), path = scratch("a"), a = try Tensor.zeros([3, 2])
        func report(_ tensors: [(String, Tensor)]) throws -> String {
            try SafeTensors.write(tensors, to: path)
            let report = message { _ = try PairFile(path) }
            #expect(report.contains("'\(path)'"))
            return report
        }
        #expect(try report([]).contains("found none"))
        #expect(try report([("x", a)]).contains("the tensors noise and x and perhaps labels, found x"))
        #expect(try report([("x", a), ("noise", a), ("more", a)]).contains("found more, noise, x"))
        #expect(try report([("x", a), ("noise", .zeros([3, 1]))]).contains("noise F32 [3, 1], x F32 [3, 2]"))
        #expect(try report([("x", a), ("noise", .zeros([3, 2], .float64))]).contains("noise F64 [3, 2]"))
        #expect(try report([("x", .scalar(1)), ("noise", .scalar(1))]).contains("x F32 []"))
        #expect(try report([("x", .zeros([0, 2])), ("noise", .zeros([0, 2]))]).contains("x F32 [0, 2]"))
        #expect(
            try report([("x", a), ("noise", a), ("labels", .zeros([3]))]).contains(
                "expected labels I32 [3], found F32 [3]"))
        #expect(try report([("x", a), ("noise", a), ("labels", .zeros([2], .int32))]).contains("found I32 [2]"))
        #expect(message { _ = try PairFile(scratch("none")) }.contains("No such file"))
    }

    @Test func refusesFilesThatWereCutOff() throws {
        let scratch = try Scratch(), path = scratch("a")
        try Pairs(3, [2]).write(to: path, pieces: [3])
        let whole = try contents(path)
        for length in [0, 7, 8, 100, whole.count - 1] {
            let cut = try scratch.file("cut", Array(whole[..<length]))
            #expect(message { _ = try PairFile(cut) }.contains("'\(cut)'"))
        }
        #expect(message { _ = try PairFile(scratch.file("long", whole + [0])) }.contains("behind the header"))
        // Cut off while it is open.
        let set = try PairFile(path)
        truncate(path, off_t(whole.count - 4))
        #expect(message { _ = try set.batch([Draw(0), Draw(2)]) }.contains("'\(path)': it was cut off"))
    }

    @Test func namesOfOtherFormatsAreRefused() throws {
        let scratch = try Scratch()
        #expect(
            message { _ = try PairWriter(scratch("a.h5"), count: 1, shape: [1]) }.contains(
                "pairs are written as .safetensors, not as .h5"))
    }
}
