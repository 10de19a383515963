/// What reverse mode needs of one application of an operation.
package struct Record {
    let op: Op
    let attributes: [Value]
    let inputs: [Saved]
    let outputs: [Saved]
    let precision: Precision
    /// Where in the user's code it was made, while NaN was guarded against; else empty.
    let place: String
    /// Counts the records of a tape: a record's inputs have smaller ones.
    let serial: Int
    /// Tensors alive that are outputs, and records alive that have an output as input.
    var users = 0
    /// Set when a backward pass has dropped what was saved.
    var isSpent = false
}

/// A tensor as a record holds it: without keeping alive the tensor itself, which would tie a knot.
package struct Saved {
    let storage: Storage?
    let shape: Shape
    let dtype: DType
    let parameter: Parameter?
    /// Index of the record that made it, or -1, and which of its outputs it is.
    let node: Int
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
        _ op: Op, _ attributes: [Value], inputs: [Tensor], outputs: [Tensor], precision: Precision, place: String
    ) {
        var saved: [Saved] = []
        saved.reserveCapacity(inputs.count)
        for (place, input) in inputs.enumerated() {
            saved.append(Saved(input, keep: op.keep.contains(input: place)))
            if saved[place].node >= 0 { retain(saved[place].node) }
        }
        let record = Record(
            op: op, attributes: attributes, inputs: saved,
            outputs: outputs.enumerated().map { Saved($1, keep: op.keep.contains(output: $0)) },
            precision: precision, place: place, serial: nextSerial)
        nextSerial += 1
        let index: Int
        if let slot = free.popLast() {
            index = slot
            records[slot] = record
        } else {
            index = records.count
            records.append(record)
        }
        for (place, output) in outputs.enumerated() { output.attach(Node(tape: self, index: index, output: place)) }
    }

    package func retain(_ index: Int) { records[index]?.users += 1 }

    /// Takes back one use; drops the record, and those before it that only it used, when it was the last.
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
            precision: record.precision, place: record.place,
            serial: record.serial, users: record.users, isSpent: true)
    }

    /// Lets go of what spent records were computed from, once nobody walks through them any more.
    func cutLoose(_ spent: [Int]) {
        for index in spent {
            guard let record = records[index], record.isSpent, !record.inputs.isEmpty else { continue }
            records[index] = Record(
                op: record.op, attributes: [], inputs: [], outputs: [], precision: record.precision,
                place: record.place, serial: record.serial,
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
