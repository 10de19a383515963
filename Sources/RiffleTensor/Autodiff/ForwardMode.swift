extension Context {
    /// The tensor without tangents of levels that are closed.
    func withoutClosedLevels(_ tensor: Tensor) -> Tensor {
        var tensor = tensor
        while let dual = tensor.dual, !levels.contains(dual.level) { tensor = dual.primal }
        return tensor
    }
}

extension Tensor {
    /// The value without the tangent of `level`.
    func primal(at level: Int) -> Tensor {
        guard let dual, dual.level == level else { return self }
        return dual.primal
    }

    func tangent(at level: Int) -> Tensor? {
        guard let dual, dual.level == level else { return nil }
        return dual.tangent
    }

    /// The value without any tangent.
    var innermost: Tensor {
        var tensor = self
        while let dual = tensor.dual { tensor = dual.primal }
        return tensor
    }
}

/// One level of forward mode: gives inputs their tangents, and splits outputs into values and tangents.
///
/// Levels nest, and everything computed inside is recorded, so that reverse mode runs over forward mode. A level with
/// constant tangents records the values alone, which costs less where the derivative takes no gradient.
package final class ForwardLevel {
    private let number: Int

    package init(constantTangents: Bool = false) { number = Context.current.openLevel(constant: constantTangents) }

    /// `value` with `tangent` at this level.
    /// - Throws: `RiffleError` when shapes or types differ.
    package func dual(_ value: Tensor, _ tangent: Tensor) throws -> Tensor {
        guard value.shape == tangent.shape, value.dtype == tangent.dtype else {
            throw RiffleError(
                "jvp",
                "the tangent must be like the value: \(tangent.dtype) \(tangent.shape), value \(value.dtype) "
                    + "\(value.shape)"
            )
        }
        return value.dual(number, tangent: tangent)
    }

    /// The value and its derivative, which is zeros where the value does not depend on the inputs.
    package func split(_ result: Tensor) throws -> (value: Tensor, tangent: Tensor) {
        let result = Context.current.withoutClosedLevels(result)
        let value = result.primal(at: number)
        return (value, try result.tangent(at: number) ?? Tensor.zeros(value.shape, value.dtype))
    }

    /// Ends the level; tensors that still carry its tangents count as plain tensors.
    package func close() { Context.current.close(number) }
}

/// The value of `body` at `inputs` and its derivative along `tangents` (a Jacobian-vector product).
///
/// Both can be differentiated; with `constantTangents` the value alone can.
package func jvp(
    _ inputs: [Tensor], _ tangents: [Tensor], constantTangents: Bool = false, _ body: ([Tensor]) throws -> Tensor
) throws -> (value: Tensor, tangent: Tensor) {
    let level = ForwardLevel(constantTangents: constantTangents)
    defer { level.close() }
    return try level.split(body(zip(inputs, tangents).map { try level.dual($0, $1) }))
}
