/// Functions that make tensors out of numbers, sizes and randomness.
package enum Creation {
    private static let shape = Argument("shape", .shape, "sizes, as numbers or one list")
    private static let dtype = Argument("dtype", .dtype, default: .string("float32"))

    package static let functions: [Function] = [
        Function(
            "tensor", [Argument("values", .any, "a number or nested lists of numbers"), dtype],
            Doc("A tensor of the given numbers.", example: "> riffle.tensor { { 1, 2 }, { 3, 4 } }:shape()\n[2, 2]")
        ) { arguments in
            if let tensor = arguments.optionalTensor(0) {
                return [.tensor(try tensor.detach().cast(arguments.dtype(1)))]
            }
            var sizes: [Int] = []
            var numbers: [Double] = []
            try collect(arguments[0], depth: 0, &sizes, &numbers)
            return [.tensor(try counted(Shape(sizes), arguments.dtype(1)) { numbers[$0] })]
        },
        filled("zeros", 0, "[2, 3]"), filled("ones", 1, "[2, 3]"),
        Function(
            "full", [Argument("shape", .list(.integer(0...Int.max))), Argument("value", .number), dtype],
            Doc("A tensor with one number everywhere.", example: "> riffle.full({ 2 }, 7)\ntensor float32 [2]: 7 7")
        ) {
            if $0.dtype(2) == .int32 { _ = try whole($0.number(1)) }
            return [.tensor(try .full($0.shape(0).checked("full"), $0.number(1), $0.dtype(2)))]
        },
        Function(
            "arange",
            [
                Argument("first", .number), Argument("last", .number, "included"),
                Argument("step", .number, default: .number(1)), dtype,
            ],
            Doc(
                "The numbers from first on in equal steps; last is included where the steps reach it up to rounding.",
                example: "> riffle.arange(1, 4)\ntensor float32 [4]: 1 2 3 4")
        ) { arguments in
            let first = arguments.number(0)
            let last = arguments.number(1)
            let step = arguments.number(2)
            let count = ((last - first) / step * (1 + 1e-12)).rounded(.down) + 1
            if count.isFinite, count >= 1e15 {
                throw RiffleError(
                    "arange", "steps of \(step) from \(first) to \(last) are more numbers than any memory holds")
            }
            guard step != 0, count.isFinite, count > -1e15 else {
                throw RiffleError("arange", "steps of \(step) do not lead from \(first) to \(last)")
            }
            return [.tensor(try counted([Swift.max(0, Int(count))], arguments.dtype(3)) { first + Double($0) * step })]
        },
        Function(
            "linspace",
            [
                Argument("first", .number), Argument("last", .number), Argument("count", .integer(1...1_000_000_000)),
                dtype,
            ],
            Doc(
                "Evenly spaced numbers, both ends included.",
                example: "> riffle.linspace(0, 1, 5)\ntensor float32 [5]: 0 0.25 0.5 0.75 1")
        ) { arguments in
            let first = arguments.number(0)
            let last = arguments.number(1)
            let count = arguments.integer(2)
            return [
                .tensor(
                    try counted([count], arguments.dtype(3)) {
                        count == 1 ? first : first + (last - first) * Double($0) / Double(count - 1)
                    })
            ]
        },
        Function(
            "eye", [Argument("size", .integer(0...100_000)), dtype],
            Doc("The identity matrix.", example: "> riffle.eye(2):tolist()[2][2]\n1.0")
        ) { arguments in
            let size = arguments.integer(0)
            return [.tensor(try counted([size, size], arguments.dtype(1)) { $0 % (size + 1) == 0 ? 1 : 0 })]
        },
        Function(
            "rand", [shape, dtype],
            Doc(
                "Uniform random numbers in [0, 1).", example: "> riffle.rand(2, 3):shape()\n[2, 3]",
                source: "Philox4x32-10, Salmon et al. 2011")
        ) { [.tensor(try .rand($0.shape(0).checked("rand"), $0.dtype(1)))] },
        Function(
            "randn", [shape, dtype],
            Doc(
                "Standard normal random numbers.", example: "> riffle.randn(2, 3):shape()\n[2, 3]",
                source: "Philox4x32-10 and Box-Muller")
        ) { [.tensor(try .randn($0.shape(0).checked("randn"), $0.dtype(1)))] },
        Function(
            "randint", [Argument("largest", .integer(1...Int(Int32.max))), shape],
            Doc(
                "Random int32 numbers from 1 to the largest.",
                example: "> riffle.randint(1, 3)\ntensor int32 [3]: 1 1 1")
        ) { [.tensor(try Context.current.random.integers($0.shape(1).checked("randint"), through: $0.integer(0)))] },
        Function(
            "randperm", [Argument("count", .integer(0...Int(Int32.max)))],
            Doc("The numbers 1 to count in random order, int32.", example: "> riffle.randperm(5):shape()\n[5]")
        ) { [.tensor(try Context.current.random.permutation($0.integer(0)))] },
        Function(
            "seed",
            [
                Argument("seed", .integer(0...Int.max)),
                Argument(
                    "first", .integer(1...Int.max),
                    "the number of the sample that the first row of each draw [n, ...] belongs to", default: .integer(1)
                ),
            ],
            Doc(
                "Starts the random numbers afresh from a seed; samples get the same numbers in batches of any size.",
                example:
                    """
                    > riffle.seed(3); local all = riffle.randn(64, 2)
                    > riffle.seed(3, { first = 17 }); return all[17][2]:item() == riffle.randn(1, 2)[1][2]:item()
                    true
                    """)
        ) {
            Context.current.random = RandomSource(
                seed: UInt64($0.integer(0)), samplesBefore: $0.integer("first") - 1)
            return []
        },
        Function(
            "dropout", [Argument("x", .tensor), Argument("probability", .fraction(0...0.999))],
            Doc(
                "Zeroes elements at random and scales the rest up, so that the mean stays.",
                example: "> riffle.dropout(riffle.ones(3), 0)\ntensor float32 [3]: 1 1 1")
        ) { [.tensor(try $0.tensor(0).dropout($0.number(1)))] },
    ]

    /// A tensor whose numbers are computed from their indices, in memory of the tensor's type from the start.
    /// - Throws: `RiffleError` at a number that a tensor of `dtype` would change beyond rounding.
    private static func counted(_ shape: Shape, _ dtype: DType, _ number: (Int) -> Double) throws -> Tensor {
        let tensor = try Tensor(uninitialized: shape.checked("tensor"), dtype)
        func fill<Element>(_ convert: (Double) throws -> Element) rethrows {
            let elements = tensor.elements(Element.self)
            for index in elements.indices { elements[index] = try convert(number(index)) }
        }
        switch dtype {
        case .float32: fill(Float.init)
        case .float64: fill { $0 }
        case .int32: try fill(whole)
        case .bfloat16: return try counted(shape, .float32, number).converted(to: .bfloat16)
        }
        return tensor
    }

    /// - Throws: `RiffleError` where int32 does not hold the number.
    private static func whole(_ number: Double) throws -> Int32 {
        guard let whole = Int32(exactly: number) else {
            throw RiffleError("", "int32 holds whole numbers of less than 2^31, got \(number)")
        }
        return whole
    }

    private static func filled(_ name: String, _ value: Double, _ shape: String) -> Function {
        Function(
            name, [Self.shape, dtype], Doc("A tensor of \(name).", example: "> riffle.\(name)(2, 3):shape()\n\(shape)")
        ) { [.tensor(try .full($0.shape(0).checked(name), value, $0.dtype(1)))] }
    }

    /// Walks nested lists of one shape.
    private static func collect(_ value: Value, depth: Int, _ sizes: inout [Int], _ numbers: inout [Double]) throws {
        switch value {
        case .number(let number): numbers.append(number)
        case .integer(let integer): numbers.append(Double(integer))
        case .boolean(let flag): numbers.append(flag ? 1 : 0)
        case .list(let items):
            if depth == sizes.count {
                guard numbers.isEmpty else { throw RiffleError("tensor", "numbers and lists stand side by side") }
                sizes.append(items.count)
            }
            guard items.count == sizes[depth] else {
                throw RiffleError(
                    "tensor",
                    "a list of \(items.count) stands beside one of \(sizes[depth]); rows must be of equal length")
            }
            let before = numbers.count
            for item in items { try collect(item, depth: depth + 1, &sizes, &numbers) }
            guard depth + 1 < sizes.count || numbers.count == before + items.count else {
                throw RiffleError("tensor", "numbers and lists stand side by side")
            }
        case .string(let text):
            throw RiffleError(
                "tensor",
                "numbers and lists of numbers make a tensor, and '\(text)' is a string; tonumber makes a number of it")
        case .tensor:
            throw RiffleError("tensor", "numbers and lists of numbers make a tensor; riffle.stack joins tensors")
        default: throw RiffleError("tensor", "only numbers and lists of numbers make a tensor")
        }
        if depth < sizes.count, case .list = value { return }
        guard depth == sizes.count else { throw RiffleError("tensor", "numbers and lists stand side by side") }
    }
}
