import RiffleTensor

/// Samples with their labels or texts: all that a source holds, or a part of it.
package final class DataSet: SampleSet {
    package let source: any SampleSource
    /// The samples of a part, by their numbers in the source; nil for all of them.
    private let part: [Int32]?

    package init(_ source: any SampleSource) {
        self.source = source
        part = nil
    }

    private init(_ source: any SampleSource, part: [Int32]) {
        self.source = source
        self.part = part
    }

    package var count: Int { part?.count ?? source.count }
    package var sampleShape: Shape { source.sampleShape }
    package var classes: [String] { source.labels?.classes ?? [] }
    package var isLabelled: Bool { source.labels != nil }
    package var arePictures: Bool { source.arePictures }
    package var isCroppedAtRandom: Bool { source.isCroppedAtRandom }
    package var isAtHand: Bool { source.isAtHand }
    /// What the samples are called in protocols.
    package var title: String { part == nil ? source.title : "a part of \(source.title)" }
    /// What protocols say beside the title.
    package var remarks: [String] { source.remarks }

    package var description: String {
        source.description(part.map { "\($0.count) of \(source.count)" } ?? "\(source.count)")
    }

    /// Samples by number.
    ///
    /// Where a sample turns out to be broken and the source skips such samples, the next sound one of this set stands
    /// in for it, so that order and sizes of batches depend on nothing that is found on the way.
    package func batch(_ draws: [Draw]) throws -> Batch {
        let x = try Tensor(uninitialized: Shape([draws.count] + sampleShape.sizes))
        let labels = try source.labels.map { _ in try Tensor(uninitialized: [draws.count], .int32) }
        let numbers = x.elements(Float.self)
        let size = sampleShape.count
        var given: [Int] = []
        for (index, draw) in draws.enumerated() {
            let target = UnsafeMutableBufferPointer(rebasing: numbers[(index * size)..<((index + 1) * size)])
            given.append(try copy(draw, to: target))
        }
        if let labels, let all = source.labels {
            let elements = labels.elements(Int32.self)
            for (index, number) in given.enumerated() { elements[index] = all.numbers[number] }
        }
        return Batch(x: x, labels: labels, text: try source.text(of: given))
    }

    /// Copies a sample, or the next sound one. Returns its number in the source.
    private func copy(_ draw: Draw, to target: UnsafeMutableBufferPointer<Float>) throws -> Int {
        for step in 0..<count {
            let index = (draw.number + step) % count
            let number = part.map { Int($0[index]) } ?? index
            let wanted = Draw(number, isMirrored: draw.isMirrored, place: draw.place)
            if try source.copy(wanted, to: target) { return number }
        }
        throw RiffleError("", "none of the set's \(count) samples can be read")
    }

    /// Two parts of this set that have no sample in common, drawn at random; each keeps the set's order.
    /// - Parameters:
    ///   - part: how much of the set the second part gets, above 0 and below 1.
    ///   - seed: what fixes the draw; nothing else does.
    /// - Throws: `RiffleError` where a part would be empty.
    package func split(_ part: Double, seed: UInt64) throws -> (rest: DataSet, part: DataSet) {
        let some = Int((Double(count) * part).rounded())
        guard some >= 1, some < count else {
            throw RiffleError(
                "",
                "a part of \(riffleFormat(part)) makes sets of \(count - some) and \(some) samples, and each needs one "
                    + "or more")
        }
        try Memory.check(16 * count)
        var random = RandomSource(seed: seed ^ DataSet.key)
        var isHeldOut = [Bool](repeating: false, count: count)
        try withExtendedLifetime(random.permutation(count)) { order in
            for number in order.elements(Int32.self).prefix(some) { isHeldOut[Int(number) - 1] = true }
        }
        func numbers(_ heldOut: Bool) -> [Int32] {
            (0..<count).filter { isHeldOut[$0] == heldOut }.map { self.part?[$0] ?? Int32($0) }
        }
        return (DataSet(source, part: numbers(false)), DataSet(source, part: numbers(true)))
    }

    /// Keeps these draws apart from those of batches under the same seed.
    private static let key: UInt64 = 0x7061_7274_7365_6564
}
