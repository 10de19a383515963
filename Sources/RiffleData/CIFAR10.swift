import Foundation
import RiffleIO
import RiffleTensor

/// CIFAR-10 in its published binary form: records of a label's byte and 1,024 bytes each of red, green and blue, row by
/// row.
///
/// The records are kept in tensor memory as the files hold them, 3,073 bytes per image.
package final class CIFAR10: ImageSet {
    package static let splits = ["train", "test"]

    package let imageShape: Shape = [32, 32, 3]
    package let count: Int
    package let classes: [String]
    private let records: Storage

    /// Reads the files of a folder, or one file.
    /// - Parameters:
    ///   - path: a folder with `data_batch_*.bin` (all are read, in the order of their names) and `test_batch.bin`, or
    ///   one such file. Any whole number of records will do. The classes' names are taken from `batches.meta.txt`
    ///   beside them.
    ///   - split: which files of a folder, `train` or `test`.
    /// - Throws: `RiffleError` when there are none, a size is not a whole number of records or a label is not 0 to 9.
    package init(_ path: String, split: String = "train") throws {
        guard CIFAR10.splits.contains(split) else {
            throw RiffleError("", "a split is 'train' or 'test', got '\(split)'")
        }
        let (folder, files) = try CIFAR10.files(path, split: split)
        let open = try files.map(InputFile.init)
        for file in open {
            guard file.size > 0, file.size % CIFAR10.record == 0 else {
                throw file.error(
                    "expected a whole number of CIFAR-10 records of \(CIFAR10.record) bytes, found \(file.size) bytes")
            }
        }
        records = try Storage(bytes: open.reduce(0) { $0 + $1.size })
        var end = records.pointer
        for file in open {
            let bytes = UnsafeMutableRawBufferPointer(start: end, count: file.size)
            try file.read(into: bytes, at: 0)
            for start in stride(from: 0, to: bytes.count, by: CIFAR10.record) where bytes[start] > 9 {
                throw file.error("record \(start / CIFAR10.record + 1) has the label \(bytes[start]), expected 0 to 9")
            }
            end += file.size
        }
        count = records.bytes / CIFAR10.record
        classes = try CIFAR10.names(in: folder)
    }

    package func label(of image: Int) -> Int {
        Int(records.pointer.load(fromByteOffset: image * CIFAR10.record, as: UInt8.self))
    }

    package func copy(_ image: Int, mirrored: Bool, to pixels: UnsafeMutablePointer<Float>) {
        withExtendedLifetime(self.records) { storage in
            let records = storage.pointer.assumingMemoryBound(to: UInt8.self)
            for channel in 0..<3 {
                let plane = image * CIFAR10.record + 1 + channel * 1024
                for row in 0..<32 {
                    for column in 0..<32 {
                        let byte = records[plane + row * 32 + (mirrored ? 31 - column : column)]
                        pixels[(row * 32 + column) * 3 + channel] = Float(byte) / 127.5 - 1
                    }
                }
            }
        }
    }

    /// Bytes of a record.
    private static let record = 3073

    private static func files(_ path: String, split: String) throws -> (folder: String, files: [String]) {
        var status = stat()
        guard stat(try checked(path).systemName, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            return (path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) : ".", [path])
        }
        let wanted = split == "test" ? "test_batch" : "data_batch_"
        let found = try namesInFolder(path).filter { $0.hasPrefix(wanted) && $0.hasSuffix(".bin") }
        guard !found.isEmpty else {
            throw RiffleError(
                "",
                "expected \(split == "test" ? "test_batch.bin" : "data_batch_*.bin") in the folder '\(path)', found "
                    + "none"
            )
        }
        return (path, found.map { "\(path)/\($0)" })
    }

    private static func names(in folder: String) throws -> [String] {
        let path = "\(folder)/batches.meta.txt"
        guard access(path.systemName, F_OK) == 0 else {
            return ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        }
        let file = try InputFile(path)
        guard file.size < 10_000, let text = String(validating: try file.bytes(file.size, at: 0), as: UTF8.self) else {
            throw file.error("expected ten names of classes, one a line")
        }
        let names = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter {
            !$0.isEmpty
        }
        guard names.count == 10 else {
            throw file.error("expected ten names of classes, one a line, found \(names.count)")
        }
        return names
    }
}
