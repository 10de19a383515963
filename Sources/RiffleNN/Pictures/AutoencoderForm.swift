import RiffleTensor

/// A kind of autoencoder as callers make it, see `NetworkForm`.
package struct AutoencoderForm: Sendable {
    package let name: String
    package let doc: Doc
    package let arguments: [Argument]
    private let make: @Sendable (Arguments) throws -> PictureAutoencoder

    package func callAsFunction(_ arguments: Arguments) throws -> PictureAutoencoder {
        let autoencoder = try make(arguments)
        autoencoder.precision = arguments.choice(NetworkForm.precision.name)
        return autoencoder
    }

    /// - Parameter usual: a configuration with the defaults of its options.
    init<Configuration>(
        _ name: String, _ autoencoder: ConfiguredAutoencoder<Configuration>.Type, _ usual: Configuration,
        _ options: [Option<Configuration>], _ doc: Doc
    ) {
        self.name = name
        self.doc = doc
        arguments = options.arguments(of: usual) + [NetworkForm.precision]
        make = { try autoencoder.init(options.read($0, into: usual)) }
    }

    package static let all = [KLAutoencoder.form, TinyAutoencoder.form]
}
