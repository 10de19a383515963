import Foundation
import RiffleIO
import RiffleTensor

/// CIFAR-10 or CIFAR-100 in their published binary form: records of a label's byte, or of two, and 1,024 bytes each of
/// red, green and blue, row by row.
///
/// The records are kept in tensor memory as the files hold them, 3,073 or 3,074 bytes a picture.
package final class CIFAR: PictureSource {
    package static let splits = ["train", "test"]

    /// Which of the two sets, and which labels of CIFAR-100.
    package enum Kind: Sendable {
        case ten, hundred, hundredCoarse

        fileprivate var labelBytes: Int { self == .ten ? 1 : 2 }
        /// Which byte of a record is the label.
        fileprivate var label: Int { self == .hundred ? 1 : 0 }
        fileprivate var classes: Int {
            switch self {
            case .ten: 10
            case .hundred: 100
            case .hundredCoarse: 20
            }
        }
        /// The file that names the classes.
        fileprivate var names: String {
            switch self {
            case .ten: "batches.meta.txt"
            case .hundred: "fine_label_names.txt"
            case .hundredCoarse: "coarse_label_names.txt"
            }
        }
        fileprivate var title: String { self == .ten ? "CIFAR-10" : "CIFAR-100" }
    }

    package let origin: String
    package let title: String
    package let count: Int
    package let labels: Labels?
    package let channels = 3
    package let skips = Skips()
    package let isAtHand = true
    private let kind: Kind
    private let records: Storage

    /// Reads the files of a folder, or one file.
    /// - Parameters:
    ///   - path: a folder with `data_batch_*.bin` (all are read, in the order of their names) and `test_batch.bin`, for
    ///     CIFAR-100 with `train.bin` and `test.bin`, or one such file. Any whole number of records will do. The
    ///     classes' names are taken from a file beside them.
    ///   - split: which files of a folder, `train` or `test`.
    /// - Throws: `RiffleError` when there are none, a size is not a whole number of records or a label is out of range.
    package init(_ path: String, _ kind: Kind = .ten, split: String = "train", isLabelled: Bool = true) throws {
        guard CIFAR.splits.contains(split) else {
            throw RiffleError("", "a split is 'train' or 'test', got '\(split)'")
        }
        origin = path
        self.kind = kind
        let record = kind.labelBytes + CIFAR.pixels
        let (folder, files) = try CIFAR.files(path, kind, split: split)
        title = files == [path] ? "\(kind.title) \(path.split(separator: "/").last ?? "")" : "\(kind.title) \(split)"
        let open = try files.map { try InputFile($0) }
        for file in open {
            guard file.size > 0, file.size % record == 0 else {
                throw file.error(
                    "expected a whole number of \(kind.title) records of \(record) bytes, found \(file.size) bytes")
            }
        }
        records = try Storage(bytes: open.reduce(0) { $0 + $1.size })
        count = records.bytes / record
        var labels: [Int32] = []
        var end = records.pointer
        for file in open {
            let bytes = UnsafeMutableRawBufferPointer(start: end, count: file.size)
            try file.read(into: bytes, at: 0)
            for start in stride(from: 0, to: bytes.count, by: record) {
                let label = bytes[start + kind.label]
                guard label < kind.classes else {
                    throw file.error(
                        "record \(start / record + 1) has the label \(label), expected 0 to \(kind.classes - 1)")
                }
                labels.append(Int32(label) + 1)
            }
            end += file.size
        }
        self.labels = isLabelled ? Labels(labels, classes: try CIFAR.names(in: folder, kind)) : nil
    }

    package func size(of picture: Int) -> PictureSize { PictureSize(width: 32, height: 32) }
    package func name(of picture: Int) -> String { "picture \(picture + 1) of '\(origin)'" }

    package func picture(_ number: Int) throws -> Picture {
        let first = number * (kind.labelBytes + CIFAR.pixels) + kind.labelBytes
        return .bytes(
            try Raster(width: 32, height: 32, channels: 3, name: name(of: number)) { target in
                withExtendedLifetime(records) { storage in
                    let planes = storage.pointer.assumingMemoryBound(to: UInt8.self) + first
                    for channel in 0..<3 {
                        for pixel in 0..<1024 { target[pixel * 3 + channel] = planes[channel * 1024 + pixel] }
                    }
                }
            })
    }

    /// Whether a folder holds files of a kind.
    package static func isIn(_ names: [String]) -> Kind? {
        if names.contains(where: { isFile($0, .ten, "train") || isFile($0, .ten, "test") }) { return .ten }
        let hundred = names.contains("train.bin") || names.contains("test.bin")
        return hundred && names.contains("fine_label_names.txt") ? .hundred : nil
    }

    /// The kind whose records fill a file of a size; nil where neither fits.
    package static func kind(ofSize size: Int) -> Kind? {
        [Kind.ten, .hundred].first { size > 0 && size % (pixels + $0.labelBytes) == 0 }
    }

    /// Bytes of a picture.
    private static let pixels = 3072

    private static func isFile(_ name: String, _ kind: Kind, _ split: String) -> Bool {
        guard kind == .ten else { return name == "\(split).bin" }
        return name.hasPrefix(split == "test" ? "test_batch" : "data_batch_") && name.hasSuffix(".bin")
    }

    private static func files(_ path: String, _ kind: Kind, split: String) throws -> (folder: String, files: [String]) {
        guard try isFolder(path) else {
            return (path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) : ".", [path])
        }
        let found = try namesInFolder(path).filter { isFile($0, kind, split) }
        guard !found.isEmpty else {
            let wanted = kind == .ten ? (split == "test" ? "test_batch.bin" : "data_batch_*.bin") : "\(split).bin"
            throw RiffleError("", "expected \(wanted) in the folder '\(path)', found none")
        }
        return (path, found.map { "\(path)/\($0)" })
    }

    private static func names(in folder: String, _ kind: Kind) throws -> [String] {
        let path = "\(folder)/\(kind.names)"
        guard fileExists(path) else {
            let ten = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
            return kind == .ten ? ten : (0..<kind.classes).map(String.init)
        }
        let file = try InputFile(path)
        let count = kind == .ten ? "ten" : "\(kind.classes)"
        guard file.size < 10_000, let text = String(validating: try file.bytes(file.size, at: 0), as: UTF8.self) else {
            throw file.error("expected \(count) names of classes, one a line")
        }
        let names = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter {
            !$0.isEmpty
        }
        guard names.count == kind.classes else {
            throw file.error("expected \(count) names of classes, one a line, found \(names.count)")
        }
        return names
    }
}
