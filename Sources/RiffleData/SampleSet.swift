import RiffleTensor

/// Samples reached by number, of which batches are made.
package protocol SampleSet: AnyObject, Sendable {
    /// How many samples there are.
    var count: Int { get }
    /// Samples by number, from 0, in the order given; those that are images may be asked for mirrored left to right.
    func batch(_ samples: [(number: Int, mirrored: Bool)]) throws -> Batch
}

/// Samples with their labels, or with the noise that they were made from.
package struct Batch: Sendable {
    /// float32 `[n, ...]`: images `[n, height, width, channels]` in [-1, 1], or samples of other kinds.
    package let x: Tensor
    /// int32 `[n]`, counted from 1, where the samples are labelled.
    package let y: Tensor?
    /// The noise that each sample was made from, shaped as x, where the set holds pairs.
    package let noise: Tensor?

    init(x: Tensor, y: Tensor?, noise: Tensor? = nil) {
        self.x = x
        self.y = y
        self.noise = noise
    }
}
