import RiffleTensor

/// Heads on the inner values of a network, which tell data from made samples on the path between noise and data.
///
/// The network is a frozen teacher (Sauer et al. 2403.12015), or one that learns beside the heads, such as the online
/// network of DMD2 (Yin et al. 2405.14867). It is no part of the discriminator, whose parameters are those of its
/// heads.
package final class Discriminator: Module {
    package let network: Network
    /// The network's blocks, one for each head.
    package let names: [String]
    /// Whether the network learns from the discriminator's loss, too.
    package let trainsNetwork: Bool
    private let width: Int
    private let heads: [Head]

    /// - Parameters:
    ///   - names: of blocks of the network, see `Network.blockNames`.
    ///   - width: of the heads' inner layer, a multiple of 8.
    /// - Throws: `RiffleError` for blocks that are not there, and networks that do not know the shape of a sample.
    package init(_ network: Network, at names: [String], width: Int = 64, trainsNetwork: Bool = false) throws {
        (self.network, self.names, self.width, self.trainsNetwork) = (network, names, width, trainsNetwork)
        guard let sample = network.sampleShape else {
            throw RiffleError("discriminator", "this \(network.kind) does not know the shape of a sample")
        }
        // The widths of blocks are those of their values.
        let values = try withoutGradient {
            try network.evaluating {
                try network.innerValues(
                    at: names, .zeros(sample.inserting(1, at: 0)), Array(repeating: .zeros([1]), count: network.times),
                    network.conditioning.blank())
            }
        }
        heads = try values.map { try Head($0.shape, width) }
    }

    package override var kind: String { "discriminator" }
    package override var summary: String { "on \(names.joined(separator: ", ")) of a \(network.kind)" }
    package override var children: [(name: String, module: Module)] { [("heads", ModuleList(heads))] }
    package override func blank() throws -> Module {
        try Discriminator(network, at: names, width: width, trainsNetwork: trainsNetwork)
    }
    package override var times: Int { network.times }
    package override var arity: ClosedRange<Int> { network.arity }

    /// Inputs as the network takes them.
    package override func forward(_ inputs: [Tensor]) throws -> Tensor {
        let (x, times, condition) = try network.parts(of: inputs)
        return try self(x, times, condition)
    }

    /// Numbers that are above 0 where a sample looks like data: [n, k], one for each head and position.
    package func callAsFunction(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let values = try network.innerValues(at: names, x, times, condition)
        return try Tensor.cat(
            zip(heads, values).enumerated().map { index, pair in
                try named("heads.\(index)") { try pair.0(pair.1) }
            }, 1)
    }
}

/// Two layers from a block's value to one number for each position.
private final class Head: Module {
    private let inner: Module
    private let norm: GroupNorm?
    private let outer: Module
    private let shape: Shape
    private let width: Int

    /// - Parameter shape: that of values, `[n, height, width, channels]` or `[n, width]`.
    init(_ shape: Shape, _ width: Int) throws {
        (self.shape, self.width) = (shape, width)
        let inputs = shape[shape.rank - 1], areMaps = shape.rank == 4
        inner = try areMaps ? Conv2d(inputs, width, kernel: 3) : Linear(inputs, width)
        norm = try areMaps ? GroupNorm(width, groups: 8) : nil
        outer = try areMaps ? Conv2d(width, 1, kernel: 1) : Linear(width, 1)
    }

    override var kind: String { "head" }
    override var children: [(name: String, module: Module)] {
        [("inner", inner)] + (norm.map { [("norm", $0)] } ?? []) + [("outer", outer)]
    }
    override func blank() throws -> Module { try Head(shape, width) }

    /// [n, height, width, channels] or [n, width] -> [n, positions].
    func callAsFunction(_ value: Tensor) throws -> Tensor {
        let h = try inner.forward([value])
        let logits = try outer.forward([norm.map { try $0(h, silu: true) } ?? h.silu()])
        return try logits.reshaped(to: [logits.shape[0], logits.count / max(1, logits.shape[0])])
    }
}
