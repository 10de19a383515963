import RiffleTensor

/// Self-attention of a text whose scores get a bias: a mask, or what positions are apart.
///
/// Texts are short, so that the scores are stored and the function is made of plain operations.
final class TextAttention: Module {
    /// How files name the layers: queries, keys, values, output.
    typealias Names = (queries: String, keys: String, values: String, output: String)

    private let toQueries: Linear
    private let toKeys: Linear
    private let toValues: Linear
    private let toOutput: Linear
    private let heads: Int
    private let scale: Double
    private let names: Names

    /// - Parameters:
    ///   - scale: of the scores.
    ///   - queries: how the weight of queries starts, where it is not as the others.
    init(
        width: Int, heads: Int, headWidth: Int, scale: Double, bias: Bool, names: Names, start: Start,
        queries: Start? = nil, output: Start? = nil
    ) throws {
        let inner = heads * headWidth
        toQueries = try Linear(width, inner, bias: bias, start: queries ?? start)
        toKeys = try Linear(width, inner, bias: bias, start: start)
        toValues = try Linear(width, inner, bias: bias, start: start)
        toOutput = try Linear(inner, width, bias: bias, start: output ?? start)
        (self.heads, self.scale, self.names) = (heads, scale, names)
    }

    override var kind: String { "attention" }
    override var summary: String { "\(toQueries.weight.shape[0]) with \(heads) heads" }
    override var children: [(name: String, module: Module)] {
        [
            (names.queries, toQueries), (names.keys, toKeys), (names.values, toValues), (names.output, toOutput),
        ]
    }

    /// x [n, length, width], bias [length, length] or [heads, length, length] -> as x.
    func callAsFunction(_ x: Tensor, _ bias: Tensor) throws -> Tensor {
        let (n, length, inner) = (x.shape[0], x.shape[1], toQueries.weight.shape[0])
        func split(_ layer: Linear) throws -> Tensor {
            try layer(x).reshaped(to: [n, length, heads, inner / heads]).permuted([0, 2, 1, 3])
        }
        let scores = try split(toQueries).matmul(split(toKeys), transposeB: true)
        let weights = try ((scale == 1 ? scores : scores * scale) + bias).softmax()
        let mixed = try weights.matmul(split(toValues)).permuted([0, 2, 1, 3])
        return try toOutput(mixed.reshaped(to: [n, length, inner]))
    }
}
