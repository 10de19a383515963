import RiffleIO
import RiffleMetrics
import RiffleNN
import RiffleTensor

/// Distances between sets of pictures in the features of a network, each with its protocol.
package final class PictureMeasures {
    private let extractor: FeatureExtractor
    private let resize: FeatureResize
    /// What the caller adds to the protocol, such as a seed.
    private let note: String?
    private let keepsFeatures: Bool
    /// What was computed of pictures, which are known by identity and therefore kept.
    private var known: [ObjectIdentifier: (pictures: Pictures, features: Tensor?, statistics: KeptStatistics?)] = [:]

    /// - Parameter keepsFeatures: whether the features of pictures are kept for several measures.
    package init(
        _ extractor: FeatureExtractor, _ resize: FeatureResize = .tf1, note: String? = nil, keepsFeatures: Bool = false
    ) {
        self.extractor = extractor
        self.resize = resize
        self.note = note
        self.keepsFeatures = keepsFeatures
    }

    /// The features of all pictures, `[n, features]`.
    package func features(of pictures: Pictures) throws -> Tensor {
        if let features = known[ObjectIdentifier(pictures)]?.features { return features }
        var rows: [Tensor] = []
        try forEachFeatures(pictures) { rows.append($0) }
        let features = try withoutGradient { try Tensor.cat(rows) }
        if keepsFeatures { known[ObjectIdentifier(pictures), default: (pictures, nil, nil)].features = features }
        return features
    }

    /// The mean and covariance of the features of all pictures, which are summed up one batch after another.
    /// - Throws: `RiffleError` for fewer than two pictures.
    package func statistics(of pictures: Pictures) throws -> KeptStatistics {
        if let statistics = known[ObjectIdentifier(pictures)]?.statistics { return statistics }
        try requireTwo(pictures, "have a covariance")
        var sums = FeatureSums()
        if keepsFeatures {
            try sums.add(features(of: pictures))
        } else {
            try forEachFeatures(pictures) { try sums.add($0) }
        }
        let kept = KeptStatistics(
            try sums.statistics(), name: pictures.name, origin: origin)
        known[ObjectIdentifier(pictures), default: (pictures, nil, nil)].statistics = kept
        return kept
    }

    private func forEachFeatures(_ pictures: Pictures, _ body: (Tensor) throws -> Void) throws {
        try pictures.forEachFeatures(
            extractor.batch, name: featuresName,
            make: {
                try Interrupt.check()
                return try extractor.features(of: $0, resize)
            }, body)
    }

    /// Gives up what is known of pictures.
    package func forget(_ pictures: Pictures) { known[ObjectIdentifier(pictures)] = nil }

    /// The Frechet distance: FID in the features that define it, else FD.
    /// - Parameters:
    ///   - reference: real pictures, or their statistics.
    ///   - made: what is measured.
    /// - Throws: `RiffleError` for fewer than two pictures, and statistics of other features.
    /// - Source: Heusel et al. 2017, equation 6.
    package func frechet(_ reference: Side, _ made: Side) throws -> Measurement {
        let (a, b) = (try referenceStatistics(reference), try statistics(made))
        try checkWidth(a.name, a.statistics.features, b.statistics.features, of: b.name)
        let value = try Metrics.frechetDistance(a.statistics, b.statistics)
        let features = a.statistics.features
        let few =
            [a, b].contains { $0.statistics.isRankDeficient }
            ? "too few samples for \(features) features: biased upwards" : nil
        return measurement(
            [(extractor.isFID ? "FID" : "FD", value)], reference, made,
            counts: (a.statistics.count, b.statistics.count),
            [few])
    }

    /// The Frechet distance of infinitely many samples, by a line through those of several counts over 1 / n.
    /// - Throws: `RiffleError` for statistics in place of the pictures that are measured, and too few of them.
    /// - Source: Chong and Forsyth 2020, 1911.07023.
    package func frechetAtInfinity(_ reference: Side, _ made: Pictures, seed: UInt64) throws -> Measurement {
        let a = try referenceStatistics(reference), features = try features(of: made)
        try checkWidth(a.name, a.statistics.features, features.shape[1], of: made.name)
        let limit = try Metrics.frechetLimit(features, to: a.statistics, seed: seed).limit
        return measurement(
            [(extractor.isFID ? "FID at infinity" : "FD at infinity", limit)], reference, .pictures(made),
            counts: (a.statistics.count, made.count), ["extrapolated by seed \(seed)"])
    }

    /// The squared maximum mean discrepancy under a cubic kernel, unbiased, so that it may come out below 0: the mean
    /// over subsets and its deviation. Subsets as large as both sets are all the same, and one is taken.
    /// - Source: Binkowski et al. 2018, 1801.01401, section 4.
    package func kernelDistance(
        _ reference: Pictures, _ made: Pictures, subsets: Int, size: Int, seed: UInt64
    ) throws -> Measurement {
        for side in [reference, made] { try requireTwo(side, "have a kernel distance") }
        let size = min(size, reference.count, made.count), isWhole = size == max(reference.count, made.count)
        let result = try Metrics.kernelDistance(
            features(of: reference), features(of: made), subsets: isWhole ? 1 : subsets, size: size, seed: seed)
        return measurement(
            [(extractor.isFID ? "KID" : "KD", result.mean)], deviation: isWhole ? nil : result.deviation,
            .pictures(reference), .pictures(made), counts: (reference.count, made.count),
            [isWhole ? "all at once" : "\(subsets) subsets of \(size) by seed \(seed)"])
    }

    /// Which share of made pictures lies where real ones are, and the other way round.
    /// - Source: Kynkaanniemi et al. 2019, 1904.06991; density and coverage: Naeem et al. 2020, 2002.09797.
    package func precisionRecall(_ reference: Pictures, _ made: Pictures, neighbours: Int) throws -> Measurement {
        let result = try Metrics.precisionRecall(
            real: features(of: reference), generated: features(of: made), neighbours: neighbours)
        return measurement(
            [
                ("precision", result.precision), ("recall", result.recall), ("density", result.density),
                ("coverage", result.coverage),
            ], .pictures(reference), .pictures(made), counts: (reference.count, made.count),
            ["\(neighbours) neighbours"])
    }

    /// How sure a classifier is of each picture while its classes are many: IS of Inception's published logits.
    /// - Source: Salimans et al. 2016, 1606.03498.
    package func inceptionScore(_ made: Pictures, splits: Int) throws -> Measurement {
        guard extractor.mayBeLogits else {
            throw RiffleError(
                "",
                "the inception score takes a classifier's logits; metrics.features(path, { tap = 'logits_unbiased' })")
        }
        let result = try Metrics.inceptionScore(logits: features(of: made), parts: splits)
        return Measurement(
            [(extractor.isIS ? "IS" : "classifier score", result.mean)], deviation: result.deviation,
            [
                extractor.sizing(resize), extractor.title,
                "\(made.count) samples of \(made.name)\(remarks(.pictures(made)))", "\(splits) splits", note,
            ])
    }

    // MARK: - Parts

    /// Computes what measures take of the reference, so that what is wrong with it is found before samples are made.
    /// - Parameters:
    ///   - sample: any picture of the samples' size.
    ///   - takesStatistics: whether a measure takes the reference's mean and covariance.
    /// - Throws: `RiffleError` where pictures cannot be read or measured, or statistics have other features.
    func prepare(_ reference: Side, for sample: ByteImages, takesStatistics: Bool) throws {
        let width = try extractor.features(of: sample, resize).shape[1]
        let name = "samples \(Shape([sample.height, sample.width, sample.channels]))"
        if keepsFeatures, case .pictures(let pictures) = reference {
            try requireTwo(pictures, "can be compared")
            try checkWidth(pictures.name, features(of: pictures).shape[1], width, of: name)
        }
        guard takesStatistics else { return }
        let kept = try referenceStatistics(reference)
        try checkWidth(kept.name, kept.statistics.features, width, of: name)
    }

    private func requireTwo(_ pictures: Pictures, _ what: String) throws {
        guard pictures.count >= 2 else {
            throw RiffleError("", "two pictures or more \(what), and there is one of \(pictures.name)")
        }
    }

    private func checkWidth(_ reference: String, _ features: Int, _ width: Int, of name: String) throws {
        guard features == width else {
            throw RiffleError(
                "",
                "the statistics of \(reference) are of \(features) features, those of \(name) of \(width) "
                    + "(\(extractor.title))")
        }
    }

    /// Statistics that are read where they were kept beside the pictures, and else kept there.
    private func referenceStatistics(_ side: Side) throws -> KeptStatistics {
        guard case .pictures(let pictures) = side, known[ObjectIdentifier(pictures)]?.statistics == nil,
            let kept = try ReferenceStatistics(of: pictures, features: featuresName)
        else { return try statistics(side) }
        if let found = try kept.read(origin, count: pictures.count) {
            let statistics = KeptStatistics(found, name: pictures.name, origin: origin)
            known[ObjectIdentifier(pictures), default: (pictures, nil, nil)].statistics = statistics
            return statistics
        }
        let statistics = try statistics(of: pictures)
        try kept.keep(statistics)
        return statistics
    }

    private var origin: KeptStatistics.Origin {
        KeptStatistics.Origin(features: extractor.title, sizing: extractor.sizing(resize))
    }

    /// A name for files of features; nil where nothing tells them from others.
    private var featuresName: String? { extractor.fileName.map { "\($0)-\(resize.rawValue)" } }

    private func statistics(_ side: Side) throws -> KeptStatistics {
        switch side {
        case .pictures(let pictures): return try statistics(of: pictures)
        case .statistics(let kept):
            if let other = kept.origin, other != origin {
                throw RiffleError(
                    "",
                    "the statistics of \(kept.name) are of \(other), and the features are of \(origin)")
            }
            return kept
        }
    }

    private func measurement(
        _ values: [(name: String, value: Double)], deviation: Double? = nil, _ reference: Side, _ made: Side,
        counts: (Int?, Int?), _ more: [String?]
    ) -> Measurement {
        let (reals, samples) = counts
        return Measurement(
            values, deviation: deviation,
            [
                extractor.sizing(resize), extractor.title,
                (samples.map { "\($0) samples" } ?? "an unknown number of samples")
                    + " of \(made.name)\(remarks(made))",
                "reference \(reference.name)\(reals.map { " \($0)" } ?? " of an unknown number")\(remarks(reference))",
            ] + more + [note])
    }

    /// What is to be said of a side, in brackets.
    private func remarks(_ side: Side) -> String {
        let remarks =
            switch side {
            case .pictures(let pictures):
                pictures.remarks + (extractor.side != nil && pictures.shape[2] == 1 ? ["grey as colour"] : [])
            case .statistics(let kept):
                kept.origin == nil ? ["which does not say of which features and resize it is"] : []
            }
        return remarks.isEmpty ? "" : " (\(remarks.joined(separator: "; ")))"
    }
}
