import RiffleTensor

/// Pictures of coloured forms with captions, drawn by their numbers: a closed world in which a model that takes words
/// can be scored exactly.
///
/// Sample i has the kind i mod 6. A quarter of the captions of each kind but single objects, whose captions are few, is
/// in no sample, so that a score by `prompts` tells what a model makes of words that it has not seen together.
package final class ShapesSet: SampleSet {
    /// The side of a picture.
    package let size: Int
    package let seed: UInt64
    /// Cells along the side, of which objects fill whole ones; nil where they lie anywhere.
    package let cells: Int?
    package var count: Int { ShapesSet.samples }

    /// - Parameters:
    ///   - size: the side; in fewer than 32 pixels small forms cannot be kept apart.
    ///   - cells: 8 and more; fewer have no space for four objects.
    package init(size: Int = 32, cells: Int? = nil, seed: UInt64 = 1) {
        self.size = size
        self.cells = cells
        self.seed = seed
    }

    package static let samples = 1_000_000
    package static let smallestSize = 32, largestSize = 1024
    package static let fewestCells = 8

    package var sampleShape: Shape { [size, size, 3] }

    // MARK: - Captions

    /// For each kind, the requests of samples and those that are held out.
    private static let requests = Dictionary(
        uniqueKeysWithValues: ShapesRequest.Kind.allCases.map { ($0, parted(ShapesRequest.all(of: $0), $0)) })

    /// The first quarter in the order of the captions' hashes is held out, so that the split is the same whatever the
    /// seed.
    private static func parted(_ all: [ShapesRequest], _ kind: ShapesRequest.Kind) -> (
        seen: [ShapesRequest], heldOut: [ShapesRequest]
    ) {
        let ordered = all.map { (hash($0.caption), $0) }.sorted { $0.0 < $1.0 }.map(\.1)
        guard kind != .singleObject else { return (ordered, ordered) }
        return (Array(ordered.dropFirst(all.count / 4)), Array(ordered.prefix(all.count / 4)))
    }

    /// FNV-1a of the words' bytes.
    private static func hash(_ words: String) -> UInt64 {
        words.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    private func request(of sample: Int, _ random: inout UniformNumbers) throws -> ShapesRequest {
        let kinds = ShapesRequest.Kind.allCases
        let seen = ShapesSet.requests[kinds[sample % kinds.count]]?.seen ?? []
        return seen[try random.index(below: seen.count)]
    }

    /// The caption of a sample, counted from 0.
    package func caption(of sample: Int) throws -> String {
        var random = UniformNumbers(seed: seed, sample: sample)
        return try request(of: sample, &random).caption
    }

    /// The words of all captions, in the order of the alphabet.
    package static let words = Set(
        ShapesRequest.Kind.allCases.flatMap(ShapesRequest.all).flatMap { $0.caption.split(separator: " ") }
    ).sorted().map(String.init)

    /// Captions that no sample has, kind after kind, as many of each kind.
    /// - Throws: `RiffleError` where the count is no multiple of the number of kinds.
    package func prompts(_ count: Int) throws -> [String] {
        let kinds = ShapesRequest.Kind.allCases
        guard count % kinds.count == 0 else {
            throw RiffleError("", "\(count) prompts cannot be shared out to \(kinds.count) kinds alike")
        }
        return kinds.flatMap { kind in
            let heldOut = ShapesSet.requests[kind]?.heldOut ?? []
            return (0..<(count / kinds.count)).map { heldOut[$0 % heldOut.count].caption }
        }
    }

    // MARK: - Pictures

    package func batch(_ draws: [Draw]) throws -> Batch {
        let x = try Tensor(uninitialized: [draws.count, size, size, 3])
        let numbers = x.elements(Float.self), length = sampleShape.count
        var captions: [String] = []
        for (index, draw) in draws.enumerated() {
            var random = UniformNumbers(seed: seed, sample: draw.number)
            let request = try request(of: draw.number, &random)
            let target = UnsafeMutableBufferPointer(rebasing: numbers[(index * length)..<((index + 1) * length)])
            try ShapesScene(request, cells: cells, &random).draw(size, into: target)
            captions.append(request.caption)
        }
        return Batch(x: x, captions: captions)
    }

    /// The part of the pictures of each kind that show what their captions ask for.
    /// - Parameter pictures: `[n, size, size, 3]` in [-1, 1], of any size.
    /// - Throws: `RiffleError` for other shapes and counts, and for captions that are none of this world.
    package static func score(_ pictures: Tensor, _ captions: [String]) throws -> ShapesScore {
        let sizes = pictures.shape.sizes
        guard sizes.count == 4, sizes[1] == sizes[2], sizes[3] == 3, pictures.dtype == .float32 else {
            throw RiffleError(
                "", "expected pictures [n, size, size, 3] of float32, got \(pictures.dtype) \(pictures.shape)")
        }
        guard sizes[0] == captions.count else {
            throw RiffleError("", "there are \(sizes[0]) pictures and \(captions.count) captions")
        }
        let size = sizes[1], length = 3 * size * size
        let numbers = UnsafeBufferPointer(pictures.elements(Float.self))
        var score = ShapesScore()
        for (index, caption) in captions.enumerated() {
            guard let request = ShapesRequest(caption: caption) else {
                throw RiffleError("", "'\(caption)' is no caption of the shapes world, such as 'a red circle'")
            }
            let picture = UnsafeBufferPointer(rebasing: numbers[(index * length)..<((index + 1) * length)])
            score.add(request.kind, isRight: request.isFulfilled(by: ShapesDetector(picture, size: size).objects()))
        }
        return score
    }
}

/// How many pictures of each kind show what their captions ask for: the shapes score.
package final class ShapesScore: CustomStringConvertible {
    private var counts: [ShapesRequest.Kind: (right: Int, all: Int)] = [:]

    func add(_ kind: ShapesRequest.Kind, isRight: Bool) {
        counts[kind, default: (0, 0)].right += isRight ? 1 : 0
        counts[kind, default: (0, 0)].all += 1
    }

    /// The part of a kind's pictures that are right; nil where there are none of this kind.
    package subscript(_ kind: ShapesRequest.Kind) -> Double? {
        counts[kind].map { Double($0.right) / Double($0.all) }
    }

    /// The mean over the kinds that there are, as GenEval has it.
    package var mean: Double {
        let parts = ShapesRequest.Kind.allCases.compactMap { self[$0] }
        return parts.reduce(0, +) / Double(max(parts.count, 1))
    }

    package var description: String {
        let parts = ShapesRequest.Kind.allCases.compactMap { kind in
            self[kind].map { "\(kind.rawValue) \(riffleFormat(($0 * 1000).rounded() / 1000))" }
        }
        return (parts + ["mean \(riffleFormat((mean * 1000).rounded() / 1000))"]).joined(separator: ", ")
    }
}
