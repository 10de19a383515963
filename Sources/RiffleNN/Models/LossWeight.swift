import RiffleTensor

/// A weight for the loss of each sample, by the times of its jump.
open class LossWeight: Module {
    public override init() {}

    /// losses, s and t [n] -> [n].
    open func weigh(_ losses: Tensor, _ s: Tensor, _ t: Tensor) throws -> Tensor {
        throw RiffleError(kind, "this weight has no function")
    }
}

/// A learned uncertainty w(s, t), which evens out the sizes of losses at different times: exp(-w) loss + w
/// (Karras et al. 2024, 2312.02696; Boffi et al. 2025, 2505.18825). The uncertainty starts as 0 and is trained with the
/// student.
package final class LearnedWeight: LossWeight {
    private let features: Int
    private let linear: Linear

    /// - Parameter features: of both times together, a multiple of 4.
    package init(features: Int = 128) throws {
        self.features = features
        linear = try Linear(features, 1, start: .zero)
        super.init()
    }

    package override var kind: String { "loss_weight" }
    package override var summary: String { "learned, of s and t - s" }
    package override var children: [(name: String, module: Module)] { [("linear", linear)] }
    package override func blank() throws -> Module { try LearnedWeight(features: features) }

    package override func weigh(_ losses: Tensor, _ s: Tensor, _ t: Tensor) throws -> Tensor {
        let half = features / 2
        let features = try Tensor.cat(
            [timeFeatures(s, width: half, largest: 30), timeFeatures(t - s, width: half, largest: 30)], 1)
        let w = try linear(features).reshaped(to: losses.shape)
        return try losses * (-w).exp() + w
    }
}
