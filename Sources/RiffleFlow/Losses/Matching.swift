import RiffleNN
import RiffleTensor

/// Flow matching: a network's regression on the path's own velocity, or on noise or data (Lipman et al. 2022, eq. 9).
/// The noise may be coupled with data (Pooladian et al. 2023; Tong et al. 2023), or come in pairs from another flow
/// (reflow, Liu et al. 2022).
///
///     L = E |v(x_t, t) - (a' x0 + b' x1)|^2,  x_t = a x0 + b x1
package struct MatchingLoss {
    package var options: LossOptions
    package var prediction: Prediction = .velocity

    package init(_ options: LossOptions = LossOptions()) { self.options = options }

    /// - Parameters:
    ///   - data: x1 [n, ...].
    ///   - noise: the x0 that are paired with the data; where nil they are drawn and coupled as the options say.
    package func callAsFunction(_ network: Network, _ data: Tensor, noise: Tensor? = nil, _ condition: Condition? = nil)
        throws -> Loss
    {
        let t = try options.times.sample(FlowBatch.count(data, "matching_loss"), data.dtype)
        let batch = try FlowBatch(
            data, condition, options, for: [("network", network)], operation: "matching_loss", noise: noise,
            times: (t, t))
        let predicted = try network.velocity(batch.jumps.x, t, batch.jumps.condition)
        var terms = Terms(options)
        try terms.add(
            "matching", predicted - prediction.target(batch.noise, data, t, options.path), batch.jumps)
        return try terms.loss("matching_loss")
    }
}

extension MatchingLoss: LossWithOptions {
    package static let own: [Option<MatchingLoss>] = [
        Option("prediction", \.prediction, "what the network predicts; see flow.velocity")
    ]
    /// The options of this loss and those of all losses.
    package static let all: [Option<MatchingLoss>] = own + LossOptions.all.of(\.options)
}
