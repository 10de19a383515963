import RiffleTensor

/// What an encoder makes of texts.
package struct TextValues {
    /// A value for each token, [n, length, width].
    package let tokens: Tensor
    /// One for each text, [n, width], of encoders that have it.
    package let summary: Tensor?

    /// Both in the order in which a network takes them.
    package var tensors: [Tensor] { [tokens] + (summary.map { [$0] } ?? []) }
}

/// A network that turns the tokens of texts into what other networks are conditioned on.
///
/// Names of parameters are those of published files, as transformers writes them, so that these load by name.
package class TextEncoder: Module {
    /// How matrix products are computed, see `Network.precision`.
    package var precision = Precision.float32

    /// How many tokens it knows, which count from 1.
    package var vocabulary: Int { 0 }
    /// The most tokens of a text, where there is a most.
    package var longest: Int? { nil }
    package var tokenWidth: Int { 0 }
    package var summaryWidth: Int? { nil }

    /// The values of tokens that have been checked, [n, length], in the precision that the thread has.
    func encode(_ ids: Tensor) throws -> TextValues { throw RiffleError(kind, "this encoder has no function") }

    /// The values of texts.
    /// - Parameter ids: tokens [n, length] int32 from 1, as a tokenizer gives them.
    /// - Throws: `RiffleError` where the tokens are not the vocabulary's, or too many.
    package final func callAsFunction(_ ids: Tensor) throws -> TextValues {
        try check(ids)
        return try multiplying(in: precision) { try encode(ids) }
    }

    final func check(_ ids: Tensor) throws {
        guard ids.dtype == .int32, ids.rank == 2, ids.shape[1] > 0 else {
            throw RiffleError(kind, "tokens must be int32 [n, length] (ids \(ids.dtype) \(ids.shape))")
        }
        if let longest, ids.shape[1] > longest {
            throw RiffleError(kind, "texts have at most \(longest) tokens, got \(ids.shape[1]) (ids \(ids.shape))")
        }
        if let odd = try ids.doubles().first(where: { $0 < 1 || $0 > Double(vocabulary) }) {
            throw RiffleError(
                kind,
                "tokens must be from 1 to \(vocabulary), got \(Int(odd)); is the tokenizer one of another vocabulary?")
        }
    }

    /// The values of tokens alone.
    package final override func forward(_ inputs: [Tensor]) throws -> Tensor { try self(inputs[0]).tokens }

    package final override var settings: String { precision == .bfloat16 ? "bf16" : "" }
    package final override func takeSettings(of twin: Module) {
        if let twin = twin as? TextEncoder { precision = twin.precision }
    }
}

/// An encoder that its configuration describes, so that copies are made from it.
package class ConfiguredEncoder<Configuration: Sendable>: TextEncoder {
    package let configuration: Configuration

    /// - Throws: `RiffleError` that names a setting that is not possible.
    package required init(_ configuration: Configuration) throws { self.configuration = configuration }

    package final override func blank() throws -> Module { try Self(configuration) }
}
