/// What reverse mode needs of one application of an operation, or of a recomputation.
package struct Record {
    enum Source {
        case operation(Op, [Value])
        /// Computed again, and recorded then, by the backward pass.
        case recomputation(Recomputation)
        /// A backward pass has dropped the saved tensors.
        case spent
    }

    private(set) var source: Source
    private(set) var inputs: [Saved]
    private(set) var outputs: [Saved]
    let precision: Precision
    /// The line of the user's code that made the record, while NaN was guarded against; else empty.
    let location: String
    /// The record's number on its tape: the records of its inputs have smaller numbers.
    let serial: Int
    /// How many live tensors are outputs of the record, and how many live records have such an output as input.
    var users = 0

    var isSpent: Bool {
        if case .spent = source { true } else { false }
    }

    /// Drops everything but the way to the records of the inputs.
    mutating func spend() {
        (source, inputs, outputs) = (.spent, inputs.map(\.withoutStorage), [])
    }

    /// Drops the way, too, and returns it.
    mutating func takeInputs() -> [Saved] {
        defer { inputs = [] }
        return inputs
    }
}

/// A tensor as a record holds it: the tensor itself is not kept alive, which would make a cycle.
package struct Saved {
    let storage: Storage?
    let shape: Shape
    let dtype: DType
    let parameter: Parameter?
    /// The index of the record that made the tensor, or -1.
    let node: Int
    /// Which of that record's outputs the tensor is.
    let output: Int

    init(_ tensor: Tensor, keep: Bool = false) {
        storage = keep ? tensor.storage : nil
        shape = tensor.shape
        dtype = tensor.dtype
        switch tensor.origin {
        case .constant: (parameter, node, output) = (nil, -1, 0)
        case .leaf(let leaf): (parameter, node, output) = (leaf, -1, 0)
        case .node(let made): (parameter, node, output) = (nil, made.index, made.output)
        }
    }

    var needsGradient: Bool { parameter != nil || node >= 0 }
}

/// A flat list of records (a Wengert list); one for each thread. Serial numbers give the order of computation.
///
/// A record is dropped when no tensor and no record uses its outputs any more, by a loop and never by recursion, and
/// its slot is used again.
package final class Tape {
    private var records: [Record?] = []
    private var free: [Int] = []
    /// The number of the next record: records that are added later have this one or a larger one.
    private(set) var nextSerial = 0
    private var doomed: [Int] = []

    /// Records alive, for tests.
    package var liveCount: Int { records.count - free.count }

    subscript(_ index: Int) -> Record? { records.indices.contains(index) ? records[index] : nil }

    /// Adds the record of an operation and makes `outputs` its outputs.
    func append(
        _ op: Op, _ attributes: [Value], inputs: [Tensor], outputs: [Tensor], precision: Precision, location: String
    ) {
        append(
            Record(
                source: .operation(op, attributes),
                inputs: inputs.enumerated().map { Saved($1, keep: op.keep.contains(input: $0)) },
                outputs: outputs.enumerated().map { Saved($1, keep: op.keep.contains(output: $0)) },
                precision: precision, location: location, serial: nextSerial), outputs: outputs)
    }

    /// Adds the record of a recomputation and makes `outputs` its outputs.
    func append(_ recomputation: Recomputation, inputs: [Tensor], outputs: [Tensor]) {
        append(
            Record(
                source: .recomputation(recomputation), inputs: inputs.map { Saved($0, keep: true) },
                outputs: outputs.map { Saved($0) }, precision: recomputation.modes.precision,
                location: recomputation.modes.location, serial: nextSerial), outputs: outputs)
    }

    private func append(_ record: Record, outputs: [Tensor]) {
        nextSerial += 1
        for input in record.inputs where input.node >= 0 { retain(input.node) }
        let index: Int
        if let slot = free.popLast() {
            index = slot
            records[slot] = record
        } else {
            index = records.count
            records.append(record)
        }
        for (number, output) in outputs.enumerated() { output.attach(Node(tape: self, index: index, output: number)) }
    }

    package func retain(_ index: Int) { records[index]?.users += 1 }

    /// Takes back one use of a record. A record without uses is dropped, and with it the records that only it used.
    package func release(_ index: Int) {
        doomed.append(index)
        while let next = doomed.popLast() {
            records[next]?.users -= 1
            guard records[next]?.users == 0, let record = records[next].take() else { continue }
            free.append(next)
            for input in record.inputs where input.node >= 0 { doomed.append(input.node) }
        }
    }

    /// Drops the numbers that a record saved; its outputs can no longer be differentiated.
    func spend(_ index: Int) { records[index]?.spend() }

    /// Releases the inputs of spent records, once no walk along the tape needs the records any more.
    func releaseInputs(of spent: [Int]) {
        for index in spent {
            guard records[index]?.isSpent == true, let inputs = records[index]?.takeInputs() else { continue }
            for input in inputs where input.node >= 0 { release(input.node) }
        }
    }
}

extension Saved {
    fileprivate var withoutStorage: Saved {
        Saved(storage: nil, shape: shape, dtype: dtype, parameter: parameter, node: node, output: output)
    }

    private init(storage: Storage?, shape: Shape, dtype: DType, parameter: Parameter?, node: Int, output: Int) {
        self.storage = storage
        self.shape = shape
        self.dtype = dtype
        self.parameter = parameter
        self.node = node
        self.output = output
    }
}
