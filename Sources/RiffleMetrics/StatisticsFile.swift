import RiffleIO
import RiffleTensor

/// Statistics in NumPy's archives, by the names that pytorch-fid, EDM and ADM give them.
extension FeatureStatistics {
    /// Which statistics of a file are meant.
    package enum Part: Sendable {
        /// `mu` and `sigma`, of a picture's features.
        case whole
        /// `mu_s` and `sigma_s`, of features that keep where in the picture they are; ADM's files have both.
        case spatial

        fileprivate var names: (mean: String, covariance: String) {
            self == .whole ? ("mu", "sigma") : ("mu_s", "sigma_s")
        }
    }

    /// Reads statistics, and nothing else that the file holds. The number of samples is that of `n`, which files of
    /// other programs do not have.
    /// - Throws: `RiffleError` that names the file, when an array is missing or damaged, or the two are no mean and
    ///   covariance.
    package init(contentsOf path: String, part: Part = .whole) throws {
        let file = try Npz(path), names = part.names
        let (mean, covariance) = (try file.tensor(names.mean), try file.tensor(names.covariance))
        let count = try file.holds(FeatureStatistics.countName) ? file.tensor(FeatureStatistics.countName) : nil
        do {
            try self.init(
                count: try count.map(FeatureStatistics.whole), mean: mean, covariance: covariance)
        } catch let error as RiffleError {
            throw RiffleError(
                "", file.error("'\(names.mean)' and '\(names.covariance)': \(error.message)").message, kind: error.kind)
        }
    }

    /// Writes the statistics as EDM does, with the number of samples beside them, which other programs pass over.
    /// - Parameter texts: entries beside the arrays, which other programs pass over too.
    package func write(to path: String, texts: [(name: String, text: String)] = []) throws {
        let names = Part.whole.names
        var arrays = [(name: names.mean, tensor: mean), (name: names.covariance, tensor: covariance)]
        if let count = count.flatMap(Int32.init(exactly:)) {
            arrays.append((FeatureStatistics.countName, try Tensor([count], [])))
        }
        try Npz.write(arrays, texts: texts, to: path)
    }

    private static let countName = "n"

    private static func whole(_ number: Tensor) throws -> Int {
        guard number.count == 1, let whole = Int(exactly: number.element(0)) else {
            throw RiffleError("", "'\(countName)' should be the number of samples, one whole number")
        }
        return whole
    }
}
