import RiffleTensor

/// How a layer's weight and bias start.
package enum Start: Sendable {
    /// Uniform in +-1 / sqrt(inputs of one output), the bias too: PyTorch's default.
    case fanIn
    /// Uniform in +-sqrt(6 / (inputs of one output + outputs)), the bias zero (Glorot and Bengio 2010).
    case xavier
    /// Normal with this standard deviation, the bias zero.
    case normal(Double)
    /// All zeros, so that the layer has no effect at first.
    case zero

    /// A weight [outputs, ...], where the other dimensions are the inputs of one output.
    func weight(_ shape: Shape) throws -> Parameter {
        try Parameter(shape) {
            switch self {
            case .fanIn: try Self.uniform(shape, Self.bound(fanIn(shape)))
            case .xavier: try Self.uniform(shape, (6 / Double(fanIn(shape) + shape[0])).squareRoot())
            case .normal(let deviation): try withoutGradient { try Tensor.randn(shape) * deviation }
            case .zero: try .zeros(shape)
            }
        }
    }

    /// The bias [outputs] that goes with a weight of this shape.
    func bias(_ weight: Shape) throws -> Parameter {
        let shape: Shape = [weight[0]]
        return try Parameter(shape) {
            if case .fanIn = self { return try Self.uniform(shape, Self.bound(fanIn(weight))) }
            return try .zeros(shape)
        }
    }

    private func fanIn(_ weight: Shape) -> Int { weight.sizes.dropFirst().reduce(1, *) }

    private static func bound(_ fanIn: Int) -> Double { 1 / Double(max(fanIn, 1)).squareRoot() }

    private static func uniform(_ shape: Shape, _ bound: Double) throws -> Tensor {
        try withoutGradient { try Tensor.rand(shape).affine(2 * bound, -bound) }
    }
}
