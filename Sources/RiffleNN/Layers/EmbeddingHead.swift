import RiffleTensor

/// Times and class labels as one vector a sample, which the rest of a network is told.
///
///     e = time(s) [+ span(t - s)] [+ label(y)]
///
/// The second time's last layer starts as zeros, so that a student starts as its teacher.
struct EmbeddingHead {
    let conditioning: Conditioning
    private let time: TimeEmbedding
    private let span: TimeEmbedding?
    private let label: Embedding?
    private let names: [String]

    /// - Parameters:
    ///   - names: of the three parts in files.
    ///   - features, largest: of the times, see `TimeEmbedding`.
    init(
        times: Int, features: Int, width: Int, largest: Double, _ conditioning: Conditioning,
        names: [String] = ["time_embed", "span_embed", "label_emb"]
    ) throws {
        (self.conditioning, self.names) = (conditioning, names)
        time = try TimeEmbedding(features: features, width: width, largest: largest)
        span = times == 2 ? try TimeEmbedding(features: features, width: width, largest: largest, zero: true) : nil
        if case .classes(let count, let hasNull) = conditioning {
            label = try Embedding(hasNull ? count + 1 : count, width)
        } else {
            label = nil
        }
    }

    var children: [(name: String, module: Module)] {
        zip(names, [time, span, label] as [Module?]).compactMap { name, module in module.map { (name, $0) } }
    }

    /// times [n], one or two -> [n, width].
    func callAsFunction(_ times: [Tensor], _ condition: Condition?) throws -> Tensor {
        var e = try time(times[0])
        if let span { e = try e + span(times[1] - times[0]) }
        guard let label, let labels = condition?.tensors.first else { return e }
        do { return try e + label(labels) } catch let error as RiffleError { throw error.within(names[2]) }
    }
}
