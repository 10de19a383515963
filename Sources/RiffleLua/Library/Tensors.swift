import RiffleTensor

/// Tensors and parameters: what Lua sees beside the table of operations.
enum TensorLibrary {
    private static let x = Argument("x", .tensor)

    static let functions: [Function] = [
        Function(
            "tensor:shape", [x],
            Doc("The sizes of all dimensions, as a list.", example: "> riffle.zeros(2, 3):shape()\n[2, 3]")
        ) { [.list($0.tensor(0).shape.sizes.map(Value.integer))] },
        Function(
            "tensor:size", [x, Argument("dim", .dim)],
            Doc("The size of one dimension.", example: "> riffle.zeros(2, 3):size(-1)\n3")
        ) { arguments in
            let (shape, dim) = (arguments.tensor(0).shape, arguments.integer(1))
            let index = dim < 0 ? dim + shape.rank : dim
            guard index >= 0, index < shape.rank else {
                throw RiffleError("size", "there is no dimension \(dim < 0 ? dim : dim + 1) (x \(shape))")
            }
            return [.integer(shape[index])]
        },
        Function("tensor:rank", [x], Doc("The number of dimensions.", example: "> riffle.zeros(2, 3):rank()\n2")) {
            [.integer($0.tensor(0).rank)]
        },
        Function("tensor:count", [x], Doc("The number of elements.", example: "> riffle.zeros(2, 3):count()\n6")) {
            [.integer($0.tensor(0).count)]
        },
        Function("tensor:dtype", [x], Doc("The type of the elements.", example: "> riffle.zeros(2):dtype()\nfloat32")) {
            [.string($0.tensor(0).dtype.description)]
        },
        Function(
            "tensor:item", [x],
            Doc("The number in a tensor of one element.", example: "> riffle.tensor({ 1, 2 }):sum():item()\n3.0")
        ) { arguments in
            let tensor = arguments.tensor(0), number = try tensor.item()
            return [tensor.dtype == .int32 ? .integer(Int(number)) : .number(number)]
        },
        Function(
            "tensor:tolist", [x],
            Doc(
                "The numbers as nested lists.",
                example: "> riffle.tensor({ { 1, 2 }, { 3, 4 } }):tolist()\n[[1.0, 2.0], [3.0, 4.0]]")
        ) { [try nested($0.tensor(0))] },
        Function(
            "tensor:masked", [x, Argument("mask", .tensor, "0 and 1 as floats, as comparisons give them")],
            Doc(
                "The rows or numbers of x where a mask over its first dimensions is 1: x[mask].",
                shapes: "x [..., rest], mask [...] -> [count, rest]",
                example: "> local x = riffle.tensor { 5, 6, 7 }\n> x[x:gt(5)]\ntensor float32 [2]: 6 7")
        ) { [.tensor(try $0.tensor(0).masked($0.tensor(1)))] },
        Function(
            "parameter:assign", [Argument("parameter", .object("parameter")), Argument("value", .tensor)],
            Doc(
                "Replaces the value of a parameter.",
                example:
                    """
                    > local w = riffle.parameter(riffle.ones(2)); w:assign(riffle.zeros(2)); return w:tolist()
                    [0.0, 0.0]
                    """
            )
        ) {
            try $0.object(0, as: Parameter.self).assign($0.tensor(1))
            return []
        },
    ]

    static let classes: [ObjectClass] = [
        ObjectClass(
            "tensor", Tensor.self,
            Doc(
                "Numbers in a shape: immutable, contiguous, row-major. x[1] is the first row, #x the number of rows, "
                    + "x[mask] picks."
            ),
            count: { $0.shape.sizes.first ?? 0 }, index: { try row($0, $1) }, metamethods: arithmetic,
            describe: { $0.description }),
        ObjectClass(
            "parameter", Parameter.self, Doc("A tensor that gradients reach and training changes."), extends: "tensor",
            properties: [
                Property(
                    "grad", .tensor, "The gradient that backward() brought, or nil.", takesNil: true,
                    get: { $0.gradient.map(Value.tensor) ?? .none },
                    set: { try $0.replace(gradient: $1.optionalTensor(0)) }),
                Property(
                    "trainable", .boolean, "Whether gradients reach it.",
                    get: { .boolean($0.isTrainable) }, set: { try $0.choose(isTrainable: $1.boolean(0)) }),
            ],
            count: { $0.shape.sizes.first ?? 0 }, index: { try row($0.tensor.widened(), $1) }, metamethods: arithmetic,
            describe: { "parameter" + $0.value.description.dropFirst("tensor".count) }),
    ]

    /// Operators are operations of the table.
    private static let arithmetic: [String: Function] = {
        let functions = Dictionary(uniqueKeysWithValues: Op.all.map { ($0.name, $0.function) })
        let names = ["__add": "add", "__sub": "sub", "__mul": "mul", "__div": "div", "__pow": "pow"]
        var operators = names.compactMapValues { functions[$0] }
        if let negate = functions["neg"] {
            // Lua gives an unary operator its operand twice.
            operators["__unm"] = Function("neg", [x, Argument("again", .any)], Doc("")) {
                try negate.body(Arguments([$0[0]]))
            }
        }
        for (name, method) in ["__lt": "lt", "__le": "le"] {
            operators[name] = Function("tensor:\(name)", [Argument("a", .any), Argument("b", .any)], Doc("")) { _ in
                throw RiffleError(
                    "", "Lua's comparisons give one truth; x:\(method)(y), and gt, ge, eq, ne, compare number by number"
                )
            }
        }
        return operators
    }()

    /// x[index]: a row, or for a tensor the rows that its int32 numbers name, or that its floats, a mask, count in.
    private static func row(_ x: Tensor, _ index: Value) throws -> Value? {
        switch index {
        case .integer(let index): return .tensor(try row(x, index))
        case .number(let number): if let index = Int(exactly: number) { return .tensor(try row(x, index)) }
        case .tensor(let index): return .tensor(try index.dtype.isFloating ? x.masked(index) : x.take(index))
        case .list, .table:
            throw RiffleError(
                "",
                "a list is no index: x[riffle.tensor({ 1, 3 }, \"int32\")] takes rows 1 and 3, x[1][3] the number in "
                    + "row 1 and column 3"
            )
        default: break
        }
        return nil
    }

    private static func row(_ x: Tensor, _ index: Int) throws -> Tensor {
        guard let size = x.shape.sizes.first else {
            throw RiffleError("", "a tensor without dimensions cannot be indexed; x:item() is its number")
        }
        let row = index < 0 ? index + size : index - 1
        guard index != 0, row >= 0, row < size else {
            throw RiffleError("", "index \(index) is not in 1 to \(size), nor -\(size) to -1 (x \(x.shape))")
        }
        return try x.sliced(0, row..<(row + 1)).reshaped(to: x.shape.removing(0))
    }

    private static func nested(_ x: Tensor) throws -> Value {
        // A number of a list takes about 80 bytes on its way to Lua and there.
        try Memory.check(80 * x.count)
        let numbers = try x.doubles()
        let leaf: (Double) -> Value = x.dtype == .int32 ? { .integer(Int($0)) } : { .number($0) }
        func nested(_ dim: Int, _ offset: Int) -> Value {
            if dim == x.rank { return leaf(numbers[offset]) }
            let step = x.shape.strides[dim]
            return .list((0..<x.shape[dim]).map { nested(dim + 1, offset + $0 * step) })
        }
        return nested(0, 0)
    }
}

extension Parameter {
    fileprivate func choose(isTrainable: Bool) throws {
        guard !isTrainable || dtype != .bfloat16 else {
            throw RiffleError("parameter.trainable", "a parameter that is kept as bfloat16 stands still")
        }
        self.isTrainable = isTrainable
    }

    fileprivate func replace(gradient: Tensor?) throws {
        guard gradient == nil || gradient?.shape == shape else {
            throw RiffleError("parameter.grad", "the gradient must be \(shape), got \(gradient?.shape ?? [])")
        }
        self.gradient = gradient?.detach()
    }
}
