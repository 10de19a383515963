import RiffleTensor

/// Everything that decides a network's form: two networks of one configuration differ in their parameters alone.
package protocol NetworkConfiguration: Sendable {
    /// 1 for a velocity, 2 for an average velocity.
    var times: Int { get set }
    var conditioning: Conditioning { get }
    /// The shape of one sample.
    var sampleShape: Shape { get }
    /// Makes the last blocks alone see the end of jumps.
    /// - Throws: `RiffleError` for networks that cannot.
    mutating func decouple(_ blocks: Int) throws
}

extension NetworkConfiguration {
    package mutating func decouple(_ blocks: Int) throws {
        throw RiffleError("two_timed", "decoupled blocks are those of dit and mmdit")
    }
}

/// A network that its configuration describes, so that copies and students are made from it.
package class ConfiguredNetwork<Configuration: NetworkConfiguration>: Network {
    package let configuration: Configuration

    /// - Throws: `RiffleError` that names a setting that is not possible.
    package required init(_ configuration: Configuration) throws { self.configuration = configuration }

    /// The configuration in words, without conditioning and times.
    package var sizes: String { "" }

    package final override var summary: String { sizes + conditioning.summary + (times == 2 ? ", two times" : "") }
    package final override var times: Int { configuration.times }
    package final override var conditioning: Conditioning { configuration.conditioning }
    package override var sampleShape: Shape? { configuration.sampleShape }

    package final override func blank() throws -> Module { try Self(configuration) }

    package final override func twoTimed(decoupled: Int?) throws -> Network {
        var two = configuration
        two.times = 2
        if let decoupled { try two.decouple(decoupled) }
        return try Self(two).taking(self)
    }
}

extension Network {
    /// This network with the parameters, buffers and adapters of another wherever the names agree. Beside adapters,
    /// what the other one lacks is trained whole.
    fileprivate func taking(_ other: Network) throws -> Network {
        try takeAdapters(of: other)
        let values = Dictionary(other.entries.map { ($0.name, $0.parameter) }, uniquingKeysWith: { first, _ in first })
        for named in entries { try values[named.name].map(named.parameter.share) }
        isTraining = true
        takeSettings(of: other)
        if let base = other.adaptation {
            adaptation = Adaptation(whole: base.whole.union(entries.map(\.name).filter { values[$0] == nil }))
            freezeBases()
        }
        return self
    }
}

/// The configuration of a network that is conditioned on class labels, if on anything.
package protocol LabelledConfiguration: NetworkConfiguration {
    var labels: ClassLabels { get set }
}

extension LabelledConfiguration {
    package var conditioning: Conditioning { labels.conditioning }
}

/// The class labels that a network is conditioned on.
package struct ClassLabels: Sendable {
    /// The number of labels, which count from 1; nil where there are none.
    package var count: Int?
    /// Whether one more label stands for "no class".
    package var hasNull = false

    package init(_ count: Int? = nil, hasNull: Bool = false) {
        self.count = count
        self.hasNull = hasNull
    }

    var conditioning: Conditioning { count.map { .classes($0, hasNull: hasNull) } ?? .none }

    static let options: [Option<ClassLabels>] = [
        Option("classes", \.count, .integer(1...1_000_000), "the number of labels, which count from 1"),
        Option("null_class", \.hasNull, .boolean, "whether one more label, classes + 1, stands for none"),
    ]

    /// - Parameter usual: the labels that a network of this form has by default.
    /// - Throws: `RiffleError` where a label for none is wanted without any others.
    func checked(against usual: ClassLabels) throws {
        guard count == nil, hasNull, !usual.hasNull else { return }
        throw RiffleError("", "null_class is one more label beside those of classes = ..., which were not given")
    }
}
