extension Tensor {
    /// Adds to each trainable parameter's gradient the derivative of this tensor, which has one element.
    ///
    /// What the tape saved for the computation is dropped on the way, unless `retain` is set.
    /// - Throws: `RiffleError` when there is more than one element, nothing to differentiate, or the records are
    ///   spent; then the gradients are as they were.
    package func backward(retain: Bool = false) throws {
        for (parameter, sum) in try summedGradients(retain: retain) { parameter.gradient = sum }
    }

    /// The gradients that `backward` would set, for each parameter that this tensor depends on.
    /// - Parameter weight: what this tensor's derivative is multiplied by.
    package func summedGradients(
        retain: Bool = false, weight: Double = 1
    ) throws -> [(parameter: Parameter, gradient: Tensor)] {
        let seed = try seedGradient("backward", weight)
        var reached: [ObjectIdentifier: (parameter: Parameter, gradient: Tensor)] = [:]
        var order: [ObjectIdentifier] = []
        return try withoutGradient {
            try ReverseSweep(from: self, seed: seed, retain: retain, recording: false).run { parameter, gradient in
                let key = ObjectIdentifier(parameter)
                if let sum = reached[key] {
                    reached[key]?.gradient = try sum.gradient + gradient
                } else {
                    reached[key] = (parameter, gradient)
                    order.append(key)
                }
            }
            return try order.compactMap { reached[$0] }.map { reached in
                (
                    reached.parameter,
                    try reached.parameter.gradient.map { try $0 + reached.gradient } ?? reached.gradient.detach()
                )
            }
        }
    }

    /// A tensor of 1, the derivative of a number by itself, times a weight.
    fileprivate func seedGradient(_ operation: String, _ weight: Double = 1) throws -> Tensor {
        guard count == 1 else {
            throw RiffleError(
                operation, "only a single number has a gradient, the tensor is \(shape); take its sum or mean first")
        }
        guard dtype.isFloating else { throw RiffleError(operation, "an int32 tensor has no gradient") }
        return try Tensor.full(shape, weight, dtype)
    }
}

/// The gradients of `result`, contracted with `cotangent` (ones for a single number), for each of `inputs`.
///
/// With `recording` they can be differentiated again and the tape is kept.
/// - Parameter inputs: tensors that `result` was computed from; zeros come back for those that it does not depend on.
/// - Throws: `RiffleError` when an input takes no gradients or the cotangent's shape differs.
package func gradients(
    of result: Tensor, for inputs: [Tensor], cotangent: Tensor? = nil, retain: Bool = false, recording: Bool = false
) throws -> [Tensor] {
    let seed = try cotangent?.cast(result.dtype) ?? result.seedGradient("grad")
    guard seed.shape == result.shape else {
        throw RiffleError("grad", "the cotangent is \(seed.shape), the result \(result.shape)")
    }
    if let index = inputs.firstIndex(where: { !$0.needsGradient }) {
        throw RiffleError("grad", "input \(index + 1) takes no gradients; make it a parameter, or compute it from one")
    }
    let context = Context.current
    let before = context.isRecording
    context.isRecording = recording
    defer { context.isRecording = before }
    let sweep = try ReverseSweep(from: result, seed: seed, retain: retain || recording, recording: recording)
    var leaves: [ObjectIdentifier: Tensor] = [:]
    try sweep.run(watching: inputs) { parameter, gradient in
        let key = ObjectIdentifier(parameter)
        leaves[key] = try leaves[key].map { try $0 + gradient } ?? gradient
    }
    return try inputs.map { input in
        switch input.innermost.origin {
        case .leaf(let parameter): try leaves[ObjectIdentifier(parameter)] ?? .zeros(input.shape, input.dtype)
        case .node(let node): try sweep.watched[OutputKey(node)] ?? .zeros(input.shape, input.dtype)
        case .constant: try .zeros(input.shape, input.dtype)
        }
    }
}

/// Identifies an output of a record.
private struct OutputKey: Hashable {
    let index: Int
    let output: Int

    init(_ node: Node) {
        index = node.index
        output = node.output
    }
}

/// One walk back along the tape from a result, which passes gradients from outputs to inputs.
private final class ReverseSweep {
    private let result: Tensor
    private let retain: Bool
    private let recording: Bool
    /// Gradients of outputs that wait until their record is visited, by the record's index.
    private var pending: [Int: [Tensor?]] = [:]
    /// Gradients of the tensors that were asked for.
    private(set) var watched: [OutputKey: Tensor] = [:]
    private let seed: Tensor
    private var spent: [Int] = []
    /// Records that recomputations made, which this walk keeps alive until its end.
    private var held: [Int] = []
    /// Records from this number on were made by recomputations of this walk, which nobody else sees.
    private var firstOwn = 0

    init(from result: Tensor, seed: Tensor, retain: Bool, recording: Bool) throws {
        guard Context.current.withoutClosedLevels(result).dual == nil else {
            throw RiffleError(
                "backward",
                "a gradient cannot be taken inside jvp, where its tangent would be lost; take the gradient of the jvp "
                    + "instead"
            )
        }
        self.result = result.innermost
        self.seed = seed
        self.retain = retain
        self.recording = recording
    }

    func run(watching inputs: [Tensor] = [], leaf: (Parameter, Tensor) throws -> Void) throws {
        let wanted = Set(
            inputs.compactMap { if case .node(let node) = $0.innermost.origin { OutputKey(node) } else { nil } })
        switch result.origin {
        case .constant:
            throw RiffleError(
                "backward", "the result does not depend on any trainable parameter, or was computed under no_grad")
        case .leaf(let parameter): return try leaf(parameter, seed)
        case .node(let node):
            pending[node.index] = []
            try add(seed, index: node.index, output: node.output)
            // Serial numbers grow in the order of computation, so the record with the highest one is always ready.
            var heap = RecordHeap()
            heap.push(node.index, on: node.tape)
            firstOwn = node.tape.nextSerial
            defer {
                node.tape.releaseInputs(of: spent)
                for index in held { node.tape.release(index) }
            }
            while let index = heap.pop() {
                guard let gradients = pending.removeValue(forKey: index) else { continue }
                for (output, gradient) in gradients.enumerated() {
                    let key = OutputKey(Node(tape: node.tape, index: index, output: output))
                    if wanted.contains(key) { watched[key] = gradient }
                }
                try visit(index, gradients, on: node.tape, heap: &heap, leaf: leaf)
            }
        }
    }

    private func visit(
        _ index: Int, _ gradients: [Tensor?], on tape: Tape, heap: inout RecordHeap,
        leaf: (Parameter, Tensor) throws -> Void
    ) throws {
        guard let record = tape[index], !record.isSpent else {
            throw RiffleError(
                "backward",
                "this computation was differentiated before, to its end or until an error, and its intermediate "
                    + "values are gone; pass { retain = true } there, or compute it again")
        }
        switch record.source {
        case .spent: break
        case .operation(let op, let attributes):
            let results = try differentiate(op, attributes, record, gradients, index, tape)
            finish(index, record, on: tape)
            for (input, gradient) in zip(record.inputs, results) where input.needsGradient {
                guard let gradient = try gradient?.reduced(to: input.shape).cast(input.dtype) else { continue }
                try pass(gradient, to: input, on: tape, &heap, leaf)
            }
        case .recomputation(let recomputation):
            // Its records have the highest numbers and are visited next, in the order in which the flat tape would
            // have them; gradients are summed in that order, so that not a bit differs.
            let outputs = try recomputation.again(record.inputs.map { Tensor(saved: $0, on: tape) }, on: tape)
            finish(index, record, on: tape)
            // A record lives as long as its outputs do, until it is retained.
            let saved = withExtendedLifetime(outputs) {
                outputs.map { output in
                    let saved = Saved(output)
                    if saved.node >= 0 {
                        tape.retain(saved.node)
                        held.append(saved.node)
                    }
                    return saved
                }
            }
            for (output, gradient) in zip(saved, gradients) where output.needsGradient {
                guard let gradient else { continue }
                try pass(gradient, to: output, on: tape, &heap, leaf)
            }
        }
    }

    /// The gradients of an operation's inputs by its rule.
    private func differentiate(
        _ op: Op, _ attributes: [Value], _ record: Record, _ gradients: [Tensor?], _ index: Int, _ tape: Tape
    ) throws -> [Tensor?] {
        var padded = gradients
        while padded.count < record.outputs.count { padded.append(nil) }
        let call = op.call(
            record.inputs.map { Tensor(saved: $0, on: tape) }, attributes,
            outputs: record.outputs.enumerated().map {
                let output = Tensor(saved: $1, on: tape)
                if recording { output.attach(Node(tape: tape, index: index, output: $0)) }
                return output
            },
            wanted: record.inputs.map(\.needsGradient))
        let context = Context.current
        func rule() throws -> [Tensor?] {
            try context.profiler?.measure("\(op.name) backward") { try op.vjp(call, padded) } ?? op.vjp(call, padded)
        }
        return try multiplying(in: record.precision) {
            try context.guardsAgainstNaN
                ? op.guardingAgainstNaN(padded, location: record.location, rule) : rule()
        }
    }

    /// Drops what a visited record saved, unless somebody differentiates it again.
    private func finish(_ index: Int, _ record: Record, on tape: Tape) {
        let isOwn = record.serial >= firstOwn
        guard !retain || isOwn && !recording else { return }
        tape.spend(index)
        spent.append(index)
    }

    /// Passes a gradient on to where a tensor came from.
    private func pass(
        _ gradient: Tensor, to tensor: Saved, on tape: Tape, _ heap: inout RecordHeap,
        _ leaf: (Parameter, Tensor) throws -> Void
    ) throws {
        if let parameter = tensor.parameter { return try leaf(parameter, gradient) }
        if pending[tensor.node] == nil {
            pending[tensor.node] = []
            heap.push(tensor.node, on: tape)
        }
        try add(gradient, index: tensor.node, output: tensor.output)
    }

    private func add(_ gradient: Tensor, index: Int, output: Int) throws {
        var waiting = pending[index] ?? []
        while waiting.count <= output { waiting.append(nil) }
        waiting[output] = try waiting[output].map { try $0 + gradient } ?? gradient
        pending[index] = waiting
    }
}

extension Tensor {
    /// A tensor rebuilt from a record, with its origin, so that the tensor can be differentiated again.
    fileprivate convenience init(saved: Saved, on tape: Tape) {
        self.init(storage: saved.storage ?? .none, shape: saved.shape, dtype: saved.dtype)
        if let parameter = saved.parameter {
            attach(parameter)
        } else if saved.node >= 0 {
            attach(Node(tape: tape, index: saved.node, output: saved.output))
        }
    }
}

/// A heap of records that wait to be visited, the latest record on top.
private struct RecordHeap {
    private var items: [(serial: Int, index: Int)] = []

    mutating func push(_ index: Int, on tape: Tape) {
        items.append((tape[index]?.serial ?? -1, index))
        var child = items.count - 1
        while child > 0, items[(child - 1) / 2].serial < items[child].serial {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> Int? {
        guard let top = items.first, let last = items.popLast() else { return nil }
        guard !items.isEmpty else { return top.index }
        items[0] = last
        var parent = 0
        while 2 * parent + 1 < items.count {
            var child = 2 * parent + 1
            if child + 1 < items.count, items[child + 1].serial > items[child].serial { child += 1 }
            if items[parent].serial >= items[child].serial { break }
            items.swapAt(parent, child)
            parent = child
        }
        return top.index
    }
}
