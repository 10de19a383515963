/// The outputs of `body`, of which reverse mode keeps the inputs alone: the backward pass runs `body` again for the
/// values in between.
///
/// The second run has the parameters' values, the source of randomness and the modes of the first. The backward pass
/// goes on along the second run's records, so that gradients are the same bits as if the first run had been recorded.
/// Tangents of forward mode pass as they do otherwise.
///
/// A derivative that is to be differentiated again keeps the second run's records: it is right, and saves nothing.
/// - Parameters:
///   - parameters: all parameters that `body` reads.
///   - body: depends on its inputs, these parameters and the context alone, and not on which tensor is which object.
package func recomputing(
    _ inputs: [Tensor], parameters: [Parameter], _ body: @escaping ([Tensor]) throws -> [Tensor]
) throws -> [Tensor] {
    let context = Context.current
    guard context.isRecording, inputs.contains(where: \.needsGradient) || parameters.contains(where: \.isTrainable)
    else { return try body(inputs) }
    let inputs = inputs.map(context.withoutClosedLevels)
    let recomputation = Recomputation(inputs, parameters, context.modes, body)
    let outputs = try withoutGradient { try body(inputs) }
    return recomputation.recorded(inputs, outputs, on: context.tape)
}

/// A computation that the tape holds by what it began from.
final class Recomputation {
    /// The modes in which it was computed.
    let modes: Context.Modes
    private let body: ([Tensor]) throws -> [Tensor]
    private let arrangements: [Arrangement]
    private let parameters: [Parameter]
    /// Keeps the values that the parameters had: an update meanwhile changes a copy.
    private let readings: [Parameter.Reading]

    init(
        _ inputs: [Tensor], _ parameters: [Parameter], _ modes: Context.Modes,
        _ body: @escaping ([Tensor]) throws -> [Tensor]
    ) {
        self.modes = modes
        self.body = body
        self.parameters = parameters
        arrangements = inputs.map(Arrangement.init)
        readings = parameters.map(\.reading)
    }

    /// The outputs of the first run as outputs of a record on the tape.
    func recorded(_ inputs: [Tensor], _ outputs: [Tensor], on tape: Tape) -> [Tensor] {
        // Views: an output may be one of the inputs, whose origin has to stay.
        let results = outputs.map { output in
            var leaves = output.leaves.map { $0.detach() }[...]
            return Arrangement(output).assembled(from: &leaves)
        }
        tape.append(self, inputs: inputs.flatMap(\.leaves), outputs: results.flatMap(differentiable))
        return results
    }

    /// Computes the outputs again, recorded, from the leaves of the inputs.
    /// - Returns: the tensors that are the record's outputs.
    func again(_ inputs: [Tensor], on tape: Tape) throws -> [Tensor] {
        var leaves = inputs[...]
        let inputs = arrangements.map { $0.assembled(from: &leaves) }
        let now = parameters.map(\.reading)
        defer { for (parameter, reading) in zip(parameters, now) { parameter.reading = reading } }
        for (parameter, reading) in zip(parameters, readings) { parameter.reading = reading }
        let outputs = try Context.current.returning(to: modes, on: tape) { try body(inputs) }
        return outputs.flatMap(differentiable)
    }

    /// The leaves through which gradients pass: all floats except tangents that are constants to reverse mode.
    private func differentiable(_ tensor: Tensor) -> [Tensor] {
        guard let dual = tensor.dual else { return tensor.dtype.isFloating ? [tensor] : [] }
        let isConstant = modes.constantLevels.contains(dual.level)
        return differentiable(dual.primal) + (isConstant ? [] : differentiable(dual.tangent))
    }
}

/// How a tensor consists of values and tangents.
private indirect enum Arrangement {
    case plain
    case dual(level: Int, primal: Arrangement, tangent: Arrangement)

    init(_ tensor: Tensor) {
        guard let dual = tensor.dual else {
            self = .plain
            return
        }
        self = .dual(level: dual.level, primal: Arrangement(dual.primal), tangent: Arrangement(dual.tangent))
    }

    /// A tensor of this arrangement; takes its leaves from the front of a list.
    func assembled(from leaves: inout ArraySlice<Tensor>) -> Tensor {
        switch self {
        case .plain: return leaves.removeFirst()
        case .dual(let level, let primal, let tangent):
            let primal = primal.assembled(from: &leaves)
            return primal.dual(level, tangent: tangent.assembled(from: &leaves))
        }
    }
}

extension Tensor {
    /// The plain tensors of which this one consists: the value, then its tangents.
    fileprivate var leaves: [Tensor] { dual.map { $0.primal.leaves + $0.tangent.leaves } ?? [self] }
}
