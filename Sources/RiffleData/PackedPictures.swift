import Foundation
import RiffleIO
import RiffleTensor

/// A set of pictures on its way into one array of bytes.
package struct PackedPictures {
    package let pictures: PictureSet

    /// - Throws: `RiffleError` where there is no such set, or it holds no pictures.
    package init(_ path: String, _ options: PictureOptions) throws {
        guard let pictures = try PictureFiles.open(path, options) as? PictureSet else {
            throw RiffleError("", "'\(path)' holds no pictures")
        }
        guard options.crop != .random else {
            throw RiffleError("", "a random crop is drawn anew in each epoch, and cannot be packed")
        }
        self.pictures = pictures
    }

    /// Writes the array picture by picture, never holding it whole, and the labels beside it. Both files appear whole
    /// or not at all.
    /// - Parameter progress: called now and then with how many pictures were written, of how many.
    /// - Returns: how many pictures there are; fewer than the set's where broken ones are skipped.
    package func write(to path: String, progress: (Int, Int) -> Void) throws -> Int {
        guard FileEnding(of: path) == .npy else {
            throw RiffleError("", "cannot write '\(path)': pictures are packed as .npy")
        }
        let fitting = pictures.fitting
        let sizes = [fitting.height, fitting.width, fitting.channels]
        // The header of fewer pictures is as long: it is padded to a multiple of 64 bytes.
        let start = Npy.header(type: "|u1", shape: [pictures.count] + sizes).count
        guard let bytes = checkedProduct([pictures.count] + sizes) else {
            throw RiffleError("", "\(pictures.count) pictures of \(Shape(sizes)) are too many for one array")
        }
        let draft = try AtomicFile.Draft(path)
        try draft.reserve(start + bytes)
        var labels: [UInt8] = []
        var done = 0
        var shown = Profiler.now()
        for number in 0..<pictures.count {
            try Interrupt.check()
            guard let raster = try pictures.bytes(of: number) else { continue }
            try raster.samples.withUnsafeBytes { try draft.write($0, at: start + done * $0.count) }
            if let label = pictures.labels?.numbers[number] {
                withUnsafeBytes(of: (label - 1).littleEndian) { labels += $0 }
            }
            done += 1
            if Profiler.now() - shown > 5 {
                shown = Profiler.now()
                progress(number + 1, pictures.count)
            }
        }
        guard done > 0 else { throw RiffleError("", "none of the \(pictures.count) pictures can be read") }
        let header = Npy.header(type: "|u1", shape: [done] + sizes)
        guard header.count == start else {
            throw RiffleError("", "cannot write '\(path)': its header changed its length")
        }
        try header.withUnsafeBytes { try draft.write($0, at: 0) }
        try draft.reserve(start + done * sizes.reduce(1, *))
        if pictures.labels != nil {
            try AtomicFile.write(to: ArraySource.labelsPath(path)) { file in
                try file.write(Npy.header(type: "<i4", shape: [done]))
                try file.write(labels)
            }
        }
        try draft.commit()
        // Labels of an array that was there before are not this one's.
        if pictures.labels == nil { unlink(ArraySource.labelsPath(path).systemName) }
        return done
    }
}
