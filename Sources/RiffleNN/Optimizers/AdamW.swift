import CKernels
import Glibc
import RiffleTensor

/// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019), in PyTorch's order of operations.
package final class AdamW: Optimizer {
    package struct Settings: Sendable {
        var learningRate = 1e-3
        var beta1 = 0.9
        var beta2 = 0.999
        var eps = 1e-8
        var clip: Double?
        var weightDecay = 0.0

        package static let usual = Settings()

        package static let options: [Option<Settings>] = [
            Option("lr", \.learningRate, .nonNegative, .learningRate),
            Option("beta1", \.beta1, .fraction(0...0.999999), "how much of the mean of gradients stays at a step"),
            Option("beta2", \.beta2, .fraction(0...0.999999), "how much of the mean of their squares stays"),
            Option("eps", \.eps, .positive, "what is added to the root of the mean of squares"),
            Option("clip", \.clip, .positive, .clip),
            Option(
                "weight_decay", \.weightDecay, .nonNegative, "the part of a parameter that a step of rate 1 takes off"),
        ]
    }

    /// As the optimizer was made; `learningRate` may have been set since.
    private let settings: Settings

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

    package init(_ parameters: [Parameter], _ settings: Settings = .usual) throws {
        self.settings = settings
        try super.init(parameters, learningRate: settings.learningRate, clip: settings.clip)
        states = self.parameters.map { _ in nil }
    }

    package override var kind: String { "adamw" }

    package override func prepare(_ index: Int) throws {
        if states[index] == nil { states[index] = State(first: try zeros(like: index), second: try zeros(like: index)) }
    }

    package override func saved(_ index: Int) -> SavedState {
        guard let state = states[index] else { return SavedState() }
        return SavedState(
            tensors: ["first": state.first, "second": state.second], values: ["steps": .integer(state.steps)])
    }

    package override func resuming(_ index: Int, from state: SavedState) throws -> () throws -> Void {
        guard state.tensors["first"] != nil || state.values["steps"] != nil else {
            return { self.states[index] = nil }
        }
        let resumed = State(
            first: try state.tensor("first"), second: try state.tensor("second"), steps: try state.integer("steps"))
        return { self.states[index] = resumed }
    }

    package override func update(_ index: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {
        states[index]?.steps += 1
        guard let state = states[index] else { return }
        let steps = Double(state.steps)
        var numbers = rk_adamw_settings(
            lr: learningRate, beta1: settings.beta1, beta2: settings.beta2, eps: settings.eps,
            weight_decay: settings.weightDecay, correction1: 1 - pow(settings.beta1, steps),
            correction2: 1 - pow(settings.beta2, steps), grad_scale: scale)
        let m = state.first.elements(Float.self).baseAddress
        let v = state.second.elements(Float.self).baseAddress
        try parameter.update {
            rk_adamw(
                &numbers, $0.assumingMemoryBound(to: Float.self), gradient.elements(Float.self).baseAddress, m, v,
                gradient.count)
        }
    }
}
