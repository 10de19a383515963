import RiffleTensor

/// A change of a layer's weight of low rank: the layer computes with W + scale B A, while W stands still (Hu et al.
/// 2021, 2106.09685).
package struct LowRank {
    /// What decides an adapter but its layer and its numbers.
    package struct Form: Hashable, Sendable {
        package let rank: Int
        package let alpha: Double

        package init(rank: Int, alpha: Double) { (self.rank, self.alpha) = (rank, alpha) }
    }

    package let form: Form
    /// A, [rank, ...], as the weight of a layer of `rank` outputs.
    package let down: Parameter
    /// B, [outputs, rank], or [outputs, 1, 1, rank] behind a convolution.
    package let up: Parameter

    /// alpha / rank.
    var scale: Double { form.alpha / Double(form.rank) }

    package static let downName = "lora_A.weight", upName = "lora_B.weight"

    /// An adapter that changes nothing at first: A starts as a layer's weight starts, B as zeros.
    /// - Parameter weight: the shape of the weight that is changed.
    init(_ form: Form, of weight: Shape) throws {
        self.form = form
        let between = [Int](repeating: 1, count: weight.rank - 2)
        down = try Start.fanIn.weight(Shape([form.rank] + weight.sizes.dropFirst()))
        up = try Start.zero.weight(Shape([weight[0]] + between + [form.rank]))
    }

    /// The parameters under the names that files give them.
    func named(_ layout: NamedParameter.Layout = .plain) -> [NamedParameter] {
        [NamedParameter(LowRank.downName, down, layout), NamedParameter(LowRank.upName, up, layout)]
    }

    /// scale B A, of the shape of the weight that is changed.
    func change() throws -> Tensor {
        let a = try down.value.reshaped(to: [form.rank, -1])
        let b = try up.value.reshaped(to: [-1, form.rank])
        return try (b.matmul(a) * scale).reshaped(to: Shape([up.shape[0]] + down.shape.sizes.dropFirst()))
    }
}

/// A layer whose weight an adapter can change.
package protocol AdaptableLayer: Module {
    /// [outputs, ...].
    var weight: Parameter { get }
    /// Whether inputs and outputs are in groups that do not mix.
    var isGrouped: Bool { get }
    var adapter: LowRank? { get set }
}

extension AdaptableLayer {
    /// Why the layer gets no adapter of this rank; nil where it can have one.
    func refusal(of rank: Int) -> String? {
        if isGrouped { return "its channels are in groups, which adapters do not know" }
        let outputs = weight.shape[0]
        let largest = min(outputs, weight.shape.count / max(outputs, 1))
        return rank <= largest
            ? nil : "a rank of \(rank) is more than its weight \(weight.shape) can have, \(largest)"
    }
}
