import Foundation
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO
@testable import RiffleNN
@testable import RiffleRuns

@Suite(.serialized) struct CheckpointTests {
    @Test func ownValuesComeBackAsTheyWere() throws {
        let scratch = try Scratch(), path = scratch("a.safetensors")
        let table: [String: Value] = [
            "whole": .integer(1 << 53 + 1), "float": .number(1), "small": .number(5e-324), "nan": .number(.nan),
            "infinite": .list([.number(.infinity), .number(-.infinity)]), "text": .string("#inf"),
            "marks": .string("##"),
            "line": .string("a\n\"b\"\u{1F600}"), "truths": .list([.boolean(true), .boolean(false)]),
            "empty": .list([]),
            "nested": .table(["list": .list([.string("tensor"), .string("tensors.x")]), "x": .tensor(try .ones([2]))]),
        ]
        let notes = Notes(table), tracked = Tracked()
        try tracked.add("notes", notes)
        try Checkpoint.write(tracked, record: ["step": .integer(3)], to: path)
        notes.table = [:]
        let checkpoint = try Checkpoint(path)
        try checkpoint.restore(tracked)
        func text(_ table: [String: Value]) -> String {
            table.sorted { $0.key < $1.key }.map { key, value in
                switch value {
                case .table(let inner): "\(key): { \(text(inner)) }"
                case .tensor(let tensor): "\(key): \(tensor.shape) \((try? tensor.floats()) ?? [])"
                default: "\(key): \(value)"
                }
            }.joined(separator: ", ")
        }
        #expect(text(notes.table) == text(table))
        #expect(try SavedState(values: checkpoint.record).integer("step") == 3)
    }

    @Test func whatDoesNotFitIsNamedAndChangesNothing() throws {
        let scratch = try Scratch(), path = scratch("a.safetensors")
        let (first, second) = (try Counter(), try Counter())
        let tracked = Tracked()
        try tracked.add("first", first)
        try tracked.add("second", second)
        try first.step()
        try Checkpoint.write(tracked, to: path)
        func report(_ change: (Tracked) throws -> Void) throws -> String {
            let other = Tracked()
            try change(other)
            return message { try Checkpoint(path).restore(other) }
        }
        #expect(try report { try $0.add("first", first) }.contains("it has one of second, which nobody tracks"))
        #expect(
            try report {
                try $0.add("first", first)
                try $0.add("second", second)
                try $0.add("third", Notes())
            }.contains("it has no state of third"))
        let random = Context.current.random
        #expect(
            try report {
                try $0.add("first", first)
                try $0.add("second", Notes(["a": .integer(1)]))
            }.contains("'second': it is no table of values"))
        #expect(first.number == 1 && Context.current.random.stream == random.stream)
        #expect(message { try tracked.add("first", Notes()) }.contains("'first' is tracked already"))
        #expect(message { try tracked.add("again", first) }.contains("is the object that is tracked as 'first'"))
        for name in ["", "a b", "a.b", "random", "é"] { _ = message { try tracked.add(name, Notes()) } }
    }

    @Test func damagedFilesAreRefused() throws {
        let scratch = try Scratch(), path = scratch("a.safetensors")
        let counter = try Counter(), tracked = Tracked()
        try tracked.add("counter", counter)
        try Checkpoint.write(tracked, record: ["step": .integer(3)], to: path)
        let whole = try contents(path)
        for length in 0..<whole.count {
            let cut = try scratch.file("cut", Array(whole[..<length]))
            #expect(message { _ = try Checkpoint(cut) }.contains("'\(cut)'"))
        }
        for index in whole.indices {
            var broken = whole
            broken[index] ^= 0x08
            // A number of a tensor may be another one; all else is refused.
            try? Checkpoint(scratch.file("broken", broken)).restore(tracked)
        }
        try SafeTensors.write([("a", .ones([1]))], to: path)
        #expect(message { _ = try Checkpoint(path) }.contains("it is no checkpoint"))
    }
}

/// Checkpoints of adapted networks.
@Suite(.serialized) struct AdaptedCheckpointTests {
    private struct Training {
        let net: Network
        let average: EMA
        let optimizer: AdamW
        let tracked = Tracked()

        init(on base: Network, alpha: Double = 8) throws {
            net = try base.adapted(rank: 4, alpha: alpha)
            average = try EMA(net, decay: 0.5)
            optimizer = try AdamW(net.parameters.map(\.parameter))
            try tracked.add("net", net)
            try tracked.add("average", average)
            try tracked.add("opt", optimizer)
        }

        func step() throws {
            let x = try Tensor.randn([4, 2])
            try optimizer.step((net.velocity(x, .rand([4])) - x).square().mean())
            try average.update()
        }

        func numbers() throws -> [Float] {
            try (net.entries + average.model.entries).flatMap { try $0.parameter.value.floats() }
        }
    }

    /// A checkpoint holds adapters and not the base, knows another base, and training goes on to the same bits.
    @Test func holdWhatTrainingChanges() throws {
        let scratch = try Scratch(), path = scratch("checkpoint"), base = try MLP(.init(width: 64, depth: 3))
        let first = try Training(on: base)
        for _ in 0..<3 { try first.step() }
        try Checkpoint.write(first.tracked, to: path)
        let file = try SafeTensors(path)
        #expect(file.tensors.reduce(0) { $0 + $1.shape.count } < base.count)
        #expect(file.names.contains("net.hidden.0.lora_A.weight") && !file.names.contains("net.hidden.0.weight"))
        for _ in 0..<2 { try first.step() }

        let second = try Training(on: base)
        try Checkpoint(path).restore(second.tracked)
        for _ in 0..<2 { try second.step() }
        #expect(try first.numbers() == second.numbers())

        let other = try Training(on: MLP(.init(width: 64, depth: 3)))
        #expect(message { try Checkpoint(path).restore(other.tracked) }.contains("were trained on another base"))
        let scaled = try Training(on: base, alpha: 4)
        #expect(
            message { try Checkpoint(path).restore(scaled.tracked) }.contains("has alpha 4, and in the state 8"))
        #expect(message { _ = try NetworkFile(path) }.contains("its network has adapters, and the base is not in"))
        try first.net.save(to: scratch("a"))
        #expect(
            message { _ = try NetworkFile(scratch("a")) }.contains(
                "load the base, riffle.nn.mlp { width = 64, depth = 3 }, and then base:lora { from = path }"))
    }
}
