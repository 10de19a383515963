import RiffleIO
import RiffleTensor

/// Writes what an encoder makes of a set's samples to a file that `LatentSource` reads.
package enum LatentFile {
    /// Encodes all samples in their order, batch by batch, never holding the file whole; it appears whole or not at
    /// all, with the set's labels or texts. Where a sample is broken and the set skips such samples, the next sound one
    /// stands in for it, as in batches.
    /// - Parameters:
    ///   - size: samples of a batch.
    ///   - encode: makes floats [n, ...] of samples [n, ...].
    /// - Throws: `RiffleError` where the file cannot be written, or a sample cannot be read or encoded.
    package static func write(
        _ set: DataSet, to path: String, batch size: Int, encode: (Tensor) throws -> Tensor
    ) throws {
        try FileEnding.check(path, of: "latents", [.safetensors])
        guard !set.isCroppedAtRandom else {
            throw RiffleError("", "a random crop is drawn anew in each epoch, and its latents cannot be kept")
        }
        var draft: (file: AtomicFile.Draft, ranges: [Range<Int>])?
        for start in stride(from: 0, to: set.count, by: size) {
            try Interrupt.check()
            let tensors = try encoded(set, start..<min(start + size, set.count), encode)
            let (file, ranges) = try draft ?? begin(path, tensors, count: set.count)
            draft = (file, ranges)
            for ((_, tensor), range) in zip(tensors, ranges) {
                let bytes = UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size)
                try withExtendedLifetime(tensor) {
                    try file.write(bytes, at: range.lowerBound + start * (range.count / set.count))
                }
            }
        }
        try draft?.file.commit()
    }

    /// The tensors of some samples, by their names in the file.
    private static func encoded(_ set: DataSet, _ numbers: Range<Int>, _ encode: (Tensor) throws -> Tensor) throws
        -> [(name: String, tensor: Tensor)]
    {
        let batch = try set.batch(numbers.map { Draw($0) })
        let latents = try encode(batch.x).converted(to: .float32)
        guard latents.rank >= 2, latents.shape[0] == numbers.count, latents.count > 0 else {
            throw RiffleError("", "\(numbers.count) samples were encoded to latents \(latents.shape)")
        }
        let texts = batch.text.map { [("tokens", $0.tokens), ("summary", $0.summary)] } ?? []
        return [("latents", latents)] + texts + (batch.labels.map { [("labels", $0)] } ?? [])
    }

    private static func begin(_ path: String, _ tensors: [(name: String, tensor: Tensor)], count: Int) throws -> (
        file: AtomicFile.Draft, ranges: [Range<Int>]
    ) {
        let all = try tensors.map { name, tensor in
            (name, ElementType(tensor.dtype), try tensor.shape.replacing(0, with: count).checked(""))
        }
        let (header, ranges) = try SafeTensors.header(all, metadata: ["riffle": "latents"], path)
        let file = try AtomicFile.Draft(path)
        try file.reserve(ranges[ranges.count - 1].upperBound)
        try header.withUnsafeBytes { try file.write($0, at: 0) }
        return (file, ranges)
    }
}
