import CKernels

extension Op {
    static let reductions: [Op] = [
        sum, mean, max, min, variance, deviation, norm, logSumExp, sumTo, expand,
    ]

    private static let reduceArguments = [
        Argument("x", .tensor), Argument("dim", .dims, "all when not given", default: .none),
        Argument("keep", .boolean, "whether reduced dimensions stay, with size 1", default: .boolean(false)),
    ]
    private static let reduceSamples = [
        Sample([2, 3, 4]), Sample([2, 3, 4], with: [.list([.integer(1)]), .boolean(false)]),
        Sample([2, 3, 4], with: [.list([.integer(-1), .integer(0)]), .boolean(true)]),
        Sample([300], with: [.integer(0)]),
    ]
    /// Draws a reduction over at least `least` elements.
    private static func drawReduction(over least: Int = 0) -> Draw {
        { dice in
            let x = dice.shape(least: least)
            let dims = dice.chance(0.3) ? nil : dice.dims(of: x.rank)
            let keep = dice.chance(0.5)
            let reduced = dims?.map { $0 < 0 ? $0 + x.rank : $0 } ?? Array(0..<x.rank)
            return Sample(x, with: [.dims(dims), .boolean(keep)], terms: reducedCount(x, reduced))
        }
    }

    private static let reduceMistakes = [
        Sample([2, 3], with: [.integer(2)]), Sample([2, 3], with: [.list([.integer(0), .integer(-2)])]),
    ]

    /// Which dimensions a call reduces: sorted, counted from 0.
    private static func reduced(_ call: Call) throws -> [Int] {
        let x = call.inputs[0]
        guard call.attributes.has("dim") else { return Array(0..<x.rank) }
        let dims = try call.attributes.integers("dim").map { try x.dimension($0) }.sorted()
        guard Set(dims).count == dims.count else { throw RiffleError("", "a dimension is named twice (x \(x.shape))") }
        return dims
    }

    /// The shape with reduced dimensions as 1, which a gradient gets before it is expanded.
    private static func keptShape(_ shape: Shape, _ dims: [Int]) -> Shape {
        Shape(shape.sizes.enumerated().map { dims.contains($0) ? 1 : $1 })
    }
    private static func finalShape(_ call: Call, _ dims: [Int]) -> Shape {
        let shape = call.inputs[0].shape
        if call.attributes.boolean("keep") { return keptShape(shape, dims) }
        return Shape(shape.sizes.enumerated().filter { !dims.contains($0.offset) }.map(\.element))
    }

    /// Reduces by one kernel pass for each run of neighbouring dimensions, the last run first.
    private static func reduce(_ operation: rk_reduce_op, _ x: Tensor, _ dims: [Int]) throws -> Tensor {
        var result = x
        var rest = dims
        while let last = rest.last {
            var first = last
            rest.removeLast()
            while let next = rest.last, next == first - 1 { first = rest.removeLast() }
            let sizes = result.shape.sizes
            let outer = sizes[..<first].reduce(1, *), inner = sizes[(last + 1)...].reduce(1, *)
            let count = sizes[first...last].reduce(1, *)
            let next = try Tensor(
                uninitialized: Shape(
                    sizes[..<first] + [Int](repeating: 1, count: last - first + 1) + sizes[(last + 1)...]),
                x.dtype)
            withExtendedLifetime(result) {
                rk_reduce(operation, x.dtype.kernel, result.pointer, next.pointer, outer, count, inner)
            }
            result = next
        }
        return result
    }

    /// The sum over dimensions, which are kept as 1; a sum of int32 does not wrap.
    private static func summed(_ x: Tensor, _ dims: [Int]) throws -> Tensor {
        guard x.dtype == .int32 else { return try reduce(RK_REDUCE_SUM, x, dims) }
        let sum = try reduce(RK_REDUCE_SUM, x.converted(to: .float64), dims)
        if let beyond = sum.elements(Double.self).first(where: { Int32(exactly: $0) == nil }) {
            throw RiffleError("", "the sum \(beyond) is no int32; convert x to float64 first (x \(x.shape))")
        }
        return try sum.converted(to: .int32)
    }

    static let sum: Op = Op(
        "sum", reduceArguments,
        Doc(
            "Sums over all or some dimensions.",
            shapes: "x [...] -> without the reduced dimensions, or with 1 in their place",
            example: "> riffle.tensor({ { 1, 2 }, { 3, 4 } }):sum(1)\ntensor float32 [2]: 4 6"),
        keep: .nothing, samples: reduceSamples, draw: drawReduction(), mistakes: reduceMistakes,
        forward: { call in
            let dims = try reduced(call)
            return [try summed(call.inputs[0], dims).viewed(as: finalShape(call, dims))]
        },
        vjp: { call, g in
            let shape = call.inputs[0].shape
            let dims = try reduced(call)
            return [try g[0].map { try $0.reshaped(to: keptShape(shape, dims)).expanded(to: shape) }]
        },
        jvp: { call, d in [try d[0].map { try call.again($0) }] })

    static let mean: Op = Op(
        "mean", reduceArguments,
        Doc(
            "The mean over all or some dimensions.",
            shapes: "x [...] -> without the reduced dimensions, or with 1 in their place",
            example: "> riffle.tensor({ { 1, 2 }, { 3, 4 } }):mean(1)\ntensor float32 [2]: 2 3"),
        keep: .nothing, samples: reduceSamples, draw: drawReduction(over: 1), mistakes: reduceMistakes,
        forward: { call in
            let x = try call.inputs[0].floating()
            let dims = try reduced(call)
            let sum = try summed(x, dims)
            let y = try Tensor(uninitialized: finalShape(call, dims), x.dtype)
            withExtendedLifetime(sum) {
                rk_affine(x.dtype.kernel, 1 / Double(reducedCount(x.shape, dims)), 0, sum.pointer, y.pointer, y.count)
            }
            return [y]
        },
        vjp: { call, g in
            let shape = call.inputs[0].shape
            let dims = try reduced(call)
            let scale = 1 / Double(reducedCount(shape, dims))
            return [try g[0].map { try ($0 * scale).reshaped(to: keptShape(shape, dims)).expanded(to: shape) }]
        },
        jvp: { call, d in [try d[0].map { try call.again($0) }] })

    private static func reducedCount(_ shape: Shape, _ dims: [Int]) -> Int { dims.reduce(1) { $0 * shape[$1] } }

    private static func extreme(_ name: String, _ operation: rk_reduce_op, _ word: String, _ example: String) -> Op {
        let rule: @Sendable (Call) throws -> Tensor = { call in
            // 1 / (how many elements equal the extreme) at each of these elements, 0 elsewhere.
            let x = call.inputs[0].detach()
            let dims = try reduced(call)
            let mask = try x.eq(call.output.detach().reshaped(to: keptShape(x.shape, dims)))
            return try mask / mask.sum(dims, keep: true)
        }
        return Op(
            name, reduceArguments,
            Doc("The \(word) over all or some dimensions; equal numbers share the gradient.", example: example),
            keep: .everything, samples: reduceSamples, draw: drawReduction(over: 1),
            mistakes: reduceMistakes + [Sample([0, 2], with: [.integer(0)])],
            forward: { call in
                let x = call.inputs[0]
                let dims = try reduced(call)
                guard reducedCount(x.shape, dims) > 0 || x.count == 0 && finalShape(call, dims).count == 0 else {
                    throw RiffleError("", "there is no element to choose from (x \(x.shape))")
                }
                return [try reduce(operation, x, dims).viewed(as: finalShape(call, dims))]
            },
            vjp: { call, g in
                guard let g = g[0] else { return [nil] }
                return [try g.reshaped(to: keptShape(call.inputs[0].shape, reduced(call))).shared(rule(call))]
            },
            jvp: { call, d in
                guard let d = d[0] else { return [nil] }
                return [try d.shared(rule(call)).sum(reduced(call), keep: true).reshaped(to: call.output.shape)]
            })
    }
    static let max: Op = extreme(
        "max", RK_REDUCE_MAX, "largest", "> riffle.tensor({ { 1, 5 }, { 3, 4 } }):max(1)\ntensor float32 [2]: 3 5")
    static let min: Op = extreme(
        "min", RK_REDUCE_MIN, "smallest", "> riffle.tensor({ { 1, 5 }, { 3, 4 } }):min(1)\ntensor float32 [2]: 1 4")

    static let variance: Op = moment(
        "var",
        Doc(
            "The variance, divided by n - 1 as is usual for samples.",
            example: "> riffle.tensor({ 1, 2, 3, 4 }):var()\ntensor float32 []: 1.66667"),
        finish: { $0 })
    static let deviation: Op = moment(
        "std",
        Doc(
            "The standard deviation, with n - 1 in the variance.",
            example: "> riffle.tensor({ 1, 2, 3, 4 }):std()\ntensor float32 []: 1.29099"),
        finish: { try $0.flatSqrt() })

    /// A row composed of recorded operations: its rules are those of its parts.
    private static func moment(_ name: String, _ doc: Doc, finish: @escaping @Sendable (Tensor) throws -> Tensor) -> Op
    {
        let composed: @Sendable (Tensor, Call) throws -> Tensor = { x, call in
            let dims = try reduced(call)
            let count = reducedCount(x.shape, dims)
            let centred = try x.floating() - x.mean(dims, keep: true)
            let kept = try finish(centred.square().sum(dims, keep: true) * (count > 1 ? 1 / Double(count - 1) : .nan))
            return try kept.reshaped(to: finalShape(call, dims))
        }
        return Op.composed(
            name, reduceArguments, doc, samples: reduceSamples, draw: drawReduction(over: 2), mistakes: reduceMistakes,
            body: { try composed($0.inputs[0], $0) })
    }

    static let norm: Op = composed(
        "norm",
        [
            Argument("x", .tensor),
            Argument(
                "p", .number, "the power: 2 for the length, 1 for absolute values, math.huge for the largest",
                default: .number(2)),
            Argument("dim", .dims, "all when not given", default: .none),
            Argument("keep", .boolean, "whether reduced dimensions stay, with size 1", default: .boolean(false)),
        ],
        Doc(
            "The p-norm over all or some dimensions; at 0 its gradient is 0.", formula: "y = sum(|x|^p)^(1/p)",
            shapes: "x [...] -> without the reduced dimensions, or with 1 in their place",
            example: "> riffle.tensor({ { 3, 4 }, { 6, 8 } }):norm { dim = 2 }\ntensor float32 [2]: 5 10"),
        samples: [
            Sample([2, 3, 4], with: [.number(2), .none, .boolean(false)]),
            Sample([2, 3, 4], with: [.number(2), .list([.integer(-1), .integer(0)]), .boolean(true)]),
            Sample([3, 4], in: 0.3...2, with: [.number(1), .integer(1), .boolean(false)]),
            Sample([3, 4], in: 0.3...2, with: [.number(3.5), .integer(0), .boolean(false)]),
            Sample([3, 4], in: 0.3...2, with: [.number(0.5)]),
            Sample([3, 4], with: [.number(.infinity), .integer(1), .boolean(false)]),
        ],
        draw: { dice in
            let x = dice.shape(least: 1)
            let p = dice.pick([1, 2, 3, .infinity])
            let dims = dice.chance(0.3) ? nil : dice.dims(of: x.rank)
            let keep = dice.chance(0.5)
            return Sample(x, with: [.number(p), .dims(dims), .boolean(keep)], terms: x.count)
        },
        mistakes: [
            Sample([2, 3], with: [.number(2), .integer(2)]), Sample([2, 3], with: [.number(0)]),
            Sample([2, 3], with: [.number(.nan)]),
        ],
        body: { call in
            let x = try call.inputs[0].floating()
            let p = call.attributes.number("p")
            let keep = call.attributes.boolean("keep")
            let dims = call.attributes.has("dim") ? call.attributes.integers("dim") : nil
            guard p > 0 else { throw RiffleError("", "p must be above 0, got \(riffleFormat(p)) (x \(x.shape))") }
            if p == 1 { return try x.abs().sum(dims, keep: keep) }
            // For such p the number of elements no longer changes the result, even in float64.
            if p >= 1e18 { return try x.abs().max(dims, keep: keep) }
            // The parts are in units of the largest, whose power might overflow.
            let unit = try x.detach().abs().unit(dims)
            let parts = try x / unit
            let length =
                try p == 2
                ? parts.square().sum(dims, keep: true).flatSqrt()
                : parts.abs().whereNotZero { try $0.pow(p) }.sum(dims, keep: true).whereNotZero { try $0.pow(1 / p) }
            let whole = try length * unit
            return try keep ? whole : whole.sum(dims)
        })

    static let logSumExp: Op = Op(
        "logsumexp", reduceArguments,
        Doc(
            "The logarithm of the sum of exponentials over all or some dimensions.", formula: "y = ln(sum(e^x))",
            shapes: "x [...] -> without the reduced dimensions, or with 1 in their place",
            example: "> riffle.tensor({ 1000, 1000 }):logsumexp()\ntensor float32 []: 1000.69"),
        samples: reduceSamples, draw: drawReduction(), mistakes: reduceMistakes,
        forward: { call in
            let x = try call.inputs[0].floating()
            let dims = try reduced(call)
            let shape = finalShape(call, dims)
            guard reducedCount(x.shape, dims) > 0 else { return [try .full(shape, -.infinity, x.dtype)] }
            return try withoutGradient {
                let x = x.detach()
                let largest = try reduce(RK_REDUCE_MAX, x, dims)
                // The largest may be infinite, and its distance from itself is 0 all the same.
                let parts = try Tensor.scalar(1, x.dtype).where(x.eq(largest), else: (x - largest).exp())
                return [try (parts.sum(dims, keep: true).log() + largest).viewed(as: shape)]
            }
        },
        vjp: { call, g in
            let dims = try reduced(call)
            return [
                try g[0].map {
                    try $0.reshaped(to: keptShape(call.inputs[0].shape, dims)) * softmax(call.inputs[0], dims)
                }
            ]
        },
        jvp: { call, d in
            let dims = try reduced(call)
            return [
                try d[0].map {
                    try ($0 * softmax(call.inputs[0], dims)).sum(dims, keep: true).reshaped(to: call.output.shape)
                }
            ]
        })

    /// e^x over the sum of e^x. Where the largest is infinite, the elements equal to it share 1, as in the limit.
    private static func softmax(_ x: Tensor, _ dims: [Int]) throws -> Tensor {
        let largest = try reduce(RK_REDUCE_MAX, x.detach(), dims)
        let isKnown = try isFinite(largest)
        let zero = try Tensor.scalar(0, x.dtype), never = try Tensor.scalar(-.infinity, x.dtype)
        let distance = try (x - largest).where(isKnown, else: zero.where(x.detach().eq(largest), else: never))
        let parts = try distance.exp()
        return try parts / parts.sum(dims, keep: true)
    }

    static let sumTo: Op = linearMap(
        "sum_to", [Argument("x", .tensor), Argument("shape", .shape)],
        Doc(
            "Sums over the dimensions along which `shape` was broadcast.",
            example: "> riffle.ones(2, 3):sum_to({ 3 })\ntensor float32 [3]: 2 2 2"),
        samples: [Sample([4, 2, 3], with: [.list([.integer(1), .integer(3)])])],
        draw: { dice in
            let x = dice.shape()
            let shape = Shape(x.sizes.suffix(dice.integer(0...x.rank)).map { dice.chance(0.4) ? 1 : $0 })
            return Sample(x, with: [.shape(shape)], terms: x.count / Swift.max(shape.count, 1))
        },
        mistakes: [Sample([2, 3], with: [.list([.integer(2), .integer(2)])])],
        forward: { call in
            let x = call.inputs[0]
            let shape = call.attributes.shape("shape")
            guard Shape.broadcast(x.shape, shape) == x.shape else {
                throw RiffleError("", "\(shape) does not broadcast to x \(x.shape)")
            }
            let padded = shape.padded(to: x.rank)
            let dims = (0..<x.rank).filter { padded[$0] == 1 && x.shape[$0] != 1 }
            return [try summed(x, dims).viewed(as: shape)]
        },
        vjp: { call, g in [try g[0]?.expanded(to: call.inputs[0].shape)] })

    static let expand: Op = linearMap(
        "expand", [Argument("x", .tensor), Argument("shape", .shape)],
        Doc(
            "Repeats dimensions of size 1, and new leading ones, up to `shape`.",
            example: "> riffle.tensor({ 1, 2 }):expand(2, 2):tolist()[2][1]\n1.0"),
        samples: [
            Sample([2, 1, 3], with: [.list([4, 2, 5, 3].map(Value.integer))]),
            Sample([0, 1], with: [.list([0, 2].map(Value.integer))]),
        ],
        draw: { dice in
            let shape = dice.shape()
            let x = Shape(shape.sizes.suffix(dice.integer(0...shape.rank)).map { dice.chance(0.4) ? 1 : $0 })
            return Sample(x, with: [.shape(shape)])
        },
        mistakes: [Sample([2, 3], with: [.list([.integer(2), .integer(4)])])],
        forward: { call in
            let x = call.inputs[0]
            let shape = try call.attributes.shape("shape").checked("expand")
            guard Shape.broadcast(x.shape, shape) == shape else {
                throw RiffleError("", "x \(x.shape) does not broadcast to \(shape)")
            }
            let strides = zip(
                x.shape.padded(to: shape.rank), [Int](repeating: 0, count: shape.rank - x.rank) + x.shape.strides)
            let y = try Tensor(uninitialized: shape, x.dtype)
            y.copyStrided(shape.sizes, from: x, steps: strides.map { $0 == 1 ? 0 : $1 }, to: shape.strides)
            return [y]
        },
        vjp: { call, g in [try g[0]?.reduced(to: call.inputs[0].shape)] })
}

extension Tensor {
    /// The square root with a slope of 0 at 0, where a norm or a deviation is at its smallest.
    fileprivate func flatSqrt() throws -> Tensor { try whereNotZero { try $0.sqrt() } }

    /// The largest over dimensions, which are kept as 1; 1 where there is none, or it is 0, infinite or NaN.
    fileprivate func unit(_ dims: [Int]?) throws -> Tensor {
        let one = try Tensor.scalar(1, dtype)
        guard count > 0 else { return one }
        let largest = try self.max(dims, keep: true)
        return try largest.where(largest.gt(.scalar(0, dtype)) * largest.lt(.scalar(.infinity, dtype)), else: one)
    }

    /// `body` of the elements that are not 0, and 0 elsewhere, where neither values nor derivatives of `body` count.
    fileprivate func whereNotZero(_ body: (Tensor) throws -> Tensor) throws -> Tensor {
        let zero = try Tensor.scalar(0, dtype)
        let one = try Tensor.scalar(1, dtype)
        let counts = try Op.ne(detach(), zero)
        return try body(self.where(counts, else: one)).where(counts, else: zero)
    }
}
