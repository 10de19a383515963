/// Numbers that are not finite, and where they were found.
package struct NotFinite {
    /// The operation that made them, or `parameter`.
    package let source: String
    package let shape: Shape
    package let nan: Int, infinite: Int
    /// The parameter that they are, or that was used last before them.
    package let parameter: Parameter?

    /// - Returns: nil where all numbers are finite.
    package init?(in tensor: Tensor, of source: String, near parameter: Parameter? = nil) {
        guard let (nan, infinite) = tensor.strangers else { return nil }
        self.init(source: source, shape: tensor.shape, nan: nan, infinite: infinite, parameter: parameter)
    }

    private init(source: String, shape: Shape, nan: Int, infinite: Int, parameter: Parameter?) {
        self.source = source
        self.shape = shape
        self.nan = nan
        self.infinite = infinite
        self.parameter = parameter
    }

    /// `silu [32, 64] has 12 NaN and 1 infinite of 2048 numbers`.
    package var description: String {
        "\(source) \(shape) has \(nan) NaN and \(infinite) infinite of \(shape.count) numbers"
    }
}

extension Tensor {
    /// The first operation, in the order of computation, whose result is not finite, as far as the tape keeps numbers
    /// of the way to this tensor. An operation whose numbers nothing keeps is found by a later one that keeps its own.
    package func firstNotFinite() -> NotFinite? {
        guard case .node(let node) = innermost.origin else { return nil }
        let tape = node.tape
        var found: [Record] = []
        var known: Set<Int> = [node.index]
        var waiting = [node.index]
        while let index = waiting.popLast() {
            guard let record = tape[index] else { continue }
            found.append(record)
            waiting += record.inputs.map(\.node).filter { $0 >= 0 && known.insert($0).inserted }
        }
        var nearest: Parameter?
        for record in found.sorted(by: { $0.serial < $1.serial }) {
            nearest = record.inputs.compactMap(\.parameter).first ?? nearest
            for input in record.inputs {
                let source =
                    input.parameter == nil ? tape[input.node]?.word ?? "data for \(record.word)" : "parameter"
                if let stranger = input.notFinite(source, near: input.parameter ?? nearest) { return stranger }
            }
            for output in record.outputs {
                if let stranger = output.notFinite(record.word, near: nearest) { return stranger }
            }
        }
        return nil
    }

    /// How many numbers are NaN and how many infinite; nil where none is.
    fileprivate var strangers: (nan: Int, infinite: Int)? {
        guard nonfiniteCount > 0 else { return nil }
        func count<Number: BinaryFloatingPoint>(_ type: Number.Type) -> (nan: Int, infinite: Int)? {
            let numbers = elements(type)
            return (numbers.count(where: \.isNaN), numbers.count(where: \.isInfinite))
        }
        return switch dtype {
        case .float32: count(Float.self)
        case .float64: count(Double.self)
        case .int32, .bfloat16: nil
        }
    }
}

extension Record {
    /// What was applied, in a word or two.
    fileprivate var word: String {
        switch source {
        case .operation(let op, _): op.name
        case .recomputation: "a block that is computed again"
        case .spent: "an operation that was differentiated"
        }
    }
}

extension Saved {
    /// What is not finite in the numbers that the record keeps, if any.
    fileprivate func notFinite(_ source: String, near parameter: Parameter?) -> NotFinite? {
        storage.flatMap {
            NotFinite(in: Tensor(storage: $0, shape: shape, dtype: dtype), of: source, near: parameter)
        }
    }
}
