import CKernels
import Glibc
import RiffleTensor

/// Changes parameters against their gradients. Subclasses say how one parameter moves.
package class Optimizer {
    /// What one step saw.
    package struct Report {
        /// The loss, where the step was given one.
        package let loss: Double?
        /// The global norm of the gradients before clipping.
        package let gradientNorm: Double
    }

    package let parameters: [Parameter]
    /// The learning rate; set it at any step.
    package private(set) var learningRate: Double
    /// The global norm to which gradients are scaled down, or nil.
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

    /// Differentiates the loss, where one is given, clips, moves every parameter and clears the gradients.
    /// - Throws: `RiffleError` when no gradient is there, the loss or a gradient is not finite, or memory runs out;
    ///   then parameters, gradients and what the rule keeps are as they were.
    @discardableResult
    package func step(_ loss: Tensor? = nil) throws -> Report {
        if let loss, loss.count != 1 {
            throw RiffleError(
                "step", "a loss is a single number, the tensor is \(loss.shape); take its sum or mean first")
        }
        let value = try loss?.item()
        // Before the tape is spent: what is not finite can still be looked into.
        if let value, !value.isFinite { throw Optimizer.notFinite("loss", value) }
        // Whatever needs memory comes first, so that all parameters move or none, and moments before the tape is spent.
        for (place, parameter) in parameters.enumerated() where parameter.isTrainable { try prepare(place) }
        let reached = try loss?.summedGradients() ?? []
        let sums = Dictionary(uniqueKeysWithValues: reached.map { (ObjectIdentifier($0.parameter), $0.gradient) })
        let moving = try parameters.enumerated().filter(\.element.isTrainable).compactMap { place, parameter in
            try (sums[ObjectIdentifier(parameter)] ?? parameter.gradient).map {
                (place, parameter, try $0.converted(to: .float32))
            }
        }
        guard !moving.isEmpty else {
            throw RiffleError(
                "step",
                "no parameter of this optimizer has a gradient"
                    + (loss == nil
                        ? "; give the loss, or call loss:backward() before" : ": the loss does not depend on them"))
        }
        let norm = moving.reduce(0.0) { $0 + rk_sum_squares($1.2.dtype.kernel, $1.2.pointer, $1.2.count) }.squareRoot()
        guard norm.isFinite else { throw Optimizer.notFinite("gradient", value) }
        let scale = clip.map { min(1, $0 / (norm + 1e-6)) } ?? 1
        for (_, parameter, _) in moving { try parameter.makeUnique() }
        steps += 1
        for (place, parameter, gradient) in moving { try update(place, parameter, gradient, scale: scale) }
        // Parameters of others keep what the loss brought them.
        for (parameter, gradient) in reached { parameter.gradient = gradient }
        clearGradients()
        return Report(loss: value, gradientNorm: norm)
    }

    package func clearGradients() {
        for parameter in parameters { parameter.gradient = nil }
    }

    /// Makes what the rule keeps for one parameter, before anything changes.
    package func prepare(_ place: Int) throws {}

    /// Zeros of a parameter's shape.
    final func zeros(like place: Int) throws -> Tensor { try .zeros(parameters[place].shape) }

    /// Moves one parameter against its gradient times `scale`.
    package func update(_ place: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {}

    private static func notFinite(_ what: String, _ loss: Double?) -> RiffleError {
        RiffleError(
            "step",
            "the \(what) is not finite" + (loss.map { ", the loss is \(riffleFormat($0))" } ?? "")
                + "; nothing was changed (riffle.nan_guard(true) stops at the operation where it begins)")
    }
}

/// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019), in PyTorch's order of operations.
package final class AdamW: Optimizer {
    package let betas: (Double, Double)
    package let eps: Double
    package let weightDecay: Double

    /// What the rule keeps for one parameter.
    package struct State {
        /// The running mean of gradients.
        package fileprivate(set) var first: Tensor
        /// The running mean of their squares.
        package fileprivate(set) var second: Tensor
        /// Steps that this parameter has had, which the correction of means that begin at 0 counts.
        package fileprivate(set) var steps = 0
    }

    /// In the order of `parameters`; nil before a parameter's first step.
    package private(set) var states: [State?] = []

    package init(
        _ parameters: [Parameter], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
        eps: Double = 1e-8,
        weightDecay: Double = 0, clip: Double? = nil
    ) throws {
        (self.betas, self.eps, self.weightDecay) = (betas, eps, weightDecay)
        try super.init(parameters, learningRate: learningRate, clip: clip)
        states = self.parameters.map { _ in nil }
    }

    package override func prepare(_ place: Int) throws {
        if states[place] == nil { states[place] = State(first: try zeros(like: place), second: try zeros(like: place)) }
    }

    package override func update(_ place: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {
        states[place]?.steps += 1
        guard let state = states[place] else { return }
        let steps = Double(state.steps)
        var settings = rk_adamw_settings(
            lr: learningRate, beta1: betas.0, beta2: betas.1, eps: eps, weight_decay: weightDecay,
            correction1: 1 - pow(betas.0, steps), correction2: 1 - pow(betas.1, steps), grad_scale: scale)
        let (m, v) = (state.first.elements(Float.self).baseAddress, state.second.elements(Float.self).baseAddress)
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
        nesterov: Bool = false,
        clip: Double? = nil
    ) throws {
        guard momentum > 0 || !nesterov else { throw RiffleError("sgd", "nesterov is a form of momentum, which is 0") }
        (self.momentum, self.weightDecay, self.nesterov) = (momentum, weightDecay, nesterov)
        try super.init(parameters, learningRate: learningRate, clip: clip)
        buffers = self.parameters.map { _ in nil }
    }

    package override func prepare(_ place: Int) throws {
        if buffers[place] == nil { buffers[place] = try zeros(like: place) }
    }

    package override func update(_ place: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {
        var settings = rk_sgd_settings(
            lr: learningRate, momentum: momentum, weight_decay: weightDecay, grad_scale: scale, nesterov: nesterov)
        let buffer = buffers[place]?.elements(Float.self).baseAddress
        try parameter.update {
            rk_sgd(
                &settings, $0.assumingMemoryBound(to: Float.self), gradient.elements(Float.self).baseAddress, buffer,
                gradient.count)
        }
    }
}
