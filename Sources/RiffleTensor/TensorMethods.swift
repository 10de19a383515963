// The operations as Swift writes them: one line each, the rows of the table say the rest.

extension Tensor {
    public static func + (a: Tensor, b: Tensor) throws -> Tensor { try Op.add(a, b) }
    public static func - (a: Tensor, b: Tensor) throws -> Tensor { try Op.sub(a, b) }
    public static func * (a: Tensor, b: Tensor) throws -> Tensor { try Op.mul(a, b) }
    public static func / (a: Tensor, b: Tensor) throws -> Tensor { try Op.div(a, b) }
    public static prefix func - (x: Tensor) throws -> Tensor { try x.affine(-1, 0) }
    public static func + (x: Tensor, number: Double) throws -> Tensor { try x.affine(1, number) }
    public static func + (number: Double, x: Tensor) throws -> Tensor { try x.affine(1, number) }
    public static func - (x: Tensor, number: Double) throws -> Tensor { try x.affine(1, -number) }
    public static func - (number: Double, x: Tensor) throws -> Tensor { try x.affine(-1, number) }
    public static func * (x: Tensor, number: Double) throws -> Tensor { try x.affine(number, 0) }
    public static func * (number: Double, x: Tensor) throws -> Tensor { try x.affine(number, 0) }
    public static func / (x: Tensor, number: Double) throws -> Tensor { try x.affine(1 / number, 0) }

    public func affine(_ scale: Double, _ shift: Double) throws -> Tensor {
        if dtype == .int32, let factor = Int32(exactly: scale), let term = Int32(exactly: shift) {
            return try Op.add(Op.mul(self, Tensor([factor], [])), Tensor([term], []))
        }
        return try Op.affine(dtype.isFloating ? self : cast(.float32), with: .number(scale), .number(shift))
    }
    public func pow(_ exponent: Double) throws -> Tensor { try Op.power(self, with: .number(exponent)) }
    public func pow(_ exponent: Tensor) throws -> Tensor { try Op.pow(self, exponent) }
    public func maximum(_ other: Tensor) throws -> Tensor { try Op.maximum(self, other) }
    public func minimum(_ other: Tensor) throws -> Tensor { try Op.minimum(self, other) }
    public func atan2(_ x: Tensor) throws -> Tensor { try Op.atan2(self, x) }
    public func eq(_ other: Tensor) throws -> Tensor { try Op.eq(self, other) }
    public func lt(_ other: Tensor) throws -> Tensor { try Op.lt(self, other) }
    public func le(_ other: Tensor) throws -> Tensor { try Op.le(self, other) }
    public func gt(_ other: Tensor) throws -> Tensor { try Op.gt(self, other) }
    public func ge(_ other: Tensor) throws -> Tensor { try Op.ge(self, other) }
    /// This where `condition` is not zero, else the other.
    public func `where`(_ condition: Tensor, else other: Tensor) throws -> Tensor {
        try Op.where(condition, self, other)
    }

    public func abs() throws -> Tensor { try Op.abs(self) }
    public func sign() throws -> Tensor { try Op.sign(self) }
    public func square() throws -> Tensor { try Op.square(self) }
    public func sqrt() throws -> Tensor { try Op.sqrt(self) }
    public func rsqrt() throws -> Tensor { try Op.rsqrt(self) }
    public func reciprocal() throws -> Tensor { try Op.reciprocal(self) }
    public func exp() throws -> Tensor { try Op.exp(self) }
    public func log() throws -> Tensor { try Op.log(self) }
    public func sin() throws -> Tensor { try Op.sin(self) }
    public func cos() throws -> Tensor { try Op.cos(self) }
    public func tanh() throws -> Tensor { try Op.tanh(self) }
    public func sigmoid() throws -> Tensor { try Op.sigmoid(self) }
    public func erf() throws -> Tensor { try Op.erf(self) }
    public func relu() throws -> Tensor { try Op.relu(self) }
    public func silu() throws -> Tensor { try Op.silu(self) }
    public func gelu() throws -> Tensor { try Op.gelu(self) }
    public func softplus() throws -> Tensor { try Op.softplus(self) }
    public func floor() throws -> Tensor { try Op.floor(self) }
    public func clamp(_ low: Double, _ high: Double) throws -> Tensor {
        try Op.clamp(self, with: .number(low), .number(high))
    }
    public func cast(_ dtype: DType) throws -> Tensor {
        dtype == self.dtype ? self : try Op.cast(self, with: .string(dtype.description))
    }

    public func sum(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.sum(self, with: .dims(dims), .boolean(keep))
    }
    public func mean(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.mean(self, with: .dims(dims), .boolean(keep))
    }
    public func max(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.max(self, with: .dims(dims), .boolean(keep))
    }
    public func min(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.min(self, with: .dims(dims), .boolean(keep))
    }
    public func variance(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.variance(self, with: .dims(dims), .boolean(keep))
    }
    public func cumsum(_ dim: Int = -1) throws -> Tensor { try Op.cumsum(self, with: .integer(dim), .boolean(false)) }
    public func argmax(_ dim: Int = -1) throws -> Tensor { try Op.argmax(self, with: .integer(dim)) }
    public func argmin(_ dim: Int = -1) throws -> Tensor { try Op.argmin(self, with: .integer(dim)) }

    public func reshaped(to shape: Shape) throws -> Tensor {
        shape == self.shape ? self : try Op.reshape(self, with: .shape(shape))
    }
    public func expanded(to shape: Shape) throws -> Tensor {
        shape == self.shape ? self : try Op.expand(self, with: .shape(shape))
    }
    /// Summed over the dimensions along which `shape` was broadcast to this tensor's.
    public func reduced(to shape: Shape) throws -> Tensor {
        shape == self.shape ? self : try Op.sumTo(self, with: .shape(shape))
    }
    public func permuted(_ dims: [Int]) throws -> Tensor { try Op.permute(self, with: .dims(dims)) }
    public func transposed(_ first: Int = -2, _ second: Int = -1) throws -> Tensor {
        try Op.transpose(self, with: .integer(first), .integer(second))
    }
    public func unsqueezed(_ dim: Int) throws -> Tensor { try Op.unsqueeze(self, with: .integer(dim)) }
    /// The part of a dimension in a range that counts from 0.
    public func sliced(_ dim: Int, _ range: Range<Int>) throws -> Tensor {
        if range.isEmpty { return try .zeros(shape.replacing(dimension(dim), with: 0), dtype) }
        return try Op.slice(self, with: .integer(dim), .integer(range.lowerBound), .integer(range.upperBound - 1))
    }
    public func padded(_ dim: Int, before: Int, after: Int) throws -> Tensor {
        try Op.pad(self, with: .integer(dim), .integer(before), .integer(after))
    }
    public static func cat(_ tensors: [Tensor], _ dim: Int = 0) throws -> Tensor {
        try Op.cat.apply(tensors, [.integer(dim)])[0]
    }
    public static func stack(_ tensors: [Tensor], _ dim: Int = 0) throws -> Tensor {
        try Op.stack.apply(tensors, [.integer(dim)])[0]
    }
    public func split(_ sizes: [Int], _ dim: Int = 0) throws -> [Tensor] {
        try Op.split.apply([self], [.list(sizes.map(Value.integer)), .integer(dim)])
    }
    /// Rows by their numbers, counted from 1.
    public func take(_ index: Tensor) throws -> Tensor { try Op.take(self, index) }

    public func matmul(_ other: Tensor, transposeA: Bool = false, transposeB: Bool = false) throws -> Tensor {
        try Op.matmul(self, other, with: .boolean(transposeA), .boolean(transposeB))
    }
    /// - Parameter activation: gelu or silu, to put this tensor through first.
    public func linear(_ weight: Tensor, _ bias: Tensor?, after activation: Op? = nil) throws -> Tensor {
        try Op.dense.apply([self, weight] + (bias.map { [$0] } ?? []), [activation.map { .string($0.name) } ?? .none])[
            0]
    }
    public func conv2d(_ weight: Tensor, _ bias: Tensor?, stride: Int = 1, padding: Int = 0) throws -> Tensor {
        try Op.conv2d.apply([self, weight] + (bias.map { [$0] } ?? []), [.integer(stride), .integer(padding)])[0]
    }
    public func upsampled(_ factor: Int = 2) throws -> Tensor { try Op.upsample(self, with: .integer(factor)) }
    public func averaged(_ factor: Int = 2) throws -> Tensor { try Op.avgPool(self, with: .integer(factor)) }
    /// - Parameter silu: whether SiLU follows.
    public func groupNorm(_ weight: Tensor, _ bias: Tensor, groups: Int, eps: Double = 1e-5, silu: Bool = false) throws
        -> Tensor
    {
        try Op.groupNorm(self, weight, bias, with: .integer(groups), .number(eps), .boolean(silu))
    }
    public func layerNorm(_ weight: Tensor? = nil, _ bias: Tensor? = nil, eps: Double = 1e-5) throws -> Tensor {
        try Op.layerNorm.apply([self] + [weight, bias].compactMap { $0 }, [.number(eps)])[0]
    }
    public func rmsNorm(_ weight: Tensor? = nil, eps: Double = 1e-6) throws -> Tensor {
        try Op.rmsNorm.apply([self] + [weight].compactMap { $0 }, [.number(eps)])[0]
    }
    public func softmax() throws -> Tensor { try Op.softmax(self) }
    public func logSoftmax() throws -> Tensor { try Op.logSoftmax(self) }
    public static func attention(_ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Double? = nil) throws -> Tensor {
        try Op.attention(q, k, v, with: scale.map(Value.number) ?? .none)
    }
}

extension Value {
    static func dims(_ dims: [Int]?) -> Value { dims.map { .list($0.map(Value.integer)) } ?? .none }
    static func shape(_ shape: Shape) -> Value { .list(shape.sizes.map(Value.integer)) }
}
