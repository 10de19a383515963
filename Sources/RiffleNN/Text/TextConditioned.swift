import RiffleTensor

/// An encoder of texts and a network that is conditioned on what it gives, as one network that takes tokens.
///
/// Both are parts of it and train together. A row of zeros in place of tokens is no text: the network gets zeros, its
/// own condition for "none".
package final class TextConditioned: Network {
    package let encoder: TextEncoder
    package let network: Network

    /// - Throws: `RiffleError` where the network is not conditioned on what the encoder gives.
    package init(encoder: TextEncoder, network: Network) throws {
        guard case .text(let tokens, let summary) = network.conditioning else {
            throw RiffleError(
                "text_conditioned", "the network, \(network.kind), is not conditioned on a text, as nn.mmdit is")
        }
        guard let summaryWidth = encoder.summaryWidth else {
            throw RiffleError(
                "text_conditioned", "the encoder, \(encoder.kind), gives no summary of a text, as nn.clip_text does")
        }
        guard (tokens, summary) == (encoder.tokenWidth, summaryWidth) else {
            throw RiffleError(
                "text_conditioned",
                "the encoder gives tokens of width \(encoder.tokenWidth) and a summary of \(summaryWidth), the network "
                    + "takes \(tokens) and \(summary)")
        }
        (self.encoder, self.network) = (encoder, network)
        super.init()
    }

    package override var kind: String { "text_conditioned" }
    package override var summary: String { "\(network.kind)" + conditioning.summary }
    package override var children: [(name: String, module: Module)] { [("encoder", encoder), ("network", network)] }
    package override var times: Int { network.times }
    package override var conditioning: Conditioning {
        .tokens(vocabulary: encoder.vocabulary, longest: encoder.longest)
    }
    package override var sampleShape: Shape? { network.sampleShape }

    package override func blank() throws -> Module {
        try TextConditioned(encoder: twin(encoder.blank()), network: network.blankNetwork())
    }

    package override func twoTimed(decoupled: Int?) throws -> Network {
        try TextConditioned(encoder: twin(encoder.copied()), network: network.twoTimed(decoupled: decoupled))
    }

    private func twin(_ module: Module) throws -> TextEncoder {
        guard let twin = module as? TextEncoder else {
            throw RiffleError("copy", "a \(encoder.kind) cannot be copied")
        }
        return twin
    }

    package override func evaluate(_ x: Tensor, _ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        guard let ids = condition?.tensors.first else { throw RiffleError(kind, "tokens are needed") }
        let values = try named("encoder") { try texts(ids) }
        return try named("network") { try network.evaluateInOwnPrecision(x, times, Condition(values)) }
    }

    /// The encoder's values for rows of tokens, zeros for rows of zeros.
    private func texts(_ ids: Tensor) throws -> [Tensor] {
        let isText = try ids.sliced(1, 0..<1).gt(.full([1], 0, .int32))
        guard try isText.min().item() == 0 else { return try encoder(ids).tensors }
        // Any token stands in for none: its values are not seen.
        let values = try encoder(ids.maximum(.full([1], 1, .int32))).tensors
        return try values.map { value in
            let shape = Shape([ids.shape[0]] + Array(repeating: 1, count: value.rank - 1))
            return try value.where(isText.reshaped(to: shape), else: .zeros(value.shape, value.dtype))
        }
    }
}
