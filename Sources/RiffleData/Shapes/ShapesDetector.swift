/// Finds the objects of a picture of the shapes world: connected pixels of a colour, and the form that fits them best.
///
/// On drawn pictures the detector is exact; tests hold it to that.
struct ShapesDetector {
    struct Found {
        let form: ShapesRequest.Form, colour: ShapesRequest.Colour
        /// The middle, in parts of the picture's side.
        let x: Double, y: Double
    }

    private let size: Int
    private let pixels: [SIMD3<Double>]
    /// For each pixel, the colour that covers half of it or more.
    private let colours: [ShapesRequest.Colour?]

    /// The least part of a pixel that counts as covered, and the farthest that a pixel may be from a mixture of a
    /// colour with the ground.
    private static let leastPart = 0.5, farthest = 0.3
    /// The least area of an object, in parts of the picture: half of the smallest that is drawn.
    private static let leastArea = 0.5 * 2 * ShapesScene.smallestRadius * ShapesScene.smallestRadius
    /// The least agreement with a form, from 0 to 1: the covered area that both share, of the area that either covers.
    private static let leastAgreement = 0.6

    /// - Parameter numbers: a picture `[size, size, 3]` in [-1, 1].
    init(_ numbers: UnsafeBufferPointer<Float>, size: Int) {
        self.size = size
        pixels = (0..<(size * size)).map { pixel in
            SIMD3((0..<3).map { (Double(numbers[3 * pixel + $0]) + 1) / 2 }) - ShapesScene.ground
        }
        colours = pixels.map(ShapesDetector.colour)
    }

    /// The objects of the picture. What has no colour or form of this world is left out.
    func objects() -> [Found] { parts().compactMap(fitted) }

    private static func colour(of pixel: SIMD3<Double>) -> ShapesRequest.Colour? {
        var best: (colour: ShapesRequest.Colour, part: Double, distance: Double)?
        for colour in ShapesRequest.Colour.allCases {
            let part = part(of: pixel, colour), rest = pixel - part * (colour.value - ShapesScene.ground)
            let distance = (rest * rest).sum().squareRoot()
            if distance < best?.distance ?? farthest { best = (colour, part, distance) }
        }
        return best.flatMap { $0.part >= leastPart ? $0.colour : nil }
    }

    /// The part of a pixel that a colour covers, as the nearest mixture with the ground has it.
    private static func part(of pixel: SIMD3<Double>, _ colour: ShapesRequest.Colour) -> Double {
        let way = colour.value - ShapesScene.ground
        return min(max((pixel * way).sum() / (way * way).sum(), 0), 1)
    }

    // MARK: - Parts

    /// Connected pixels of one colour.
    private func parts() -> [[Int]] {
        var isSeen = [Bool](repeating: false, count: colours.count), parts: [[Int]] = []
        for start in colours.indices where !isSeen[start] && colours[start] != nil {
            var part: [Int] = [], waiting = [start]
            isSeen[start] = true
            while let pixel = waiting.popLast() {
                part.append(pixel)
                for next in around(pixel, diagonally: false) where !isSeen[next] && colours[next] == colours[start] {
                    isSeen[next] = true
                    waiting.append(next)
                }
            }
            parts.append(part)
        }
        return parts
    }

    private func around(_ pixel: Int, diagonally: Bool) -> [Int] {
        let (row, column) = pixel.quotientAndRemainder(dividingBy: size)
        var found: [Int] = []
        for (down, right) in [(-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]
            .prefix(diagonally ? 8 : 4)
        where (0..<size).contains(row + down) && (0..<size).contains(column + right) {
            found.append(pixel + down * size + right)
        }
        return found
    }

    // MARK: - Forms

    /// The form that agrees best with a part of the picture, drawn with the part's area around its centroid.
    private func fitted(_ part: [Int]) -> Found? {
        guard let colour = colours[part[0]] else { return nil }
        // The part with its edge, whose pixels are covered by less than half.
        let edge = part.flatMap { around($0, diagonally: true) }.filter { colours[$0] == nil }
        let covers = Dictionary(
            Set(part + edge).map { ($0, ShapesDetector.part(of: pixels[$0], colour)) }, uniquingKeysWith: max)
        var area = 0.0, x = 0.0, y = 0.0
        for (pixel, cover) in covers {
            let (row, column) = pixel.quotientAndRemainder(dividingBy: size)
            area += cover
            x += cover * (Double(column) + 0.5)
            y += cover * (Double(row) + 0.5)
        }
        guard area >= ShapesDetector.leastArea * Double(size * size) else { return nil }
        (x, y) = (x / area / Double(size), y / area / Double(size))
        var best: (object: ShapesScene.Object, agreement: Double)?
        for form in ShapesRequest.Form.allCases {
            let radius = (area / form.area).squareRoot() / Double(size)
            let object = ShapesScene.Object(
                form: form, colour: colour, x: x, y: y - form.centroid * radius, radius: radius)
            let agreement = agreement(of: covers, area, with: object)
            if agreement > best?.agreement ?? ShapesDetector.leastAgreement { best = (object, agreement) }
        }
        return best.map { Found(form: $0.object.form, colour: colour, x: $0.object.x, y: $0.object.y) }
    }

    private func agreement(of covers: [Int: Double], _ area: Double, with object: ShapesScene.Object) -> Double {
        var common = 0.0, drawn = 0.0
        object.forEachPixel(of: size) { row, column, cover in
            common += min(cover, covers[row * size + column] ?? 0)
            drawn += cover
        }
        return common / (area + drawn - common)
    }
}

extension ShapesRequest {
    /// Whether the objects that were found are what the request asks for, by GenEval's rules: what nobody asked for is
    /// no fault, except where objects are counted.
    func isFulfilled(by found: [ShapesDetector.Found]) -> Bool {
        func has(_ form: Form, _ colour: Colour? = nil) -> Bool {
            found.contains { $0.form == form && (colour == nil || $0.colour == colour) }
        }
        return switch self {
        case .one(let form): has(form)
        case .both(let first, let second): has(first) && has(second)
        case .several(let count, let form): found.count { $0.form == form } == count
        case .coloured(let colour, let form): has(form, colour)
        case .related(let first, let relation, let second):
            found.contains { one in
                one.form == first
                    && found.contains { $0.form == second && relation.holds(one.x - $0.x, one.y - $0.y) }
            }
        case .bothColoured(let colour, let form, let otherColour, let otherForm):
            has(form, colour) && has(otherForm, otherColour)
        }
    }
}
