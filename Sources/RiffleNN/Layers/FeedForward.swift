import RiffleTensor

/// Two linear layers with an activation between. x [..., inputs] -> [..., outputs].
final class FeedForward: Module {
    private let first: Linear
    private let second: Linear
    private let activation: Op
    private let names: [String]

    /// - Parameters:
    ///   - names: of the two layers in files.
    ///   - zero: whether the second layer starts as zeros, so that the module gives zeros at first.
    init(
        _ inputs: Int, _ hidden: Int, _ outputs: Int, _ activation: Op, names: [String], start: Start = .fanIn,
        zero: Bool = false
    ) throws {
        self.activation = activation
        self.names = names
        first = try Linear(inputs, hidden, start: start)
        second = try Linear(hidden, outputs, start: zero ? .zero : start)
    }

    /// The size of the result's last dimension.
    var outputs: Int { second.weight.shape[0] }

    override var kind: String { "feed_forward" }
    override var summary: String { "\(first.weight.shape[1]) -> \(first.weight.shape[0]) -> \(outputs)" }
    override var children: [(name: String, module: Module)] { [(names[0], first), (names[1], second)] }
    override func blank() throws -> Module {
        try FeedForward(first.weight.shape[1], first.weight.shape[0], outputs, activation, names: names, start: .zero)
    }
    override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]) }
    func callAsFunction(_ x: Tensor) throws -> Tensor { try second(first(x), after: activation) }
}
