import RiffleNN
import RiffleTensor

/// A network whose velocity is pushed away from a weaker one, inside an interval of times (Kynkaanniemi et al.
/// 2404.07724):
///
///     v + (scale - 1) (v - w)
///
/// w is the network's own velocity without a condition (classifier-free guidance, Ho and Salimans 2207.12598), or that
/// of a weaker network under the same condition (autoguidance, Karras et al. 2406.02507). Scale 1 changes nothing.
///
/// A guided network can be sampled and be a teacher, as any network. Its students start as copies of the network that
/// is guided.
package final class GuidedNetwork: Network {
    private let network: Network
    private let weak: Network?
    private let scale: Double
    private let interval: ClosedRange<Double>
    private let none: Condition?

    /// - Parameters:
    ///   - interval: the times where guidance acts; of two times the first counts.
    ///   - none: the condition that stands for "none", one row for all samples; the network's own where nil.
    /// - Throws: `RiffleError` where there is neither a weaker network nor a condition for "none".
    package init(
        _ network: Network, scale: Double, interval: ClosedRange<Double> = 0...1, weak: Network? = nil,
        none: Condition? = nil
    ) throws {
        if weak == nil, none == nil {
            switch network.conditioning {
            case .none:
                throw RiffleError(
                    "guide",
                    "the network is not conditioned on anything, so it has no velocity without a condition; give a "
                        + "weaker network with weak = ..."
                )
            case .classes(let count, hasNull: false):
                throw RiffleError(
                    "guide",
                    "the network has no label for none; make it with classes = \(count), null_class = true and train "
                        + "it with label_dropout, or give a weaker network with weak = ..."
                )
            default: break
            }
        }
        if let none,
            !none.tensors.allSatisfy({ $0.shape.sizes.first == 1 }) || none.tensors.count != network.conditioning.count
        {
            throw RiffleError(
                "guide",
                "none is a condition of one row, as the network takes it: \(network.conditioning.count) tensors, got "
                    + "\(none.tensors.map(\.shape))"
            )
        }
        if let weak {
            guard weak.times == network.times else {
                throw RiffleError(
                    "guide", "the weaker network takes \(weak.times) times and the other \(network.times)")
            }
            guard weak.sampleShape == network.sampleShape || weak.sampleShape == nil || network.sampleShape == nil
            else {
                throw RiffleError(
                    "guide", "the weaker network is made for other samples: \(weak.summary) and \(network.summary)")
            }
            guard weak.conditioning.accepts(conditionsOf: network.conditioning) else {
                throw RiffleError(
                    "guide",
                    "the weaker network is conditioned on something else: \(weak.summary) and \(network.summary)")
            }
        }
        self.network = network
        self.weak = weak
        self.scale = scale
        self.interval = interval
        self.none = none
    }

    package override var kind: String { "guided" }
    package override var summary: String { "\(network.kind), scale \(riffleFormat(scale))" }
    package override var times: Int { network.times }
    package override var conditioning: Conditioning { network.conditioning }
    package override var sampleShape: Shape? { network.sampleShape }
    package override var children: [(name: String, module: Module)] {
        [("net", network)] + (weak.map { [("weak", $0)] } ?? [])
    }

    package override func blank() throws -> Module {
        try GuidedNetwork(
            network.blankNetwork(), scale: scale, interval: interval, weak: weak?.blankNetwork(), none: none)
    }

    package override func twoTimed(decoupled: Int?) throws -> Network {
        guard adaptation == nil else {
            throw RiffleError("two_timed", "adapt the network that is guided, and guide the adapted one")
        }
        return try network.twoTimed(decoupled: decoupled)
    }

    package override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        let start = times[0]
        let acts =
            try start.ge(.scalar(interval.lowerBound, start.dtype))
            * start.le(.scalar(interval.upperBound, start.dtype))
        guard scale != 1, try acts.sum().item() > 0 else {
            return try network.evaluateInOwnPrecision(x, times, condition)
        }
        let (strong, weaker) = try velocities(x, times, condition)
        return try strong + acts.alongside(x) * (scale - 1) * (strong - weaker)
    }

    /// The network's velocity and the weaker one, in one evaluation where one network gives both.
    private func velocities(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> (Tensor, Tensor) {
        if let weak {
            return (
                try network.evaluateInOwnPrecision(x, times, condition),
                try named("weak") { try weak.evaluateInOwnPrecision(x, times, condition) }
            )
        }
        guard let condition else { throw RiffleError("guide", "labels are needed") }
        let n = x.shape[0]
        let empty =
            try none.map { none in
                Condition(try none.tensors.map { try $0.expanded(to: Shape([n] + $0.shape.sizes.dropFirst())) })
            } ?? network.conditioning.null(like: condition)
        let isAlike = zip(empty.tensors, condition.tensors).allSatisfy { $0.shape == $1.shape }
        guard isAlike else {
            return (
                try network.evaluateInOwnPrecision(x, times, condition),
                try network.evaluateInOwnPrecision(x, times, empty)
            )
        }
        let both = try network.evaluateInOwnPrecision(
            .cat([x, x]), times.map { try .cat([$0, $0]) }, .cat([condition, empty]))
        let halves = try both.split([n, n])
        return (halves[0], halves[1])
    }
}
