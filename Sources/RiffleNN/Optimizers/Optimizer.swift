import CKernels
import RiffleTensor

/// Changes parameters against their gradients. Subclasses define the update of one parameter.
package class Optimizer {
    /// The numbers of one step.
    package struct Report {
        /// The loss, where the step was given one.
        package let loss: Double?
        /// The global norm of the gradients before clipping.
        package let gradientNorm: Double
    }

    package let parameters: [Parameter]
    /// The learning rate, which may be set before any step.
    package private(set) var learningRate: Double
    /// The largest global norm of the gradients, to which larger ones are scaled down; nil for no limit.
    package let clip: Double?
    /// Steps done.
    package private(set) var steps = 0

    package init(_ parameters: [Parameter], learningRate: Double, clip: Double?) throws {
        var known: Set<ObjectIdentifier> = []
        self.parameters = parameters.filter { known.insert(ObjectIdentifier($0)).inserted }
        guard self.parameters.contains(where: \.isTrainable) else {
            throw RiffleError("optim", "there is no trainable parameter; averages and frozen networks have none")
        }
        if let other = self.parameters.first(where: { $0.dtype != .float32 }) {
            throw RiffleError("optim", "parameters must be float32, and one is \(other.dtype) \(other.shape)")
        }
        self.learningRate = learningRate
        self.clip = clip
        try set(learningRate: learningRate)
    }

    /// - Throws: `RiffleError` unless the rate is finite and not negative.
    package func set(learningRate: Double) throws {
        guard learningRate.isFinite, learningRate >= 0 else {
            throw RiffleError(
                "optim", "the learning rate must be a finite number from 0 on, got \(riffleFormat(learningRate))")
        }
        self.learningRate = learningRate
    }

    /// Differentiates the loss, where one is given, clips the gradients, updates every parameter and clears the
    /// gradients.
    /// - Throws: `RiffleError` when no gradient is there, the loss or a gradient is not finite, or memory runs out.
    ///   Parameters, gradients and the optimizer's own state are unchanged then.
    @discardableResult
    package func step(_ loss: Tensor? = nil) throws -> Report {
        if let loss, loss.count != 1 {
            throw RiffleError(
                "step", "a loss is a single number, the tensor is \(loss.shape); take its sum or mean first")
        }
        let value = try loss?.item()
        // Before the backward pass uses the tape up, so that the user can still look for the reason.
        if let value, !value.isFinite { throw Optimizer.notFinite("loss", value) }
        // All allocations come before the first change, so that either all parameters are updated or none; those of
        // moments come before the backward pass, which uses the tape up.
        for (index, parameter) in parameters.enumerated() where parameter.isTrainable { try prepare(index) }
        let reached = try loss?.summedGradients() ?? []
        let sums = Dictionary(uniqueKeysWithValues: reached.map { (ObjectIdentifier($0.parameter), $0.gradient) })
        let updates = try parameters.enumerated().filter(\.element.isTrainable).compactMap { index, parameter in
            try (sums[ObjectIdentifier(parameter)] ?? parameter.gradient).map {
                (index, parameter, try $0.converted(to: .float32))
            }
        }
        guard !updates.isEmpty else {
            throw RiffleError(
                "step",
                "no parameter of this optimizer has a gradient"
                    + (loss == nil
                        ? "; give the loss, or call loss:backward() before" : ": the loss does not depend on them"))
        }
        let squares = updates.map { _, _, gradient in
            rk_sum_squares(gradient.dtype.kernel, gradient.pointer, gradient.count)
        }
        let norm = squares.reduce(0, +).squareRoot()
        guard norm.isFinite else { throw Optimizer.notFinite("gradient", value) }
        let scale = clip.map { min(1, $0 / (norm + 1e-6)) } ?? 1
        for (_, parameter, _) in updates { try parameter.makeUnique() }
        steps += 1
        for (index, parameter, gradient) in updates { try update(index, parameter, gradient, scale: scale) }
        // Parameters of other optimizers keep their gradients of this loss.
        for (parameter, gradient) in reached { parameter.gradient = gradient }
        clearGradients()
        return Report(loss: value, gradientNorm: norm)
    }

    package func clearGradients() {
        for parameter in parameters { parameter.gradient = nil }
    }

    /// Allocates the state of the parameter at an index, before anything changes.
    package func prepare(_ index: Int) throws {}

    /// Zeros of a parameter's shape.
    final func zeros(like index: Int) throws -> Tensor { try .zeros(parameters[index].shape) }

    /// Updates the parameter at an index against its gradient times `scale`.
    package func update(_ index: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {}

    private static func notFinite(_ quantity: String, _ loss: Double?) -> RiffleError {
        RiffleError(
            "step",
            "the \(quantity) is not finite" + (loss.map { ", the loss is \(riffleFormat($0))" } ?? "")
                + "; nothing was changed (riffle.nan_guard(true) stops at the operation where it begins)")
    }
}

/// Summaries of options that optimizers share.
extension String {
    static let learningRate = "the learning rate"
    static let clip = "the global norm to which gradients are scaled down"
}
