import RiffleTensor

/// A kind of network as callers make it: its name, its options with their defaults, and the function that makes it.
/// Every network declares its form in its own file; `NetworkForm.all` lists the forms.
package struct NetworkForm: Sendable {
    package let name: String
    package let doc: Doc
    package let arguments: [Argument]
    private let hasBlocks: Bool
    private let make: @Sendable (Arguments, _ times: Int) throws -> Network
    private let configured: ConfigurationOptions<Network>

    package func callAsFunction(_ arguments: Arguments) throws -> Network { try self(arguments, times: 1) }

    /// - Parameter times: 2 for a network as `twoTimed` makes it.
    func callAsFunction(_ arguments: Arguments, times: Int) throws -> Network {
        let network = try make(arguments, times)
        network.precision = arguments.choice(NetworkForm.precision.name)
        if hasBlocks { network.recomputes = arguments.boolean(NetworkForm.recompute.name) }
        return network
    }

    /// What decides a network's form and numbers: its own options and the precision, in the order of the arguments.
    /// `recompute`, which changes no number, is left out. Nil for a network of another form.
    func options(of network: Network) -> [(name: String, value: Value)]? {
        configured.options(of: network, network.precision)
    }

    /// The options that `options(of:)` gives of a network for which nobody gave any.
    var usualOptions: [String: Value] { configured.usualOptions }

    /// - Parameters:
    ///   - usual: a configuration with the defaults of its options.
    ///   - check: throws where options contradict each other.
    init<Configuration: NetworkConfiguration>(
        _ name: String, _ network: ConfiguredNetwork<Configuration>.Type, _ usual: Configuration,
        _ options: [Option<Configuration>], _ doc: Doc,
        check: @escaping @Sendable (Configuration) throws -> Void = { _ in }
    ) {
        self.name = name
        self.doc = doc
        hasBlocks = network.hasBlocks
        let settings = hasBlocks ? [NetworkForm.precision, NetworkForm.recompute] : [NetworkForm.precision]
        arguments = options.arguments(of: usual) + settings
        make = { arguments, times in
            var configuration = options.read(arguments, into: usual)
            configuration.times = times
            try check(configuration)
            return try network.init(configuration)
        }
        configured = ConfigurationOptions(options, usual: usual) {
            ($0 as? ConfiguredNetwork<Configuration>)?.configuration
        }
    }

    /// A network whose own options are followed by those of class labels.
    init<Configuration: LabelledConfiguration>(
        labelled name: String, _ network: ConfiguredNetwork<Configuration>.Type, _ usual: Configuration,
        _ options: [Option<Configuration>], _ doc: Doc
    ) {
        let labels: WritableKeyPath<Configuration, ClassLabels> & Sendable = \.labels
        self.init(name, network, usual, options + ClassLabels.options.of(labels), doc) {
            try $0.labels.checked(against: usual.labels)
        }
    }

    static let precision = Argument(
        "precision", usual: Precision.float32,
        "the precision of matrix products: bf16 rounds their factors, which is faster, where the processor has matrix "
            + "tiles (AMX), and is float32 elsewhere; sums and parameters stay float32")

    private static let recompute = Argument(
        "recompute", .boolean,
        "whether training keeps the inputs of blocks alone and computes each block again for the gradient: the same "
            + "bits in less memory and about a third more time",
        default: .boolean(false))

    package static let all = [MLP.form, UNet.form, DiT.form, MMDiT.form]
}

extension String {
    /// Summaries of options that several networks have.
    static let imageSizes = "{ height, width, channels }"
    static let largestFrequency = "the largest of the time embedding, in rad"
    static let decoupledBlocks =
        "of students: how many of the last blocks see the end of jumps, and the others the start"
    static let patchSide = "pixels along the side of a patch"
}
