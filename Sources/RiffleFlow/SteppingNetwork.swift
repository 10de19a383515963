import RiffleNN
import RiffleTensor

/// A velocity as the average velocity of an Euler step: u(x, s, t) = v(x, s).
///
/// With it, methods whose students need one time only, such as consistency models, are written for jumps.
final class SteppingNetwork: Network {
    private let network: Network

    fileprivate init(_ network: Network) { self.network = network }

    override var kind: String { network.kind }
    override var times: Int { 2 }
    override var conditioning: Conditioning { network.conditioning }
    override var sampleShape: Shape? { network.sampleShape }
    // The network's parts under their own names, so that files do not know of the wrapper.
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
