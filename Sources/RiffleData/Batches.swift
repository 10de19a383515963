import RiffleTensor

/// Batches of a set, one after another.
package protocol BatchSequence: AnyObject {
    /// The next batch with its number, from 1; nil at the end.
    func next() throws -> (step: Int, batch: Batch)?
    /// How many batches there will be from the beginning to the end; nil where there is no end.
    var count: Int? { get }
    /// Samples in a full batch.
    var samples: Int { get }
}

/// A set in batches, in an order that depends on the seed and the position alone.
///
/// In each epoch every sample comes once, in an order of the epoch's own. Without `repeats`, `next` returns nil at the
/// end of each epoch and goes on with the following epoch; with `repeats` the epochs are one endless sequence and every
/// batch is full.
///
/// Batches of sets that are not at hand are made ahead, on a thread of their own. They are the same batches, and an
/// error is thrown by the batch that it belongs to.
package final class Batches: BatchSequence, Resumable {
    package let set: any SampleSet
    /// Samples per batch.
    package let size: Int
    package let seed: UInt64
    /// How many samples were given so far. Setting the position resumes a run or goes back: the samples that follow are
    /// those that would have followed, in batches of any size.
    package var position: Int {
        get { given }
        set {
            given = min(max(0, newValue), Batches.last)
            atEnd = false
        }
    }
    /// Seconds that were spent in `next` until a batch was there.
    package private(set) var waited = 0.0

    private static let largest = 1_000_000
    /// The last position: sums behind it might pass an Int.
    package static let last = Int.max / 2
    private let shuffles: Bool, flips: Bool, repeats: Bool, drops: Bool
    private var given = 0
    /// Whether `next` has still to report the end of an epoch.
    private var atEnd = false
    /// The epoch that was drawn last: its order (numbers from 1), which of its samples are mirrored, and where each is
    /// cut.
    private var drawn: (epoch: Int, order: Tensor?, mirrored: Tensor?, places: Tensor?)?
    /// The batches that are being made, in order, and who makes them.
    private var ahead: [(plan: Plan, job: ReadAhead.Job)] = []
    private let reader: ReadAhead?

    /// A batch before it is made.
    private struct Plan {
        let position: Int
        let draws: [Draw]
        let step: Int
        let isLast: Bool
        var next: Int { position + draws.count }
    }

    /// - Parameters:
    ///   - size: samples per batch, at least 1.
    ///   - shuffle: whether each epoch has a random order.
    ///   - flip: whether each sample is mirrored left to right with probability one half; for sets of pictures alone.
    ///   - repeats: whether the epochs follow each other without an end.
    ///   - dropLast: whether to leave out the batch at the end of an epoch that is not full.
    ///   - seed: the seed of the orders; the context's seed where it is nil.
    /// - Throws: `RiffleError` when there is no batch to give.
    package init(
        _ set: any SampleSet, size: Int, shuffle: Bool = false, flip: Bool = false, repeats: Bool = false,
        dropLast: Bool = false, seed: UInt64? = nil
    ) throws {
        guard (1...Batches.largest).contains(size), set.count >= 1 else {
            throw RiffleError("", "a batch has 1 to \(Batches.largest) samples, got \(size) of a set of \(set.count)")
        }
        guard !flip || set.arePictures else { throw RiffleError("", "only pictures can be mirrored") }
        guard repeats || !dropLast || size <= set.count else {
            throw RiffleError(
                "", "a batch of \(size) is more than the set's \(set.count) samples, and drop_last leaves none")
        }
        self.set = set
        self.size = size
        shuffles = shuffle
        flips = flip
        self.repeats = repeats
        drops = dropLast
        self.seed = seed ?? Context.current.random.seed
        reader = set.isAtHand ? nil : ReadAhead(set)
    }

    deinit { reader?.stop() }

    package var samples: Int { size }
    package var count: Int? { repeats ? nil : (samplesPerEpoch + size - 1) / size }

    private var samplesPerEpoch: Int { drops ? set.count / size * size : set.count }

    package func next() throws -> (step: Int, batch: Batch)? {
        if atEnd {
            atEnd = false
            return nil
        }
        let start = Profiler.now()
        defer { waited += Profiler.now() - start }
        let (plan, batch) = try reader.map { try read($0) } ?? make(plan(at: given))
        given = plan.next
        atEnd = plan.isLast
        return (plan.step, batch)
    }

    /// How many samples were given, whether the end of an epoch is still to be reported, and what has to be the same in
    /// a state that is gone on from.
    package func saved() throws -> SavedState {
        SavedState(values: [
            "given": .integer(given), "at_end": .boolean(atEnd), "size": .integer(size),
            "samples": .integer(set.count), "seed": .string("\(seed)"),
        ])
    }

    package func resuming(from state: SavedState) throws -> () throws -> Void {
        let given = try state.integer("given", in: 0...Batches.last)
        let atEnd = try state.boolean("at_end")
        let (samples, size) = (try state.integer("samples"), try state.integer("size"))
        guard samples == set.count else {
            throw RiffleError(
                "", "these are batches of a set of \(set.count) samples, the state's of one of \(samples)")
        }
        // The position counts samples, so that no sample is left out or given twice.
        guard size == self.size || state.allowsChanges else {
            throw RiffleError(
                "",
                "these are batches of \(self.size) samples, the state's of \(size); --allow-changes goes on with the "
                    + "next sample, in batches of \(self.size)")
        }
        guard case .string("\(seed)") = state.values["seed"] else {
            throw RiffleError("", "the seed of these batches is not the state's")
        }
        return { [self] in
            self.given = given
            self.atEnd = atEnd
        }
    }

    private func make(_ plan: Plan) throws -> (Plan, Batch) { (plan, try set.batch(plan.draws)) }

    /// The next `count` batches, which count as given by this sequence, too.
    package func take(_ count: Int) -> Take { Take(self, count) }

    // MARK: - Reading ahead

    /// Batches that are made or ready beside the one that is asked for.
    private static let mostAhead = 2

    /// The next batch, out of those that were made ahead. Where it fails, nothing that was made is kept, so that the
    /// next call tries again.
    private func read(_ reader: ReadAhead) throws -> (Plan, Batch) {
        if ahead.first?.plan.position != given { forget() }
        if ahead.isEmpty {
            let plan = try plan(at: given)
            ahead.append((plan, reader.begin(plan.draws)))
        }
        // What lies ahead can wait: an error here is thrown when its turn comes.
        while ahead.count <= Batches.mostAhead, let last = ahead.last, let plan = try? plan(at: last.plan.next) {
            ahead.append((plan, reader.begin(plan.draws)))
        }
        let (plan, job) = ahead[0]
        do {
            let batch = try reader.wait(for: job)
            ahead.removeFirst()
            return (plan, batch)
        } catch let error as RiffleError {
            if error.kind == .interrupted { throw error }
            forget()
            // This thread can collect garbage, which the other cannot.
            if error.kind == .outOfMemory { return try make(plan) }
            throw error
        }
    }

    private func forget() {
        for (_, job) in ahead { job.cancel() }
        ahead = []
    }

    // MARK: - Order

    private func plan(at position: Int) throws -> Plan {
        if repeats {
            let draws = try (position..<(position + size)).map {
                try draw(epoch: $0 / set.count, index: $0 % set.count)
            }
            return Plan(position: position, draws: draws, step: position / size + 1, isLast: false)
        }
        let length = samplesPerEpoch
        let (epoch, first) = position.quotientAndRemainder(dividingBy: length)
        let end = min(first + size, length)
        let draws = try (first..<end).map { try draw(epoch: epoch, index: $0) }
        return Plan(position: position, draws: draws, step: first / size + 1, isLast: end == length)
    }

    private func draw(epoch: Int, index: Int) throws -> Draw {
        if drawn?.epoch != epoch {
            drawn = (epoch, try order(of: epoch), try mirrored(in: epoch), try places(in: epoch))
        }
        return Draw(
            drawn?.order.map { Int($0.elements(Int32.self)[index]) - 1 } ?? index,
            isMirrored: drawn?.mirrored.map { $0.elements(Float.self)[index] < 0.5 } ?? false,
            place: drawn?.places.map { Double($0.elements(Float.self)[index]) } ?? 0.5)
    }

    /// Keep these draws apart from those of a network that is trained under the same seed, and from each other.
    private static let key: UInt64 = 0x6F72_6465_7273_6565
    private static let placeKey: UInt64 = 0x706C_6163_6573_6565

    private func order(of epoch: Int) throws -> Tensor? {
        guard shuffles else { return nil }
        var random = RandomSource(seed: seed ^ Batches.key, stream: 2 * UInt64(epoch))
        return try random.permutation(set.count)
    }

    private func mirrored(in epoch: Int) throws -> Tensor? {
        guard flips else { return nil }
        var random = RandomSource(seed: seed ^ Batches.key, stream: 2 * UInt64(epoch) + 1)
        return try random.uniform([set.count])
    }

    private func places(in epoch: Int) throws -> Tensor? {
        guard set.isCroppedAtRandom else { return nil }
        var random = RandomSource(seed: seed ^ Batches.placeKey, stream: UInt64(epoch))
        return try random.uniform([set.count])
    }

    /// A number of batches of another sequence.
    package final class Take: BatchSequence, Resumable {
        private let source: Batches
        private let limit: Int
        private var given = 0

        fileprivate init(_ source: Batches, _ limit: Int) {
            self.source = source
            self.limit = max(0, limit)
        }

        package var count: Int? { limit }
        package var samples: Int { source.size }

        package func saved() throws -> SavedState {
            var state = try source.saved()
            state.values["taken"] = .integer(given)
            return state
        }

        package func resuming(from state: SavedState) throws -> () throws -> Void {
            let taken = try state.integer("taken", in: 0...limit)
            let set = try source.resuming(from: state)
            return { [self] in
                try set()
                given = taken
            }
        }

        package func next() throws -> (step: Int, batch: Batch)? {
            // An epoch's end between two batches is no end here.
            guard given < limit, let (_, batch) = try source.next() ?? source.next() else { return nil }
            given += 1
            return (given, batch)
        }
    }
}
