/// What reverse mode needs of one application of an operation.
package struct Record {
    let op: Op
    let attributes: [Value]
    let inputs: [Saved]
    let outputs: [Saved]
    let precision: Precision
    /// The line of the user's code that made the record, while NaN was guarded against; else empty.
    let location: String
    /// The record's number on its tape: the records of its inputs have smaller numbers.
    let serial: Int
    /// How many live tensors are outputs of the record, and how many live records have such an output as input.
    var users = 0
    /// Whether a backward pass has dropped the saved tensors.
    var isSpent = false
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

    init(_ tensor: Tensor, keep: Bool) {
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
    private var nextSerial = 0
    private var doomed: [Int] = []

    /// Records alive, for tests.
    package var liveCount: Int { records.count - free.count }

    subscript(_ index: Int) -> Record? { records[index] }

    /// Adds a record and makes `outputs` its outputs.
    func append(
        _ op: Op, _ attributes: [Value], inputs: [Tensor], outputs: [Tensor], precision: Precision, location: String
    ) {
        var saved: [Saved] = []
        saved.reserveCapacity(inputs.count)
        for (number, input) in inputs.enumerated() {
            saved.append(Saved(input, keep: op.keep.contains(input: number)))
            if saved[number].node >= 0 { retain(saved[number].node) }
        }
        let record = Record(
            op: op, attributes: attributes, inputs: saved,
            outputs: outputs.enumerated().map { Saved($1, keep: op.keep.contains(output: $0)) },
            precision: precision, location: location, serial: nextSerial)
        nextSerial += 1
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
    func spend(_ index: Int) {
        guard let record = records[index] else { return }
        records[index] = Record(
            op: record.op, attributes: [], inputs: record.inputs.map(\.withoutStorage), outputs: [],
            precision: record.precision, location: record.location,
            serial: record.serial, users: record.users, isSpent: true)
    }

    /// Releases the inputs of spent records, once no walk along the tape needs the records any more.
    func releaseInputs(of spent: [Int]) {
        for index in spent {
            guard let record = records[index], record.isSpent, !record.inputs.isEmpty else { continue }
            records[index] = Record(
                op: record.op, attributes: [], inputs: [], outputs: [], precision: record.precision,
                location: record.location, serial: record.serial,
                users: record.users, isSpent: true)
            for input in record.inputs where input.node >= 0 { release(input.node) }
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
