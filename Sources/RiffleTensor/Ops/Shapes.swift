import CKernels

extension Op {
    static let shapes: [Op] = [
        reshape, transpose, permute, squeeze, unsqueeze, flatten,
    ]

    static let reshape: Op = linearMap(
        "reshape", [Argument("x", .tensor), Argument("shape", .shape, "one size may be -1, for all that is left")],
        Doc("The same elements in another shape.", example: "> riffle.ones(2, 3):reshape(3, -1):shape()\n[3, 2]"),
        samples: [
            Sample([2, 3], with: [.list([.integer(3), .integer(-1)])]), Sample([], with: [.list([.integer(1)])]),
        ],
        draw: { dice in
            let x = dice.shape()
            var sizes = dice.order(of: x.rank).map { x[$0] }
            if sizes.count > 1, dice.chance(0.5) { sizes[0] *= sizes.removeLast() }
            if !sizes.isEmpty, x.count > 0, dice.chance(0.4) { sizes[dice.integer(0...sizes.count - 1)] = -1 }
            let shape = Shape(sizes)
            return Sample(x, with: [.shape(shape)])
        },
        mistakes: [
            Sample([2, 3], with: [.list([.integer(4), .integer(-1)])]), Sample([2, 3], with: [.list([.integer(7)])]),
            Sample([2, 3], with: [.list([.integer(-1), .integer(-1)])]),
        ],
        bfloat16: 0b1,
        forward: { call in
            let x = call.inputs[0]
            var sizes = call.attributes.integers("shape")
            let open = sizes.indices.filter { sizes[$0] == -1 }
            guard open.count <= 1 else {
                throw RiffleError("", "one size may be -1, got \(Shape(sizes)) (x \(x.shape))")
            }
            if open.count == 1 {
                let rest = sizes.reduce(-1, &*)
                if rest > 0, x.count % rest == 0 { sizes[open[0]] = x.count / rest }
            }
            guard !sizes.contains(where: { $0 < 0 }), try Shape(sizes).checked("reshape").count == x.count else {
                throw RiffleError(
                    "", "\(x.count) elements do not fill \(Shape(call.attributes.integers("shape"))) (x \(x.shape))")
            }
            return [x.viewed(as: Shape(sizes))]
        },
        vjp: { call, g in [try g[0]?.reshaped(to: call.inputs[0].shape)] })

    static let permute: Op = linearMap(
        "permute", [Argument("x", .tensor), Argument("dims", .dims, "the old dimension for each new one")],
        Doc(
            "Puts the dimensions in another order.",
            example: "> riffle.ones(2, 3, 4):permute({ 3, 1, 2 }):shape()\n[4, 2, 3]"),
        samples: [Sample([2, 3, 4], with: [.list([2, 0, 1].map(Value.integer))])],
        draw: { dice in
            let x = dice.shape(ranks: 0...5)
            let order = dice.order(of: x.rank).map { dice.chance(0.3) ? $0 - x.rank : $0 }
            return Sample(x, with: [.dims(order)])
        },
        mistakes: [
            Sample([2, 3], with: [.list([.integer(0), .integer(0)])]), Sample([2, 3], with: [.list([.integer(0)])]),
        ],
        bfloat16: 0b1,
        forward: { call in
            let x = call.inputs[0]
            let order = try call.attributes.integers("dims").map { try x.dimension($0) }
            guard order.sorted() == Array(0..<x.rank) else {
                throw RiffleError("", "each of the \(x.rank) dimensions has to be named once (x \(x.shape))")
            }
            let sizes = x.shape.sizes
            let strides = x.shape.strides
            let y = try Tensor(uninitialized: Shape(order.map { sizes[$0] }), x.dtype)
            y.copyStrided(y.shape.sizes, from: x, steps: order.map { strides[$0] }, to: y.shape.strides)
            return [y]
        },
        vjp: { call, g in
            let x = call.inputs[0]
            let order = try call.attributes.integers("dims").map { try x.dimension($0) }
            var inverse = order
            for (new, old) in order.enumerated() { inverse[old] = new }
            return [try g[0]?.permuted(inverse)]
        })

    static let transpose: Op = Op.composed(
        "transpose",
        [
            Argument("x", .tensor), Argument("first", .dim, default: .integer(-2)),
            Argument("second", .dim, default: .integer(-1)),
        ],
        Doc(
            "Swaps two dimensions.",
            example: """
                > riffle.tensor({ { 1, 2 }, { 3, 4 } }):transpose():tolist()[1][2]
                3.0
                """),
        samples: [Sample([2, 3, 4], with: [.integer(0), .integer(2)])],
        draw: { dice in
            let x = dice.shape(ranks: 1...5)
            let first = dice.dim(of: x.rank)
            let second = dice.dim(of: x.rank)
            return Sample(x, with: [.integer(first), .integer(second)])
        },
        mistakes: [Sample([2, 3], with: [.integer(0), .integer(2)])],
        body: { call in
            let x = call.inputs[0]
            var order = Array(0..<x.rank)
            order.swapAt(
                try x.dimension(call.attributes.integer("first")), try x.dimension(call.attributes.integer("second")))
            return try x.permuted(order)
        })

    static let squeeze: Op = Op.composed(
        "squeeze", [Argument("x", .tensor), Argument("dim", .dims, "all of size 1 when not given", default: .none)],
        Doc("Removes dimensions of size 1.", example: "> riffle.ones(2, 1, 3):squeeze():shape()\n[2, 3]"),
        samples: [Sample([2, 1, 3]), Sample([1, 2, 1], with: [.integer(0)])],
        draw: { dice in
            let x = Shape(dice.shape().sizes.map { dice.chance(0.4) ? 1 : $0 })
            let dims = dice.chance(0.4) ? nil : dice.dims(of: x.rank).filter { x[$0 < 0 ? $0 + x.rank : $0] == 1 }
            return Sample(x, with: [.dims(dims)])
        },
        mistakes: [Sample([2, 3], with: [.integer(0)])],
        body: { call in
            let x = call.inputs[0]
            let dims =
                try call.attributes.has("dim")
                ? call.attributes.integers("dim").map { try x.dimension($0) } : (0..<x.rank).filter { x.shape[$0] == 1 }
            guard dims.allSatisfy({ x.shape[$0] == 1 }) else {
                throw RiffleError("", "only dimensions of size 1 can be removed (x \(x.shape))")
            }
            return try x.reshaped(
                to: Shape(x.shape.sizes.enumerated().filter { !dims.contains($0.offset) }.map(\.element)))
        })

    static let unsqueeze: Op = Op.composed(
        "unsqueeze", [Argument("x", .tensor), Argument("dim", .dim, "the index that the new dimension gets")],
        Doc("Inserts a dimension of size 1.", example: "> riffle.ones(2, 3):unsqueeze(1):shape()\n[1, 2, 3]"),
        samples: [Sample([2, 3], with: [.integer(-1)]), Sample([2, 3], with: [.integer(0)])],
        draw: { dice in
            let x = dice.shape()
            let dim = dice.dim(of: x.rank + 1)
            return Sample(x, with: [.integer(dim)])
        },
        mistakes: [Sample([2, 3], with: [.integer(3)])],
        body: { call in
            let x = call.inputs[0]
            return try x.reshaped(to: x.shape.inserting(1, at: x.newDimension(call.attributes.integer("dim"))))
        })

    static let flatten: Op = Op.composed(
        "flatten",
        [
            Argument("x", .tensor), Argument("first", .dim, default: .integer(0)),
            Argument("last", .dim, default: .integer(-1)),
        ],
        Doc(
            "Merges the dimensions from `first` to `last`.",
            example: "> riffle.ones(2, 3, 4):flatten(2):shape()\n[2, 12]"),
        samples: [Sample([2, 3, 4], with: [.integer(1), .integer(-1)])],
        draw: { dice in
            let x = dice.shape(ranks: 1...5)
            let first = dice.integer(0...x.rank - 1)
            let last = dice.integer(first...x.rank - 1) - x.rank
            return Sample(x, with: [.integer(first), .integer(last)])
        },
        mistakes: [Sample([2, 3], with: [.integer(1), .integer(0)])],
        body: { call in
            let x = call.inputs[0]
            if x.rank == 0 { return try x.reshaped(to: [1]) }
            let first = try x.dimension(call.attributes.integer("first"))
            let last = try x.dimension(call.attributes.integer("last"))
            guard first <= last else {
                throw RiffleError("", "the last dimension comes before the first (x \(x.shape))")
            }
            let sizes = x.shape.sizes
            return try x.reshaped(
                to: Shape(sizes[..<first] + [sizes[first...last].reduce(1, *)] + sizes[(last + 1)...]))
        })
}

extension Tensor {
    /// The index of a new dimension, which may be behind the last.
    func newDimension(_ dim: Int) throws -> Int {
        let index = dim < 0 ? dim + rank + 1 : dim
        guard index >= 0, index <= rank else {
            throw RiffleError("", "a new dimension \(dim < 0 ? dim : dim + 1) is out of range (x \(shape))")
        }
        return index
    }

    /// Copies a block of `sizes` from `source` into this fresh tensor; offsets and strides in elements.
    package func copyStrided(
        _ sizes: [Int], from source: Tensor, at start: Int = 0, steps sourceStrides: [Int], to strides: [Int],
        startingAt offset: Int = 0
    ) {
        if sizes.contains(0) { return }
        withExtendedLifetime(source) {
            rk_copy_strided(
                dtype.kernel, Int32(sizes.count), sizes, source.pointer + start * dtype.size, sourceStrides,
                pointer + offset * dtype.size, strides)
        }
    }
}
