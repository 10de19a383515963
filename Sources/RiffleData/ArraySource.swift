import RiffleIO
import RiffleTensor

/// Pictures in an array `[n, height, width, channels]`, `[n, height, width]` or `[n, channels, height, width]` of bytes
/// or floats, read where they are needed. An array in Fortran's order, in which no picture is in one piece, is gathered
/// in memory when it is opened.
package final class ArraySource: PictureSource {
    package let origin: String
    package let labels: Labels?
    package let channels: Int
    package let skips = Skips()
    /// An array is there already: the system keeps the pages of a file that are read again and again.
    package let isAtHand = true
    package let notes: [String]
    private let array: StoredTensor
    private let height: Int, width: Int
    /// Whether each channel is a plane of its own.
    private let isPlanar: Bool

    /// - Throws: `RiffleError` for other shapes and types.
    package init(_ array: StoredTensor, labels: Labels?, origin: String) throws {
        self.labels = labels
        self.origin = origin
        let shape = array.shape.sizes
        guard [.u8, .f16, .f32, .f64].contains(array.type) else {
            throw array.error("expected pictures of uint8 or floats, found type \(array.type.word)")
        }
        guard shape.count == 3 || shape.count == 4, shape.allSatisfy({ $0 >= 1 }),
            shape.dropFirst().allSatisfy({ $0 < 1 << 20 })
        else {
            throw array.error(
                "expected pictures [n, height, width, channels] or [n, height, width], found \(array.shape)")
        }
        let last = shape.count == 3 ? 1 : shape[3]
        isPlanar = shape.count == 4 && !(1...4).contains(last) && (1...4).contains(shape[1])
        channels = isPlanar ? shape[1] : last
        (height, width) = isPlanar ? (shape[2], shape[3]) : (shape[1], shape[2])
        guard (1...4).contains(channels) else {
            throw array.error(
                "expected 1 to 4 channels, found \(array.shape); samples of other kinds are read by data.load and "
                    + "data.tensors, or from safetensors files")
        }
        if let labels, labels.numbers.count != shape[0] {
            throw array.error("\(labels.numbers.count) labels for \(shape[0]) pictures")
        }
        notes =
            (isPlanar ? ["channels first in the file"] : [])
            + (array.isInOrder ? [] : ["in Fortran's order, gathered in memory"])
        self.array = try array.gathered()
    }

    package var count: Int { array.shape[0] }
    package func size(of picture: Int) -> PictureSize { PictureSize(width: width, height: height) }
    package func name(of picture: Int) -> String { "picture \(picture + 1) of \(array.source.name)" }

    package func picture(_ number: Int) throws -> Picture {
        let name = name(of: number), first = number * height * width * channels
        if array.type == .u8 {
            return .bytes(try raster(name) { try array.read(from: first, into: $0) })
        }
        let raster = try raster(name) { (floats: UnsafeMutableBufferPointer<Float>) in
            try array.read(from: first, into: floats)
        }
        guard raster.samples.allSatisfy(\.isFinite) else {
            throw RiffleError("", "\(name): a number is NaN or infinite")
        }
        return .floats(raster)
    }

    private func raster<Sample>(_ name: String, _ fill: (UnsafeMutableBufferPointer<Sample>) throws -> Void) throws
        -> Raster<Sample>
    {
        guard isPlanar else {
            return try Raster(width: width, height: height, channels: channels, name: name, fill)
        }
        let planes = try Raster<Sample>(width: width, height: height, channels: channels, name: name, fill)
        let area = width * height
        return try Raster(width: width, height: height, channels: channels, name: name) { target in
            for channel in 0..<channels {
                for pixel in 0..<area { target[pixel * channels + channel] = planes.samples[channel * area + pixel] }
            }
        }
    }
}

// MARK: - Files of arrays

extension ArraySource {
    /// The array of an npy file, with the labels of the npy file beside it, `NAME.labels.npy`, where there is one.
    package static func npy(_ path: String, _ options: PictureOptions) throws -> ArraySource {
        let array = try Npy.stored(in: InputFile(path))
        let beside = labelsPath(path)
        let isThere = fileExists(beside)
        let labels = try options.wantsFileLabels && isThere ? labels(Npy.stored(in: InputFile(beside))) : nil
        return try ArraySource(array, labels: labels, origin: path)
    }

    /// Where the labels of an npy file are: `a.npy` has `a.labels.npy`.
    package static func labelsPath(_ path: String) -> String {
        (FileEnding(of: path) == .npy ? String(path.dropLast(4)) : path) + ".labels.npy"
    }

    /// The names that pictures and their labels have in npz files, for the training part and for the test part.
    private static let names: [(x: String, y: String, split: String?)] = [
        ("arr_0", "arr_1", nil), ("x", "y", nil), ("images", "labels", nil), ("x_train", "y_train", "train"),
        ("x_test", "y_test", "test"), ("train_images", "train_labels", "train"),
        ("test_images", "test_labels", "test"),
    ]

    /// The arrays of an npz file; those that are stored are read where they are needed, others are inflated as a whole.
    package static func npz(_ archive: ZipArchive, _ options: PictureOptions) throws -> ArraySource {
        let path = archive.file.path
        func array(_ name: String) throws -> StoredTensor? {
            try archive["\(name).npy"].map { try Npy.stored(in: ZipEntryBytes($0, of: archive, reading: .parts)) }
        }
        for known in names where known.split == nil || known.split == options.split ?? "train" {
            guard let x = try array(known.x) else { continue }
            let labels = try options.wantsFileLabels ? array(known.y).map(labels) : nil
            return try ArraySource(x, labels: labels, origin: path)
        }
        let found = archive.entries.map(\.name).sorted()
        throw archive.error(
            "expected an array arr_0, x, images, x_train or train_images, found "
                + found.prefix(5).joined(separator: ", ") + (found.count > 5 ? ", ..." : ""))
    }

    /// The array of an IDX file, such as `train-images-idx3-ubyte.gz`, with the labels of the file beside it, such as
    /// `train-labels-idx1-ubyte.gz`.
    package static func idx(_ path: String, _ options: PictureOptions) throws -> ArraySource {
        let array = try IDX.stored(path)
        var labels: Labels?
        if options.wantsFileLabels, let beside = labelsBeside(idx: path) {
            labels = try ArraySource.labels(IDX.stored(beside))
        }
        return try ArraySource(array, labels: labels, origin: path)
    }

    private static func labelsBeside(idx path: String) -> String? {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        let name = String(path.dropFirst(folder.count))
        let labels = name.replacing("images", with: "labels").replacing("idx3", with: "idx1")
        guard labels != name else { return nil }
        let other = labels.hasSuffix(".gz") ? String(labels.dropLast(3)) : labels + ".gz"
        return [labels, other].map { folder + $0 }.first(where: fileExists)
    }

    /// Labels `[n]` or `[n, 1]` that count from 0.
    private static func labels(_ array: StoredTensor) throws -> Labels {
        guard array.shape.rank == 1 || array.shape.rank == 2 && array.shape[1] == 1, array.type.dtype == .int32 else {
            throw array.error("expected labels [n] of integers, found \(array.type.word) \(array.shape)")
        }
        let numbers = try array.tensor()
        try Memory.check(16 * numbers.count)
        return try Labels(fromZero: numbers.elements(Int32.self).map(Int.init)) { array.error($0) }
    }
}

extension PictureOptions {
    /// Whether labels that are in the set's files are wanted.
    var wantsFileLabels: Bool { labels == nil || labels == .file }
}
