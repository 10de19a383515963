import RiffleFlow
import RiffleIO
import RiffleNN
import RiffleTensor

/// Models measured at several numbers of evaluations, all by one protocol and from the same noise.
package struct Evaluation {
    /// A network with how it is sampled.
    package struct Model {
        package let name: String
        package let network: Network
        /// Jumps of a network with two times, else Euler steps, where nil.
        package let method: NumberedSamples.Method?
        /// The time at which a generator takes its noise, for `NumberedSamples.Method.generate` alone.
        package let start: Double
        /// The model's own numbers of evaluations; those of all models where nil.
        package let evaluations: [Int]?

        package init(
            _ name: String, _ network: Network, _ method: NumberedSamples.Method? = nil, start: Double = 0,
            evaluations: [Int]? = nil
        ) {
            (self.name, self.network, self.method, self.start) = (name, network, method, start)
            self.evaluations = evaluations
        }
    }

    package enum Measure: String, CaseIterable, Sendable {
        case fid, kid, lpips
        case precisionRecall = "precision_recall"

        /// Whether it takes more of the pictures than their features' mean and covariance.
        fileprivate var needsFeatures: Bool { [.kid, .precisionRecall].contains(self) }
    }

    /// A model at one number of evaluations.
    package struct Row {
        package let model: String
        /// The sampler's name, and a start above 0.
        package let sampler: String
        package let evaluations: Int
        package let count: Int
        package let measurements: [Measurement]
        package let secondsPerSample: Double
    }

    package var models: [Model]
    package var evaluations = [1, 2, 4, 8]
    /// How many samples are made of each.
    package var count = 10_000
    package let seed: UInt64
    package var batch = 32
    /// The model that LPIPS compares with, at its largest number of evaluations; the first where nil.
    package var teacher: String?
    /// Where samples and their features are kept, so that an evaluation can be stopped and gone on with, and the count
    /// raised; nowhere where nil.
    package var folder: String?
    private let measures: [Measure]
    private let reference: Side
    private let pictureMeasures: PictureMeasures
    private let perceptual: PerceptualDistance?

    /// - Parameters:
    ///   - reference: real pictures, or their statistics.
    ///   - perceptual: needed for LPIPS alone.
    package init(
        _ models: [Model], _ measures: [Measure] = [.fid], reference: Side, features: FeatureExtractor,
        resize: FeatureResize = .tf1, perceptual: PerceptualDistance? = nil, seed: UInt64 = 0
    ) {
        self.models = models
        self.measures = measures
        self.reference = reference
        self.seed = seed
        pictureMeasures = PictureMeasures(
            features, resize, note: "noise of seed \(seed)", keepsFeatures: measures.contains(where: \.needsFeatures))
        self.perceptual = perceptual
    }

    /// Measures each model at each number of evaluations that its sampler can use; numbers that it cannot are left out.
    /// - Parameter progress: gets what is measured next.
    /// - Throws: `RiffleError` where a model can use none of the numbers, two have one name, or what a measure throws.
    package func rows(progress: (String) -> Void = { _ in }) throws -> [Row] {
        try check()
        try prepare()
        let best = measures.contains(.lpips) ? try teacherPictures(progress) : nil
        var rows: [Row] = []
        for model in models {
            for samples in try usable(model) {
                let title = title(model, samples)
                progress(title)
                let measurements = try named(title) {
                    // The teacher's samples are there, and their folder is in use, while others are compared with them.
                    let made = if let best, best.name == title { best } else { try pictures(of: samples, title) }
                    defer { pictureMeasures.forget(made) }
                    return try measures.map { try measure($0, made, beside: best) }
                }
                rows.append(
                    Row(
                        model: model.name, sampler: sampler(samples), evaluations: samples.evaluations, count: count,
                        measurements: measurements, secondsPerSample: try secondsPerSample(samples)))
            }
        }
        return rows
    }

    // MARK: - Parts

    private func check() throws {
        guard !models.isEmpty, !evaluations.isEmpty, !measures.isEmpty else {
            throw RiffleError("", "models, numbers of evaluations and measures are needed, one of each at least")
        }
        if measures.contains(.lpips), perceptual == nil {
            throw RiffleError("", "LPIPS needs its network, metrics.perceptual(...)")
        }
        if let teacher, !models.contains(where: { $0.name == teacher }) {
            throw RiffleError(
                "", "there is no model '\(teacher)'\(suggestion(for: teacher, among: models.map(\.name)))")
        }
        func refuseTwice<Item: Hashable>(_ items: [Item], _ name: String) throws {
            var seen: Set<Item> = []
            if let twice = items.first(where: { !seen.insert($0).inserted }) {
                throw RiffleError("", "\(name) '\(twice)' is there twice")
            }
        }
        try refuseTwice(models.map(\.name), "the model")
        try refuseTwice(measures.map(\.rawValue), "the measure")
        for model in models { try refuseTwice(model.evaluations ?? evaluations, "the number of evaluations") }
    }

    /// Finds what is wrong with models, networks and the reference before samples are made.
    private func prepare() throws {
        for shape in try Set(models.flatMap { try usable($0).map(\.sampleShape) }) {
            guard shape.rank == 3 else {
                throw RiffleError("", "samples [height, width, channels] are pictures, and \(shape) is none")
            }
            let blank = ByteImages([UInt8](repeating: 0, count: shape.count), shape: shape)
            if measures.contains(where: { $0 != .lpips }) {
                try pictureMeasures.prepare(reference, for: blank, takesStatistics: measures.contains(.fid))
            }
            if measures.contains(.lpips), let perceptual { _ = try perceptual.distances(blank, blank) }
        }
        if measures.contains(where: \.needsFeatures) { _ = try pictures(reference) }
    }

    private func usable(_ model: Model) throws -> [NumberedSamples] {
        var refusal: (any Error)?
        let found = (model.evaluations ?? evaluations).compactMap { count -> NumberedSamples? in
            do {
                return try NumberedSamples(
                    model.network, seed: seed, evaluations: count, method: model.method, start: model.start,
                    batch: batch)
            } catch {
                refusal = error
                return nil
            }
        }
        if found.isEmpty, let refusal { try named(model.name) { throw refusal } }
        return found
    }

    /// Runs `body`, and adds the name of what is measured to mistakes.
    private func named<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as RiffleError where error.kind == .mistake {
            throw RiffleError("", "\(name): \(error.message)")
        }
    }

    private func pictures(of samples: NumberedSamples, _ title: String) throws -> Pictures {
        guard let folder else {
            return Pictures(name: title, count: count, shape: samples.sampleShape) { try ByteImages(samples($0)) }
        }
        let name = String(title.map { $0.isLetter || $0.isNumber ? $0 : "-" })
        let store = try SampleStore("\(folder)/\(name)-seed-\(seed)", samples)
        try store.fill(to: count)
        return Pictures(name: title, count: count, store)
    }

    /// The samples of the teacher with its largest number of evaluations, which all samples are compared with.
    private func teacherPictures(_ progress: (String) -> Void) throws -> Pictures {
        guard let model = models.first(where: { $0.name == teacher ?? models[0].name }),
            let samples = try usable(model).max(by: { $0.evaluations < $1.evaluations })
        else { throw RiffleError("", "there is no teacher to compare with") }
        let title = title(model, samples), made = try named(title) { try pictures(of: samples, title) }
        guard folder == nil else { return made }
        progress("\(title), to compare with")
        // No folder keeps them, and making them anew for each row would take longer than all else.
        var bytes: [UInt8] = []
        try Memory.check(count * samples.sampleShape.count)
        for first in stride(from: 0, to: count, by: batch) {
            try Interrupt.check()
            bytes += try made.bytes(first..<min(first + batch, count)).bytes
        }
        let images = ByteImages(bytes, shape: samples.sampleShape)
        return Pictures(name: title, count: count, shape: samples.sampleShape) { images.part($0) }
    }

    private func measure(_ measure: Measure, _ made: Pictures, beside best: Pictures?) throws -> Measurement {
        switch measure {
        case .fid: return try pictureMeasures.frechet(reference, .pictures(made))
        case .kid:
            return try pictureMeasures.kernelDistance(
                pictures(reference), made, subsets: 100, size: 1000, seed: seed)
        case .precisionRecall: return try pictureMeasures.precisionRecall(pictures(reference), made, neighbours: 3)
        case .lpips:
            guard let perceptual, let best else { throw RiffleError("", "there is no teacher to compare with") }
            return try perceptual.measure(best, made, batch: batch, note: "noise of seed \(seed)")
        }
    }

    private func title(_ model: Model, _ samples: NumberedSamples) -> String {
        let count = samples.evaluations
        return "\(model.name), \(sampler(samples)) \(count) evaluation\(count == 1 ? "" : "s")"
    }

    private func sampler(_ samples: NumberedSamples) -> String {
        samples.method.rawValue + (samples.start > 0 ? " from \(riffleFormat(samples.start))" : "")
    }

    private func pictures(_ side: Side) throws -> Pictures {
        guard case .pictures(let pictures) = side else {
            throw RiffleError("", "statistics are enough for FID alone; KID, precision and recall need the pictures")
        }
        return pictures
    }

    /// The time of one batch.
    private func secondsPerSample(_ samples: NumberedSamples) throws -> Double {
        let start = Profiler.now()
        _ = try samples(0..<min(batch, count))
        return (Profiler.now() - start) / Double(batch)
    }
}
