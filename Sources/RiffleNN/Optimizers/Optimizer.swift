import CKernels
import RiffleTensor

/// Changes parameters against their gradients. Subclasses define the update of one parameter.
package class Optimizer: Resumable {
    /// The numbers of one step.
    package struct Report {
        /// The loss that the step was given, and the weighted losses that were accumulated before; nil without any.
        package let loss: Double?
        /// The global norm of the gradients before clipping.
        package let gradientNorm: Double
    }

    package let parameters: [Parameter]
    /// The parameters' names in messages, in their order; empty where they go by their numbers.
    package var names: [String] = []
    /// The learning rate, which may be set before any step.
    package private(set) var learningRate: Double
    /// The largest global norm of the gradients, to which larger ones are scaled down; nil for no limit.
    package let clip: Double?
    /// Steps done.
    package private(set) var steps = 0
    /// The weighted sum of the losses whose gradients were accumulated since the last step.
    private var accumulated: Double?

    package init(_ parameters: [Parameter], learningRate: Double, clip: Double?) throws {
        var known: Set<ObjectIdentifier> = []
        self.parameters = parameters.filter { known.insert(ObjectIdentifier($0)).inserted }
        guard self.parameters.contains(where: \.isTrainable) else {
            let isStored = self.parameters.contains { $0.dtype == .bfloat16 }
            throw RiffleError(
                "optim",
                isStored
                    ? "parameters that are kept as bfloat16 stand still: read the network as float32, or train "
                        + "adapters on it, net:lora { rank = 8 }"
                    : "there is no trainable parameter; averages and frozen networks have none")
        }
        if let other = self.parameters.first(where: { $0.dtype != .float32 && $0.dtype != .bfloat16 }) {
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

    /// Adds a weighted loss's derivative to the gradients, for a step over several parts of a batch.
    ///
    /// Losses are means over their samples, so that the weight of a part is its share of the whole batch.
    /// - Returns: the loss itself.
    /// - Throws: `RiffleError` when the loss or a gradient of it is not finite, or no parameter of this optimizer has
    ///   one, or memory runs out. The gradients so far are unchanged then.
    @discardableResult
    package func accumulate(_ loss: Tensor, weight: Double) throws -> Double {
        let value = try finite(loss, "accumulate")
        let reached = try loss.summedGradients(weight: weight)
        let own = Set(parameters.map(ObjectIdentifier.init))
        guard reached.contains(where: { own.contains(ObjectIdentifier($0.parameter)) }) else {
            throw RiffleError("accumulate", Optimizer.noGradient + ": the loss does not depend on them")
        }
        if let first = reached.lazy.compactMap({ NotFinite(in: $0.gradient, of: "the gradient", near: $0.parameter) })
            .first
        {
            throw notFinite(
                "accumulate", "the gradient is not finite, the loss is \(riffleFormat(value))", first)
        }
        for (parameter, gradient) in reached { parameter.gradient = gradient }
        accumulated = (accumulated ?? 0) + weight * value
        return value
    }

    /// Differentiates the loss, where one is given, clips the gradients, updates every parameter and clears the
    /// gradients. What was accumulated before counts, too.
    /// - Throws: `RiffleError` when no gradient is there, the loss or a gradient is not finite, or memory runs out.
    ///   Parameters, gradients and the optimizer's own state are unchanged then.
    @discardableResult
    package func step(_ loss: Tensor? = nil) throws -> Report {
        if let accumulated, accumulated.isNaN {
            throw notFinite("step", "a loss that was accumulated is not finite", nil)
        }
        let value = try loss.map { try finite($0, "step") }
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
                Optimizer.noGradient
                    + (loss == nil
                        ? "; give the loss, or call loss:backward() before" : ": the loss does not depend on them"))
        }
        let squares = updates.map { _, _, gradient in
            rk_sum_squares(gradient.dtype.kernel, gradient.pointer, gradient.count)
        }
        let norm = squares.reduce(0, +).squareRoot()
        guard norm.isFinite else {
            let first = updates.lazy.compactMap { NotFinite(in: $2, of: "the gradient", near: $1) }.first
            throw notFinite(
                "step", "the gradient is not finite" + (value.map { ", the loss is \(riffleFormat($0))" } ?? ""), first)
        }
        let scale = clip.map { min(1, $0 / (norm + 1e-6)) } ?? 1
        for (_, parameter, _) in updates { try parameter.makeUnique() }
        steps += 1
        for (index, parameter, gradient) in updates { try update(index, parameter, gradient, scale: scale) }
        // Parameters of other optimizers keep their gradients of this loss.
        for (parameter, gradient) in reached { parameter.gradient = gradient }
        let total = accumulated.map { $0 + (value ?? 0) } ?? value
        clearGradients()
        return Report(loss: total, gradientNorm: norm)
    }

    /// Has the next step fail, as a part of it was not finite.
    package func giveUpStep() { accumulated = .nan }

    package func clearGradients() {
        for parameter in parameters { parameter.gradient = nil }
        accumulated = nil
    }

    /// The word for the rule by which parameters are updated.
    package var kind: String { "optimizer" }

    /// Allocates the state of the parameter at an index, before anything changes.
    package func prepare(_ index: Int) throws {}

    /// Zeros of a parameter's shape.
    final func zeros(like index: Int) throws -> Tensor { try .zeros(parameters[index].shape) }

    /// Updates the parameter at an index against its gradient times `scale`.
    package func update(_ index: Int, _ parameter: Parameter, _ gradient: Tensor, scale: Double) throws {}

    // MARK: - State

    /// The learning rate, the steps done, what each parameter's updates keep, and gradients that wait for a step.
    /// Parameters are named by their numbers, from 1.
    package final func saved() throws -> SavedState {
        var state = SavedState(
            values: ["kind": .string(kind), "lr": .number(learningRate), "steps": .integer(steps)])
        if let accumulated { state.values["accumulated"] = .number(accumulated) }
        for (index, parameter) in parameters.enumerated() {
            state.add(saved(index), "\(index + 1).")
            if let gradient = parameter.gradient { state.tensors["\(index + 1).gradient"] = gradient }
        }
        return state
    }

    package final func resuming(from state: SavedState) throws -> () throws -> Void {
        guard case .string(kind)? = state.values["kind"] else {
            throw RiffleError("", "this optimizer is \(kind), and the state is another kind's")
        }
        let rate = try state.number("lr")
        let steps = try state.integer("steps")
        let accumulated = state.values["accumulated"] == nil ? nil : try state.number("accumulated")
        let parts = Dictionary(grouping: Array(state.tensors.keys) + Array(state.values.keys)) {
            $0.prefix { $0 != "." }
        }
        if let surplus = parts.keys.compactMap({ Int($0) }).max(), surplus > parameters.count {
            throw RiffleError("", "there are \(parameters.count) parameters, and the state has \(surplus) or more")
        }
        let setters = try parameters.enumerated().map { index, parameter in
            let part = state.part("\(index + 1).")
            let gradient = part.tensors["gradient"]
            for (name, tensor) in part.tensors where tensor.shape != parameter.shape {
                throw RiffleError(
                    "", "parameter \(index + 1) is \(parameter.shape), and its '\(name)' in the state \(tensor.shape)")
            }
            let set = try resuming(index, from: part)
            return {
                try set()
                parameter.gradient = gradient
            }
        }
        return { [self] in
            try set(learningRate: rate)
            self.steps = steps
            self.accumulated = accumulated
            for set in setters { try set() }
        }
    }

    /// What the updates of the parameter at an index keep.
    package func saved(_ index: Int) -> SavedState { SavedState() }

    /// Checks what `saved(index)` returned; the result sets the parameter's state to it.
    package func resuming(_ index: Int, from state: SavedState) throws -> () throws -> Void { {} }

    private static let noGradient = "no parameter of this optimizer has a gradient"

    /// The loss's number, before the backward pass uses the tape up, so that the user can still look for the reason
    /// of one that is not finite.
    private func finite(_ loss: Tensor, _ operation: String) throws -> Double {
        guard loss.count == 1 else {
            throw RiffleError(
                operation, "a loss is a single number, the tensor is \(loss.shape); take its sum or mean first")
        }
        let value = try loss.item()
        guard value.isFinite else {
            throw notFinite(operation, "the loss is not finite, it is \(riffleFormat(value))", loss.firstNotFinite())
        }
        return value
    }

    /// - Parameter first: where the numbers went wrong, as far as that is known.
    private func notFinite(_ operation: String, _ problem: String, _ first: NotFinite?) -> RiffleError {
        let location = first.map { first in
            let owner = first.parameter.map { ", parameter '\(self.name(of: $0))'" } ?? ""
            return ": \(first.description)\(owner)"
        }
        return RiffleError(
            operation, "\(problem)\(location ?? ""); nothing was changed", kind: .notFinite)
    }

    private func name(of parameter: Parameter) -> String {
        guard let index = parameters.firstIndex(where: { $0 === parameter }) else { return "of another optimizer" }
        return names.indices.contains(index) ? names[index] : "\(index + 1)"
    }
}

/// Summaries of options that optimizers share.
extension String {
    static let learningRate = "the learning rate"
    static let clip = "the global norm to which gradients are scaled down"
}
