import CKernels

extension Op {
    static let convolutions: [Op] = [conv2d, conv2dInputGrad, conv2dWeightGrad]

    private static let stepArguments = [
        Argument("stride", .sides(1...1024), default: .integer(1)),
        Argument("padding", .sides(0...1024), default: .integer(0)),
        Argument("groups", .integer(1...1 << 31), "parts of the channels that do not mix", default: .integer(1)),
    ]

    /// How a convolution steps over its images.
    private struct Steps {
        let stride: Sides
        let padding: Sides
        let groups: Int

        init(_ stride: Sides, _ padding: Sides, groups: Int = 1) {
            (self.stride, self.padding, self.groups) = (stride, padding, groups)
        }

        init(_ attributes: Arguments) {
            self.init(attributes.sides("stride"), attributes.sides("padding"), groups: attributes.integer("groups"))
        }

        var values: [Value] { [stride.value, padding.value, .integer(groups)] }

        /// Checks the shapes of an image and a weight, and describes them for the kernel.
        /// - Parameter given: what messages show; nil for these shapes.
        func shape(_ x: Shape, _ weight: Shape, given: String? = nil) throws -> rk_conv_shape {
            func mismatch(_ problem: String) -> RiffleError {
                let shapes = given ?? "x \(x), weight \(weight)", groups = groups > 1 ? ", groups \(groups)" : ""
                return RiffleError("", "\(problem) (\(shapes), stride \(stride), padding \(padding)\(groups))")
            }
            guard x.rank == 4, weight.rank == 4 else {
                throw mismatch("x must be [n, height, width, in] and weight [out, height, width, in]")
            }
            guard x[3] % groups == 0, weight[0] % groups == 0 else {
                throw mismatch("\(x[3]) channels in and \(weight[0]) out do not make \(groups) equal groups")
            }
            guard x[3] / groups == weight[3] else {
                throw mismatch(
                    "\(groups > 1 ? "a group" : "x") has \(x[3] / groups) channels, the weight takes \(weight[3])")
            }
            let (tall, wide) = (x[1] + 2 * padding.height, x[2] + 2 * padding.width)
            guard weight[1] > 0, weight[2] > 0, tall >= weight[1], wide >= weight[2] else {
                throw mismatch("the kernel is larger than the padded image")
            }
            return rk_conv_shape(
                n: x[0], h: x[1], w: x[2], c_in: x[3], c_out: weight[0], kernel_h: weight[1], kernel_w: weight[2],
                stride_h: stride.height, stride_w: stride.width, pad_h: padding.height, pad_w: padding.width,
                groups: groups, out_h: (tall - weight[1]) / stride.height + 1,
                out_w: (wide - weight[2]) / stride.width + 1, precision: Context.current.precision.kernel)
        }
    }

    /// The shapes of image, weight and result of a random convolution. Forms that have a kernel of their own come up
    /// more often.
    private struct Drawn {
        let x: Shape, weight: Shape, y: Shape
        let steps: Steps

        init(_ dice: inout Dice) {
            let odd = Sides(dice.integer(1...5), dice.integer(1...5))
            let kernel = dice.pick([3, 3, 1, odd])
            let isPlain = dice.chance(0.6), isSquare = dice.chance(0.5)
            func sides(_ range: ClosedRange<Int>) -> Sides {
                let height = dice.integer(range), width = dice.integer(range)
                return Sides(height, isSquare ? height : width)
            }
            let stride = isPlain ? 1 : sides(1...3), padding = isPlain ? kernel.map { $0 / 2 } : sides(0...3)
            let work = dice.pick([2000, 50_000, 50_000, 1_000_000])
            var inputs = dice.size(most: 130)
            var outputs = dice.size(most: 130)
            // A group for each channel, a few groups, or one.
            let groups = dice.chance(0.3) ? Swift.max(inputs, 1) : dice.chance(0.3) ? dice.integer(2...4) : 1
            if groups == inputs { outputs = inputs } else { (inputs, outputs) = (inputs * groups, outputs * groups) }
            let n = dice.size(most: 5)
            let pixels = Swift.max(1, work / Swift.max(1, inputs * outputs / groups * n))
            let height = dice.size(1, most: Swift.min(pixels, 70))
            let width = dice.size(1, most: pixels / height)
            let h = Swift.max(height, kernel.height - 2 * padding.height)
            let w = Swift.max(width, kernel.width - 2 * padding.width)
            steps = Steps(stride, padding, groups: groups)
            x = [n, h, w, inputs]
            weight = [outputs, kernel.height, kernel.width, inputs / groups]
            y = [
                n, (h + 2 * padding.height - kernel.height) / stride.height + 1,
                (w + 2 * padding.width - kernel.width) / stride.width + 1, outputs,
            ]
        }
    }

    static let conv2d: Op = Op(
        "conv2d",
        [Argument("x", .tensor), Argument("weight", .tensor), Argument("bias", .tensor, default: .none)]
            + stepArguments,
        Doc(
            "Convolves images with zero padding.",
            formula:
                "y[n, i, j, o] = bias[o] + sum over p, q, c of x[n, i stride + p - padding, j stride + q - padding, c] "
                + "weight[o, p, q, c], where c runs over the channels of o's group",
            shapes:
                "x [n, height, width, in], weight [out, kernel height, kernel width, in / groups], bias [out] -> "
                + "[n, height', width', out]",
            example:
                """
                > riffle.ones(1, 3, 3, 1):conv2d(riffle.ones(1, 3, 3, 1), { padding = 1 }):reshape(9):tolist()
                [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]
                """
        ),
        keep: Keep(inputs: 0b11),
        samples: [
            Sample([2, 4, 5, 3], [4, 3, 3, 3], [4], with: Steps(1, 1).values),
            Sample([1, 5, 5, 2], [3, 3, 3, 2], with: Steps(2, 1).values),
            Sample([2, 3, 3, 2], [3, 1, 1, 2], [3], with: Steps(1, 0).values),
            Sample([1, 5, 4, 6], [4, 1, 3, 3], [4], with: Steps(Sides(2, 1), Sides(0, 1), groups: 2).values),
            Sample([2, 4, 4, 5], [5, 3, 3, 1], with: Steps(1, 1, groups: 5).values),
        ],
        draw: { dice in
            let drawn = Drawn(&dice)
            let shapes = [drawn.x, drawn.weight, [drawn.weight[0]]].prefix(dice.integer(2...3))
            return Sample(shapes.map { .random($0, -2...2) }, drawn.steps.values, terms: drawn.weight.removing(0).count)
        },
        mistakes: [
            Sample([2, 4, 5, 3], [4, 3, 3, 2], with: Steps(1, 1).values),
            Sample([4, 5, 3], [4, 3, 3, 3], with: Steps(1, 1).values),
            Sample([2, 4, 4, 3], [4, 3, 3, 3], [3], with: Steps(1, 1).values),
            Sample([2, 2, 2, 3], [4, 3, 3, 3], with: Steps(1, 0).values),
            Sample([2, 4, 4, 4], [6, 3, 3, 1], with: Steps(1, 1, groups: 4).values),
            Sample([2, 4, 4, 4], [4, 3, 3, 4], with: Steps(1, 1, groups: 2).values),
        ],
        forward: { call in
            let x = try call.inputs[0].floating()
            let weight = call.inputs[1]
            let bias = call.inputs.count > 2 ? call.inputs[2] : nil
            var shape = try Steps(call.attributes).shape(x.shape, weight.shape)
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
                "g [n, height', width', out], weight [out, kernel height, kernel width, in / groups] -> "
                + "[n, height, width, in]",
            example:
                """
                > riffle.conv2d_input_grad(riffle.ones(1, 1, 1, 1), riffle.ones(1, 2, 2, 1), 2, 2):reshape(4)
                tensor float32 [4]: 1 1 1 1
                """
        ),
        samples: [
            Sample([2, 4, 5, 4], [4, 3, 3, 3], with: [4, 5, 1, 1, 1].map(Value.integer)),
            Sample([1, 3, 3, 3], [3, 3, 3, 2], with: [5, 5, 2, 1, 1].map(Value.integer)),
            Sample(
                [1, 2, 4, 6], [6, 2, 3, 2],
                with: [.integer(5), .integer(4)] + Steps(Sides(2, 1), Sides(0, 1), groups: 3).values),
            Sample([2, 4, 4, 5], [5, 3, 3, 1], with: [.integer(4), .integer(4)] + Steps(1, 1, groups: 5).values),
        ],
        draw: { dice in
            let drawn = Drawn(&dice)
            let size = [drawn.x[1], drawn.x[2]].map(Value.integer)
            return Sample(drawn.y, drawn.weight, with: size + drawn.steps.values, terms: drawn.weight.removing(3).count)
        },
        mistakes: [
            Sample([2, 4, 5, 3], [4, 3, 3, 3], with: [4, 5, 1, 1, 1].map(Value.integer)),
            Sample([2, 4, 5, 4], [4, 3, 3, 3], with: [4, 5, 1, 1, 3].map(Value.integer)),
        ],
        forward: { call in
            let g = call.inputs[0]
            let weight = call.inputs[1]
            let steps = Steps(call.attributes)
            guard g.rank == 4, weight.rank == 4 else {
                throw RiffleError("", "g and weight must have 4 dimensions (g \(g.shape), weight \(weight.shape))")
            }
            let channels = weight.shape[3] &* steps.groups  // a product beyond Int fits no weight
            let x: Shape = [
                g.shape[0], call.attributes.integer("height"), call.attributes.integer("width"), channels,
            ]
            let given = "g \(g.shape), weight \(weight.shape), image \(x)"
            var shape = try steps.shape(x, weight.shape, given: given)
            guard g.shape == [shape.n, shape.out_h, shape.out_w, shape.c_out] else {
                throw RiffleError("", "g is not the result of such a convolution (\(given))")
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
            shapes:
                "x [n, height, width, in], g [n, height', width', out] -> "
                + "[out, kernel height, kernel width, in / groups]",
            example:
                """
                > riffle.conv2d_weight_grad(riffle.ones(1, 2, 2, 1), riffle.ones(1, 1, 1, 1), 2, 2):reshape(4)
                tensor float32 [4]: 1 1 1 1
                """
        ),
        samples: [
            Sample([2, 4, 5, 3], [2, 4, 5, 4], with: [3, 3, 1, 1, 1].map(Value.integer)),
            Sample([1, 5, 5, 2], [1, 3, 3, 3], with: [3, 3, 2, 1, 1].map(Value.integer)),
            Sample(
                [1, 5, 4, 6], [1, 2, 4, 6],
                with: [.integer(3), .integer(3)] + Steps(Sides(2, 1), Sides(0, 1), groups: 3).values),
            Sample([2, 4, 4, 5], [2, 4, 4, 5], with: [.integer(3), .integer(3)] + Steps(1, 1, groups: 5).values),
        ],
        draw: { dice in
            let drawn = Drawn(&dice)
            let size = [drawn.weight[1], drawn.weight[2]].map(Value.integer)
            return Sample(drawn.x, drawn.y, with: size + drawn.steps.values, terms: drawn.y.removing(3).count)
        },
        mistakes: [
            Sample([2, 4, 5, 3], [2, 4, 4, 4], with: [3, 3, 1, 1, 1].map(Value.integer)),
            Sample([2, 4, 5, 3], [2, 4, 5, 4], with: [3, 3, 1, 1, 2].map(Value.integer)),
        ],
        forward: { call in
            let x = call.inputs[0]
            let g = call.inputs[1]
            let steps = Steps(call.attributes)
            guard x.rank == 4, g.rank == 4 else {
                throw RiffleError("", "x and g must have 4 dimensions (x \(x.shape), g \(g.shape))")
            }
            let weight: Shape = [
                g.shape[3], call.attributes.integer("kernel_height"), call.attributes.integer("kernel_width"),
                x.shape[3] / steps.groups,
            ]
            let given = "x \(x.shape), g \(g.shape), weight \(weight)"
            var shape = try steps.shape(x.shape, weight, given: given)
            guard g.shape == [shape.n, shape.out_h, shape.out_w, shape.c_out] else {
                throw RiffleError("", "g is not the result of such a convolution (\(given))")
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
}
