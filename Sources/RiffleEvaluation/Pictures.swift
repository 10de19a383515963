import RiffleData
import RiffleIO
import RiffleTensor

/// Pictures to be measured, by number from 0: a tensor, a set, a folder or a file of them. They are rounded to 8 bits
/// before anything looks at them, since files of pictures hold no more.
package final class Pictures {
    /// What they are called in protocols.
    package let name: String
    package let count: Int
    /// That of one picture, `[height, width, channels]`.
    let shape: Shape
    /// The path of the files that they come from, if any.
    let origin: String?
    /// What protocols say beside the name, such as that pictures were resized.
    var remarks: [String] { source?.remarks ?? [] }
    private let read: (Range<Int>) throws -> ByteImages
    private let source: DataSet?
    /// The folder that has the pictures, and keeps their features.
    private let store: SampleStore?

    /// - Parameters:
    ///   - shape: of one picture, `[height, width, channels]`.
    ///   - read: gives pictures by their numbers, from 0.
    package init(name: String, count: Int, shape: Shape, read: @escaping (Range<Int>) throws -> ByteImages) {
        (self.name, self.count, self.shape, self.read) = (name, count, shape, read)
        (origin, source, store) = (nil, nil, nil)
    }

    /// The first samples of a folder, which are there.
    package init(name: String, count: Int, _ store: SampleStore) {
        (self.name, self.count, self.shape, self.store) = (name, count, store.samples.sampleShape, store)
        (origin, source) = (nil, nil)
        read = { range in
            let bytes = try store.chunks(of: count).filter { $0.overlaps(range) }.flatMap { chunk in
                let part = chunk.clamped(to: range), first = chunk.lowerBound
                return try store.pictures(of: chunk).part((part.lowerBound - first)..<(part.upperBound - first)).bytes
            }
            return ByteImages(bytes, shape: store.samples.sampleShape)
        }
    }

    /// - Parameter images: `[n, height, width, channels]` from -1 to 1, or bytes as int32.
    /// - Throws: `RiffleError` for other shapes, and floats that look like bytes.
    package convenience init(_ images: Tensor) throws {
        guard images.rank == 4, images.count > 0 else {
            throw RiffleError("", "pictures are [n, height, width, channels], got \(images.shape)")
        }
        let images = images.detach()
        if images.dtype.isFloating {
            let low = try images.min().item(), high = try images.max().item()
            guard !(low >= 0 && high > PictureSet.farthest) else {
                throw RiffleError(
                    "",
                    "floats of pictures lie between -1 and 1, and these go from \(riffleFormat(low)) to "
                        + "\(riffleFormat(high)): take x / 127.5 - 1 of bytes (images \(images.shape))")
            }
        }
        self.init(name: "a tensor", count: images.shape[0], shape: images.shape.removing(0)) {
            try ByteImages(images.sliced(0, $0))
        }
    }

    /// - Throws: `RiffleError` where the set's samples are no pictures.
    package init(_ set: DataSet) throws {
        guard set.sampleShape.rank == 3 else {
            throw RiffleError(
                "", "the set's samples are \(set.sampleShape), and pictures are [height, width, channels]")
        }
        (name, count, shape, origin, source) = (set.title, set.count, set.sampleShape, set.source.origin, set)
        read = { try ByteImages(set.batch($0.map { Draw($0) }).x) }
        store = nil
    }

    /// - Parameter range: numbers of pictures, from 0.
    package func bytes(_ range: Range<Int>) throws -> ByteImages { try read(range) }

    /// Calls `body` with the features of all pictures in order, some at a time.
    /// - Parameters:
    ///   - batch: how many pictures `make` takes at a time.
    ///   - name: under which a folder may keep the features; nil for features that nothing tells from others.
    ///   - make: the features `[n, features]` of some pictures.
    func forEachFeatures(
        _ batch: Int, name: String?, make: (ByteImages) throws -> Tensor, _ body: (Tensor) throws -> Void
    ) throws {
        if let store, let name {
            for chunk in store.chunks(of: count) {
                try body(
                    store.features(of: chunk, name: name) { images in
                        try Tensor.cat(ranges(of: images.count, batch).map { try make(images.part($0)) })
                    })
            }
        } else {
            for range in ranges(of: count, batch) { try body(make(read(range))) }
        }
    }

    private func ranges(of count: Int, _ size: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
    }
}

/// One of the two that a distance is between.
package enum Side {
    case pictures(Pictures)
    case statistics(KeptStatistics)

    /// A folder, a file of pictures, or a file of statistics.
    /// - Throws: `RiffleError` that names the path.
    package init(path: String) throws {
        if FileEnding(of: path) == .npz, try Npz(path).holds("mu") {
            self = .statistics(try KeptStatistics(contentsOf: path))
        } else {
            self = .pictures(try Pictures(DataSet(PictureFiles.open(path, PictureOptions()))))
        }
    }

    package var name: String {
        switch self {
        case .pictures(let pictures): pictures.name
        case .statistics(let kept): kept.name
        }
    }
}
