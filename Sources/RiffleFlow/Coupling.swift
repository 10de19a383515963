import RiffleTensor

/// How noise is paired with data.
public enum Coupling: String, Sendable, CaseIterable {
    case independent

    /// The noise in the order in which its rows go with those of the data.
    func pair(_ noise: Tensor, with data: Tensor) throws -> Tensor { noise }
}
