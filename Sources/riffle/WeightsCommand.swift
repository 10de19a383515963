import ArgumentParser
import RiffleEvaluation
import RiffleIO
import RiffleLua
import RiffleTensor

/// Lists the published files of weights that measures of pictures take.
struct WeightsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle weights",
        abstract: "Lists the published weights that FID and LPIPS are defined by, and which of them are there.",
        discussion: """
            Nothing is fetched: put the files, under the names they are published by, into one of the folders listed, \
            or give their paths to metrics.features and metrics.perceptual.
            """)

    func run() throws {
        for weights in PublishedWeights.all {
            Console.output(
                """
                \(weights.name)
                    \(weights.file) (\(weights.license)), published at \(weights.address)
                    sha256 \(weights.sha256)
                    \(try state(of: weights))

                """)
        }
        Console.output("looked for in \(PublishedWeights.folders.joined(separator: ", "))\n")
    }

    private func state(of weights: PublishedWeights) throws -> String {
        guard let path = weights.path else { return "not there" }
        let found = try Digest.sha256(of: path)
        return found == weights.sha256 ? "there: \(path)" : "\(path) is another file: its sha256 is \(found)"
    }
}
