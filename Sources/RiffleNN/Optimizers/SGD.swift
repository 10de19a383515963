import CKernels
import RiffleTensor

/// Stochastic gradient descent with momentum, as PyTorch has it.
package final class SGD: Optimizer {
    package struct Settings: Sendable {
        var learningRate = 1e-3
        var momentum = 0.0
        var nesterov = false
        var clip: Double?
        var weightDecay = 0.0

        package static let usual = Settings()

        package static let options: [Option<Settings>] = [
            Option("lr", \.learningRate, .nonNegative, .learningRate, isRequired: true),
            Option("momentum", \.momentum, .fraction(0...0.999999), "how much of the sum of gradients stays at a step"),
            Option(
                "nesterov", \.nesterov, .boolean, "whether a step takes the gradient beside the sum, as if a step ahead"
            ),
            Option("clip", \.clip, .positive, .clip),
            Option("weight_decay", \.weightDecay, .nonNegative, "how much of a parameter is added to its gradient"),
        ]
    }

    /// As the optimizer was made; `learningRate` may have been set since.
    private let settings: Settings
    /// The running sums of gradients in the order of `parameters`; nil before a parameter's first step.
    package private(set) var buffers: [Tensor?] = []

    package init(_ parameters: [Parameter], _ settings: Settings) throws {
        guard settings.momentum > 0 || !settings.nesterov else {
            throw RiffleError("sgd", "nesterov is a form of momentum, which is 0")
        }
        self.settings = settings
        try super.init(parameters, learningRate: settings.learningRate, clip: settings.clip)
        buffers = self.parameters.map { _ in nil }
    }

    package override var kind: String { "sgd" }

    package override func prepare(_ index: Int) throws {
        if buffers[index] == nil { buffers[index] = try zeros(like: index) }
    }

    package override func saved(_ index: Int) -> SavedState {
        SavedState(tensors: buffers[index].map { ["buffer": $0] } ?? [:])
    }

    package override func resuming(_ index: Int, from state: SavedState) throws -> () throws -> Void {
        let buffer = state.tensors["buffer"]
        return { self.buffers[index] = buffer }
    }

    package override func update(_ index: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {
        var numbers = rk_sgd_settings(
            lr: learningRate, momentum: settings.momentum, weight_decay: settings.weightDecay, grad_scale: scale,
            nesterov: settings.nesterov)
        let buffer = buffers[index]?.elements(Float.self).baseAddress
        try parameter.update {
            rk_sgd(
                &numbers, $0.assumingMemoryBound(to: Float.self), gradient.elements(Float.self).baseAddress, buffer,
                gradient.count)
        }
    }
}
