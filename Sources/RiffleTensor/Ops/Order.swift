import CKernels

// What depends on the order of elements: sorted ones, the first few of them, and what stands at a part of the way.

extension Op {
    static let orders: [Op] = [sort, topK, quantile]

    static let sort: Op = Op(
        "sort",
        [
            Argument("x", .tensor), Argument("dim", .dim, default: .integer(-1)),
            Argument("descending", .boolean, "the largest first", default: .boolean(false)),
        ],
        Doc(
            "Sorts a dimension; equal ones keep their order, NaN counts as largest. Returns values and places.",
            shapes: "x [...] -> as x, and int32 places from 1",
            example: "> riffle.tensor({ 7, 5, 6 }):sort()\ntensor float32 [3]: 5 6 7\ttensor int32 [3]: 2 3 1"),
        kind: .composed, results: 2,
        samples: [
            Sample([2, 5, 3], with: [.integer(1), .boolean(false)]),
            Sample([4, 6], with: [.integer(-1), .boolean(true)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4), dim = dice.dim(of: x.rank)
            return Sample(x, with: [.integer(dim), .boolean(dice.chance(0.5))])
        },
        mistakes: [
            Sample([2, 3], with: [.integer(2), .boolean(false)]), Sample([], with: [.integer(-1), .boolean(false)]),
        ],
        forward: { call in
            let x = call.inputs[0], dim = try x.dimension(call.attributes.integer("dim")),
                isDescending = call.attributes.boolean("descending")
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
            "The k largest along a dimension, the largest first, or the smallest. Returns values and places.",
            shapes: "x [...] -> [..., k, ...], and int32 places from 1",
            example: "> riffle.tensor({ 7, 5, 6 }):topk(2)\ntensor float32 [2]: 7 6\ttensor int32 [2]: 1 3"),
        kind: .composed, results: 2,
        samples: [
            Sample([2, 7, 3], with: [.integer(3), .integer(1), .boolean(true)]),
            Sample([4, 6], with: [.integer(6), .integer(-1), .boolean(false)]),
            Sample([4, 6], with: [.integer(1), .integer(-1), .boolean(true)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4), dim = dice.dim(of: x.rank),
                k = dice.integer(0...x[dim < 0 ? dim + x.rank : dim])
            return Sample(x, with: [.integer(k), .integer(dim), .boolean(dice.chance(0.5))])
        },
        mistakes: [
            Sample([2, 3], with: [.integer(4), .integer(-1), .boolean(true)]),
            Sample([], with: [.integer(1), .integer(-1), .boolean(true)]),
        ],
        forward: { call in
            let x = call.inputs[0], dim = try x.dimension(call.attributes.integer("dim"))
            let (k, isLargest) = (call.attributes.integer("k"), call.attributes.boolean("largest"))
            guard k <= x.shape[dim] else {
                throw RiffleError("", "dimension \(dim + 1) has \(x.shape[dim]) elements, not \(k) (x \(x.shape))")
            }
            return try chosen(x, dim, count: k) {
                rk_top_rows(
                    isLargest, $0.dtype.kernel, $0.pointer, $1, $0.count / Swift.max($0.shape.last, 1), $0.shape.last, k
                )
            }
        }, vjp: { call, _ in call.inputs.map { _ in nil } }, jvp: { call, _ in call.outputs.map { _ in nil } })

    /// Elements along a dimension, and their places from 1. The values are taken by their places, so that the rules are
    /// those of `take`.
    /// - Parameter order: writes `count` places, from 0, for each row of a tensor.
    private static func chosen(
        _ x: Tensor, _ dim: Int, count: Int, _ order: (Tensor, UnsafeMutablePointer<Int32>) -> Bool
    ) throws -> [Tensor] {
        guard x.count <= Int32.max else {
            throw RiffleError("", "places of 2^31 elements and more are no int32 (x \(x.shape))")
        }
        let last = x.rank - 1, rows = dim == last ? x : try x.transposed(dim, last), n = rows.shape.last
        let places = try Tensor(uninitialized: rows.shape.replacing(last, with: count), .int32)
        let whole = try Tensor(uninitialized: places.shape, .int32)
        let (order32, whole32) = (places.elements(Int32.self).baseAddress, whole.elements(Int32.self).baseAddress)
        if let order32, let whole32, places.count > 0 {
            try workspace(order(rows, order32))
            rk_indices_from_one(order32, whole32, places.count / count, count, n)
        }
        let values = try rows.reshaped(to: [x.count]).take(whole)
        return try [values, places].map { dim == last ? $0 : try $0.transposed(dim, last) }
    }

    static let quantile: Op = composed(
        "quantile",
        [
            Argument("x", .tensor),
            Argument(
                "q", .list(.fraction(0...1)), "0.5 for the median, or a list of parts, for a first dimension of as many"
            ),
            Argument("dim", .dim, "all when not given", default: .none),
            Argument("keep", .boolean, "whether the reduced dimension stays, with size 1", default: .boolean(false)),
        ],
        Doc(
            "What stands at a part of the way through the sorted elements, in a line between neighbours.",
            shapes: "x [...] -> without the reduced dimension, behind [q] for a list",
            example: "> riffle.tensor({ 4, 1, 2, 3 }):quantile({ 0.5, 1 })\ntensor float32 [2]: 2.5 4"),
        samples: [
            Sample([2, 5, 3], with: [.number(0.3), .integer(1), .boolean(false)]),
            Sample([7], with: [.list([.number(0), .number(0.5), .number(0.9)])]),
            Sample([3, 4], with: [.list([.number(0.25)]), .integer(-1), .boolean(true)]),
            Sample([2, 3], with: [.number(1), .none, .boolean(true)]),
        ],
        draw: { dice in
            let x = dice.shape(ranks: 1...4, least: 1),
                dim = dice.chance(0.3) ? Value.none : .integer(dice.dim(of: x.rank))
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
            let
                sorted = try sort.apply([isWhole ? x.reshaped(to: [x.count]) : x], [.integer(dim), .boolean(false)])[0],
                n = sorted.shape[dim]
            guard n > 0 else { throw RiffleError("", "there is no element to choose from (x \(x.shape))") }
            let kept = isWhole ? Shape([Int](repeating: 1, count: x.rank)) : x.shape.replacing(dim, with: 1)
            let shape = call.attributes.boolean("keep") ? kept : isWhole ? [] : x.shape.removing(dim)
            // NaN is sorted last, and where there is one nothing else is known.
            let last = try sorted.sliced(dim, n - 1..<n), unknown = try isNaN(last)
            let found = try call.attributes.list("q").map { part in
                try last.where(unknown, else: between(sorted, dim, Arguments([part]).number(0) * Double(n - 1)))
                    .reshaped(to: shape)
            }
            if case .list = call.attributes[named: "q"] { return try Tensor.stack(found) }
            return found[0]
        })

    /// What stands at a place, from 0, along a sorted dimension. Weights in float64 keep equal neighbours as they are.
    private static func between(_ sorted: Tensor, _ dim: Int, _ place: Double) throws -> Tensor {
        let low = Int(place), part = place - Double(low), lower = try sorted.sliced(dim, low..<low + 1)
        guard part > 0 else { return lower }
        let upper = try sorted.sliced(dim, low + 1..<low + 2)
        return try (lower.cast(.float64) * (1 - part) + upper.cast(.float64) * part).cast(sorted.dtype)
    }
}
