// Operations that take parts of a dimension, and that put tensors together along one.

extension Op {
    static let slices: [Op] = [slice, cat, stack, split, flip, pad, `repeat`]

    static let slice: Op = linearMap(
        "slice",
        [
            Argument("x", .tensor), Argument("dim", .dim), Argument("from", .index),
            Argument("to", .index, "included", default: .integer(-1)),
        ],
        Doc(
            "The part of a dimension from one index to another, both included.",
            example: "> riffle.tensor({ 1, 2, 3, 4 }):slice(1, 2, 3)\ntensor float32 [2]: 2 3"),
        samples: [
            Sample([2, 5, 3], with: [.integer(1), .integer(1), .integer(-2)]),
            Sample([4], with: [.integer(0), .integer(2), .integer(2)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4, least: 1), dim = dice.integer(0...x.rank - 1)
            let from = dice.integer(0...x[dim] - 1)
            let to = dice.integer(from...x[dim] - 1) - (dice.chance(0.3) ? x[dim] : 0)
            return Sample(x, with: [.integer(dim), .integer(from), .integer(to)])
        },
        mistakes: [Sample([2, 3], with: [.integer(1), .integer(1), .integer(3)])],
        bfloat16: 0b1,
        forward: { call in
            let x = call.inputs[0]
            let (dim, range) = try sliceRange(call, x)
            let y = try Tensor(uninitialized: x.shape.replacing(dim, with: range.count), x.dtype)
            y.copyStrided(
                y.shape.sizes, from: x, at: range.lowerBound * x.shape.strides[dim], steps: x.shape.strides,
                to: y.shape.strides)
            return [y]
        },
        vjp: { call, g in
            let x = call.inputs[0]
            let (dim, range) = try sliceRange(call, x)
            return [try g[0]?.padded(dim, before: range.lowerBound, after: x.shape[dim] - range.upperBound)]
        })

    private static func sliceRange(_ call: Call, _ x: Tensor) throws -> (Int, Range<Int>) {
        let dim = try x.dimension(call.attributes.integer("dim"))
        let size = x.shape[dim]
        let from = call.attributes.integer("from")
        let to = call.attributes.integer("to")
        let first = from < 0 ? from + size : from
        let last = to < 0 ? to + size : to
        guard first >= 0, first <= last + 1, last < size else {
            throw RiffleError(
                "",
                "indices \(from < 0 ? from : from + 1) to \(to < 0 ? to : to + 1) are not within dimension \(dim + 1) "
                    + "(x \(x.shape))"
            )
        }
        return (dim, first..<(last + 1))
    }

    static let pad: Op = linearMap(
        "pad",
        [
            Argument("x", .tensor), Argument("dim", .dim), Argument("before", .integer(0...1 << 40)),
            Argument("after", .integer(0...1 << 40), default: .integer(0)),
        ],
        Doc(
            "Puts zeros before and after along a dimension.",
            example: "> riffle.ones(2):pad(1, 1, 2)\ntensor float32 [5]: 0 1 1 0 0"),
        samples: [Sample([2, 3], with: [.integer(1), .integer(1), .integer(2)])],
        draw: { dice in
            let x = dice.shape(ranks: 1...4)
            let dim = dice.dim(of: x.rank)
            let before = dice.integer(0...9)
            let after = dice.integer(0...9)
            return Sample(x, with: [.integer(dim), .integer(before), .integer(after)])
        },
        mistakes: [Sample([2, 3], with: [.integer(2), .integer(1), .integer(0)])],
        forward: { call in
            let x = call.inputs[0]
            let dim = try x.dimension(call.attributes.integer("dim"))
            let before = call.attributes.integer("before")
            let after = call.attributes.integer("after")
            let y = try Tensor.zeros(
                x.shape.replacing(dim, with: x.shape[dim] + before + after).checked("pad"), x.dtype)
            y.copyStrided(
                x.shape.sizes, from: x, steps: x.shape.strides, to: y.shape.strides,
                startingAt: before * y.shape.strides[dim])
            return [y]
        },
        vjp: { call, g in
            let x = call.inputs[0]
            let dim = try x.dimension(call.attributes.integer("dim"))
            let before = call.attributes.integer("before")
            return [try g[0]?.sliced(dim, before..<(before + x.shape[dim]))]
        })

    static let cat: Op = linearMap(
        "cat", [Argument("tensors", .tensors), Argument("dim", .dim, default: .integer(0))],
        Doc(
            "Puts tensors one after another along a dimension.",
            example: "> riffle.cat({ riffle.ones(2), riffle.zeros(1) })\ntensor float32 [3]: 1 1 0"),
        samples: [Sample([2, 3], [2, 1], [2, 2], with: [.integer(1)]), Sample([2], with: [.integer(0)])],
        draw: { dice in
            let first = dice.shape(ranks: 1...4), dim = dice.integer(0...first.rank - 1)
            let parts = [first] + (0..<dice.integer(0...3)).map { _ in first.replacing(dim, with: dice.size(most: 20)) }
            let named = dice.chance(0.3) ? dim - first.rank : dim
            return Sample(parts.map { .random($0, -2...2) }, [.integer(named)])
        },
        mistakes: [Sample([2, 3], [3, 3], with: [.integer(1)]), Sample([2, 3], [2], with: [.integer(0)])],
        forward: { call in
            guard let first = call.inputs.first else { throw RiffleError("", "there are no tensors to join") }
            let dim = try first.dimension(call.attributes.integer("dim"))
            let dtype = call.inputs.map(\.dtype).reduce(first.dtype) { $0.joined(with: $1) }
            for x in call.inputs
            where x.rank != first.rank || x.shape.replacing(dim, with: 0) != first.shape.replacing(dim, with: 0) {
                throw RiffleError(
                    "",
                    "the shapes differ in more than dimension \(dim + 1) "
                        + "(\(call.inputs.map(\.shape.description).joined(separator: ", ")))"
                )
            }
            let y = try Tensor(
                uninitialized: first.shape.replacing(dim, with: call.inputs.reduce(0) { $0 + $1.shape[dim] }), dtype)
            var start = 0
            for x in call.inputs {
                y.copyStrided(
                    x.shape.sizes, from: try x.converted(to: dtype), steps: x.shape.strides, to: y.shape.strides,
                    startingAt: start * y.shape.strides[dim])
                start += x.shape[dim]
            }
            return [y]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            let dim = try call.inputs[0].dimension(call.attributes.integer("dim"))
            var start = 0
            return try call.inputs.enumerated().map { index, x in
                defer { start += x.shape[dim] }
                return call.wants(index) ? try g.sliced(dim, start..<(start + x.shape[dim])) : nil
            }
        })

    static let stack: Op = Op.composed(
        "stack", [Argument("tensors", .tensors), Argument("dim", .dim, "the new dimension", default: .integer(0))],
        Doc(
            "Puts tensors of one shape side by side along a new dimension.",
            example: "> riffle.stack({ riffle.ones(2), riffle.zeros(2) }, 2):tolist()[2][1]\n1.0"),
        samples: [Sample([2, 3], [2, 3], with: [.integer(1)]), Sample([2], [2], with: [.integer(-1)])],
        draw: { dice in
            let x = dice.shape()
            let dim = dice.dim(of: x.rank + 1)
            let count = dice.integer(1...4)
            return Sample([Sample.Input](repeating: .random(x, -2...2), count: count), [.integer(dim)])
        },
        mistakes: [Sample([2, 3], [3, 2], with: [.integer(0)])],
        body: { call in
            guard let first = call.inputs.first else { throw RiffleError("", "there are no tensors to stack") }
            if let other = call.inputs.first(where: { $0.shape != first.shape }) {
                throw RiffleError("", "the shapes differ (\(first.shape), \(other.shape))")
            }
            let dim = try first.newDimension(call.attributes.integer("dim"))
            return try Tensor.cat(call.inputs.map { try $0.unsqueezed(dim) }, dim)
        })

    static let split: Op = Op(
        "split",
        [
            Argument("x", .tensor),
            Argument("sizes", .list(.integer(0...1 << 40)), "the size of each part, or one size for all"),
            Argument("dim", .dim, default: .integer(0)),
        ],
        Doc(
            "Cuts a dimension into parts of the given sizes.",
            example: "> riffle.tensor({ 1, 2, 3 }):split({ 1, 2 })[2]\ntensor float32 [2]: 2 3"),
        keep: .nothing, results: .max,
        samples: [
            Sample([5, 2], with: [.list([.integer(2), .integer(3)]), .integer(0)]),
            Sample([2, 4], with: [.integer(2), .integer(1)]),
        ],
        draw: { dice in
            let part = dice.shape(ranks: 1...4), dim = dice.integer(0...part.rank - 1), count = dice.integer(1...4)
            if part[dim] > 0, dice.chance(0.3) {
                return Sample(part.replacing(dim, with: count * part[dim]), with: [.integer(part[dim]), .integer(dim)])
            }
            let sizes = [part[dim]] + (1..<count).map { _ in dice.size(most: 20) }
            return Sample(part.replacing(dim, with: sizes.reduce(0, +)), with: [.dims(sizes), .integer(dim)])
        },
        mistakes: [
            Sample([5, 2], with: [.list([.integer(2), .integer(2)]), .integer(0)]),
            Sample([5, 2], with: [.integer(2), .integer(0)]),
        ],
        forward: { call in
            let x = call.inputs[0]
            let dim = try x.dimension(call.attributes.integer("dim"))
            var sizes = call.attributes.integers("sizes")
            if case .integer(let size) = call.attributes[named: "sizes"], size > 0, x.shape[dim] % size == 0 {
                let parts = Swift.max(1, x.shape[dim] / size)
                try Memory.check(parts * MemoryLayout<Int>.stride)
                sizes = [Int](repeating: Swift.min(size, x.shape[dim]), count: parts)
            }
            guard sizes.reduce(0, +) == x.shape[dim] else {
                let hint =
                    if case .integer = call.attributes[named: "sizes"] {
                        "; name the size of every part where they differ"
                    } else { "" }
                throw RiffleError(
                    "", "parts of \(Shape(sizes)) do not make up dimension \(dim + 1) (x \(x.shape))\(hint)")
            }
            var start = 0
            return try sizes.map { size in
                defer { start += size }
                let y = try Tensor(uninitialized: x.shape.replacing(dim, with: size), x.dtype)
                y.copyStrided(
                    y.shape.sizes, from: x, at: start * x.shape.strides[dim], steps: x.shape.strides,
                    to: y.shape.strides)
                return y
            }
        },
        vjp: { call, g in
            let dim = try call.inputs[0].dimension(call.attributes.integer("dim"))
            return [try Tensor.cat(zip(g, call.outputs).map { try $0 ?? .zeros($1.shape, $1.dtype) }, dim)]
        },
        jvp: { call, d in
            try d[0].map { try call.op.apply([$0], call.attributes.values) } ?? call.outputs.map { _ in nil }
        })

    static let flip: Op = linearMap(
        "flip", [Argument("x", .tensor), Argument("dim", .dim)],
        Doc("Reverses a dimension.", example: "> riffle.tensor({ 1, 2, 3 }):flip(1)\ntensor float32 [3]: 3 2 1"),
        samples: [Sample([2, 3, 2], with: [.integer(1)])],
        draw: { dice in
            let x = dice.shape(ranks: 1...4)
            let dim = dice.dim(of: x.rank)
            return Sample(x, with: [.integer(dim)])
        },
        mistakes: [Sample([2, 3], with: [.integer(2)])],
        forward: { call in
            let x = call.inputs[0]
            let dim = try x.dimension(call.attributes.integer("dim"))
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            guard x.count > 0 else { return [y] }
            var strides = x.shape.strides
            strides[dim] = -strides[dim]
            y.copyStrided(
                x.shape.sizes, from: x, at: (x.shape[dim] - 1) * x.shape.strides[dim], steps: strides,
                to: y.shape.strides)
            return [y]
        },
        vjp: { call, g in [try g[0].map { try call.again($0) }] })

    static let `repeat`: Op = Op.composed(
        "repeat_", [Argument("x", .tensor), Argument("counts", .shape, "how often, for each dimension")],
        Doc(
            "Repeats the whole tensor along its dimensions.",
            example: "> riffle.tensor({ 1, 2 }):repeat_(2)\ntensor float32 [4]: 1 2 1 2"),
        samples: [Sample([2, 3], with: [.list([.integer(2), .integer(1)])])],
        draw: { dice in
            let x = dice.shape()
            let counts = x.sizes.map { _ in dice.integer(0...3) }
            return Sample(x, with: [.dims(counts)])
        },
        mistakes: [Sample([2, 3], with: [.list([.integer(2)])])],
        body: { call in
            let x = call.inputs[0], counts = call.attributes.integers("counts")
            guard counts.count == x.rank, !counts.contains(where: { $0 < 0 }) else {
                throw RiffleError("", "one count for each dimension is needed, got \(Shape(counts)) (x \(x.shape))")
            }
            let spread = zip(x.shape.sizes, counts)
            return try x.reshaped(to: Shape(spread.flatMap { [1, $0.0] })).expanded(
                to: Shape(spread.flatMap { [$0.1, $0.0] })
            )
            .reshaped(to: Shape(spread.map { $0.0 * $0.1 }))
        })
}
