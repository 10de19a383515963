/// The scripts that come with the binary.
package enum Examples {
    package static let all: [(name: String, source: [UInt8])] = [
        ("tensors", PackageResources.tensors_lua),
        ("quickstart", PackageResources.quickstart_lua),
        ("cifar10", PackageResources.cifar10_lua),
        ("pictures", PackageResources.pictures_lua),
        ("paper_cifar10", PackageResources.paper_cifar10_lua),
        ("classifier", PackageResources.classifier_lua),
        ("own_loss", PackageResources.own_loss_lua),
        ("check_losses", PackageResources.check_losses_lua),
        ("compare", PackageResources.compare_lua),
        ("one_step", PackageResources.one_step_lua),
        ("adversarial", PackageResources.adversarial_lua),
        ("union", PackageResources.union_lua),
        ("guided", PackageResources.guided_lua),
        ("text_to_image", PackageResources.text_to_image_lua),
        ("fgm_sd3", PackageResources.fgm_sd3_lua),
        ("reflow", PackageResources.reflow_lua),
    ]

    /// The comment at the beginning of a script, which says what the script shows and how long it takes.
    package static func about(_ source: [UInt8]) -> String {
        String(decoding: source, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .prefix { $0.hasPrefix("--") }.map { String($0.drop { $0 == "-" || $0 == " " }) }.joined(separator: " ")
    }
}
