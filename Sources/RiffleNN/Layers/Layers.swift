import RiffleTensor

/// y = x weight^T + bias, over the last dimension. weight [out, in], bias [out].
public final class Linear: Module {
    public let weight: Parameter
    public let bias: Parameter?

    public init(_ inputs: Int, _ outputs: Int, bias: Bool = true, start: Start = .fanIn) throws {
        weight = try start.weight([outputs, inputs])
        self.bias = bias ? try start.bias([outputs, inputs]) : nil
    }

    public override var kind: String { "linear" }
    public override var summary: String {
        "\(weight.shape[1]) -> \(weight.shape[0])" + (bias == nil ? " without bias" : "")
    }
    public override var ownParameters: [NamedParameter] {
        [NamedParameter("weight", weight)] + (bias.map { [NamedParameter("bias", $0)] } ?? [])
    }
    public override func blank() throws -> Module {
        try Linear(weight.shape[1], weight.shape[0], bias: bias != nil, start: .zero)
    }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    /// - Parameter activation: gelu or silu, to put x through first.
    public func callAsFunction(_ x: Tensor, after activation: Op? = nil) throws -> Tensor {
        try x.linear(weight.tensor, bias?.tensor, after: activation)
    }
}

/// Convolution of [n, height, width, in] to [n, height', width', out] with zero padding.
public final class Conv2d: Module {
    public let weight: Parameter
    public let bias: Parameter?
    private let stride: Int
    private let padding: Int

    public init(
        _ inputs: Int, _ outputs: Int, kernel: Int = 3, stride: Int = 1, padding: Int? = nil, bias: Bool = true,
        start: Start = .fanIn
    ) throws {
        let shape: Shape = [outputs, kernel, kernel, inputs]
        weight = try start.weight(shape)
        self.bias = bias ? try start.bias(shape) : nil
        self.stride = stride
        self.padding = padding ?? kernel / 2
    }

    public override var kind: String { "conv2d" }
    public override var summary: String {
        "\(weight.shape[3]) -> \(weight.shape[0]), kernel \(weight.shape[1])" + (stride > 1 ? ", stride \(stride)" : "")
    }
    public override var ownParameters: [NamedParameter] {
        [NamedParameter("weight", weight, .convolution)] + (bias.map { [NamedParameter("bias", $0)] } ?? [])
    }
    public override func blank() throws -> Module {
        try Conv2d(
            weight.shape[3], weight.shape[0], kernel: weight.shape[1], stride: stride, padding: padding,
            bias: bias != nil, start: .zero)
    }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try x.conv2d(weight.tensor, bias?.tensor, stride: stride, padding: padding)
    }
}

/// Normalisation over groups of channels, with scale and shift.
public final class GroupNorm: Module {
    public let weight: Parameter
    public let bias: Parameter
    private let groups: Int
    private let eps: Double

    public init(_ channels: Int, groups: Int = 32, eps: Double = 1e-5) throws {
        guard groups >= 1, channels % groups == 0 else {
            throw RiffleError("group_norm", "\(channels) channels do not make \(groups) equal groups")
        }
        (weight, bias) = (Parameter(try .ones([channels])), Parameter(try .zeros([channels])))
        (self.groups, self.eps) = (groups, eps)
    }

    public override var kind: String { "group_norm" }
    public override var summary: String { "\(weight.shape[0]) channels in \(groups) groups" }
    public override var ownParameters: [NamedParameter] {
        [NamedParameter("weight", weight), NamedParameter("bias", bias)]
    }
    public override func blank() throws -> Module { try GroupNorm(weight.shape[0], groups: groups, eps: eps) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    /// - Parameter silu: whether SiLU follows, in the same pass.
    public func callAsFunction(_ x: Tensor, silu: Bool = false) throws -> Tensor {
        try x.groupNorm(weight.tensor, bias.tensor, groups: groups, eps: eps, silu: silu)
    }
}

/// Normalisation over the last dimension, with scale and shift where `affine`.
public final class LayerNorm: Module {
    public let weight: Parameter?
    public let bias: Parameter?
    private let width: Int
    private let eps: Double

    public init(_ width: Int, eps: Double = 1e-5, affine: Bool = true) throws {
        weight = affine ? Parameter(try .ones([width])) : nil
        bias = affine ? Parameter(try .zeros([width])) : nil
        (self.width, self.eps) = (width, eps)
    }

    public override var kind: String { "layer_norm" }
    public override var summary: String { "\(width)" }
    public override var ownParameters: [NamedParameter] {
        [("weight", weight), ("bias", bias)].compactMap { name, parameter in parameter.map { NamedParameter(name, $0) }
        }
    }
    public override func blank() throws -> Module { try LayerNorm(width, eps: eps, affine: weight != nil) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        guard x.shape.last == width else {
            throw RiffleError("layer_norm", "the last dimension is not \(width) (x \(x.shape))")
        }
        return try x.layerNorm(weight?.tensor, bias?.tensor, eps: eps)
    }
}

/// Division by the root mean square over the last dimension, with scale.
public final class RMSNorm: Module {
    public let weight: Parameter
    private let eps: Double

    public init(_ width: Int, eps: Double = 1e-6) throws {
        weight = Parameter(try .ones([width]))
        self.eps = eps
    }

    public override var kind: String { "rms_norm" }
    public override var summary: String { "\(weight.shape[0])" }
    public override var ownParameters: [NamedParameter] { [NamedParameter("weight", weight)] }
    public override func blank() throws -> Module { try RMSNorm(weight.shape[0], eps: eps) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    public func callAsFunction(_ x: Tensor) throws -> Tensor { try x.rmsNorm(weight.tensor, eps: eps) }
}

/// A table of rows, looked up by numbers from 1. weight [count, width].
public final class Embedding: Module {
    public let weight: Parameter

    public init(_ count: Int, _ width: Int, start: Start = .normal(1)) throws {
        weight = try start.weight([count, width])
    }

    public override var kind: String { "embedding" }
    public override var summary: String { "\(weight.shape[0]) of \(weight.shape[1])" }
    public override var ownParameters: [NamedParameter] { [NamedParameter("weight", weight)] }
    public override func blank() throws -> Module { try Embedding(weight.shape[0], weight.shape[1]) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    public func callAsFunction(_ index: Tensor) throws -> Tensor { try weight.tensor.take(index) }
}

/// Zeroes elements at random while training.
public final class Dropout: Module {
    public let probability: Double

    public init(_ probability: Double) { self.probability = probability }

    public override var kind: String { "dropout" }
    public override var summary: String { riffleFormat(probability) }
    public override func blank() throws -> Module { Dropout(probability) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    public func callAsFunction(_ x: Tensor) throws -> Tensor { isTraining ? try x.dropout(probability) : x }
}

/// An elementwise function of the table as a module, such as `silu`.
public final class Activation: Module {
    private let op: Op

    public init(_ op: Op) { self.op = op }

    public override var kind: String { op.name }
    public override func blank() throws -> Module { Activation(op) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try op(inputs[0]) }
}

/// Modules applied one after another, named by their places from 0, as PyTorch names them in files.
public final class Sequential: Module {
    public let modules: [Module]

    public init(_ modules: [Module]) { self.modules = modules }

    public override var kind: String { "sequential" }
    public override var summary: String { "of \(modules.count)" }
    public override var children: [(name: String, module: Module)] { modules.enumerated().map { ("\($0)", $1) } }
    public override func blank() throws -> Module { Sequential(try modules.map { try $0.blank() }) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try modules.enumerated().reduce(x) { h, part in try named("\(part.offset)") { try part.element.forward([h]) } }
    }
}

/// Modules without a function of their own, named by their places from 0.
public final class ModuleList<Element: Module>: Module {
    public let modules: [Element]

    public init(_ modules: [Element]) { self.modules = modules }

    public override var kind: String { "list" }
    public override var summary: String { "of \(modules.count)" }
    public override var children: [(name: String, module: Module)] { modules.enumerated().map { ("\($0)", $1) } }
}

/// Self-attention with several heads: one product for queries, keys and values, one for the result.
public final class SelfAttention: Module {
    private let qkv: Linear
    private let projection: Linear
    private let heads: Int

    public init(_ width: Int, heads: Int, start: Start = .fanIn) throws {
        guard heads >= 1, width % heads == 0 else {
            throw RiffleError("attention", "a width of \(width) does not make \(heads) equal heads")
        }
        (qkv, projection, self.heads) = (
            try Linear(width, 3 * width, start: start), try Linear(width, width, start: start), heads
        )
    }

    public override var kind: String { "attention" }
    public override var summary: String { "\(projection.weight.shape[0]) with \(heads) heads" }
    public override var children: [(name: String, module: Module)] { [("qkv", qkv), ("proj", projection)] }
    public override func blank() throws -> Module { try SelfAttention(projection.weight.shape[0], heads: heads) }
    public override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }

    /// x [n, positions, width] -> the same shape.
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        guard x.rank == 3 else { throw RiffleError("attention", "x must be [n, positions, width] (x \(x.shape))") }
        let (n, length, width) = (x.shape[0], x.shape[1], x.shape[2])
        let parts = try qkv(x).reshaped(to: [n, length, 3 * heads, width / heads]).split([heads, heads, heads], 2)
        return try projection(Tensor.attention(parts[0], parts[1], parts[2]).reshaped(to: x.shape))
    }
}
