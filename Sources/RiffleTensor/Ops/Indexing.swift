import CKernels

extension Op {
    static let indexing: [Op] = [take, nonzero, putAdd, oneHot]

    static let take: Op = Op(
        "take", [Argument("x", .tensor), Argument("index", .tensor, "int32, counted from 1")],
        Doc(
            "Rows of x by their numbers, as an embedding looks them up.",
            shapes: "x [n, ...], index [...] -> [index's shape, ...]",
            example: "> riffle.tensor({ 5, 6, 7 }):take(riffle.tensor({ 3, 1 }, \"int32\"))\ntensor float32 [2]: 7 5"),
        keep: Keep(inputs: 0b10), bfloat16: 0b1,
        samples: [
            Sample([.random([4, 3], -2...2), .indices([2, 1, 2, 4, 4, 4], [2, 3])]),
            Sample([.random([5], -2...2), .indices([5], [])]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...3, least: 1), index = dice.shape(ranks: 0...2)
            return Sample([.random(x, -2...2), dice.indices(1...x[0], index)])
        },
        mistakes: [
            Sample([.random([4, 3], -2...2), .indices([5], [1])]),
            Sample([.random([4, 3], -2...2), .indices([0], [1])]),
        ],
        forward: { call in
            let x = call.inputs[0]
            let index = try indices(call.inputs[1], below: x)
            let row = x.shape.removing(0)
            let y = try Tensor(uninitialized: Shape(index.shape.sizes + row.sizes), x.dtype)
            withExtendedLifetime(index) {
                rk_gather_rows(
                    x.dtype.kernel, x.pointer, index.pointer.assumingMemoryBound(to: Int32.self), y.pointer,
                    index.count, row.count)
            }
            return [y]
        },
        vjp: { call, g in
            [try g[0].map { try putAdd($0, call.inputs[1], with: .integer(call.inputs[0].shape[0])) }, nil]
        },
        jvp: { call, d in [try d[0].map { try take($0, call.inputs[1]) }] })

    static let nonzero: Op = Op(
        notDifferentiable: "nonzero", [Argument("x", .tensor)],
        Doc(
            "The indices of the elements that are not 0, a row of int32 numbers from 1 for each element.",
            shapes: "x [...] -> [count, x's dimensions]",
            example: "> riffle.tensor({ 0, 7, 7 }):nonzero():tolist()\n[[2], [3]]"),
        samples: [
            Sample([.indices([0, 1, 1, 0, 0, 1], [2, 3])]), Sample([3, 2, 2]), Sample([0, 3]), Sample([] as Shape),
        ],
        draw: { dice in Sample([dice.indices(0...1, dice.shape())]) }, mistakes: [],
        forward: { call in
            let x = call.inputs[0]
            guard x.shape.sizes.allSatisfy({ $0 <= Int32.max }) else {
                throw RiffleError("", "indices of 2^31 and more do not fit int32 (x \(x.shape))")
            }
            let found = try Tensor(
                uninitialized: [rk_count_nonzero(x.dtype.kernel, x.pointer, x.count), x.rank], .int32)
            if let first = found.elements(Int32.self).baseAddress {
                rk_nonzero(x.dtype.kernel, x.pointer, Int32(x.rank), x.shape.sizes, first)
            }
            return [found]
        })

    static let putAdd: Op = Op(
        "put_add",
        [
            Argument("g", .tensor), Argument("index", .tensor, "int32, counted from 1"),
            Argument("rows", .integer(0...1 << 40)),
        ],
        Doc(
            "Adds each row of g to a row of zeros, whose number is in index: the transpose of take.",
            shapes: "g [index's shape, ...] -> [rows, ...]",
            example:
                """
                > riffle.put_add(riffle.tensor({ 1, 2, 3 }), riffle.tensor({ 2, 1, 2 }, "int32"), 2)
                tensor float32 [2]: 2 4
                """
        ),
        keep: Keep(inputs: 0b10),
        samples: [Sample([.random([2, 3, 2], -2...2), .indices([2, 1, 2, 4, 4, 4], [2, 3])], [.integer(4)])],
        draw: { dice in
            let g = dice.shape()
            let index = Shape(Array(g.sizes.prefix(dice.integer(0...g.rank))))
            let rows = dice.size(1)
            return Sample([.random(g, -2...2), dice.indices(1...rows, index)], [.integer(rows)], terms: index.count)
        },
        mistakes: [
            Sample([.random([3, 2], -2...2), .indices([5, 1, 1], [3])], [.integer(4)]),
            Sample([.random([3, 2], -2...2), .indices([1], [1])], [.integer(4)]),
        ],
        forward: { call in
            let g = call.inputs[0]
            let index = call.inputs[1]
            guard g.shape.sizes.starts(with: index.shape.sizes) else {
                throw RiffleError("", "g does not have a row for each index (g \(g.shape), index \(index.shape))")
            }
            let row = Shape(Array(g.shape.sizes.dropFirst(index.rank)))
            let y = try Tensor.zeros(row.inserting(call.attributes.integer("rows"), at: 0), g.dtype)
            let rows = try indices(index, below: y, named: "g \(g.shape)")
            withExtendedLifetime(rows) {
                rk_scatter_add_rows(
                    g.dtype.kernel, g.pointer, rows.pointer.assumingMemoryBound(to: Int32.self), y.pointer,
                    index.count, row.count)
            }
            return [y]
        },
        vjp: { call, g in [try g[0].map { try take($0, call.inputs[1]) }, nil] },
        jvp: { call, d in [try d[0].map { try call.again($0, call.inputs[1]) }] })

    static let oneHot: Op = Op(
        notDifferentiable: "one_hot",
        [Argument("index", .tensor, "int32, counted from 1"), Argument("classes", .integer(1...1 << 40))],
        Doc(
            "1 at each index and 0 elsewhere.", shapes: "index [...] -> [..., classes]",
            example: "> riffle.one_hot(riffle.tensor({ 2 }, \"int32\"), 3):reshape(3)\ntensor float32 [3]: 0 1 0"),
        samples: [Sample([.indices([2, 1, 3], [3])], [.integer(3)])],
        draw: { dice in
            let classes = dice.size(1, most: 300)
            return Sample([dice.indices(1...classes, dice.shape(ranks: 0...2))], [.integer(classes)])
        },
        mistakes: [Sample([.indices([4], [1])], [.integer(3)])],
        forward: { call in
            let index = call.inputs[0], classes = call.attributes.integer("classes")
            let y = try Tensor.zeros(Shape(index.shape.sizes + [classes]))
            let columns = try indices(
                index, below: y.viewed(as: [classes, y.count / classes]), named: "classes \(classes)")
            let ones = y.elements(Float.self)
            let from = columns.elements(Int32.self)
            withExtendedLifetime(columns) {
                for row in 0..<index.count { ones[row * classes + Int(from[row])] = 1 }
            }
            return [y]
        })

    /// The indices, checked to be rows of x, as an int32 tensor that counts from 0.
    private static func indices(_ index: Tensor, below x: Tensor, named: String? = nil) throws -> Tensor {
        guard index.dtype == .int32 else {
            throw RiffleError(
                "",
                "the index must be int32, got \(index.dtype) (index \(index.shape)); make it with riffle.tensor(list, "
                    + "\"int32\")"
            )
        }
        guard x.rank > 0 else { throw RiffleError("", "a single number has no rows (x \(x.shape))") }
        var lowest: Int32 = 0
        var highest: Int32 = 0
        rk_index_range(index.pointer.assumingMemoryBound(to: Int32.self), index.count, &lowest, &highest)
        if index.count > 0, lowest < 1 || highest > x.shape[0] {
            let hint = lowest == 0 && highest <= 1 ? "; a mask of 0 and 1 is of floats" : ""
            throw RiffleError(
                "",
                "index \(lowest < 1 ? lowest : highest) is not in 1 to \(x.shape[0]) (\(named ?? "x \(x.shape)"), "
                    + "index \(index.shape))\(hint)"
            )
        }
        let rows = try Tensor(uninitialized: index.shape, .int32)
        let from = index.elements(Int32.self)
        let to = rows.elements(Int32.self)
        for element in to.indices { to[element] = from[element] - 1 }
        return rows
    }
}

extension Tensor {
    /// The rows or numbers where a mask over the first dimensions is 1: [..., rest] by [...] gives [count, rest].
    /// - Parameter mask: 0 and 1 as floats, as comparisons give them; int32 tensors are numbers of rows.
    /// - Throws: `RiffleError` when the mask holds other numbers or does not have the sizes of the first dimensions.
    package func masked(_ mask: Tensor) throws -> Tensor {
        let shapes = "(x \(shape), mask \(mask.shape))"
        guard mask.dtype.isFloating else {
            throw RiffleError("mask", "a mask holds 0 and 1 as floats, an int32 tensor the numbers of rows \(shapes)")
        }
        guard rk_is_mask(mask.dtype.kernel, mask.pointer, mask.count) else {
            throw RiffleError(
                "mask",
                "a mask holds 0 and 1 alone \(shapes); numbers of rows are int32: riffle.tensor(list, \"int32\")")
        }
        guard mask.rank > 0, shape.sizes.starts(with: mask.shape.sizes) else {
            throw RiffleError("mask", "the mask needs the sizes of x's first dimensions \(shapes)")
        }
        let rows = try Op.nonzero(mask.detach().viewed(as: [mask.count]))
        return try reshaped(to: Shape([mask.count] + shape.sizes.dropFirst(mask.rank))).take(
            rows.viewed(as: [rows.count]))
    }
}
