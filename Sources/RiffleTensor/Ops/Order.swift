import CKernels

// Operations that depend on the order of elements: running sums, the index of an extreme, sorting, quantiles.

extension Op {
    static let orders: [Op] = [cumsum, argmax, argmin, sort, topK, quantile]

    static let cumsum: Op = linearMap(
        "cumsum",
        [
            Argument("x", .tensor), Argument("dim", .dim, default: .integer(-1)),
            Argument("reverse", .boolean, default: .boolean(false)),
        ],
        Doc(
            "Running sums along a dimension, from the end with `reverse`.",
            example: "> riffle.tensor({ 1, 2, 3 }):cumsum()\ntensor float32 [3]: 1 3 6"),
        samples: [
            Sample([2, 5, 3], with: [.integer(1), .boolean(false)]), Sample([4], with: [.integer(-1), .boolean(true)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4)
            let dim = dice.dim(of: x.rank)
            let reverse = dice.chance(0.5)
            return Sample(x, with: [.integer(dim), .boolean(reverse)], terms: x[dim < 0 ? dim + x.rank : dim])
        },
        mistakes: [Sample([2, 3], with: [.integer(2)])],
        forward: { call in
            let x = call.inputs[0]
            let dim = try x.dimension(call.attributes.integer("dim"))
            let y = try Tensor(uninitialized: x.shape, x.dtype)
            let outer = x.shape.sizes[..<dim].reduce(1, *)
            let inner = x.shape.sizes[(dim + 1)...].reduce(1, *)
            rk_cumsum(
                call.attributes.boolean("reverse"), x.dtype.kernel, x.pointer, y.pointer, outer, x.shape[dim], inner)
            return [y]
        },
        vjp: { call, g in
            let attributes: [Value] = [call.attributes[named: "dim"], .boolean(!call.attributes.boolean("reverse"))]
            return [try g[0].map { try call.op.apply([$0], attributes)[0] }]
        })

    private static func argument(_ name: String, largest: Bool, _ word: String, _ example: String) -> Op {
        Op(
            notDifferentiable: name, [Argument("x", .tensor), Argument("dim", .dim, default: .integer(-1))],
            Doc("The index of the \(word) element along a dimension, counted from 1.", example: example),
            samples: [Sample([2, 5, 3], with: [.integer(1)]), Sample([7], with: [.integer(-1)])],
            draw: { dice in
                let x = dice.shape(ranks: 1...4, least: 1)
                let dim = dice.dim(of: x.rank)
                return Sample(x, with: [.integer(dim)])
            },
            mistakes: [Sample([2, 3], with: [.integer(2)]), Sample([2, 0], with: [.integer(1)])],
            forward: { call in
                let x = call.inputs[0]
                let dim = try x.dimension(call.attributes.integer("dim"))
                guard x.shape[dim] > 0 else {
                    throw RiffleError("", "there is no element to choose from (x \(x.shape))")
                }
                let y = try Tensor(uninitialized: x.shape.removing(dim), .int32)
                let outer = x.shape.sizes[..<dim].reduce(1, *)
                let inner = x.shape.sizes[(dim + 1)...].reduce(1, *)
                rk_arg_reduce(
                    largest, x.dtype.kernel, x.pointer, y.pointer.assumingMemoryBound(to: Int32.self), outer,
                    x.shape[dim], inner)
                let numbers = y.elements(Int32.self)
                for index in numbers.indices { numbers[index] += 1 }
                return [y]
            })
    }
    static let argmax: Op = argument(
        "argmax", largest: true, "largest", "> riffle.tensor({ 1, 5, 3 }):argmax()\ntensor int32 []: 2")
    static let argmin: Op = argument(
        "argmin", largest: false, "smallest", "> riffle.tensor({ 1, 5, 3 }):argmin()\ntensor int32 []: 1")

    static let sort: Op = Op(
        "sort",
        [
            Argument("x", .tensor), Argument("dim", .dim, default: .integer(-1)),
            Argument("descending", .boolean, "the largest first", default: .boolean(false)),
        ],
        Doc(
            "Sorts a dimension; equal numbers keep their order, NaN is the largest. Returns values and indices.",
            shapes: "x [...] -> as x, and int32 indices from 1",
            example: "> riffle.tensor({ 7, 5, 6 }):sort()\ntensor float32 [3]: 5 6 7\ttensor int32 [3]: 2 3 1"),
        kind: .composed, results: 2,
        samples: [
            Sample([2, 5, 3], with: [.integer(1), .boolean(false)]),
            Sample([4, 6], with: [.integer(-1), .boolean(true)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4)
            let dim = dice.dim(of: x.rank)
            return Sample(x, with: [.integer(dim), .boolean(dice.chance(0.5))])
        },
        mistakes: [
            Sample([2, 3], with: [.integer(2), .boolean(false)]), Sample([], with: [.integer(-1), .boolean(false)]),
        ],
        forward: { call in
            let x = call.inputs[0]
            let dim = try x.dimension(call.attributes.integer("dim"))
            let isDescending = call.attributes.boolean("descending")
            return try chosen(x, dim, count: x.shape[dim]) {
                rk_sort_rows(
                    isDescending, $0.dtype.kernel, $0.pointer, nil, $1, $0.count / Swift.max($0.shape.last, 1),
                    $0.shape.last)
            }
        }, vjp: { call, _ in call.inputs.map { _ in nil } }, jvp: { call, _ in call.outputs.map { _ in nil } })

    static let topK: Op = Op(
        "topk",
        [
            Argument("x", .tensor), Argument("k", .integer(0...1 << 40)), Argument("dim", .dim, default: .integer(-1)),
            Argument("largest", .boolean, "or else the smallest", default: .boolean(true)),
        ],
        Doc(
            "The k largest along a dimension, the largest first, or the smallest. Returns values and indices.",
            shapes: "x [...] -> [..., k, ...], and int32 indices from 1",
            example: "> riffle.tensor({ 7, 5, 6 }):topk(2)\ntensor float32 [2]: 7 6\ttensor int32 [2]: 1 3"),
        kind: .composed, results: 2,
        samples: [
            Sample([2, 7, 3], with: [.integer(3), .integer(1), .boolean(true)]),
            Sample([4, 6], with: [.integer(6), .integer(-1), .boolean(false)]),
            Sample([4, 6], with: [.integer(1), .integer(-1), .boolean(true)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4)
            let dim = dice.dim(of: x.rank)
            let k = dice.integer(0...x[dim < 0 ? dim + x.rank : dim])
            return Sample(x, with: [.integer(k), .integer(dim), .boolean(dice.chance(0.5))])
        },
        mistakes: [
            Sample([2, 3], with: [.integer(4), .integer(-1), .boolean(true)]),
            Sample([], with: [.integer(1), .integer(-1), .boolean(true)]),
        ],
        forward: { call in
            let x = call.inputs[0]
            let dim = try x.dimension(call.attributes.integer("dim"))
            let k = call.attributes.integer("k")
            let isLargest = call.attributes.boolean("largest")
            guard k <= x.shape[dim] else {
                throw RiffleError("", "dimension \(dim + 1) has \(x.shape[dim]) elements, not \(k) (x \(x.shape))")
            }
            return try chosen(x, dim, count: k) {
                rk_top_rows(
                    isLargest, $0.dtype.kernel, $0.pointer, $1, $0.count / Swift.max($0.shape.last, 1), $0.shape.last, k
                )
            }
        }, vjp: { call, _ in call.inputs.map { _ in nil } }, jvp: { call, _ in call.outputs.map { _ in nil } })

    /// Elements along a dimension, and their indices from 1. The values are taken by their indices, so that the rules
    /// are those of `take`.
    /// - Parameter order: writes `count` indices, from 0, for each row of a tensor.
    private static func chosen(
        _ x: Tensor, _ dim: Int, count: Int, _ order: (Tensor, UnsafeMutablePointer<Int32>) -> Bool
    ) throws -> [Tensor] {
        guard x.count <= Int32.max else {
            throw RiffleError("", "indices of 2^31 elements and more do not fit int32 (x \(x.shape))")
        }
        let last = x.rank - 1
        let rows = dim == last ? x : try x.transposed(dim, last)
        let n = rows.shape.last
        let indices = try Tensor(uninitialized: rows.shape.replacing(last, with: count), .int32)
        let whole = try Tensor(uninitialized: indices.shape, .int32)
        let order32 = indices.elements(Int32.self).baseAddress
        let whole32 = whole.elements(Int32.self).baseAddress
        if let order32, let whole32, indices.count > 0 {
            try workspace(order(rows, order32))
            rk_indices_from_one(order32, whole32, indices.count / count, count, n)
        }
        let values = try rows.reshaped(to: [x.count]).take(whole)
        return try [values, indices].map { dim == last ? $0 : try $0.transposed(dim, last) }
    }

    static let quantile: Op = composed(
        "quantile",
        [
            Argument("x", .tensor),
            Argument(
                "q", .list(.fraction(0...1)), "0.5 for the median; a list gives a new first dimension of its length"
            ),
            Argument("dim", .dim, "all when not given", default: .none),
            Argument("keep", .boolean, "whether the reduced dimension stays, with size 1", default: .boolean(false)),
        ],
        Doc(
            "The quantiles of the elements, with linear interpolation between neighbours.",
            shapes: "x [...] -> without the reduced dimension, behind [q] for a list",
            example: "> riffle.tensor({ 4, 1, 2, 3 }):quantile({ 0.5, 1 })\ntensor float32 [2]: 2.5 4"),
        samples: [
            Sample([2, 5, 3], with: [.number(0.3), .integer(1), .boolean(false)]),
            Sample([7], with: [.list([.number(0), .number(0.5), .number(0.9)])]),
            Sample([3, 4], with: [.list([.number(0.25)]), .integer(-1), .boolean(true)]),
            Sample([2, 3], with: [.number(1), .none, .boolean(true)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4, least: 1)
            let dim = dice.chance(0.3) ? Value.none : .integer(dice.dim(of: x.rank))
            let parts = (0..<dice.integer(1...3)).map { _ in Value.number(dice.pick([0, 0.3, 0.5, 1])) }
            return Sample(x, with: [dice.chance(0.5) ? parts[0] : .list(parts), dim, .boolean(dice.chance(0.5))])
        },
        mistakes: [
            Sample([2, 3], with: [.number(0.5), .integer(2)]), Sample([2, 0], with: [.number(0.5), .integer(1)]),
            Sample([0], with: [.number(0.5)]),
        ],
        body: { call in
            let x = try call.inputs[0].floating(), isWhole = !call.attributes.has("dim")
            let dim = isWhole ? 0 : try x.dimension(call.attributes.integer("dim"))
            let sorted = try sort.apply([isWhole ? x.reshaped(to: [x.count]) : x], [.integer(dim), .boolean(false)])[0]
            let n = sorted.shape[dim]
            guard n > 0 else { throw RiffleError("", "there is no element to choose from (x \(x.shape))") }
            let kept = isWhole ? Shape([Int](repeating: 1, count: x.rank)) : x.shape.replacing(dim, with: 1)
            let shape = call.attributes.boolean("keep") ? kept : isWhole ? [] : x.shape.removing(dim)
            // NaN is sorted last; where there is one, every quantile is NaN.
            let last = try sorted.sliced(dim, n - 1..<n)
            let unknown = try isNaN(last)
            let found = try call.attributes.list("q").map { part in
                try last.where(unknown, else: between(sorted, dim, Arguments([part]).number(0) * Double(n - 1)))
                    .reshaped(to: shape)
            }
            if case .list = call.attributes[named: "q"] { return try Tensor.stack(found) }
            return found[0]
        })

    /// The value at a fractional index, from 0, along a sorted dimension. Weights in float64 leave equal neighbours
    /// unchanged.
    private static func between(_ sorted: Tensor, _ dim: Int, _ index: Double) throws -> Tensor {
        let low = Int(index)
        let part = index - Double(low)
        let lower = try sorted.sliced(dim, low..<low + 1)
        guard part > 0 else { return lower }
        let upper = try sorted.sliced(dim, low + 1..<low + 2)
        return try (lower.cast(.float64) * (1 - part) + upper.cast(.float64) * part).cast(sorted.dtype)
    }
}
