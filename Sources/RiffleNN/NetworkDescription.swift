import RiffleTensor

/// What makes a network but its numbers: the form's name in `NetworkForm.all`, the options, how many times the network
/// takes, and the encoder of texts that goes with it, if any. Files keep the description, so that a network is made
/// from its file alone.
package struct NetworkDescription {
    private let form: NetworkForm
    private let options: FormOptions
    private let times: Int
    private let encoder: TextEncoderDescription?

    /// - Returns: nil for what is no network of `NetworkForm.all`, such as a network that a script defines.
    package init?(_ module: Module) {
        let conditioned = module as? TextConditioned
        guard let network = conditioned?.network ?? module as? Network else { return nil }
        encoder = conditioned.flatMap { TextEncoderDescription($0.encoder) }
        guard (conditioned == nil) == (encoder == nil) else { return nil }
        for form in NetworkForm.all {
            guard let options = form.options(of: network) else { continue }
            self.form = form
            self.options = FormOptions(form.name, form.arguments, of: options)
            times = network.times
            return
        }
        return nil
    }

    // MARK: - As files keep it

    package var value: Value {
        var table: [String: Value] = [
            "form": .string(form.name), "options": .table(options.values), "times": .integer(times),
        ]
        table["encoder"] = encoder?.value
        return .table(table)
    }

    /// - Throws: `RiffleError` that says what is no description of a network that this library has.
    package init(_ value: Value) throws {
        guard case .table(let table) = value, case .string(let name) = table["form"],
            case .table(let options) = table["options"], case .integer(let times) = table["times"]
        else { throw RiffleError("", "it has no form, options and times") }
        guard let form = NetworkForm.all.first(where: { $0.name == name }) else {
            let names = NetworkForm.all.map(\.name)
            throw RiffleError("", "there is no network '\(name)'" + suggestion(for: name, among: names))
        }
        guard (1...2).contains(times) else { throw RiffleError("", "a network takes 1 time or 2, not \(times)") }
        self.options = try FormOptions(form.name, form.arguments, reading: options)
        encoder = try table["encoder"].map(TextEncoderDescription.init)
        (self.form, self.times) = (form, times)
    }

    // MARK: - In Lua

    /// Lua that makes a network of this form: `riffle.nn.mlp { width = 64 }:two_timed()`.
    package var lua: String {
        let network = options.lua(form.usualOptions) + (times == 2 ? ":two_timed()" : "")
        return encoder.map { "riffle.nn.text_conditioned { encoder = \($0.lua), network = \(network) }" } ?? network
    }

    // MARK: - The network

    /// The network with the given numbers; all of its parameters take gradients. Memory is taken for these numbers
    /// alone, after their shapes are known to be those that the description asks for.
    /// - Parameters:
    ///   - shapes: of the tensors, in the layout of files, by name.
    ///   - tensor: reads one of them.
    /// - Throws: `RiffleError` where no such network can be made, or names or shapes are not its own.
    package func network(shapes: [String: Shape], tensor: (String) throws -> Tensor) throws -> Network {
        let network = try withoutNumbers {
            let network = try form(options.given(), times: times)
            return try encoder.map { try TextConditioned(encoder: $0.encoder(), network: network) } ?? network
        }
        try network.load(shapes: shapes, tensor: tensor)
        return network
    }
}
