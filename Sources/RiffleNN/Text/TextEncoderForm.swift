import RiffleTensor

/// A kind of encoder as callers make it, see `NetworkForm`.
package struct TextEncoderForm: Sendable {
    package let name: String
    package let doc: Doc
    package let arguments: [Argument]
    private let make: @Sendable (Arguments) throws -> TextEncoder
    private let configured: ConfigurationOptions<TextEncoder>

    package func callAsFunction(_ arguments: Arguments) throws -> TextEncoder {
        let encoder = try make(arguments)
        encoder.precision = arguments.choice(NetworkForm.precision.name)
        return encoder
    }

    /// The options of an encoder, in the order of the arguments; nil for one of another form.
    func options(of encoder: TextEncoder) -> [(name: String, value: Value)]? {
        configured.options(of: encoder, encoder.precision)
    }

    /// The options that `options(of:)` gives of an encoder for which nobody gave any.
    var usualOptions: [String: Value] { configured.usualOptions }

    /// - Parameter usual: a configuration with the defaults of its options.
    init<Configuration>(
        _ name: String, _ encoder: ConfiguredEncoder<Configuration>.Type, _ usual: Configuration,
        _ options: [Option<Configuration>], _ doc: Doc
    ) {
        self.name = name
        self.doc = doc
        arguments = options.arguments(of: usual) + [NetworkForm.precision]
        make = { try encoder.init(options.read($0, into: usual)) }
        configured = ConfigurationOptions(options, usual: usual) {
            ($0 as? ConfiguredEncoder<Configuration>)?.configuration
        }
    }

    package static let all = [CLIPText.form, T5Encoder.form]
}

/// What makes an encoder but its numbers, see `NetworkDescription`.
struct TextEncoderDescription {
    private let form: TextEncoderForm
    private let options: FormOptions

    /// - Returns: nil for what is no encoder of `TextEncoderForm.all`.
    init?(_ encoder: TextEncoder) {
        for form in TextEncoderForm.all {
            guard let options = form.options(of: encoder) else { continue }
            self.form = form
            self.options = FormOptions(form.name, form.arguments, of: options)
            return
        }
        return nil
    }

    var value: Value { .table(["form": .string(form.name), "options": .table(options.values)]) }

    /// - Throws: `RiffleError` that says what is no description of an encoder that this library has.
    init(_ value: Value) throws {
        guard case .table(let table) = value, case .string(let name) = table["form"],
            case .table(let options) = table["options"]
        else { throw RiffleError("", "its encoder has no form and options") }
        guard let form = TextEncoderForm.all.first(where: { $0.name == name }) else {
            let names = TextEncoderForm.all.map(\.name)
            throw RiffleError("", "there is no text encoder '\(name)'" + suggestion(for: name, among: names))
        }
        self.options = try FormOptions(form.name, form.arguments, reading: options)
        self.form = form
    }

    /// Lua that makes an encoder of this form.
    var lua: String { options.lua(form.usualOptions) }

    /// An encoder whose numbers don't matter.
    func encoder() throws -> TextEncoder { try form(options.given()) }
}
