/// What reverse mode needs of one application of an operation.
package struct Record {
    let op: Op
    let attributes: [Value]
    let inputs: [Saved]
    let outputs: [Saved]
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

/// A flat list of records in the order of computation (a Wengert list); one for each thread.
///
/// A record is dropped when no tensor and no record uses its outputs any more, by a loop and never by recursion.
/// Indices grow for ever; `first` is the index of `records[0]`.
package final class Tape {
    private var records: [Record?] = []
    private var first = 0
    /// How many records at the front are dropped already.
    private var dead = 0
    private var doomed: [Int] = []

    var nextIndex: Int { first + records.count }
    /// Records alive, for tests.
    package var liveCount: Int { records.reduce(0) { $0 + ($1 == nil ? 0 : 1) } }

    subscript(_ index: Int) -> Record? {
        index >= first && index - first < records.count ? records[index - first] : nil
    }

    /// Adds a record and makes `outputs` its outputs.
    func append(_ op: Op, _ attributes: [Value], inputs: [Tensor], outputs: [Tensor]) {
        var saved: [Saved] = []
        saved.reserveCapacity(inputs.count)
        for (place, input) in inputs.enumerated() {
            saved.append(Saved(input, keep: op.keep.contains(input: place)))
            if saved[place].node >= 0 { retain(saved[place].node) }
        }
        let index = nextIndex
        records.append(
            Record(
                op: op, attributes: attributes, inputs: saved,
                outputs: outputs.map { Saved($0, keep: op.keep.outputs) }))
        for (place, output) in outputs.enumerated() { output.attach(Node(tape: self, index: index, output: place)) }
    }

    package func retain(_ index: Int) { records[index - first]?.users += 1 }

    /// Takes back one use; drops the record, and those before it that only it used, when it was the last.
    package func release(_ index: Int) {
        guard index >= first else { return }
        records[index - first]?.users -= 1
        guard records[index - first]?.users == 0 else { return }
        doomed.append(index)
        while let next = doomed.popLast() {
            let record = records[next - first].take()
            for input in record?.inputs ?? [] where input.node >= 0 {
                records[input.node - first]?.users -= 1
                if records[input.node - first]?.users == 0 { doomed.append(input.node) }
            }
        }
        trim()
    }

    /// Drops what a record saved; its outputs can no longer be differentiated.
    func spend(_ index: Int) {
        guard let record = self[index] else { return }
        records[index - first] = Record(
            op: record.op, attributes: record.attributes, inputs: record.inputs.map(\.withoutStorage),
            outputs: record.outputs.map(\.withoutStorage), users: record.users, isSpent: true)
    }

    private func trim() {
        while let last = records.last, last == nil { records.removeLast() }
        dead = min(dead, records.count)
        while dead < records.count, records[dead] == nil { dead += 1 }
        // Moving the rest down costs its length, so wait until that is paid for.
        if dead > records.count / 2 {
            records.removeFirst(dead)
            first += dead
            dead = 0
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
