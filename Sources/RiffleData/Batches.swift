import RiffleTensor

/// Batches of a set, one after another.
package protocol BatchSequence: AnyObject {
    /// The next batch with its number, from 1; nil at the end.
    func next() throws -> (step: Int, batch: Batch)?
    /// How many batches there will be from the beginning to the end; nil where there is no end.
    var count: Int? { get }
}

/// A set in batches, in an order that depends on the seed and the position alone.
///
/// In each epoch every sample comes once, in an order of the epoch's own. Without `repeats`, `next` returns nil at the
/// end of each epoch and goes on with the following epoch; with `repeats` the epochs are one endless sequence and every
/// batch is full.
package final class Batches: BatchSequence {
    package let set: any SampleSet
    /// Samples per batch.
    package let size: Int
    package let seed: UInt64
    /// How many batches were given so far. Setting the position resumes a run or goes back: the same batches follow.
    package var position: Int {
        get { given }
        set {
            given = min(max(0, newValue), Batches.last)
            atEnd = false
        }
    }

    private static let largest = 1_000_000
    /// The last position: behind it an Int would not hold the numbers of samples.
    package static let last = Int.max / largest - 2
    private let shuffles: Bool, flips: Bool, repeats: Bool, drops: Bool
    private var given = 0
    /// Whether `next` has still to report the end of an epoch.
    private var atEnd = false
    /// The epoch that was drawn last: its order (numbers from 1) and which of its samples are mirrored.
    private var drawn: (epoch: Int, order: Tensor?, mirrored: Tensor?)?

    /// - Parameters:
    ///   - size: samples per batch, at least 1.
    ///   - shuffle: whether each epoch has a random order.
    ///   - flip: whether each sample is mirrored left to right with probability one half; for sets of images alone.
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
        guard !flip || set is any ImageSet else { throw RiffleError("", "only images can be mirrored") }
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
    }

    package var count: Int? { repeats ? nil : perEpoch }

    private var perEpoch: Int { drops ? set.count / size : (set.count + size - 1) / size }

    package func next() throws -> (step: Int, batch: Batch)? {
        if atEnd {
            atEnd = false
            return nil
        }
        var samples: [(number: Int, mirrored: Bool)] = []
        var step = given + 1
        var ends = false
        if repeats {
            for index in (given * size)..<((given + 1) * size) {
                samples.append(try sample(epoch: index / set.count, index: index % set.count))
            }
        } else {
            let (epoch, batch) = given.quotientAndRemainder(dividingBy: perEpoch)
            for index in (batch * size)..<min((batch + 1) * size, set.count) {
                samples.append(try sample(epoch: epoch, index: index))
            }
            step = batch + 1
            ends = step == perEpoch
        }
        let batch = try set.batch(samples)
        given += 1
        atEnd = ends
        return (step, batch)
    }

    /// The next `count` batches, which count as given by this sequence, too.
    package func take(_ count: Int) -> Take { Take(self, count) }

    private func sample(epoch: Int, index: Int) throws -> (number: Int, mirrored: Bool) {
        if drawn?.epoch != epoch { drawn = (epoch, try order(of: epoch), try mirrored(in: epoch)) }
        let number = drawn?.order.map { Int($0.elements(Int32.self)[index]) - 1 } ?? index
        return (number, drawn?.mirrored.map { $0.elements(Float.self)[index] < 0.5 } ?? false)
    }

    /// Keeps these draws apart from those of a network that is trained under the same seed.
    private static let key: UInt64 = 0x6F72_6465_7273_6565

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

    /// A number of batches of another sequence.
    package final class Take: BatchSequence {
        private let source: Batches
        private let limit: Int
        private var given = 0

        fileprivate init(_ source: Batches, _ limit: Int) {
            self.source = source
            self.limit = max(0, limit)
        }

        package var count: Int? { limit }

        package func next() throws -> (step: Int, batch: Batch)? {
            // An epoch's end between two batches is no end here.
            guard given < limit, let (_, batch) = try source.next() ?? source.next() else { return nil }
            given += 1
            return (given, batch)
        }
    }
}
