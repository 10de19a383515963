import RiffleTensor

/// y = x weight^T + bias, over the last dimension. weight [out, in], bias [out].
package final class Linear: Module, AdaptableLayer {
    package let weight: Parameter
    package let bias: Parameter?
    package var adapter: LowRank?
    package var isGrouped: Bool { false }

    package init(_ inputs: Int, _ outputs: Int, bias: Bool = true, start: Start = .fanIn) throws {
        weight = try start.weight([outputs, inputs])
        self.bias = bias ? try start.bias([outputs, inputs]) : nil
    }

    package override var kind: String { "linear" }
    package override var summary: String {
        "\(weight.shape[1]) -> \(weight.shape[0])" + (bias == nil ? " without bias" : "")
    }
    package override var ownParameters: [NamedParameter] {
        [NamedParameter("weight", weight)] + (bias.map { [NamedParameter("bias", $0)] } ?? [])
            + (adapter?.named() ?? [])
    }
    override var adaptable: (any AdaptableLayer)? { self }
    package override func blank() throws -> Module {
        try Linear(weight.shape[1], weight.shape[0], bias: bias != nil, start: .zero)
    }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    /// - Parameters:
    ///   - activation: gelu or silu, which is applied to x first.
    ///   - biased: whether the bias, if there is one, is added.
    package func callAsFunction(_ x: Tensor, after activation: Op? = nil, biased: Bool = true) throws -> Tensor {
        let y = try x.linear(weight.tensor, biased ? bias?.tensor : nil, after: activation)
        guard let adapter else { return y }
        let narrow = try x.linear(adapter.down.tensor, nil, after: activation) * adapter.scale
        return try y + narrow.linear(adapter.up.tensor, nil)
    }
}

/// Normalisation over groups of channels, with scale and shift.
package final class GroupNorm: Module {
    package let weight: Parameter
    package let bias: Parameter
    private let groups: Int
    private let eps: Double

    package init(_ channels: Int, groups: Int = 32, eps: Double = 1e-5) throws {
        guard groups >= 1, channels % groups == 0 else {
            throw RiffleError("group_norm", "\(channels) channels do not make \(groups) equal groups")
        }
        weight = try Parameter([channels]) { try .ones([channels]) }
        bias = try Parameter([channels]) { try .zeros([channels]) }
        self.groups = groups
        self.eps = eps
    }

    package override var kind: String { "group_norm" }
    package override var summary: String { "\(weight.shape[0]) channels in \(groups) groups" }
    package override var ownParameters: [NamedParameter] {
        [NamedParameter("weight", weight), NamedParameter("bias", bias)]
    }
    package override func blank() throws -> Module { try GroupNorm(weight.shape[0], groups: groups, eps: eps) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    /// - Parameter silu: whether SiLU follows, in the same pass.
    package func callAsFunction(_ x: Tensor, silu: Bool = false) throws -> Tensor {
        try x.groupNorm(weight.tensor, bias.tensor, groups: groups, eps: eps, silu: silu)
    }
}

/// Normalisation over the last dimension, with scale and shift where `affine`.
package final class LayerNorm: Module {
    package let weight: Parameter?
    package let bias: Parameter?
    private let width: Int
    private let eps: Double

    package init(_ width: Int, eps: Double = 1e-5, affine: Bool = true) throws {
        weight = affine ? try Parameter([width]) { try .ones([width]) } : nil
        bias = affine ? try Parameter([width]) { try .zeros([width]) } : nil
        self.width = width
        self.eps = eps
    }

    package override var kind: String { "layer_norm" }
    package override var summary: String { "\(width)" }
    package override var ownParameters: [NamedParameter] {
        [("weight", weight), ("bias", bias)].compactMap { name, parameter in parameter.map { NamedParameter(name, $0) }
        }
    }
    package override func blank() throws -> Module { try LayerNorm(width, eps: eps, affine: weight != nil) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ x: Tensor) throws -> Tensor {
        guard x.shape.last == width else {
            throw RiffleError("layer_norm", "the last dimension is not \(width) (x \(x.shape))")
        }
        return try x.layerNorm(weight?.tensor, bias?.tensor, eps: eps)
    }
}

/// Division by the root mean square over the last dimension, with scale.
package final class RMSNorm: Module {
    package let weight: Parameter
    private let eps: Double

    package init(_ width: Int, eps: Double = 1e-6) throws {
        weight = try Parameter([width]) { try .ones([width]) }
        self.eps = eps
    }

    package override var kind: String { "rms_norm" }
    package override var summary: String { "\(weight.shape[0])" }
    package override var ownParameters: [NamedParameter] { [NamedParameter("weight", weight)] }
    package override func blank() throws -> Module { try RMSNorm(weight.shape[0], eps: eps) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ x: Tensor) throws -> Tensor { try x.rmsNorm(weight.tensor, eps: eps) }
}

/// A table of rows, looked up by numbers from 1. weight [count, width].
package final class Embedding: Module {
    package let weight: Parameter

    package init(_ count: Int, _ width: Int, start: Start = .normal(1)) throws {
        weight = try start.weight([count, width])
    }

    package override var kind: String { "embedding" }
    package override var summary: String { "\(weight.shape[0]) of \(weight.shape[1])" }
    package override var ownParameters: [NamedParameter] { [NamedParameter("weight", weight)] }
    package override func blank() throws -> Module { try Embedding(weight.shape[0], weight.shape[1]) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ index: Tensor) throws -> Tensor { try weight.tensor.take(index) }
}

/// Zeroes elements at random while training.
package final class Dropout: Module {
    package let probability: Double

    package init(_ probability: Double) { self.probability = probability }

    package override var kind: String { "dropout" }
    package override var summary: String { riffleFormat(probability) }
    package override func blank() throws -> Module { Dropout(probability) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ x: Tensor) throws -> Tensor { isTraining ? try x.dropout(probability) : x }
}

/// An operation on one tensor, such as `silu` or `max_pool`, as a module.
package final class Operation: Module {
    private let op: Op
    private let attributes: [Value]

    package init(_ op: Op, _ attributes: [Value] = []) { (self.op, self.attributes) = (op, attributes) }

    package override var kind: String { op.name }
    package override func blank() throws -> Module { Operation(op, attributes) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ x: Tensor) throws -> Tensor { try op.apply([x], attributes)[0] }
}

/// Modules applied one after another, named by their indices from 0, as PyTorch names them in files.
package final class Sequential: Module {
    package let modules: [Module]

    package init(_ modules: [Module]) { self.modules = modules }

    package override var kind: String { "sequential" }
    package override var summary: String { "of \(modules.count)" }
    package override var children: [(name: String, module: Module)] { modules.enumerated().map { ("\($0)", $1) } }
    package override func blank() throws -> Module { Sequential(try modules.map { try $0.blank() }) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    package func callAsFunction(_ x: Tensor) throws -> Tensor {
        try modules.enumerated().reduce(x) { h, part in try named("\(part.offset)") { try part.element.forward([h]) } }
    }
}

/// A list of modules, named by their indices from 0. The list has no function of its own.
package final class ModuleList<Element: Module>: Module {
    package let modules: [Element]

    package init(_ modules: [Element]) { self.modules = modules }

    package override var kind: String { "list" }
    package override var summary: String { "of \(modules.count)" }
    package override var children: [(name: String, module: Module)] { modules.enumerated().map { ("\($0)", $1) } }
}

/// Self-attention with several heads. One matrix product makes queries, keys and values, another one the result.
package final class SelfAttention: Module {
    private let qkv: Linear
    private let projection: Linear
    private let heads: Int

    package init(_ width: Int, heads: Int, start: Start = .fanIn) throws {
        guard heads >= 1, width % heads == 0 else {
            throw RiffleError("attention", "a width of \(width) does not make \(heads) equal heads")
        }
        qkv = try Linear(width, 3 * width, start: start)
        projection = try Linear(width, width, start: start)
        self.heads = heads
    }

    package override var kind: String { "attention" }
    package override var summary: String { "\(projection.weight.shape[0]) with \(heads) heads" }
    package override var children: [(name: String, module: Module)] { [("qkv", qkv), ("proj", projection)] }
    package override func blank() throws -> Module { try SelfAttention(projection.weight.shape[0], heads: heads) }
    package override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }

    /// x [n, positions, width] -> the same shape.
    package func callAsFunction(_ x: Tensor) throws -> Tensor {
        guard x.rank == 3 else { throw RiffleError("attention", "x must be [n, positions, width] (x \(x.shape))") }
        let (n, length, width) = (x.shape[0], x.shape[1], x.shape[2])
        let parts = try qkv(x).reshaped(to: [n, length, 3 * heads, width / heads]).split([heads, heads, heads], 2)
        return try projection(Tensor.attention(parts[0], parts[1], parts[2]).reshaped(to: x.shape))
    }
}
