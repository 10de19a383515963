import RiffleIO
import RiffleTensor

/// Noise with the samples that a network makes of it, in a file to learn from (reflow: Liu et al. 2022).
///
/// A safetensors file of `noise` and `x`, float32 `[n, ...]`, and perhaps `labels`, int32 `[n]` from 1. Opening reads
/// the header alone, and a batch the rows that it needs.
package final class PairFile: SampleSet {
    package let count: Int
    /// The shape of one sample.
    package let sampleShape: Shape
    package var isLabelled: Bool { labels != nil }

    private let noise: StoredTensor, x: StoredTensor, labels: StoredTensor?

    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package init(_ path: String) throws {
        let file = try SafeTensors(path)
        let found = file.names.sorted()
        let names = found.prefix(5).joined(separator: ", ") + (found.count > 5 ? ", ..." : "")
        guard let noise = file["noise"], let x = file["x"],
            found.count == 2 || file["labels"] != nil && found.count == 3
        else {
            throw file.error(
                "expected pairs, the tensors noise and x and perhaps labels, found \(names.isEmpty ? "none" : names)")
        }
        self.noise = noise
        self.x = x
        labels = file["labels"]
        guard noise.type == .f32, x.type == .f32, noise.shape == x.shape, x.shape.rank >= 1, x.shape[0] >= 1 else {
            throw file.error(
                "expected pairs, noise and x of one shape F32 [n, ...], found noise \(noise.type.rawValue) "
                    + "\(noise.shape), x \(x.type.rawValue) \(x.shape)"
            )
        }
        count = x.shape[0]
        sampleShape = x.shape.removing(0)
        if let labels, labels.type != .i32 || labels.shape != [count] {
            throw file.error("expected labels I32 [\(count)], found \(labels.type.rawValue) \(labels.shape)")
        }
    }

    package func batch(_ draws: [Draw]) throws -> Batch {
        let numbers = draws.map(\.number)
        return Batch(
            x: try x.rows(numbers), labels: try labels.map { try $0.rows(numbers) }, noise: try noise.rows(numbers))
    }
}

/// Writes a `PairFile` batch by batch, never holding it whole.
///
/// The file appears with `close`, when all of its pairs are there. A writer that is forgotten with all of its pairs
/// makes the file, too; one that is forgotten before gives the file up, which is reported, and leaves nothing behind.
package final class PairWriter: UnfinishedWriter {
    package let path: String
    /// How many pairs there will be.
    package let count: Int
    /// The shape of one sample.
    package let sampleShape: Shape
    package let isLabelled: Bool
    /// How many pairs were added so far.
    package private(set) var added = 0

    private let draft: AtomicFile.Draft
    /// The bytes of the file that each tensor takes.
    private let noise: Range<Int>, x: Range<Int>, labels: Range<Int>
    package private(set) var isOpen = false

    /// - Parameters:
    ///   - count: pairs, at least 1.
    ///   - shape: the shape of one sample.
    ///   - labels: whether each pair has a label.
    /// - Throws: `RiffleError` when the file cannot be made, or the disk has no space for all of it.
    package init(_ path: String, count: Int, shape: Shape, labels isLabelled: Bool = false) throws {
        guard count >= 1, shape.sizes.allSatisfy({ $0 >= 1 }) else {
            throw RiffleError(
                "", "one pair or more of samples with one number or more are needed, got \(count) of shape \(shape)")
        }
        try FileEnding.check(path, of: "pairs", [.safetensors])
        let all = try shape.inserting(count, at: 0).checked("")
        self.path = path
        self.count = count
        sampleShape = shape
        self.isLabelled = isLabelled
        let tensors: [(name: String, type: ElementType, shape: Shape)] =
            [("noise", .f32, all), ("x", .f32, all)] + (isLabelled ? [("labels", .i32, [count])] : [])
        let (header, ranges) = try SafeTensors.header(tensors, metadata: ["riffle": "pairs"], path)
        let end = ranges[ranges.count - 1].upperBound
        noise = ranges[0]
        x = ranges[1]
        labels = isLabelled ? ranges[2] : end..<end
        draft = try AtomicFile.Draft(path)
        try draft.reserve(end)
        try header.withUnsafeBytes { try draft.write($0, at: 0) }
        isOpen = true
        UnfinishedWork.begin(self)
    }

    /// Adds pairs behind those that are there.
    /// - Parameters:
    ///   - noise: `[m, ...]` floats; written as float32.
    ///   - x: the samples that were made of it, of the same shape.
    ///   - labels: int32 `[m]` from 1, where the file has labels.
    /// - Throws: `RiffleError` when shapes or numbers do not fit; then nothing was added.
    package func add(_ noise: Tensor, _ x: Tensor, labels: Tensor? = nil) throws {
        guard isOpen else { throw closed }
        guard noise.rank >= 1, noise.shape == x.shape, noise.shape.removing(0) == sampleShape, noise.dtype.isFloating,
            x.dtype.isFloating
        else {
            let wanted = "[n" + sampleShape.sizes.map { ", \($0)" }.joined() + "]"
            throw RiffleError(
                "",
                "noise and x must be batches of floats \(wanted) (noise \(noise.dtype) \(noise.shape), x \(x.dtype) "
                    + "\(x.shape))"
            )
        }
        let some = noise.shape[0]
        guard (labels == nil) != isLabelled, labels.map({ $0.dtype == .int32 && $0.shape == [some] }) ?? true else {
            throw RiffleError(
                "",
                isLabelled
                    ? "labels must be int32 [\(some)], one a "
                        + "pair\(labels.map { " (labels \($0.dtype) \($0.shape))" } ?? ", and were not given")"
                    : "'\(path)' was begun without labels")
        }
        if let lowest = try labels?.integers().min(), lowest < 1 {
            throw RiffleError("", "labels count from 1 (got \(lowest))")
        }
        guard some <= count - added else {
            throw RiffleError(
                "", "'\(path)' has space for \(count) pairs: \(added) are there, and \(some) more were given")
        }
        try write(noise.converted(to: .float32), to: self.noise)
        try write(x.converted(to: .float32), to: self.x)
        if let labels { try write(labels, to: self.labels) }
        added += some
    }

    /// Puts the file at its path.
    /// - Throws: `RiffleError` when pairs are missing or the disk fails; then there is no file.
    package func close() throws {
        guard isOpen else { throw closed }
        defer { discard() }
        guard added == count else {
            throw RiffleError(
                "", "'\(path)' was to have \(count) pairs, and was closed with \(added): it is not written")
        }
        try draft.commit()
    }

    /// Gives up the file, unless `close` has put it at its path.
    package func discard() {
        if isOpen { UnfinishedWork.end(self) }
        isOpen = false
        draft.discard()
    }

    /// Ends a writer that nobody closed: a file with all of its pairs is put at its path, another is given up, which is
    /// reported.
    package func settle() {
        guard isOpen else { return }
        do {
            if added == count { return try close() }
            discard()
            UnfinishedWork.lose(
                "'\(path)' was to have \(count) pairs, and nobody closed it, with \(added): it is not written")
        } catch {
            UnfinishedWork.lose("\(error)")
        }
    }

    deinit { settle() }

    private var closed: RiffleError { RiffleError("", "'\(path)' is closed") }

    private func write(_ rows: Tensor, to range: Range<Int>) throws {
        let offset = range.lowerBound + added * (range.count / count)
        try withExtendedLifetime(rows) {
            try draft.write(
                UnsafeRawBufferPointer(start: rows.pointer, count: rows.count * rows.dtype.size), at: offset)
        }
    }
}
