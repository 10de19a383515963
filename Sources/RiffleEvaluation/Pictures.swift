import RiffleData
import RiffleIO
import RiffleMetrics
import RiffleTensor

/// Pictures to be measured, by number from 0: a tensor, a set, a folder or a file of them. They are rounded to 8 bits
/// before anything looks at them, since files of pictures hold no more.
package final class Pictures {
    /// What they are called in protocols.
    package let name: String
    package let count: Int
    /// The path of the files that they come from, if any.
    let origin: String?
    private let read: (Range<Int>) throws -> ByteImages
    /// The folder that has the pictures, and keeps their features.
    private let store: SampleStore?

    /// - Parameter read: gives pictures by their numbers, from 0.
    /// - Throws: `RiffleError` where there are none.
    package init(
        name: String, count: Int, origin: String? = nil, read: @escaping (Range<Int>) throws -> ByteImages
    ) throws {
        guard count >= 1 else { throw RiffleError("", "there are no pictures to measure") }
        (self.name, self.count, self.origin, self.read) = (name, count, origin, read)
        store = nil
    }

    /// The first samples of a folder, which are there.
    package init(name: String, count: Int, _ store: SampleStore) {
        (self.name, self.count, self.origin, self.store) = (name, count, nil, store)
        read = { range in
            let bytes = try store.chunks(of: count).filter { $0.overlaps(range) }.flatMap { chunk in
                let part = chunk.clamped(to: range), first = chunk.lowerBound
                return try store.pictures(of: chunk).part((part.lowerBound - first)..<(part.upperBound - first)).bytes
            }
            return ByteImages(bytes, shape: store.samples.sampleShape)
        }
    }

    /// - Parameter images: `[n, height, width, channels]` from -1 to 1, or bytes as int32.
    /// - Throws: `RiffleError` for other shapes.
    package convenience init(_ images: Tensor, name: String = "a tensor") throws {
        guard images.rank == 4, images.count > 0 else {
            throw RiffleError("", "pictures are [n, height, width, channels], got \(images.shape)")
        }
        let images = images.detach()
        try self.init(name: name, count: images.shape[0]) { try ByteImages(images.sliced(0, $0)) }
    }

    /// - Throws: `RiffleError` where the set's samples are no pictures.
    package convenience init(_ set: DataSet) throws {
        guard set.sampleShape.rank == 3 else {
            throw RiffleError(
                "", "the set's samples are \(set.sampleShape), and pictures are [height, width, channels]")
        }
        try self.init(name: set.title, count: set.count, origin: set.source.origin) {
            try ByteImages(set.batch($0.map { Draw($0) }).x)
        }
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
            self = .statistics(KeptStatistics(try FeatureStatistics(contentsOf: path), name: lastName(of: path)))
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

/// Statistics of pictures' features with what is known of how they were made.
package final class KeptStatistics: Sendable {
    package let statistics: FeatureStatistics
    package let name: String
    /// The features' title and how pictures got the network's size; nil where a file does not say.
    package let origin: (features: String, sizing: String)?

    package init(
        _ statistics: FeatureStatistics, name: String, origin: (features: String, sizing: String)? = nil
    ) {
        self.statistics = statistics
        self.name = name
        self.origin = origin
    }
}

private func lastName(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
}
