import RiffleTensor

/// One sample of a batch: which, and how it is changed at random.
package struct Draw: Sendable, Equatable {
    /// The sample's number in its set, from 0.
    package let number: Int
    /// Whether the sample is mirrored left to right.
    package var isMirrored = false
    /// Where a random crop lies, from 0 at the left or the top to 1.
    package var place = 0.5

    package init(_ number: Int, isMirrored: Bool = false, place: Double = 0.5) {
        self.number = number
        self.isMirrored = isMirrored
        self.place = place
    }
}

/// Samples reached by number, of which batches are made.
package protocol SampleSet: AnyObject, Sendable {
    /// How many samples there are.
    var count: Int { get }
    /// Whether the samples are pictures, which may be mirrored.
    var arePictures: Bool { get }
    /// Whether a part of each picture is cut out at random.
    var isCroppedAtRandom: Bool { get }
    /// Whether samples are at hand, so that a thread that reads ahead would gain nothing.
    var isAtHand: Bool { get }
    /// The samples in the order given.
    func batch(_ draws: [Draw]) throws -> Batch
}

extension SampleSet {
    package var arePictures: Bool { false }
    package var isCroppedAtRandom: Bool { false }
    package var isAtHand: Bool { true }
}

/// Samples with their labels, or with the noise that they were made from.
package struct Batch: Sendable {
    /// float32 `[n, ...]`: pictures `[n, height, width, channels]` in [-1, 1], or samples of other kinds;
    /// [n, 0] where the samples are texts alone.
    package let x: Tensor
    /// int32 `[n]`, counted from 1, where the samples have classes.
    package let labels: Tensor?
    /// The noise that each sample was made from, shaped as x, where the set holds pairs.
    package let noise: Tensor?
    /// The tokens `[n, length, width]` and the summary `[n, width]` of each sample's text, where the samples have
    /// texts.
    package let text: (tokens: Tensor, summary: Tensor)?
    /// What the samples show, in words, where the set knows.
    package let captions: [String]?

    package init(
        x: Tensor, labels: Tensor? = nil, noise: Tensor? = nil, text: (tokens: Tensor, summary: Tensor)? = nil,
        captions: [String]? = nil
    ) {
        self.x = x
        self.labels = labels
        self.noise = noise
        self.text = text
        self.captions = captions
    }
}

/// The classes of a set's samples.
package struct Labels: Sendable {
    /// One a sample, counted from 1.
    package let numbers: [Int32]
    /// The classes' names, by label. Classes that nobody named are called by the numbers that stand in the file.
    package let classes: [String]

    package init(_ numbers: [Int32], classes: [String]) {
        self.numbers = numbers
        self.classes = classes
    }

    /// Labels that count from 0, as files have them.
    /// - Parameters:
    ///   - classes: names; numbers where nil.
    ///   - error: makes an error that names the file.
    package init(fromZero numbers: [Int], classes: [String]? = nil, _ error: (String) -> RiffleError) throws {
        let most = classes?.count ?? Labels.mostClasses
        if let index = numbers.firstIndex(where: { !(0..<most).contains($0) }) {
            throw error("label \(index + 1) is \(numbers[index]), expected 0 to \(most - 1)")
        }
        self.numbers = numbers.map { Int32($0 + 1) }
        self.classes = classes ?? (0...(numbers.max() ?? 0)).map(String.init)
    }

    package static let mostClasses = 1_000_000
}

/// What a set holds, as its files have it: a `DataSet` makes batches of all of it or of a part.
package protocol SampleSource: AnyObject, Sendable {
    var count: Int { get }
    /// The shape of one sample.
    var sampleShape: Shape { get }
    var arePictures: Bool { get }
    var isCroppedAtRandom: Bool { get }
    var isAtHand: Bool { get }
    var labels: Labels? { get }
    /// Writes one sample's numbers. Returns false where the sample is broken and another is to stand in for it.
    func copy(_ draw: Draw, to numbers: UnsafeMutableBufferPointer<Float>) throws -> Bool
    /// The texts of samples, where they have texts.
    func text(of samples: [Int]) throws -> (tokens: Tensor, summary: Tensor)?
    /// What the samples are called in protocols, such as a folder's name.
    var title: String { get }
    /// What protocols say beside the title, such as that pictures were resized.
    var remarks: [String] { get }
    /// The path of the files that the samples come from, if any.
    var origin: String? { get }
    /// What it holds, in words.
    /// - Parameter count: the number of samples in words, such as `10` or `8 of 10`.
    func description(_ count: String) -> String
}

extension SampleSource {
    package var arePictures: Bool { false }
    package var isCroppedAtRandom: Bool { false }
    package var isAtHand: Bool { true }
    package var title: String { "a tensor" }
    package var remarks: [String] { [] }
    package func text(of samples: [Int]) throws -> (tokens: Tensor, summary: Tensor)? { nil }
}
