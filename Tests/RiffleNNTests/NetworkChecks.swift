import RiffleNN
import RiffleTensor
import TestSupport
import Testing

/// What holds for every network that a student can be made of.
struct NetworkChecks {
    /// One time, with weights that make every part count.
    private let teacher: Network
    private let condition: Condition?

    /// - Parameter condition: of two samples.
    init(_ teacher: Network, _ condition: Condition? = nil) throws {
        (self.teacher, self.condition) = (teacher, condition)
        try fill(teacher)
    }

    /// A batch of two samples and two times each.
    private func batch(_ dtype: DType) throws -> (x: Tensor, s: Tensor, t: Tensor) {
        let shape = try #require(teacher.sampleShape).inserting(2, at: 0)
        let x = try Tensor(drawn("x", shape.count).map { 2 * $0 - 1 }, shape)
        return (try x.cast(dtype), try Tensor([0.1, 0.4], [2]).cast(dtype), try Tensor([0.9, 0.5], [2]).cast(dtype))
    }

    /// A student equals its teacher at first, wherever its jump ends; its state is loaded by name, all of it or none.
    /// - Parameter span: the name of one of the student's own parameters.
    func studentStartsAsTeacher(span: String) throws {
        let student = try teacher.twoTimed(), (x, s, t) = try batch(.float32)
        let (a, b) = (try teacher.velocity(x, s, condition), try student.average(x, s, t, condition))
        #expect(try (a - b).abs().max().item() == 0)

        try fill(student)
        let jumped = try student.average(x, s, t, condition)
        #expect(try (jumped - b).abs().max().item() > 0)
        let state = try student.state(), again = try teacher.twoTimed()
        let shapes = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor.shape) })
        let tensors = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor) })
        try again.load(shapes: shapes) { tensors[$0]! }
        #expect(try (again.average(x, s, t, condition) - jumped).abs().max().item() == 0)
        let error = #expect(throws: RiffleError.self) { try teacher.load(shapes: shapes) { tensors[$0]! } }
        #expect(error?.description.contains("unexpected: ") == true && error?.description.contains(span) == true)
        #expect(throws: RiffleError.self) { try again.load(shapes: shapes.filter { $0.key != span }) { tensors[$0]! } }
    }

    /// A jump from a time to itself is embedded once for all samples: value, derivative in the time and gradients are
    /// those of two equal tensors of times.
    func jumpsOfNoLength() throws {
        let student = try teacher.twoTimed(), (x, s, _) = try batch(.float64), condition = try condition?.cast(.float64)
        try fill(student)
        func outcome(_ second: (Tensor) throws -> Tensor) throws -> [Tensor] {
            let network = try #require(student.copied(trainable: true) as? Network)
            let (u, du) = try jvp([s], [.ones(s.shape, s.dtype)]) {
                try network.average(x, $0[0], second($0[0]), condition)
            }
            try (u.square() + u * du).mean().backward()
            return [u.detach(), du.detach()] + network.parameters.compactMap { $0.parameter.gradient }
        }
        let sames = try outcome { $0 }, equals = try outcome { try $0 + 0 }
        #expect(sames.count == equals.count)
        for (same, equal) in zip(sames, equals) {
            #expect(try (same - equal).abs().max().item() <= 1e-12 * (1 + equal.abs().max().item()))
        }
    }

    /// Where the last blocks alone see the end of a jump no parameter is new, a jump of no length is the teacher's
    /// velocity, and with all blocks decoupled a jump is the teacher's velocity at its end.
    /// - Parameter depth: the number of blocks.
    func decoupledStudents(depth: Int) throws {
        let (x, s, t) = try batch(.float32)
        func same(_ a: Tensor, _ b: Tensor) throws -> Bool { try a.doubles() == b.doubles() }
        let (early, late) = (try teacher.velocity(x, s, condition), try teacher.velocity(x, t, condition))
        for blocks in [1, depth] {
            let student = try teacher.twoTimed(decoupled: blocks)
            #expect(student.times == 2 && student.entries.map(\.name) == teacher.entries.map(\.name))
            #expect(try same(student.velocity(x, s, condition), early))
            let jump = try student.average(x, s, t, condition)
            #expect(try same(jump, late) == (blocks == depth) && !same(jump, early))
            let copy = try #require(student.copied() as? Network)
            #expect(try same(copy.average(x, s, t, condition), jump))
        }
        #expect(throws: RiffleError.self) { try teacher.twoTimed(decoupled: depth + 1) }
        var c = UNet.Configuration(image: [8, 8, 3])
        (c.channels, c.multipliers, c.blocks) = (32, [1], 1)
        let other = #expect(throws: RiffleError.self) { try UNet(c).twoTimed(decoupled: 1) }
        #expect(other?.description == "two_timed: decoupled blocks are those of dit and mmdit")
    }

    /// A copy answers alike and shares nothing that training changes.
    func copies() throws {
        let (x, s, _) = try batch(.float32), before = try teacher.velocity(x, s, condition)
        let copy = try #require(try teacher.copied(trainable: false) as? Network)
        #expect(try (copy.velocity(x, s, condition) - before).abs().max().item() == 0)
        #expect(
            copy.parameters.allSatisfy { !$0.parameter.isTrainable }
                && teacher.parameters.allSatisfy(\.parameter.isTrainable))
        for named in copy.parameters { try named.parameter.assign(.zeros(named.parameter.shape)) }
        #expect(try (teacher.velocity(x, s, condition) - before).abs().max().item() == 0)
    }

    /// Forward mode in all inputs agrees with central differences in float64, and in float32 with itself in float64.
    func forwardMode() throws {
        let student = try teacher.twoTimed(), (x, s, t) = try batch(.float64)
        try fill(student)
        let direction = [
            try Tensor(drawn("dx", x.count), x.shape), try Tensor([0.7, -0.2], [2]), try Tensor([0.4, 1.0], [2]),
        ]
        func average(_ inputs: [Tensor]) throws -> Tensor {
            try student.average(inputs[0], inputs[1], inputs[2], condition?.cast(inputs[0].dtype))
        }
        let inputs = [x, s, t], step = 1e-6
        let (_, tangent) = try jvp(inputs, direction, average)
        let ahead = try average(zip(inputs, direction).map { try $0 + $1 * step })
        let behind = try average(zip(inputs, direction).map { try $0 - $1 * step })
        let scale = try tangent.abs().max().item()
        #expect(
            try tangent.dtype == .float64
                && (tangent - (ahead - behind) / (2 * step)).abs().max().item() <= 1e-6 * scale)

        let (_, single) = try jvp(
            inputs.map { try $0.cast(.float32) }, direction.map { try $0.cast(.float32) }, average)
        #expect(try single.dtype == .float32 && (single - tangent).abs().max().item() <= 1e-4 * scale)
    }

    /// The gradient of a loss that holds a derivative in t, as LFMD's does, agrees with differences along a direction.
    func gradientOfForwardMode() throws {
        let student = try teacher.twoTimed(), (x, s, t) = try batch(.float64), condition = try condition?.cast(.float64)
        try fill(student)
        func loss() throws -> Tensor {
            let (u, du) = try jvp([t], [.ones(t.shape, t.dtype)]) { try student.average(x, s, $0[0], condition) }
            return try (u + (t - s).alongside(x) * du).square().mean()
        }
        try loss().backward()
        let parameters = student.parameters.filter(\.parameter.isTrainable)
        let gradients = try parameters.map { try $0.parameter.gradient?.doubles() ?? [] }
        #expect(gradients.allSatisfy { $0.allSatisfy(\.isFinite) })

        let middle = parameters.map(\.parameter.value)
        func stepped(_ way: Double) throws -> (loss: Double, values: [[Double]]) {
            for (named, value) in zip(parameters, middle) {
                let steps = drawn("direction.\(named.name)", value.count).map { way * ($0 - 0.5) }
                try named.parameter.assign(value + Tensor(steps, value.shape))
            }
            return (try withoutGradient { try loss().item() }, try parameters.map { try $0.parameter.value.doubles() })
        }
        let ahead = try stepped(1e-4), behind = try stepped(-1e-4)
        let parts = zip(gradients, zip(ahead.values, behind.values)).map { gradient, ends in
            gradient.indices.reduce(0) { $0 + gradient[$1] * (ends.0[$1] - ends.1[$1]) }
        }
        let found = ahead.loss - behind.loss, expected = parts.reduce(0, +)
        #expect(abs(found - expected) <= 1e-5 * parts.reduce(0) { $0 + abs($1) }, "\(found), not \(expected)")
    }
}

extension Condition {
    /// Its floating tensors in another precision.
    fileprivate func cast(_ dtype: DType) throws -> Condition {
        Condition(try tensors.map { $0.dtype.isFloating ? try $0.cast(dtype) : $0 })
    }
}
