import RiffleIO
import RiffleMetrics
import RiffleRuns
import RiffleTensor

/// The statistics of real pictures, kept beside the files that these come from, in the folder DATA.statistics, so that
/// the features of a reference are computed once.
///
/// A file's name has the features' name and the SHA-256 of the pictures: pictures that have changed, or are of another
/// size, have another file. Where the folder cannot be written, nothing is kept.
struct ReferenceStatistics {
    private let folder: String, path: String

    /// - Parameter features: a name that tells the features from all others; nil where there is none.
    /// - Returns: nil where the features have no name, or the pictures come from no file.
    /// - Throws: `RiffleError` where a picture cannot be read.
    init?(of pictures: Pictures, features: String?) throws {
        guard let features, var data = pictures.origin else { return nil }
        while data.hasSuffix("/") { data.removeLast() }
        guard let name = data.split(separator: "/").last else { return nil }
        folder = "\(data).statistics"
        path = "\(folder)/\(name)-\(features)-\(try pictures.sha256().prefix(16)).npz"
    }

    /// Nil where there are none, or the file is damaged or holds others.
    /// - Parameters:
    ///   - origin: that the statistics have to be of.
    ///   - count: of how many pictures.
    func read(_ origin: KeptStatistics.Origin, count: Int) throws -> FeatureStatistics? {
        do {
            let kept = try KeptStatistics(contentsOf: path)
            return kept.origin == origin && kept.statistics.count == count ? kept.statistics : nil
        } catch let error as RiffleError where error.kind == .mistake {
            return nil
        }
    }

    func keep(_ statistics: KeptStatistics) throws {
        do {
            try makeFolders(folder)
            try statistics.write(to: path)
        } catch let error as RiffleError where error.kind == .mistake {
            // The folder cannot be written, and the next measurement computes them once more.
        }
    }
}

extension Pictures {
    /// The digest of all pictures and their size.
    fileprivate func sha256() throws -> String {
        var digest = Digest()
        for first in stride(from: 0, to: count, by: 256) {
            try Interrupt.check()
            let images = try bytes(first..<min(first + 256, count))
            digest.add("\(images.height) x \(images.width) x \(images.channels)\n")
            images.bytes.withUnsafeBytes { digest.add($0) }
        }
        return digest.text()
    }
}
