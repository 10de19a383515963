// The operations as methods and operators of Swift, a line each; the rows of the table document them.

extension Tensor {
    package static func + (a: Tensor, b: Tensor) throws -> Tensor { try Op.add(a, b) }
    package static func - (a: Tensor, b: Tensor) throws -> Tensor { try Op.sub(a, b) }
    package static func * (a: Tensor, b: Tensor) throws -> Tensor { try Op.mul(a, b) }
    package static func / (a: Tensor, b: Tensor) throws -> Tensor { try Op.div(a, b) }
    package static prefix func - (x: Tensor) throws -> Tensor { try x.affine(-1, 0) }
    package static func + (x: Tensor, number: Double) throws -> Tensor { try x.affine(1, number) }
    package static func + (number: Double, x: Tensor) throws -> Tensor { try x.affine(1, number) }
    package static func - (x: Tensor, number: Double) throws -> Tensor { try x.affine(1, -number) }
    package static func - (number: Double, x: Tensor) throws -> Tensor { try x.affine(-1, number) }
    package static func * (x: Tensor, number: Double) throws -> Tensor { try x.affine(number, 0) }
    package static func * (number: Double, x: Tensor) throws -> Tensor { try x.affine(number, 0) }
    package static func / (x: Tensor, number: Double) throws -> Tensor { try x.affine(1 / number, 0) }

    package func affine(_ scale: Double, _ shift: Double) throws -> Tensor {
        if dtype == .int32, let factor = Int32(exactly: scale), let term = Int32(exactly: shift) {
            return try Op.add(Op.mul(self, Tensor([factor], [])), Tensor([term], []))
        }
        return try Op.affine(dtype.isFloating ? self : cast(.float32), with: .number(scale), .number(shift))
    }
    package func pow(_ exponent: Double) throws -> Tensor { try Op.power(self, with: .number(exponent)) }
    package func pow(_ exponent: Tensor) throws -> Tensor { try Op.pow(self, exponent) }
    package func maximum(_ other: Tensor) throws -> Tensor { try Op.maximum(self, other) }
    package func minimum(_ other: Tensor) throws -> Tensor { try Op.minimum(self, other) }
    package func atan2(_ x: Tensor) throws -> Tensor { try Op.atan2(self, x) }
    package func eq(_ other: Tensor) throws -> Tensor { try Op.eq(self, other) }
    package func lt(_ other: Tensor) throws -> Tensor { try Op.lt(self, other) }
    package func le(_ other: Tensor) throws -> Tensor { try Op.le(self, other) }
    package func gt(_ other: Tensor) throws -> Tensor { try Op.gt(self, other) }
    package func ge(_ other: Tensor) throws -> Tensor { try Op.ge(self, other) }
    /// This tensor where `condition` is not zero, else `other`.
    package func `where`(_ condition: Tensor, else other: Tensor) throws -> Tensor {
        try Op.where(condition, self, other)
    }

    package func abs() throws -> Tensor { try Op.abs(self) }
    package func sign() throws -> Tensor { try Op.sign(self) }
    package func square() throws -> Tensor { try Op.square(self) }
    package func sqrt() throws -> Tensor { try Op.sqrt(self) }
    package func rsqrt() throws -> Tensor { try Op.rsqrt(self) }
    package func reciprocal() throws -> Tensor { try Op.reciprocal(self) }
    package func exp() throws -> Tensor { try Op.exp(self) }
    package func log() throws -> Tensor { try Op.log(self) }
    package func sin() throws -> Tensor { try Op.sin(self) }
    package func cos() throws -> Tensor { try Op.cos(self) }
    package func tanh() throws -> Tensor { try Op.tanh(self) }
    package func sigmoid() throws -> Tensor { try Op.sigmoid(self) }
    package func erf() throws -> Tensor { try Op.erf(self) }
    package func relu() throws -> Tensor { try Op.relu(self) }
    package func silu() throws -> Tensor { try Op.silu(self) }
    package func gelu() throws -> Tensor { try Op.gelu(self) }
    package func softplus() throws -> Tensor { try Op.softplus(self) }
    package func floor() throws -> Tensor { try Op.floor(self) }
    package func clamp(_ low: Double, _ high: Double) throws -> Tensor {
        try Op.clamp(self, with: .number(low), .number(high))
    }
    package func cast(_ dtype: DType) throws -> Tensor {
        dtype == self.dtype ? self : try Op.cast(self, with: .string(dtype.description))
    }

    package func sum(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.sum(self, with: .dims(dims), .boolean(keep))
    }
    package func mean(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.mean(self, with: .dims(dims), .boolean(keep))
    }
    package func max(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.max(self, with: .dims(dims), .boolean(keep))
    }
    package func min(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.min(self, with: .dims(dims), .boolean(keep))
    }
    package func variance(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.variance(self, with: .dims(dims), .boolean(keep))
    }
    package func cumsum(_ dim: Int = -1) throws -> Tensor { try Op.cumsum(self, with: .integer(dim), .boolean(false)) }
    package func argmax(_ dim: Int = -1) throws -> Tensor { try Op.argmax(self, with: .integer(dim)) }
    package func argmin(_ dim: Int = -1) throws -> Tensor { try Op.argmin(self, with: .integer(dim)) }

    package func reshaped(to shape: Shape) throws -> Tensor {
        shape == self.shape ? self : try Op.reshape(self, with: .shape(shape))
    }
    package func expanded(to shape: Shape) throws -> Tensor {
        shape == self.shape ? self : try Op.expand(self, with: .shape(shape))
    }
    /// Summed over the dimensions along which `shape` was broadcast to this tensor's.
    package func reduced(to shape: Shape) throws -> Tensor {
        shape == self.shape ? self : try Op.sumTo(self, with: .shape(shape))
    }
    package func permuted(_ dims: [Int]) throws -> Tensor { try Op.permute(self, with: .dims(dims)) }
    package func transposed(_ first: Int = -2, _ second: Int = -1) throws -> Tensor {
        try Op.transpose(self, with: .integer(first), .integer(second))
    }
    package func unsqueezed(_ dim: Int) throws -> Tensor { try Op.unsqueeze(self, with: .integer(dim)) }
    /// The part of a dimension in a range that counts from 0.
    package func sliced(_ dim: Int, _ range: Range<Int>) throws -> Tensor {
        if range.isEmpty { return try .zeros(shape.replacing(dimension(dim), with: 0), dtype) }
        return try Op.slice(self, with: .integer(dim), .integer(range.lowerBound), .integer(range.upperBound - 1))
    }
    package func padded(_ dim: Int, before: Int, after: Int) throws -> Tensor {
        try Op.pad(self, with: .integer(dim), .integer(before), .integer(after))
    }
    package static func cat(_ tensors: [Tensor], _ dim: Int = 0) throws -> Tensor {
        try Op.cat.apply(tensors, [.integer(dim)])[0]
    }
    package static func stack(_ tensors: [Tensor], _ dim: Int = 0) throws -> Tensor {
        try Op.stack.apply(tensors, [.integer(dim)])[0]
    }
    package func split(_ sizes: [Int], _ dim: Int = 0) throws -> [Tensor] {
        try Op.split.apply([self], [.list(sizes.map(Value.integer)), .integer(dim)])
    }
    /// Rows by their numbers, counted from 1.
    package func take(_ index: Tensor) throws -> Tensor { try Op.take(self, index) }
    /// 1 at each number, counted from 1, and 0 elsewhere: [...] -> [..., classes].
    package func oneHot(_ classes: Int) throws -> Tensor { try Op.oneHot(self, with: .integer(classes)) }

    package func matmul(_ other: Tensor, transposeA: Bool = false, transposeB: Bool = false) throws -> Tensor {
        try Op.matmul(self, other, with: .boolean(transposeA), .boolean(transposeB))
    }
    /// - Parameter activation: gelu or silu, which is applied to this tensor first.
    package func linear(_ weight: Tensor, _ bias: Tensor?, after activation: Op? = nil) throws -> Tensor {
        try Op.dense.apply([self, weight] + (bias.map { [$0] } ?? []), [activation.map { .string($0.name) } ?? .none])[
            0]
    }
    package func conv2d(
        _ weight: Tensor, _ bias: Tensor?, stride: Sides = 1, padding: Sides = 0, groups: Int = 1
    ) throws -> Tensor {
        try Op.conv2d.apply(
            [self, weight] + (bias.map { [$0] } ?? []), [stride.value, padding.value, .integer(groups)])[0]
    }
    /// - Parameter stride: the kernel's size where nil.
    package func maxPooled(_ kernel: Sides, stride: Sides? = nil, padding: Sides = 0, ceil: Bool = false) throws
        -> Tensor
    {
        try Op.maxPool(self, with: kernel.value, stride?.value ?? .none, padding.value, .boolean(ceil))
    }
    /// - Parameter stride: the kernel's size where nil.
    package func averaged(
        _ kernel: Sides = 2, stride: Sides? = nil, padding: Sides = 0, ceil: Bool = false, countingPadding: Bool = true
    ) throws -> Tensor {
        try Op.avgPool(
            self, with: kernel.value, stride?.value ?? .none, padding.value, .boolean(ceil), .boolean(countingPadding))
    }
    package func upsampled(_ factor: Int = 2) throws -> Tensor { try Op.upsample(self, with: .integer(factor)) }
    /// - Parameter silu: whether SiLU follows.
    package func groupNorm(_ weight: Tensor, _ bias: Tensor, groups: Int, eps: Double = 1e-5, silu: Bool = false) throws
        -> Tensor
    {
        try Op.groupNorm(self, weight, bias, with: .integer(groups), .number(eps), .boolean(silu))
    }
    package func layerNorm(_ weight: Tensor? = nil, _ bias: Tensor? = nil, eps: Double = 1e-5) throws -> Tensor {
        try Op.layerNorm.apply([self] + [weight, bias].compactMap { $0 }, [.number(eps)])[0]
    }
    package func rmsNorm(_ weight: Tensor? = nil, eps: Double = 1e-6) throws -> Tensor {
        try Op.rmsNorm.apply([self] + [weight].compactMap { $0 }, [.number(eps)])[0]
    }
    package func softmax() throws -> Tensor { try Op.softmax(self) }
    package func logSoftmax() throws -> Tensor { try Op.logSoftmax(self) }
    package static func attention(_ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Double? = nil) throws -> Tensor {
        try Op.attention(q, k, v, with: scale.map(Value.number) ?? .none)
    }
}

extension Value {
    static func dims(_ dims: [Int]?) -> Value { dims.map { .list($0.map(Value.integer)) } ?? .none }
    static func shape(_ shape: Shape) -> Value { .list(shape.sizes.map(Value.integer)) }
}
