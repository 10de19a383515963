import Foundation
import RiffleIO
import RiffleTensor

/// The pictures of a folder and of the folders in it.
package final class FolderSource: PictureSource {
    package let origin: String
    package let labels: Labels?
    package let channels = 3
    package let isAtHand = false
    private let list: PictureList

    /// Looks through a folder; hidden files are not there.
    /// - Throws: `RiffleError` when the folder cannot be read, or a picture's header is broken and is not to be
    ///   skipped.
    package init(_ path: String, _ options: PictureOptions) throws {
        origin = path
        var names = try FolderSource.files(in: path)
        let hasLabels = names.contains(DatasetJSON.name)
        names.removeAll { $0 == DatasetJSON.name }
        var list = try PictureList(names, skipsBroken: options.skipsBroken) {
            try InputFile("\(path)/\($0)")
        }
        switch options.labels {
        case nil where hasLabels, .file:
            labels = try DatasetJSON.labels(InputFile("\(path)/\(DatasetJSON.name)"), of: list.names)
        case nil: labels = try list.takeFolders(isAsked: false, origin: path)
        case .folders: labels = try list.takeFolders(isAsked: true, origin: path)
        case .none?: labels = nil
        case .fine, .coarse: throw RiffleError("", "'\(path)' is no CIFAR-100, whose labels are fine or coarse")
        }
        self.list = list
    }

    package var count: Int { list.names.count }
    package var skips: Skips { list.skips }
    package var notes: [String] { list.notes }
    package func size(of picture: Int) -> PictureSize { list.size(of: picture) }
    package func name(of picture: Int) -> String { "'\(origin)/\(list.names[picture])'" }

    package func picture(_ number: Int) throws -> Picture {
        .bytes(try ImageFile.bytes(InputFile("\(origin)/\(list.names[number])")))
    }

    /// The files of a folder and of the folders in it, by their paths from there, in order.
    static func files(in root: String) throws -> [String] {
        var files: [String] = []
        // A link may lead back to a folder that holds it.
        var seen: Set<[UInt64]> = []
        func visit(_ folder: String, _ prefix: String) throws {
            try Interrupt.check()
            for name in try namesInFolder(folder) where !name.hasPrefix(".") {
                var status = stat()
                guard stat("\(folder)/\(name)".systemName, &status) == 0 else { continue }
                switch status.st_mode & S_IFMT {
                case S_IFREG: files.append(prefix + name)
                case S_IFDIR where seen.insert([UInt64(status.st_dev), UInt64(status.st_ino)]).inserted:
                    guard seen.count < 1_000_000, prefix.utf8.count < 4096 else {
                        throw RiffleError("", "'\(root)' has too many folders in one another")
                    }
                    try visit("\(folder)/\(name)", prefix + name + "/")
                default: continue
                }
            }
        }
        try visit(root, "")
        return files
    }
}
