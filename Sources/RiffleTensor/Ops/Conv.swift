import CKernels

extension Op {
    static let convolutions: [Op] = [conv2d, conv2dInputGrad, conv2dWeightGrad, upsample, sumPool, avgPool]

    private static let stepArguments = [
        Argument("stride", .integer(1...1024), default: .integer(1)),
        Argument("padding", .integer(0...1024), default: .integer(0)),
    ]

    /// Checks the shapes of an image and a weight, and describes them for the kernel.
    private static func convShape(_ x: Shape, _ weight: Shape, stride: Int, padding: Int) throws -> rk_conv_shape {
        func mismatch(_ problem: String) -> RiffleError {
            RiffleError("", "\(problem) (x \(x), weight \(weight), stride \(stride), padding \(padding))")
        }
        guard x.rank == 4, weight.rank == 4 else {
            throw mismatch("x must be [n, height, width, in] and weight [out, height, width, in]")
        }
        guard x[3] == weight[3] else { throw mismatch("x has \(x[3]) channels, the weight takes \(weight[3])") }
        guard weight[1] > 0, weight[2] > 0, x[1] + 2 * padding >= weight[1], x[2] + 2 * padding >= weight[2] else {
            throw mismatch("the kernel is larger than the padded image")
        }
        return rk_conv_shape(
            n: x[0], h: x[1], w: x[2], c_in: x[3], c_out: weight[0], kernel_h: weight[1], kernel_w: weight[2],
            stride: stride,
            pad: padding, out_h: (x[1] + 2 * padding - weight[1]) / stride + 1,
            out_w: (x[2] + 2 * padding - weight[2]) / stride + 1,
            precision: Context.current.precision.kernel)
    }

    /// The shapes of image, weight and result of a random convolution. Forms that have a kernel of their own come up
    /// more often.
    private struct Drawn {
        let x: Shape, weight: Shape, y: Shape
        let stride: Int, padding: Int

        init(_ dice: inout Dice) {
            let kernel = dice.pick([[3, 3], [3, 3], [1, 1], [dice.integer(1...5), dice.integer(1...5)]])
            let isPlain = dice.chance(0.6)
            stride = isPlain ? 1 : dice.integer(1...3)
            padding = isPlain ? kernel[0] / 2 : dice.integer(0...3)
            let work = dice.pick([2000, 50_000, 50_000, 1_000_000])
            let inputs = dice.size(most: 130)
            let outputs = dice.size(most: 130)
            let n = dice.size(most: 5)
            let pixels = Swift.max(1, work / Swift.max(1, inputs * outputs * n))
            let height = dice.size(1, most: Swift.min(pixels, 70))
            let width = dice.size(1, most: pixels / height)
            let h = Swift.max(height, kernel[0] - 2 * padding)
            let w = Swift.max(width, kernel[1] - 2 * padding)
            x = [n, h, w, inputs]
            weight = Shape([outputs] + kernel + [inputs])
            y = [n, (h + 2 * padding - kernel[0]) / stride + 1, (w + 2 * padding - kernel[1]) / stride + 1, outputs]
        }

        var steps: [Value] { [.integer(stride), .integer(padding)] }
    }

    static let conv2d: Op = Op(
        "conv2d",
        [Argument("x", .tensor), Argument("weight", .tensor), Argument("bias", .tensor, default: .none)]
            + stepArguments,
        Doc(
            "Convolves images with zero padding.",
            formula:
                "y[n, i, j, o] = bias[o] + sum over p, q, c of x[n, i stride + p - padding, j stride + q - padding, c] "
                + "weight[o, p, q, c]",
            shapes:
                "x [n, height, width, in], weight [out, kernel height, kernel width, in], bias [out] -> [n, height', "
                + "width', out]",
            example:
                """
                > riffle.ones(1, 3, 3, 1):conv2d(riffle.ones(1, 3, 3, 1), { padding = 1 }):reshape(9):tolist()
                [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]
                """
        ),
        keep: Keep(inputs: 0b11),
        samples: [
            Sample([2, 4, 5, 3], [4, 3, 3, 3], [4], with: [.integer(1), .integer(1)]),
            Sample([1, 5, 5, 2], [3, 3, 3, 2], with: [.integer(2), .integer(1)]),
            Sample([2, 3, 3, 2], [3, 1, 1, 2], [3], with: [.integer(1), .integer(0)]),
        ],
        draw: { dice in
            let drawn = Drawn(&dice)
            let shapes = [drawn.x, drawn.weight, [drawn.weight[0]]].prefix(dice.integer(2...3))
            return Sample(shapes.map { .random($0, -2...2) }, drawn.steps, terms: drawn.weight.removing(0).count)
        },
        mistakes: [
            Sample([2, 4, 5, 3], [4, 3, 3, 2], with: [.integer(1), .integer(1)]),
            Sample([4, 5, 3], [4, 3, 3, 3], with: [.integer(1), .integer(1)]),
            Sample([2, 4, 4, 3], [4, 3, 3, 3], [3], with: [.integer(1), .integer(1)]),
            Sample([2, 2, 2, 3], [4, 3, 3, 3], with: [.integer(1), .integer(0)]),
        ],
        forward: { call in
            let x = try call.inputs[0].floating()
            let weight = call.inputs[1]
            let bias = call.inputs.count > 2 ? call.inputs[2] : nil
            var shape = try convShape(
                x.shape, weight.shape, stride: call.attributes.integer("stride"),
                padding: call.attributes.integer("padding"))
            if let bias, bias.shape != [weight.shape[0]] {
                throw RiffleError(
                    "",
                    "the bias needs one number for each output channel (x \(x.shape), weight \(weight.shape), bias "
                        + "\(bias.shape))"
                )
            }
            let dtype = x.dtype.joined(with: weight.dtype)
            let y = try Tensor(uninitialized: [shape.n, shape.out_h, shape.out_w, shape.c_out], dtype)
            let image = try x.converted(to: dtype)
            let kernel = try weight.converted(to: dtype)
            let shift = try bias?.converted(to: dtype)
            try withExtendedLifetime((image, kernel, shift)) {
                try workspace(rk_conv2d(dtype.kernel, &shape, image.pointer, kernel.pointer, shift?.pointer, y.pointer))
            }
            return [y]
        },
        vjp: { call, g in
            guard let g = g[0] else { return call.inputs.map { _ in nil } }
            let x = call.inputs[0]
            let weight = call.inputs[1]
            let steps = call.attributes.values
            var result: [Tensor?] = [
                call.wants(0)
                    ? try conv2dInputGrad.apply([g, weight], [.integer(x.shape[1]), .integer(x.shape[2])] + steps)[0]
                    : nil,
                call.wants(1)
                    ? try conv2dWeightGrad.apply(
                        [x, g], [.integer(weight.shape[1]), .integer(weight.shape[2])] + steps)[0] : nil,
            ]
            if call.inputs.count > 2 { result.append(call.wants(2) ? try g.reduced(to: call.inputs[2].shape) : nil) }
            return result
        },
        jvp: { call, d in
            let steps = call.attributes.values, bias = d.count > 2 ? d[2] : nil
            return [
                try total([
                    d[0].map { try conv2d.apply([$0, call.inputs[1]], steps)[0] },
                    d[1].map { try conv2d.apply([call.inputs[0], $0], steps)[0] },
                    bias.map { try $0.expanded(to: call.output.shape) },
                ])
            ]
        })

    static let conv2dInputGrad: Op = Op(
        "conv2d_input_grad",
        [
            Argument("g", .tensor), Argument("weight", .tensor), Argument("height", .integer(1...1 << 31)),
            Argument("width", .integer(1...1 << 31)),
        ] + stepArguments,
        Doc(
            "The gradient of conv2d for its image: the transposed convolution.",
            shapes:
                "g [n, height', width', out], weight [out, kernel height, kernel width, in] -> [n, height, width, in]",
            example:
                """
                > riffle.conv2d_input_grad(riffle.ones(1, 1, 1, 1), riffle.ones(1, 2, 2, 1), 2, 2):reshape(4)
                tensor float32 [4]: 1 1 1 1
                """
        ),
        samples: [
            Sample([2, 4, 5, 4], [4, 3, 3, 3], with: [4, 5, 1, 1].map(Value.integer)),
            Sample([1, 3, 3, 3], [3, 3, 3, 2], with: [5, 5, 2, 1].map(Value.integer)),
        ],
        draw: { dice in
            let drawn = Drawn(&dice)
            let size = [drawn.x[1], drawn.x[2]].map(Value.integer)
            return Sample(drawn.y, drawn.weight, with: size + drawn.steps, terms: drawn.weight.removing(3).count)
        },
        mistakes: [Sample([2, 4, 5, 3], [4, 3, 3, 3], with: [4, 5, 1, 1].map(Value.integer))],
        forward: { call in
            let g = call.inputs[0]
            let weight = call.inputs[1]
            let steps = call.attributes
            guard g.rank == 4, weight.rank == 4 else {
                throw RiffleError("", "g and weight must have 4 dimensions (g \(g.shape), weight \(weight.shape))")
            }
            let x: Shape = [g.shape[0], steps.integer("height"), steps.integer("width"), weight.shape[3]]
            var shape = try convShape(
                x, weight.shape, stride: steps.integer("stride"), padding: steps.integer("padding"))
            guard g.shape == [shape.n, shape.out_h, shape.out_w, shape.c_out] else {
                throw RiffleError(
                    "", "g is not the result of such a convolution (g \(g.shape), weight \(weight.shape), image \(x))")
            }
            let dtype = g.dtype.joined(with: weight.dtype)
            let gx = try Tensor(uninitialized: x, dtype)
            let gradient = try g.converted(to: dtype)
            let kernel = try weight.converted(to: dtype)
            try withExtendedLifetime((gradient, kernel)) {
                try workspace(rk_conv2d_input_grad(dtype.kernel, &shape, gradient.pointer, kernel.pointer, gx.pointer))
            }
            return [gx]
        },
        vjp: { call, gradients in
            guard let gradient = gradients[0] else { return [nil, nil] }
            let g = call.inputs[0]
            let weight = call.inputs[1]
            let steps = Array(call.attributes.values[2...])
            return [
                call.wants(0) ? try conv2d.apply([gradient, weight], steps)[0] : nil,
                call.wants(1)
                    ? try conv2dWeightGrad.apply(
                        [gradient, g], [.integer(weight.shape[1]), .integer(weight.shape[2])] + steps)[0] : nil,
            ]
        },
        jvp: { call, d in
            [
                try total([
                    d[0].map { try call.again($0, call.inputs[1]) }, d[1].map { try call.again(call.inputs[0], $0) },
                ])
            ]
        })

    static let conv2dWeightGrad: Op = Op(
        "conv2d_weight_grad",
        [
            Argument("x", .tensor), Argument("g", .tensor), Argument("kernel_height", .integer(1...1 << 31)),
            Argument("kernel_width", .integer(1...1 << 31)),
        ] + stepArguments,
        Doc(
            "The gradient of conv2d for its weight.",
            shapes: "x [n, height, width, in], g [n, height', width', out] -> [out, kernel height, kernel width, in]",
            example:
                """
                > riffle.conv2d_weight_grad(riffle.ones(1, 2, 2, 1), riffle.ones(1, 1, 1, 1), 2, 2):reshape(4)
                tensor float32 [4]: 1 1 1 1
                """
        ),
        samples: [
            Sample([2, 4, 5, 3], [2, 4, 5, 4], with: [3, 3, 1, 1].map(Value.integer)),
            Sample([1, 5, 5, 2], [1, 3, 3, 3], with: [3, 3, 2, 1].map(Value.integer)),
        ],
        draw: { dice in
            let drawn = Drawn(&dice)
            let size = [drawn.weight[1], drawn.weight[2]].map(Value.integer)
            return Sample(drawn.x, drawn.y, with: size + drawn.steps, terms: drawn.y.removing(3).count)
        },
        mistakes: [Sample([2, 4, 5, 3], [2, 4, 4, 4], with: [3, 3, 1, 1].map(Value.integer))],
        forward: { call in
            let x = call.inputs[0]
            let g = call.inputs[1]
            let steps = call.attributes
            guard x.rank == 4, g.rank == 4 else {
                throw RiffleError("", "x and g must have 4 dimensions (x \(x.shape), g \(g.shape))")
            }
            let weight: Shape = [g.shape[3], steps.integer("kernel_height"), steps.integer("kernel_width"), x.shape[3]]
            var shape = try convShape(
                x.shape, weight, stride: steps.integer("stride"), padding: steps.integer("padding"))
            guard g.shape == [shape.n, shape.out_h, shape.out_w, shape.c_out] else {
                throw RiffleError(
                    "", "g is not the result of such a convolution (x \(x.shape), g \(g.shape), weight \(weight))")
            }
            let dtype = x.dtype.joined(with: g.dtype)
            let gw = try Tensor(uninitialized: weight, dtype)
            let image = try x.converted(to: dtype)
            let gradient = try g.converted(to: dtype)
            try withExtendedLifetime((image, gradient)) {
                try workspace(rk_conv2d_weight_grad(dtype.kernel, &shape, image.pointer, gradient.pointer, gw.pointer))
            }
            return [gw]
        },
        vjp: { call, gradients in
            guard let gradient = gradients[0] else { return [nil, nil] }
            let x = call.inputs[0]
            let g = call.inputs[1]
            let steps = Array(call.attributes.values[2...])
            return [
                call.wants(0)
                    ? try conv2dInputGrad.apply([g, gradient], [.integer(x.shape[1]), .integer(x.shape[2])] + steps)[0]
                    : nil,
                call.wants(1) ? try conv2d.apply([x, gradient], steps)[0] : nil,
            ]
        },
        jvp: { call, d in
            [
                try total([
                    d[0].map { try call.again($0, call.inputs[1]) }, d[1].map { try call.again(call.inputs[0], $0) },
                ])
            ]
        })

    /// A sample of images whose height and width are multiples of the factor.
    private static func drawPooled(_ dice: inout Dice) -> Sample {
        let small = dice.shape(ranks: 4...4), factor = dice.integer(1...4)
        let x: Shape = [small[0], small[1] * factor, small[2] * factor, small[3]]
        return Sample(x, with: [.integer(factor)], terms: factor * factor)
    }

    static let upsample: Op = linearMap(
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
            var small = rk_pool_shape(n: s[0], h: s[1], w: s[2], c: s[3], factor: factor)
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
            var small = rk_pool_shape(n: s[0], h: s[1] / factor, w: s[2] / factor, c: s[3], factor: factor)
            rk_sum_pool(x.dtype.kernel, &small, 1, x.pointer, y.pointer)
            return [y]
        },
        vjp: { call, g in [try g[0].map { try upsample($0, with: call.attributes[named: "factor"]) }] })

    static let avgPool: Op = composed(
        "avg_pool", [Argument("x", .tensor), Argument("factor", .integer(1...64), default: .integer(2))],
        Doc(
            "The mean of blocks of factor by factor pixels.",
            shapes: "x [n, h, w, c] -> [n, h / factor, w / factor, c]",
            example: "> riffle.ones(1, 4, 2, 1):avg_pool():reshape(2)\ntensor float32 [2]: 1 1"),
        samples: [Sample([2, 4, 6, 2], with: [.integer(2)])], draw: { drawPooled(&$0) },
        mistakes: [Sample([1, 3, 4, 2], with: [.integer(2)])],
        body: { call in
            let factor = Double(call.attributes.integer("factor"))
            return try sumPool(call.inputs[0], with: call.attributes[named: "factor"]) * (1 / (factor * factor))
        })

    private static func image(_ x: Tensor) throws -> Tensor {
        guard x.rank == 4 else { throw RiffleError("", "x must be [n, height, width, channels] (x \(x.shape))") }
        return try x.floating()
    }
}
