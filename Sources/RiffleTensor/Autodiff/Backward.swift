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
    package func summedGradients(retain: Bool = false) throws -> [(parameter: Parameter, gradient: Tensor)] {
        let seed = try seedGradient("backward")
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

    /// A tensor of 1, the derivative of a number by itself.
    fileprivate func seedGradient(_ operation: String) throws -> Tensor {
        guard count == 1 else {
            throw RiffleError(
                operation, "only a single number has a gradient, the tensor is \(shape); take its sum or mean first")
        }
        guard dtype.isFloating else { throw RiffleError(operation, "an int32 tensor has no gradient") }
        return try Tensor.ones(shape, dtype)
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
            defer { node.tape.releaseInputs(of: spent) }
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
        var padded = gradients
        while padded.count < record.outputs.count { padded.append(nil) }
        let call = record.op.call(
            record.inputs.map { Tensor(saved: $0, on: tape) }, record.attributes,
            outputs: record.outputs.enumerated().map {
                let output = Tensor(saved: $1, on: tape)
                if recording { output.attach(Node(tape: tape, index: index, output: $0)) }
                return output
            },
            wanted: record.inputs.map(\.needsGradient))
        let context = Context.current
        func rule() throws -> [Tensor?] {
            try context.profiler?.measure("\(record.op.name) backward") { try record.op.vjp(call, padded) }
                ?? record.op.vjp(call, padded)
        }
        let results = try multiplying(in: record.precision) {
            try context.guardsAgainstNaN
                ? record.op.guardingAgainstNaN(padded, location: record.location, rule) : rule()
        }
        if !retain {
            tape.spend(index)
            spent.append(index)
        }
        for (input, gradient) in zip(record.inputs, results) where input.needsGradient {
            guard let gradient = try gradient?.reduced(to: input.shape).cast(input.dtype) else { continue }
            if let parameter = input.parameter {
                try leaf(parameter, gradient)
            } else {
                if pending[input.node] == nil {
                    pending[input.node] = []
                    heap.push(input.node, on: tape)
                }
                try add(gradient, index: input.node, output: input.output)
            }
        }
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
