import Foundation
import RiffleFlow
import RiffleIO
import RiffleRuns
import RiffleTensor

/// A network's samples in a folder, as the bytes of pictures, from the first on: they are made once, in as many
/// processes as it takes, and their number can be raised later.
///
///     samples.json                    what the samples are of, see `SampleKey`
///     samples-00001.npy               uint8 [n, height, width, channels], the first chunk
///     samples-00001.inception.npy     float32 [n, ...], its features under a name
///
/// All chunks but the last have the same number of samples. Each file appears whole or not at all. A chunk grows in its
/// last file until it is full: what was made is kept when a process ends early, and when more samples are asked for.
/// The bytes do not depend on where the making was stopped. They are the same for batches of any size in multiples of
/// 16; in other batches, and with other instructions of the processor, a number may round to the byte beside.
package final class SampleStore {
    package let folder: String
    package let samples: NumberedSamples
    /// The samples of a full chunk.
    package let chunk: Int
    private let lock: RunLock
    private let saveSeconds: Double

    private static let keyFile = "samples.json"
    private static let version = 1

    /// Opens the folder of such samples, or makes it. One process uses it at a time.
    /// - Parameters:
    ///   - about: what decides the samples beside the network's description and numbers, such as a guidance's scale;
    ///     needed for networks that a script defines.
    ///   - chunk: the samples of a file, where the folder is new.
    ///   - saveSeconds: how long samples are made before what there is of a chunk is written.
    /// - Throws: `RiffleError` where samples are no pictures, the folder cannot be used, another process uses it, it
    ///   holds something else, or samples of another key, whose differences are named.
    package init(
        _ folder: String, _ samples: NumberedSamples, about: [String: Value] = [:], chunk: Int = 256,
        saveSeconds: Double = 30
    ) throws {
        guard samples.sampleShape.rank == 3 else {
            throw RiffleError("", "samples [height, width, channels] are pictures, and \(samples.sampleShape) is none")
        }
        let key = try SampleKey(samples, about: about), file = "\(folder)/\(SampleStore.keyFile)"
        try makeFolders(folder)
        let strangers = try namesInFolder(folder).filter { !$0.hasPrefix(".") && $0 != RunFile.lock }
        guard strangers.isEmpty || fileExists(file) else {
            throw RiffleError(
                "",
                "'\(folder)' is no folder of samples: '\(strangers.sorted()[0])' is there, and no "
                    + "\(SampleStore.keyFile); take another one")
        }
        lock = try RunLock(folder)
        (self.folder, self.samples, self.saveSeconds) = (folder, samples, saveSeconds)
        guard fileExists(file) else {
            self.chunk = chunk
            try JSON.write(
                .table([
                    "riffle": .string("samples"), "version": .integer(SampleStore.version), "chunk": .integer(chunk),
                    "samples": .table(key.value),
                ]), to: file)
            return
        }
        self.chunk = try SampleStore.chunk(of: file, key, folder)
    }

    /// The size of the chunks of a folder that is there already, whose samples have to be those of the key.
    private static func chunk(of file: String, _ key: SampleKey, _ folder: String) throws -> Int {
        let state = SavedState(values: Arguments([try JSON.read(file)]).table(0))
        guard case .string("samples")? = state.values["riffle"], let found = state.values["samples"],
            try state.integer("version") == version
        else { throw RiffleError("", "'\(file)' does not say what samples these are; take another folder") }
        let differences = try key.differences(from: found)
        guard differences.isEmpty else {
            throw RiffleError(
                "", "'\(folder)' holds other samples: \(differences.joined(separator: "; ")); take another folder")
        }
        return try state.integer("chunk", in: 1...(1 << 20))
    }

    // MARK: - Chunks

    /// The chunks of the first samples: the numbers of each one's samples, from 0. The last may be a part of a chunk.
    package func chunks(of count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: chunk).map { $0..<min($0 + chunk, count) }
    }

    /// How many samples are there, from the first on.
    package func count() throws -> Int {
        var count = 0
        while count.isMultiple(of: chunk) {
            let rows = try rows(of: count)
            if rows == 0 { break }
            count += rows
        }
        return count
    }

    /// The file of a chunk, or of its features.
    /// - Parameter first: any sample of the chunk.
    private func path(_ first: Int, _ key: String? = nil) -> String {
        "\(folder)/samples-\(padded(first / chunk + 1, to: 5))\(key.map { ".\($0)" } ?? "").npy"
    }

    /// How many samples of a chunk are there.
    private func rows(of first: Int) throws -> Int {
        fileExists(path(first)) ? try stored(first).shape[0] : 0
    }

    private func stored(_ first: Int) throws -> StoredTensor {
        let advice = "; remove the file to have its samples made again", shape = samples.sampleShape
        let stored: StoredTensor
        do { stored = try Npy.stored(in: InputFile(path(first))) } catch let error as RiffleError
            where error.kind == .mistake
        { throw RiffleError("", error.message + advice) }
        guard stored.type == .u8, stored.shape.rank == 4, stored.shape.removing(0) == shape,
            (1...chunk).contains(stored.shape[0]), stored.isInOrder
        else {
            throw stored.error(
                "expected 1 to \(chunk) samples \(shape) of uint8, found \(stored.type.word) \(stored.shape)\(advice)")
        }
        return stored
    }

    private func bytes(of first: Int) throws -> [UInt8] {
        let stored = try stored(first)
        try Memory.check(chunk * samples.sampleShape.count)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(chunk * samples.sampleShape.count)
        try stored.pieces { bytes += $0 }
        return bytes
    }

    // MARK: - Making samples

    /// Makes those of the first samples that are not there.
    /// - Parameter progress: gets the number of samples that are made, after each batch; what it throws ends the work.
    /// - Throws: `RiffleError` where samples cannot be made, are NaN, or cannot be written. What was written stays.
    package func fill(to count: Int, progress: (Int) throws -> Void = { _ in }) throws {
        for range in chunks(of: count) {
            let there = try rows(of: range.lowerBound)
            if there < range.count { try fill(range, from: there, progress) }
        }
    }

    private func fill(_ range: Range<Int>, from there: Int, _ progress: (Int) throws -> Void) throws {
        var bytes = there > 0 ? try bytes(of: range.lowerBound) : []
        try Memory.check(range.count * samples.sampleShape.count)
        var next = range.lowerBound + there, saved = Profiler.now()
        while next < range.upperBound {
            let batch = next..<min((next / samples.batch + 1) * samples.batch, range.upperBound)
            bytes += try pictures(batch)
            next = batch.upperBound
            if next == range.upperBound || Profiler.now() - saved >= saveSeconds {
                let header = Npy.header(
                    type: "|u1", shape: [next - range.lowerBound] + samples.sampleShape.sizes)
                try AtomicFile.write(to: path(range.lowerBound)) { file in
                    try file.write(header)
                    try file.write(bytes)
                }
                saved = Profiler.now()
            }
            try progress(next)
        }
    }

    private func pictures(_ range: Range<Int>) throws -> [UInt8] {
        let made = try samples(range)
        do { return try ByteImages(made).bytes } catch let error as RiffleError where error.kind == .mistake {
            throw RiffleError("", "samples \(range.lowerBound + 1) to \(range.upperBound): \(error.message)")
        }
    }

    // MARK: - Reading

    /// Pictures of a chunk, which have been made.
    /// - Parameter range: one of `chunks(of:)`.
    package func pictures(of range: Range<Int>) throws -> ByteImages {
        try whole(range).part(0..<range.count)
    }

    /// All pictures that a chunk has, at least those of the range.
    private func whole(_ range: Range<Int>) throws -> ByteImages {
        let there = try rows(of: range.lowerBound)
        guard there >= range.count else {
            throw RiffleError(
                "", "'\(folder)' has \(there) of the samples \(range.lowerBound + 1) to \(range.upperBound)")
        }
        return ByteImages(try bytes(of: range.lowerBound), shape: samples.sampleShape)
    }

    /// Features of a chunk's pictures, which are computed once and kept beside them. They are computed for all pictures
    /// that the chunk has, so that a chunk that has grown gets them anew.
    /// - Parameters:
    ///   - range: one of `chunks(of:)`, whose pictures have been made.
    ///   - name: of the features: letters, digits, `-` and `_`. Features of other networks need other names.
    ///   - make: the features float32 [n, ...] of n pictures.
    /// - Throws: `RiffleError` where the name is none, the pictures are not there, or `make` gives other numbers of
    ///   samples.
    package func features(
        of range: Range<Int>, name: String, make: (ByteImages) throws -> Tensor
    ) throws -> Tensor {
        guard !name.isEmpty, name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) }) else {
            throw RiffleError("", "features have a name of letters, digits, - and _, got '\(name)'")
        }
        let there = try rows(of: range.lowerBound), file = path(range.lowerBound, name)
        if fileExists(file), let kept = try? Npy.read(file), kept.rank > 0, kept.dtype == .float32,
            kept.shape[0] == there, there >= range.count
        {
            return try withoutGradient { try kept.sliced(0, 0..<range.count) }
        }
        let made = try withoutGradient { try make(whole(range)).converted(to: .float32) }
        guard made.rank > 0, made.shape[0] == there else {
            throw RiffleError("", "the features '\(name)' of \(there) pictures are \(made.shape)")
        }
        try Npy.write(made, to: file)
        return try withoutGradient { try made.sliced(0, 0..<range.count) }
    }
}
