import RiffleNN
import RiffleTensor

/// A velocity as the average velocity of an Euler step: u(x, s, t) = v(x, s).
///
/// It lets methods whose students need one time only, such as consistency models, be written for jumps.
final class SteppingNetwork: Network {
    private let network: Network

    fileprivate init(_ network: Network) { self.network = network }

    override var kind: String { network.kind }
    override var times: Int { 2 }
    override var conditioning: Conditioning { network.conditioning }
    override var sampleShape: Shape? { network.sampleShape }
    /// The network's own, under their own names.
    override var children: [(name: String, module: Module)] { network.children }
    override var ownParameters: [NamedParameter] { network.ownParameters }

    override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        try network.velocity(x, times[0], condition)
    }
}

extension Network {
    /// This network, or where it takes one time, its Euler steps.
    var stepping: Network { times == 2 ? self : SteppingNetwork(self) }
}

/// What a generator makes of noise, without dropout: one jump from 0 to 1, or of a network with one time an Euler step,
/// z + v(z, 0).
func generated(_ generator: Network, _ noise: Tensor, _ condition: Condition?) throws -> Tensor {
    try acting(as: "generator") {
        let n = noise.shape[0]
        return try generator.evaluating {
            try generator.stepping.jump(noise, .zeros([n], noise.dtype), .ones([n], noise.dtype), condition)
        }
    }
}
