import RiffleIO
import RiffleMetrics
import RiffleRuns
import RiffleTensor

/// Statistics of pictures' features with what is known of how they were made.
package final class KeptStatistics: Sendable {
    /// How features are made of pictures: those of different origins cannot be compared.
    package struct Origin: Equatable, Sendable, CustomStringConvertible {
        /// The features' title, with the hash of their network's file.
        package let features: String
        /// How pictures get the network's size.
        package let sizing: String

        package var description: String { "\(features), \(sizing)" }
    }

    package let statistics: FeatureStatistics
    /// What the pictures are called in protocols.
    package let name: String
    /// Nil where a file does not say, as those of other programs do not.
    package let origin: Origin?

    package init(_ statistics: FeatureStatistics, name: String, origin: Origin? = nil) {
        self.statistics = statistics
        self.name = name
        self.origin = origin
    }

    private static let originName = "protocol.json"

    /// Reads what `write` wrote, or the statistics of pytorch-fid, EDM or ADM.
    /// - Throws: `RiffleError` that names the file, see `FeatureStatistics`; also where its origin cannot be read.
    package convenience init(contentsOf path: String) throws {
        let file = try Npz(path), statistics = try FeatureStatistics(contentsOf: path)
        var origin: Origin?
        if let text = try file.entry(KeptStatistics.originName) {
            let fields = SavedState(values: Arguments([try JSON.value(text, named: path)]).table(0))
            guard case .string(let features)? = fields.values["features"],
                case .string(let sizing)? = fields.values["sizing"]
            else { throw file.error("'\(KeptStatistics.originName)' should say features and sizing") }
            origin = Origin(features: features, sizing: sizing)
        }
        self.init(statistics, name: RunFolder.lastName(of: path), origin: origin)
    }

    /// Writes mu and sigma as pytorch-fid and EDM read them, and beside them the number of samples and the origin,
    /// which those pass over; the file whole or not at all.
    package func write(to path: String) throws {
        let fields = try origin.map { origin in
            try JSON.text(.table(["features": .string(origin.features), "sizing": .string(origin.sizing)]))
        }
        try statistics.write(to: path, texts: fields.map { [(KeptStatistics.originName, $0)] } ?? [])
    }
}
