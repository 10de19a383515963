import RiffleIO
import RiffleTensor

/// The pictures among the files of a folder or an archive, found by their headers.
struct PictureList: Sendable {
    private(set) var names: [String] = []
    private var sizes: [(width: Int32, height: Int32)] = []
    private(set) var skips = Skips()
    /// Why there are no labels, where one might expect some.
    private(set) var notes: [String] = []

    /// Looks at the header of each file.
    /// - Parameters:
    ///   - names: the files' names, with `/` between folders, in order.
    ///   - skipsBroken: whether a broken header is passed over rather than an error.
    ///   - source: opens a file.
    init(_ names: [String], skipsBroken: Bool, _ source: (String) throws -> any ByteSource) throws {
        for name in names {
            try Interrupt.check()
            do {
                let file = try source(name)
                guard try FileKind(file)?.isPicture == true else {
                    skips.add(name, "of no known format")
                    continue
                }
                let header = try ImageFile.header(file)
                self.names.append(name)
                sizes.append((Int32(clamping: header.width), Int32(clamping: header.height)))
            } catch let error as RiffleError where skipsBroken && error.kind == .mistake {
                skips.add("\(name): \(error.message)", "broken")
            }
        }
    }

    func size(of picture: Int) -> PictureSize {
        PictureSize(width: Int(sizes[picture].width), height: Int(sizes[picture].height))
    }

    /// The classes that the first folders of the names are, in order.
    /// - Parameter isAsked: whether the user asked for classes; otherwise there are some where two folders or more hold
    ///   all pictures.
    /// - Throws: `RiffleError` where the user asked for classes, and there is no folder or a picture is in none.
    mutating func takeFolders(isAsked: Bool, origin: String) throws -> Labels? {
        let folders = names.map { name in
            name.utf8.firstIndex(of: UInt8(ascii: "/")).map { String(name[..<$0]) }
        }
        let classes = Set(folders.compactMap { $0 }).sorted()
        guard isAsked || classes.count > 1 else { return nil }
        guard !classes.isEmpty else {
            throw RiffleError(
                "", "'\(origin)' has no folders with pictures that could be classes; labels = \"none\" takes it")
        }
        if let stray = folders.firstIndex(of: nil) {
            let count = folders.count { $0 == nil }
            let problem =
                count == 1
                ? "1 picture, \(names[stray]), lies beside the class folders"
                : "\(count) pictures, \(names[stray]) among them, lie beside the class folders"
            guard !isAsked else {
                throw RiffleError("", "'\(origin)': \(problem); labels = \"none\" takes all pictures without labels")
            }
            notes.append("no labels: \(problem)")
            return nil
        }
        let numbers = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, Int32($0 + 1)) })
        return Labels(folders.map { numbers[$0 ?? ""] ?? 0 }, classes: classes)
    }
}
