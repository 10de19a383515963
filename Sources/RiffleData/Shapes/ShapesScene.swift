import RiffleTensor

/// Objects in a picture of the shapes world, apart from one another, on a dark ground.
struct ShapesScene {
    struct Object {
        let form: ShapesRequest.Form
        let colour: ShapesRequest.Colour
        /// Parts of the picture's side, from its top left corner.
        let x: Double, y: Double
        /// Half of the side of the square that the object fills.
        let radius: Double
    }

    let objects: [Object]

    /// Draws a scene that fulfils a request. What the request leaves open, such as colours, is drawn, too.
    /// - Parameter cells: along the picture's side, of which objects fill whole ones; nil where they lie anywhere.
    init(_ request: ShapesRequest, cells: Int?, _ random: inout UniformNumbers) throws {
        typealias Wanted = (form: ShapesRequest.Form, colour: ShapesRequest.Colour?)
        var relation: ShapesRequest.Relation?
        let wanted: [Wanted]
        switch request {
        case .one(let form): wanted = [(form, nil)]
        case .both(let first, let second): wanted = [(first, nil), (second, nil)]
        case .several(let count, let form): wanted = Array(repeating: (form, nil), count: count)
        case .coloured(let colour, let form): wanted = [(form, colour)]
        case .related(let first, let between, let second):
            relation = between
            wanted = [(first, nil), (second, nil)]
        case .bothColoured(let colour, let form, let otherColour, let otherForm):
            wanted = [(form, colour), (otherForm, otherColour)]
        }
        let colours = ShapesRequest.Colour.allCases
        func fulfils(_ objects: [Object]) -> Bool {
            relation?.holds(objects[0].x - objects[1].x, objects[0].y - objects[1].y, by: 1.25) ?? true
        }
        // Of layouts of few objects one in two or three is refused, of four in few cells most are.
        while true {
            var objects: [Object] = []
            for (form, colour) in wanted {
                let radius = ShapesScene.radius(ShapesScene.smallestRadius + 0.06 * (try random.next()), cells)
                objects.append(
                    Object(
                        form: form, colour: try colour ?? colours[random.index(below: colours.count)],
                        x: ShapesScene.middle(radius, cells, try random.next()),
                        y: ShapesScene.middle(radius, cells, try random.next()), radius: radius))
            }
            if ShapesScene.areApart(objects), fulfils(objects) {
                self.objects = objects
                return
            }
        }
    }

    static let smallestRadius = 0.12
    /// The least distance between objects, and from an object to the picture's edge.
    private static let gap = 0.03

    /// The radius, or the nearest with which an object fills whole cells.
    private static func radius(_ radius: Double, _ cells: Int?) -> Double {
        guard let cells else { return radius }
        return (2 * radius * Double(cells)).rounded() / Double(2 * cells)
    }

    /// The middle of an object that is within the picture, for a number in [0, 1).
    private static func middle(_ radius: Double, _ cells: Int?, _ number: Double) -> Double {
        guard let cells else { return radius + gap + (1 - 2 * (radius + gap)) * number }
        let first = (gap * Double(cells)).rounded(.up)
        let starts = Double(cells) - 2 * first - (2 * radius * Double(cells)).rounded() + 1
        return (first + (starts * number).rounded(.down)) / Double(cells) + radius
    }

    private static func areApart(_ objects: [Object]) -> Bool {
        objects.indices.allSatisfy { index in
            objects[..<index].allSatisfy { other in
                let object = objects[index]
                return max(abs(object.x - other.x), abs(object.y - other.y)) > object.radius + other.radius + gap
            }
        }
    }

    // MARK: - Drawing

    /// The grey of the ground, from 0 to 1.
    static let ground = SIMD3(repeating: 0.1)
    /// Draws the scene over a picture `[size, size, 3]` in [-1, 1].
    func draw(_ size: Int, into numbers: UnsafeMutableBufferPointer<Float>) {
        for index in numbers.indices { numbers[index] = Float(2 * ShapesScene.ground[index % 3] - 1) }
        for object in objects {
            let colour = object.colour.value
            object.forEachPixel(of: size) { row, column, cover in
                let start = (row * size + column) * 3
                for channel in 0..<3 {
                    let before = (Double(numbers[start + channel]) + 1) / 2
                    numbers[start + channel] = Float(2 * (before + cover * (colour[channel] - before)) - 1)
                }
            }
        }
    }
}

extension ShapesScene.Object {
    /// The samples of a pixel along each of its sides.
    private static let fineness = 4

    /// Calls a function for each pixel that the object covers, with the part of the pixel that it covers.
    func forEachPixel(of size: Int, _ body: (_ row: Int, _ column: Int, _ cover: Double) -> Void) {
        let side = Double(size), fineness = Self.fineness
        func pixels(_ middle: Double) -> Range<Int> {
            let first = ((middle - radius) * side).rounded(.down), end = ((middle + radius) * side).rounded(.up)
            return max(0, Int(first))..<min(size, Int(end))
        }
        for row in pixels(y) {
            for column in pixels(x) {
                var hits = 0
                for sample in 0..<(fineness * fineness) {
                    let (down, right) = sample.quotientAndRemainder(dividingBy: fineness)
                    let u = (Double(column) + (Double(right) + 0.5) / Double(fineness)) / side - x
                    let v = (Double(row) + (Double(down) + 0.5) / Double(fineness)) / side - y
                    if form.contains(u / radius, v / radius) { hits += 1 }
                }
                if hits > 0 { body(row, column, Double(hits) / Double(fineness * fineness)) }
            }
        }
    }
}

extension ShapesRequest.Form {
    /// Whether a point is in the form, which fills the square from -1 to 1; v grows downwards.
    func contains(_ u: Double, _ v: Double) -> Bool {
        let distance = u * u + v * v
        return switch self {
        case .circle: distance <= 1
        case .square: abs(u) <= 1 && abs(v) <= 1
        case .triangle: v <= 1 && 2 * abs(u) <= v + 1
        case .cross: max(abs(u), abs(v)) <= 1 && min(abs(u), abs(v)) <= 1 / 3.0
        case .ring: distance <= 1 && distance >= 0.3
        case .diamond: abs(u) + abs(v) <= 1
        }
    }
}

extension ShapesRequest.Form {
    /// The area in the square from -1 to 1.
    var area: Double {
        switch self {
        case .circle: .pi
        case .square: 4
        case .triangle, .diamond: 2
        case .cross: 20 / 9.0
        case .ring: 0.7 * .pi
        }
    }

    /// How far the centroid lies below the middle of that square.
    var centroid: Double { self == .triangle ? 1 / 3.0 : 0 }
}

extension ShapesRequest.Colour {
    /// Red, green and blue from 0 to 1.
    var value: SIMD3<Double> {
        switch self {
        case .red: [0.9, 0.1, 0.1]
        case .orange: [1, 0.55, 0]
        case .yellow: [0.95, 0.95, 0.1]
        case .green: [0.1, 0.75, 0.2]
        case .blue: [0.15, 0.3, 1]
        case .purple: [0.65, 0.15, 0.85]
        case .white: [1, 1, 1]
        }
    }
}

extension ShapesRequest.Relation {
    /// Whether an object at (x, y) from another lies so, and `factor` times as far so as to the side; y grows down.
    func holds(_ x: Double, _ y: Double, by factor: Double = 1) -> Bool {
        switch self {
        case .left: -x > factor * abs(y)
        case .right: x > factor * abs(y)
        case .above: -y > factor * abs(x)
        case .below: y > factor * abs(x)
        }
    }
}

/// Uniform numbers in [0, 1), one at a time, which depend on a seed and a sample's number alone.
struct UniformNumbers {
    private var source: RandomSource
    private var numbers: [Double] = []

    init(seed: UInt64, sample: Int) {
        // A sample draws a few streams of numbers, and never those of the next sample.
        source = RandomSource(seed: seed ^ UniformNumbers.key, stream: UInt64(sample) << 16)
    }

    private static let key: UInt64 = 0x7368_6170_6573_6565

    mutating func next() throws -> Double {
        if numbers.isEmpty {
            let drawn = try source.uniform([32], .float64)
            numbers = withExtendedLifetime(drawn) { drawn.elements(Double.self).reversed() }
        }
        return numbers.removeLast()
    }

    mutating func index(below count: Int) throws -> Int { min(Int(Double(count) * (try next())), count - 1) }
}
