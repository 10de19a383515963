import CKernels

// Windows and blocks of pixels: their largest, their mean, their sum, and the adjoints of these.

extension Op {
    static let pools: [Op] = [maxPool, avgPool, avgPoolInputGrad, upsample, sumPool]

    // MARK: - Windows

    private static let windowArguments = [
        Argument("kernel", .sides(1...1024), default: .integer(2)),
        Argument("stride", .sides(1...1024), "the kernel's size when not given", default: .none),
        Argument("padding", .sides(0...1023), default: .integer(0)),
        Argument(
            "ceil", .boolean, "whether pixels that are left over at the end get a smaller window",
            default: .boolean(false)),
    ]

    private static let countsPadding = Argument(
        "count_padding", .boolean, "whether zeros of the padding count", default: .boolean(true))

    /// How windows lie on images.
    private struct Windows {
        var kernel: Sides = 2
        var stride: Sides?
        var padding: Sides = 0
        var ceil = false
        var countsPadding: Bool?

        init() {}

        init(_ attributes: Arguments) {
            kernel = attributes.sides("kernel")
            stride = attributes.optionalSides("stride")
            padding = attributes.sides("padding")
            ceil = attributes.boolean("ceil")
            if attributes.declares("count_padding") { countsPadding = attributes.boolean("count_padding") }
        }

        init(_ dice: inout Dice, counting: Bool) {
            func sides(_ range: ClosedRange<Int>) -> Sides { Sides(dice.integer(range), dice.integer(range)) }
            kernel = dice.chance(0.5) ? Sides(dice.integer(1...3)) : sides(1...5)
            stride = dice.chance(0.3) ? nil : sides(1...3)
            padding =
                dice.chance(0.5) ? 0 : Sides(dice.integer(0...kernel.height / 2), dice.integer(0...kernel.width / 2))
            ceil = dice.chance(0.5)
            if counting { countsPadding = dice.chance(0.5) }
        }

        var values: [Value] {
            [kernel.value, stride?.value ?? .none, padding.value, .boolean(ceil)]
                + (countsPadding.map { [.boolean($0)] } ?? [])
        }

        /// Images of which the smallest windows are whole.
        func drawn(_ dice: inout Dice) -> Shape {
            let small = dice.shape(ranks: 4...4)
            return [small[0], Swift.max(small[1], kernel.height), Swift.max(small[2], kernel.width), small[3]]
        }

        /// Checks the shape of images, and describes their windows for the kernel.
        func shape(_ x: Shape) throws -> rk_pool_shape {
            let stride = stride ?? kernel
            func mismatch(_ problem: String) -> RiffleError {
                RiffleError("", "\(problem) (x \(x), kernel \(kernel), stride \(stride), padding \(padding))")
            }
            guard x.rank == 4 else { throw mismatch("x must be [n, height, width, channels]") }
            guard padding.height < kernel.height, padding.width < kernel.width else {
                throw mismatch("the padding must be smaller than the kernel")
            }
            let y = result(x)
            guard x[1] > 0, x[2] > 0, y[1] > 0, y[2] > 0 else {
                throw mismatch("the kernel is larger than the padded image")
            }
            return rk_pool_shape(
                n: x[0], h: x[1], w: x[2], c: x[3], kernel_h: kernel.height, kernel_w: kernel.width,
                stride_h: stride.height, stride_w: stride.width, pad_h: padding.height, pad_w: padding.width,
                out_h: y[1], out_w: y[2], count_padding: countsPadding ?? false)
        }

        /// The shape of a result. Sides without a window are not above 0.
        func result(_ x: Shape) -> Shape {
            let stride = stride ?? kernel
            return [
                x[0], count(x[1], kernel.height, stride.height, padding.height),
                count(x[2], kernel.width, stride.width, padding.width), x[3],
            ]
        }

        /// The windows along a side. A window that the end cuts off begins before the end of the image itself.
        private func count(_ size: Int, _ kernel: Int, _ stride: Int, _ padding: Int) -> Int {
            let rest = size + 2 * padding - kernel
            guard ceil else { return rest < 0 ? 0 : rest / stride + 1 }
            guard rest > -stride else { return 0 }
            let count = (rest + stride - 1) / stride + 1
            return (count - 1) * stride >= size + padding ? count - 1 : count
        }
    }

    package static let maxPool: Op = Op(
        "max_pool", [Argument("x", .tensor)] + windowArguments,
        Doc(
            "The largest of each window of pixels; padding never counts, and NaN is the largest.",
            shapes: "x [n, h, w, c] -> [n, h', w', c], h' = floor((h + 2 padding - kernel) / stride) + 1",
            example: "> riffle.arange(1, 8):reshape(1, 2, 4, 1):max_pool():reshape(2)\ntensor float32 [2]: 6 8"),
        keep: .inputs,
        samples: samples(counting: false).map { Sample($0, with: $1.values) },
        draw: { dice in
            let windows = Windows(&dice, counting: false)
            return Sample(windows.drawn(&dice), with: windows.values)
        },
        mistakes: mistakes(counting: false),
        forward: { call in
            let x = try call.inputs[0].floating()
            var shape = try Windows(call.attributes).shape(x.shape)
            let y = try Tensor(uninitialized: [shape.n, shape.out_h, shape.out_w, shape.c], x.dtype)
            rk_max_pool(x.dtype.kernel, &shape, x.pointer, y.pointer)
            return [y]
        },
        vjp: { call, g in
            guard let g = g[0] else { return [nil] }
            let x = call.inputs[0]
            return [try putAdd(g, largest(call), with: .integer(x.count)).reshaped(to: x.shape)]
        },
        jvp: { call, d in [try d[0].map { try $0.reshaped(to: [$0.count]).take(largest(call)) }] })

    /// The number of the element that each window takes, the first of equal ones, counted from 1 over all of x.
    private static func largest(_ call: Call) throws -> Tensor {
        let x = call.inputs[0]
        guard x.count <= Int32.max else {
            throw RiffleError("", "indices of 2^31 elements and more do not fit int32 (x \(x.shape))")
        }
        var shape = try Windows(call.attributes).shape(x.shape)
        let index = try Tensor(uninitialized: [shape.n, shape.out_h, shape.out_w, shape.c], .int32)
        rk_max_pool_index(
            x.dtype.kernel, &shape, x.pointer, index.pointer.assumingMemoryBound(to: Int32.self))
        return index
    }

    package static let avgPool: Op = linearMap(
        "avg_pool", [Argument("x", .tensor)] + windowArguments + [countsPadding],
        Doc(
            "The mean of each window of pixels.",
            shapes: "x [n, h, w, c] -> [n, h', w', c], h' = floor((h + 2 padding - kernel) / stride) + 1",
            example: "> riffle.arange(1, 8):reshape(1, 2, 4, 1):avg_pool():reshape(2)\ntensor float32 [2]: 3.5 5.5"),
        samples: samples(counting: true).map { Sample($0, with: $1.values) },
        draw: { dice in
            let windows = Windows(&dice, counting: true)
            return Sample(
                windows.drawn(&dice), with: windows.values, terms: windows.kernel.height * windows.kernel.width)
        },
        mistakes: mistakes(counting: true),
        forward: { call in
            let x = try call.inputs[0].floating()
            var shape = try Windows(call.attributes).shape(x.shape)
            let y = try Tensor(uninitialized: [shape.n, shape.out_h, shape.out_w, shape.c], x.dtype)
            rk_avg_pool(x.dtype.kernel, &shape, x.pointer, y.pointer)
            return [y]
        },
        vjp: { call, g in
            let x = call.inputs[0].shape
            return [
                try g[0].map {
                    try avgPoolInputGrad.apply([$0], [.integer(x[1]), .integer(x[2])] + call.attributes.values)[0]
                }
            ]
        })

    static let avgPoolInputGrad: Op = linearMap(
        "avg_pool_input_grad",
        [
            Argument("g", .tensor), Argument("height", .integer(1...1 << 31)), Argument("width", .integer(1...1 << 31)),
        ] + windowArguments + [countsPadding],
        Doc(
            "The gradient of avg_pool.", shapes: "g [n, h', w', c] -> [n, height, width, c]",
            example:
                """
                > riffle.avg_pool_input_grad(riffle.ones(1, 1, 1, 1), 2, 2):reshape(4)
                tensor float32 [4]: 0.25 0.25 0.25 0.25
                """
        ),
        samples: samples(counting: true).map { x, windows in
            Sample(windows.result(x), with: [.integer(x[1]), .integer(x[2])] + windows.values)
        },
        draw: { dice in
            let windows = Windows(&dice, counting: true), x = windows.drawn(&dice)
            return Sample(
                windows.result(x), with: [.integer(x[1]), .integer(x[2])] + windows.values,
                terms: windows.kernel.height * windows.kernel.width)
        },
        mistakes: [Sample([1, 2, 2, 3], with: [.integer(5), .integer(6)] + Windows().values + [.boolean(true)])],
        forward: { call in
            let g = try call.inputs[0].floating()
            guard g.rank == 4 else {
                throw RiffleError("", "g must be [n, height, width, channels] (g \(g.shape))")
            }
            let x: Shape = [
                g.shape[0], call.attributes.integer("height"), call.attributes.integer("width"), g.shape[3],
            ]
            var shape = try Windows(call.attributes).shape(x)
            guard g.shape == [shape.n, shape.out_h, shape.out_w, shape.c] else {
                throw RiffleError("", "g is not the result of such windows (g \(g.shape), image \(x))")
            }
            let gx = try Tensor(uninitialized: x, g.dtype)
            rk_avg_pool_input_grad(g.dtype.kernel, &shape, g.pointer, gx.pointer)
            return [gx]
        },
        vjp: { call, g in [try g[0].map { try avgPool.apply([$0], Array(call.attributes.values[2...]))[0] }] })

    /// Blocks side by side; windows that overlap, with padding; windows that end behind the image.
    private static func samples(counting: Bool) -> [(x: Shape, Windows)] {
        var blocks = Windows(), overlapping = Windows(), cut = Windows()
        (overlapping.kernel, overlapping.stride, overlapping.padding) = (3, 1, 1)
        (cut.kernel, cut.stride, cut.padding, cut.ceil) = (Sides(3, 2), Sides(2, 3), Sides(1, 0), true)
        if counting { (blocks.countsPadding, overlapping.countsPadding, cut.countsPadding) = (true, false, true) }
        return [([2, 4, 6, 2], blocks), ([1, 3, 5, 2], overlapping), ([2, 6, 6, 1], cut)]
    }

    private static func mistakes(counting: Bool) -> [Sample] {
        var usual = Windows(), padded = Windows()
        padded.padding = 2
        if counting { (usual.countsPadding, padded.countsPadding) = (true, true) }
        return [
            Sample([3, 4, 2], with: usual.values), Sample([1, 1, 4, 2], with: usual.values),
            Sample([1, 4, 4, 2], with: padded.values),
        ]
    }

    // MARK: - Blocks

    /// A sample of images whose height and width are multiples of the factor.
    private static func drawPooled(_ dice: inout Dice) -> Sample {
        let small = dice.shape(ranks: 4...4), factor = dice.integer(1...4)
        let x: Shape = [small[0], small[1] * factor, small[2] * factor, small[3]]
        return Sample(x, with: [.integer(factor)], terms: factor * factor)
    }

    package static let upsample: Op = linearMap(
        "upsample", [Argument("x", .tensor), Argument("factor", .integer(1...64), default: .integer(2))],
        Doc(
            "Repeats each pixel factor by factor times (nearest neighbour).",
            shapes: "x [n, h, w, c] -> [n, factor h, factor w, c]",
            example: "> riffle.ones(1, 2, 3, 1):upsample():shape()\n[1, 4, 6, 1]"),
        samples: [Sample([2, 2, 3, 2], with: [.integer(2)]), Sample([1, 1, 1, 3], with: [.integer(3)])],
        draw: { dice in
            let factor = dice.integer(1...4)
            return Sample(dice.shape(ranks: 4...4), with: [.integer(factor)])
        },
        mistakes: [Sample([2, 3, 2], with: [.integer(2)])],
        forward: { call in
            let x = try image(call.inputs[0])
            let factor = call.attributes.integer("factor")
            let s = x.shape
            let y = try Tensor(
                uninitialized: Shape([s[0], s[1] * factor, s[2] * factor, s[3]]).checked("upsample"), x.dtype)
            var small = rk_block_shape(n: s[0], h: s[1], w: s[2], c: s[3], factor: factor)
            rk_upsample_nearest(x.dtype.kernel, &small, x.pointer, y.pointer)
            return [y]
        },
        vjp: { call, g in [try g[0].map { try sumPool($0, with: call.attributes[named: "factor"]) }] })

    static let sumPool: Op = linearMap(
        "sum_pool", [Argument("x", .tensor), Argument("factor", .integer(1...64), default: .integer(2))],
        Doc(
            "Sums blocks of factor by factor pixels.", shapes: "x [n, h, w, c] -> [n, h / factor, w / factor, c]",
            example: "> riffle.ones(1, 4, 2, 1):sum_pool():reshape(2)\ntensor float32 [2]: 4 4"),
        samples: [Sample([2, 4, 6, 2], with: [.integer(2)])], draw: { drawPooled(&$0) },
        mistakes: [Sample([1, 3, 4, 2], with: [.integer(2)])],
        forward: { call in
            let x = try image(call.inputs[0])
            let factor = call.attributes.integer("factor")
            let s = x.shape
            guard s[1] % factor == 0, s[2] % factor == 0 else {
                throw RiffleError("", "height and width must be multiples of \(factor) (x \(s))")
            }
            let y = try Tensor(uninitialized: [s[0], s[1] / factor, s[2] / factor, s[3]], x.dtype)
            var small = rk_block_shape(n: s[0], h: s[1] / factor, w: s[2] / factor, c: s[3], factor: factor)
            rk_sum_blocks(x.dtype.kernel, &small, x.pointer, y.pointer)
            return [y]
        },
        vjp: { call, g in [try g[0].map { try upsample($0, with: call.attributes[named: "factor"]) }] })

    private static func image(_ x: Tensor) throws -> Tensor {
        guard x.rank == 4 else { throw RiffleError("", "x must be [n, height, width, channels] (x \(x.shape))") }
        return try x.floating()
    }
}
