import RiffleTensor

/// The embedding of times and a condition, one vector for each sample, which modulates the rest of a network.
///
///     e = time(s) [+ span(t - s)] [+ label(y) or text(summary)]
///
/// The second time's last layer starts as zeros, so that a student starts as its teacher.
struct EmbeddingHead {
    /// The names of the parts in files, and those of the two layers that parts have.
    struct Names {
        var time = "time_embed"
        var span = "span_embed"
        var condition = "label_emb"
        var layers = ["0", "2"]
    }

    private let time: TimeEmbedding
    private let span: TimeEmbedding?
    private let condition: Module?
    private let timeOfNoise: Bool
    private let names: Names

    /// - Parameters:
    ///   - features, largest: of the times, see `TimeEmbedding`.
    ///   - start: of all weights; PyTorch's defaults where not given.
    ///   - timeOfNoise: whether the embedded time is 1 - s, which is 1 at noise.
    init(
        times: Int, features: Int, width: Int, largest: Double, _ conditioning: Conditioning, names: Names = Names(),
        start: Start? = nil, timeOfNoise: Bool = false
    ) throws {
        self.names = names
        self.timeOfNoise = timeOfNoise
        func embedding(zero: Bool) throws -> TimeEmbedding {
            try TimeEmbedding(
                features: features, width: width, largest: largest, names: names.layers, start: start ?? .fanIn,
                zero: zero)
        }
        time = try embedding(zero: false)
        span = times == 2 ? try embedding(zero: true) : nil
        switch conditioning {
        // Tokens' numbers are an encoder's, which gives a text.
        case .none, .tokens: condition = nil
        case .classes(let count, let hasNull):
            condition = try Embedding(hasNull ? count + 1 : count, width, start: start ?? .normal(1))
        case .text(_, let summary):
            condition = try FeedForward(summary, width, width, .silu, names: names.layers, start: start ?? .fanIn)
        }
    }

    var children: [(name: String, module: Module)] {
        [(names.time, time), (names.span, span), (names.condition, condition)].compactMap { name, module in
            module.map { (name, $0) }
        }
    }

    /// The conditioning of the first blocks and of the last ones, after SiLU: that of both times, or of each one where
    /// there is no embedding of the span.
    func ofBlocks(_ times: [Tensor], _ given: Condition?) throws -> (start: Tensor, end: Tensor) {
        let start = try self(times, given).silu()
        guard times.count == 2, span == nil, !times.isJumpOfNoLength else { return (start, start) }
        return (start, try self([times[1]], given).silu())
    }

    /// times [n], one or two -> [n, width].
    func callAsFunction(_ times: [Tensor], _ given: Condition?) throws -> Tensor {
        var e = try time(timeOfNoise ? 1 - times[0] : times[0])
        if let span {
            // Without a length every sample has the same span, 0, whose embedding is computed once.
            let length = try times.isJumpOfNoLength ? .zeros([1], times[0].dtype) : times[1] - times[0]
            e = try e + span(length)
        }
        // The last tensor is embedded: labels are a condition's only tensor, a text's summary is its second.
        guard let condition, let labelsOrSummary = given?.tensors.last else { return e }
        return try e + condition.named(names.condition) { try condition.forward([labelsOrSummary]) }
    }
}
