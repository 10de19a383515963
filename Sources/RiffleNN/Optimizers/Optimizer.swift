import CKernels
import Glibc
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

/// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019), in PyTorch's order of operations.
package final class AdamW: Optimizer {
    package let betas: (Double, Double)
    package let eps: Double
    package let weightDecay: Double

    /// The state of one parameter.
    package struct State {
        /// The running mean of gradients.
        package fileprivate(set) var first: Tensor
        /// The running mean of their squares.
        package fileprivate(set) var second: Tensor
        /// Updates of this parameter, by which the means are corrected, since they begin at 0.
        package fileprivate(set) var steps = 0
    }

    /// In the order of `parameters`; nil before a parameter's first step.
    package private(set) var states: [State?] = []

    package init(
        _ parameters: [Parameter], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
        eps: Double = 1e-8, weightDecay: Double = 0, clip: Double? = nil
    ) throws {
        self.betas = betas
        self.eps = eps
        self.weightDecay = weightDecay
        try super.init(parameters, learningRate: learningRate, clip: clip)
        states = self.parameters.map { _ in nil }
    }

    package override func prepare(_ index: Int) throws {
        if states[index] == nil { states[index] = State(first: try zeros(like: index), second: try zeros(like: index)) }
    }

    package override func update(_ index: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {
        states[index]?.steps += 1
        guard let state = states[index] else { return }
        let steps = Double(state.steps)
        var settings = rk_adamw_settings(
            lr: learningRate, beta1: betas.0, beta2: betas.1, eps: eps, weight_decay: weightDecay,
            correction1: 1 - pow(betas.0, steps), correction2: 1 - pow(betas.1, steps), grad_scale: scale)
        let m = state.first.elements(Float.self).baseAddress
        let v = state.second.elements(Float.self).baseAddress
        try parameter.update {
            rk_adamw(
                &settings, $0.assumingMemoryBound(to: Float.self), gradient.elements(Float.self).baseAddress, m, v,
                gradient.count)
        }
    }
}

/// Stochastic gradient descent with momentum, as PyTorch has it.
package final class SGD: Optimizer {
    package let momentum: Double
    package let weightDecay: Double
    package let nesterov: Bool
    /// The running sums of gradients in the order of `parameters`; nil before a parameter's first step.
    package private(set) var buffers: [Tensor?] = []

    package init(
        _ parameters: [Parameter], learningRate: Double, momentum: Double = 0, weightDecay: Double = 0,
        nesterov: Bool = false, clip: Double? = nil
    ) throws {
        guard momentum > 0 || !nesterov else { throw RiffleError("sgd", "nesterov is a form of momentum, which is 0") }
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.nesterov = nesterov
        try super.init(parameters, learningRate: learningRate, clip: clip)
        buffers = self.parameters.map { _ in nil }
    }

    package override func prepare(_ index: Int) throws {
        if buffers[index] == nil { buffers[index] = try zeros(like: index) }
    }

    package override func update(_ index: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {
        var settings = rk_sgd_settings(
            lr: learningRate, momentum: momentum, weight_decay: weightDecay, grad_scale: scale, nesterov: nesterov)
        let buffer = buffers[index]?.elements(Float.self).baseAddress
        try parameter.update {
            rk_sgd(
                &settings, $0.assumingMemoryBound(to: Float.self), gradient.elements(Float.self).baseAddress, buffer,
                gradient.count)
        }
    }
}
