import RiffleIO
import RiffleTensor
import Synchronization

/// A picture as its file has it.
package enum Picture {
    /// Of 8 bits a sample.
    case bytes(Raster<UInt8>)
    /// Floats, which are taken as they are.
    case floats(Raster<Float>)
}

/// Pictures as their files have them, of any sizes, by number from 0.
package protocol PictureSource: AnyObject, Sendable {
    var count: Int { get }
    var labels: Labels? { get }
    /// Where the pictures come from, as the user wrote it.
    var origin: String { get }
    /// What the pictures are called in protocols.
    var title: String { get }
    /// What was passed over when the files were looked through.
    var skips: Skips { get }
    /// What the user might not expect of these files, in words.
    var notes: [String] { get }
    /// Whether a picture is there without decoding or reading a file.
    var isAtHand: Bool { get }
    /// The channels of a picture where the user names none.
    var channels: Int { get }
    func size(of picture: Int) -> PictureSize
    /// The picture's name in messages, in quotes.
    func name(of picture: Int) -> String
    func picture(_ number: Int) throws -> Picture
}

extension PictureSource {
    package var notes: [String] { [] }
    package var title: String { origin.split(separator: "/").last.map(String.init) ?? origin }
}

/// How a set of pictures is to be made of files.
package struct PictureOptions: Sendable {
    /// Where labels come from.
    package enum LabelRule: String, CaseIterable, Sendable { case folders, file, fine, coarse, none }

    /// The pictures' size; their own where nil.
    package var size: PictureSize?
    package var crop = Fitting.Crop.none
    package var filter = ResizeFilter.lanczos
    package var channels: Int?
    /// The rule that fits the files where nil.
    package var labels: LabelRule?
    /// Which part of sets that are published in two.
    package var split: String?
    /// Whether broken pictures are passed over rather than an error.
    package var skipsBroken = false

    package init() {}
}

/// Pictures of one size, made of those of a source.
package final class PictureSet: SampleSource {
    package let source: any PictureSource
    package let fitting: Fitting
    private let skipsBroken: Bool
    private let notes: [String]
    /// How pictures were resized and converted, in words.
    private let changes: [String]
    /// Pictures whose pixels turned out to be broken, by number.
    private let brokenPictures = Mutex<[Int: String]>([:])

    /// - Throws: `RiffleError` when there are no pictures, or they differ in size and nothing says how to make them
    ///   equal.
    package init(_ source: any PictureSource, _ options: PictureOptions) throws {
        guard source.count >= 1 else {
            let skipped = source.skips.count > 0 ? " (skipped: \(source.skips.description))" : ""
            throw RiffleError("", "no pictures in '\(source.origin)'\(skipped)")
        }
        self.source = source
        skipsBroken = options.skipsBroken
        let own = source.size(of: 0)
        let wanted = options.size ?? own
        fitting = Fitting(
            width: wanted.width, height: wanted.height, channels: options.channels ?? source.channels,
            crop: options.crop, filter: options.filter)
        let stranger = (1..<source.count).first { source.size(of: $0) != own }
        if let stranger { try PictureSet.check(source, stranger, fitting, hasSize: options.size != nil) }
        changes = PictureSet.changes(from: stranger == nil ? own : nil, source.channels, fitting)
        let stretch = PictureSet.isStretched(own, fitting) ? ["stretched from \(own)"] : []
        notes = source.notes + stretch + (try PictureSet.range(of: source).map { [$0] } ?? [])
    }

    /// - Parameter size: of all pictures in their files; nil where they differ.
    private static func changes(from size: PictureSize?, _ channels: Int, _ fitting: Fitting) -> [String] {
        var changes: [String] = []
        if fitting.crop != .none, size != fitting.size { changes.append("\(fitting.crop.rawValue) crop") }
        if size != fitting.size {
            let from = size?.description ?? "several sizes"
            changes.append("resized from \(from) to \(fitting.size) by \(fitting.filter.rawValue)")
        }
        if channels < 3, fitting.channels >= 3 { changes.append("grey as colour") }
        if channels >= 3, fitting.channels < 3 { changes.append("colour as grey") }
        return changes
    }

    /// The range of the first picture's numbers, where they are floats, which nothing scales.
    /// - Throws: `RiffleError` where they can be no picture's in [-1, 1], such as bytes that were saved as floats.
    private static func range(of source: any PictureSource) throws -> String? {
        guard source.isAtHand, case .floats(let first)? = try? source.picture(0),
            let low = first.samples.min(), let high = first.samples.max()
        else { return nil }
        let found = "from \(riffleFormat(Double(low))) to \(riffleFormat(Double(high)))"
        guard Double(max(-low, high)) <= PictureSet.farthest else {
            throw RiffleError(
                "",
                "\(source.name(of: 0)) has floats \(found), expected -1 to 1: save x / 127.5 - 1 of bytes, or bytes as "
                    + "uint8")
        }
        return "floats, \(found) in the first" + (low < -1 || low >= 0 || high > 1 ? ", expected -1 to 1" : "")
    }

    /// Floats that were centred and scaled some other way lie in here.
    package static let farthest = 10.0

    /// Pictures of several sizes need a size to become, and are not distorted to it.
    private static func check(_ source: any PictureSource, _ stranger: Int, _ fitting: Fitting, hasSize: Bool) throws {
        let pair =
            "\(source.name(of: 0)) is \(source.size(of: 0)), \(source.name(of: stranger)) is "
            + "\(source.size(of: stranger))"
        guard hasSize else {
            throw RiffleError(
                "", "the pictures differ in size: \(pair); give them one, as in { size = 64, crop = \"center\" }")
        }
        guard fitting.crop == .none,
            let first = (0..<source.count).first(where: { isStretched(source.size(of: $0), fitting) })
        else { return }
        let found = "\(source.name(of: first)), \(source.size(of: first)), would be stretched to be \(fitting.size)"
        throw RiffleError(
            "",
            "the pictures differ in size: \(pair); \(found), and crop = \"center\" cuts the largest part of that shape")
    }

    /// Whether a picture changes its shape by more than its pixels' rounding.
    private static func isStretched(_ size: PictureSize, _ fitting: Fitting) -> Bool {
        guard fitting.crop == .none else { return false }
        let part = fitting.largest(inWidth: size.width, height: size.height)
        return abs(part.width - size.width) > 1 || abs(part.height - size.height) > 1
    }

    package var count: Int { source.count }
    package var sampleShape: Shape { [fitting.height, fitting.width, fitting.channels] }
    package var arePictures: Bool { true }
    package var isCroppedAtRandom: Bool { fitting.crop == .random }
    package var isAtHand: Bool { source.isAtHand }
    package var labels: Labels? { source.labels }
    package var title: String { source.title }
    package var origin: String? { source.origin }

    package var remarks: [String] {
        let skipped = source.skips.count, broken = broken?.count ?? 0
        return changes
            + (skipped > 0 ? ["\(skipped) file\(skipped == 1 ? "" : "s") skipped"] : [])
            + (broken > 0 ? ["\(broken) broken, the next picture stands in"] : [])
    }

    package func copy(_ draw: Draw, to numbers: UnsafeMutableBufferPointer<Float>) throws -> Bool {
        if skipsBroken, brokenPictures.withLock({ $0[draw.number] != nil }) { return false }
        do {
            let name = source.name(of: draw.number)
            switch try source.picture(draw.number) {
            case .bytes(let raster):
                try fitting.bytes(raster, place: draw.place, name: name).write(mirrored: draw.isMirrored, to: numbers)
            case .floats(let raster):
                try fitting.floats(raster, place: draw.place, name: name).write(mirrored: draw.isMirrored, to: numbers)
            }
            return true
        } catch let error as RiffleError where skipsBroken && error.kind == .mistake {
            brokenPictures.withLock { $0[draw.number] = error.message }
            return false
        }
    }

    /// A picture of bytes, fitted; nil where it is broken and broken ones are skipped.
    /// - Throws: `RiffleError` for pictures of floats as well.
    package func bytes(of number: Int) throws -> Raster<UInt8>? {
        do {
            guard case .bytes(let raster) = try source.picture(number) else {
                throw RiffleError("", "'\(source.origin)' holds floats, which are not packed as bytes", kind: .mistake)
            }
            return try fitting.bytes(raster, name: source.name(of: number))
        } catch let error as RiffleError where skipsBroken && error.kind == .mistake {
            brokenPictures.withLock { $0[number] = error.message }
            return nil
        }
    }

    package func description(_ count: String) -> String {
        var notes = notes
        if source.skips.count > 0 { notes.append("skipped: \(source.skips.description)") }
        if let (broken, names) = broken { notes.append("\(broken) broken, the next picture stands in (\(names))") }
        let channels = "\(fitting.channels) channel\(fitting.channels == 1 ? "" : "s")"
        return "\(count) picture\(count == "1" ? "" : "s")\(labels?.summary ?? ""), \(fitting.size), \(channels), from "
            + source.origin + (notes.isEmpty ? "" : " (\(notes.joined(separator: "; ")))")
    }

    /// How many pictures' pixels turned out to be broken, and what was wrong with the first; nil where none did.
    package var broken: (count: Int, first: String)? {
        brokenPictures.withLock { found in
            found.min { $0.key < $1.key }.map { (found.count, $0.value + (found.count > 1 ? ", ..." : "")) }
        }
    }
}
