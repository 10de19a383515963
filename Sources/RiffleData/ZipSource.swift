import RiffleIO
import RiffleTensor

/// The pictures in a ZIP archive, labelled by the `dataset.json` of EDM's sets or by their folders.
package final class ZipSource: PictureSource {
    package let labels: Labels?
    package let channels = 3
    package let isAtHand = false
    private let archive: ZipArchive
    private let list: PictureList

    /// - Throws: `RiffleError` when the archive or its labels are damaged, or a picture's header is broken and is not
    ///   to be skipped.
    package init(_ archive: ZipArchive, _ options: PictureOptions) throws {
        self.archive = archive
        let names = archive.entries.map(\.name).filter { $0 != DatasetJSON.name && !ZipSource.isHidden($0) }.sorted()
        var list = try PictureList(names, skipsBroken: options.skipsBroken) { try ZipSource.bytes($0, in: archive) }
        let file = archive[DatasetJSON.name]
        switch options.labels {
        case nil where file != nil, .file:
            labels = try DatasetJSON.labels(ZipSource.bytes(DatasetJSON.name, in: archive), of: list.names)
        case nil: labels = try list.takeFolders(isAsked: false, origin: archive.file.path)
        case .folders: labels = try list.takeFolders(isAsked: true, origin: archive.file.path)
        case .none?: labels = nil
        case .fine, .coarse:
            throw archive.error("this is no CIFAR-100, whose labels are fine or coarse")
        }
        self.list = list
    }

    package var origin: String { archive.file.path }
    package var count: Int { list.names.count }
    package var skips: Skips { list.skips }
    package var notes: [String] { list.notes }
    package func size(of picture: Int) -> PictureSize { list.size(of: picture) }
    package func name(of picture: Int) -> String { "'\(origin)': '\(list.names[picture])'" }

    package func picture(_ number: Int) throws -> Picture {
        .bytes(try ImageFile.bytes(ZipSource.bytes(list.names[number], in: archive)))
    }

    private static func isHidden(_ name: String) -> Bool {
        name.split(separator: "/").contains { $0.hasPrefix(".") } || name.hasPrefix("__MACOSX/")
    }

    private static func bytes(_ name: String, in archive: ZipArchive) throws -> ZipEntryBytes {
        guard let entry = archive[name] else { throw archive.error("it has no '\(name)'") }
        return ZipEntryBytes(entry, of: archive, reading: .parts)
    }
}
