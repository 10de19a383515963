import RiffleTensor

extension Tensor {
    /// Layer norm over the last dimension of [n, tokens, width], times 1 + scale, plus shift, which are [n, 1, width].
    fileprivate func normalised(shift: Tensor, scale: Tensor) throws -> Tensor {
        try layerNorm(1 + scale, shift, eps: 1e-6)
    }

    /// [n, parts x width] -> as many tensors [n, 1, width], which broadcast over tokens.
    fileprivate func parts(_ count: Int) throws -> [Tensor] {
        let width = shape[1] / count
        return try reshaped(to: [shape[0], 1, shape[1]]).split([Int](repeating: width, count: count), 2)
    }
}

/// Shifts, scales and gates for the branches of a residual block: linear in the conditioning, and all zeros at first,
/// so that the block starts as the identity (adaLN-zero, Peebles and Xie 2023).
final class Modulation: Module {
    /// One branch, x + gate f(norm(x) (1 + scale) + shift); [n, 1, width] each.
    struct Branch {
        let shift: Tensor
        let scale: Tensor
        let gate: Tensor

        /// The input of the branch's function f, for x [n, tokens, width].
        func input(_ x: Tensor) throws -> Tensor { try x.normalised(shift: shift, scale: scale) }
    }

    private let linear: Linear
    private let branches: Int

    init(_ width: Int, branches: Int) throws {
        self.branches = branches
        linear = try Linear(width, 3 * branches * width, start: .zero)
    }

    override var kind: String { "modulation" }
    override var summary: String { "of \(branches) branches, \(linear.summary)" }
    override var ownParameters: [NamedParameter] { linear.ownParameters }
    override var adaptable: (any AdaptableLayer)? { linear }

    /// conditioning [n, width], after SiLU -> the branches.
    func callAsFunction(_ conditioning: Tensor) throws -> [Branch] {
        let parts = try linear(conditioning).parts(3 * branches)
        return (0..<branches).map { Branch(shift: parts[3 * $0], scale: parts[3 * $0 + 1], gate: parts[3 * $0 + 2]) }
    }
}

/// Layer norm whose shift and scale are linear in the conditioning, and zeros at first.
final class AdaptiveNorm: Module {
    private let linear: Linear
    private let scaleFirst: Bool

    /// - Parameter scaleFirst: whether files hold the scale's rows before the shift's.
    init(_ width: Int, scaleFirst: Bool = false) throws {
        self.scaleFirst = scaleFirst
        linear = try Linear(width, 2 * width, start: .zero)
    }

    override var kind: String { "adaptive_norm" }
    override var summary: String { linear.summary }
    override var ownParameters: [NamedParameter] { linear.ownParameters }
    override var adaptable: (any AdaptableLayer)? { linear }

    /// x [n, tokens, width], conditioning [n, width] after SiLU -> as x.
    func callAsFunction(_ x: Tensor, _ conditioning: Tensor) throws -> Tensor {
        let parts = try linear(conditioning).parts(2)
        return try x.normalised(shift: parts[scaleFirst ? 1 : 0], scale: parts[scaleFirst ? 0 : 1])
    }
}
