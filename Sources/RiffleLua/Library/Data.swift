import RiffleData
import RiffleIO
import RiffleTensor

/// Sets to learn from.
enum DataLibrary {
    static let functions: [Function] =
        PlaneSet.all.map(planeSet)

    private static func planeSet(_ set: PlaneSet) -> Function {
        Function(
            "data.\(set.name)",
            [Argument("scale", .boolean, "whether to centre it and make each deviation 1", default: .boolean(true))],
            Doc(set.summary, example: "> riffle.data.\(set.name)():sample(3):shape()\n[3, 2]")
        ) { [.object($0.boolean(0) ? set : set.raw)] }
    }

    // MARK: - Classes

    static let classes: [ObjectClass] = [
        ObjectClass(
            "plane_set", PlaneSet.self, Doc("A distribution in the plane with an exact sampler."),
            methods: [
                Method(
                    "sample", [Argument("count", .integer(0...Int(Int32.max)))],
                    Doc(
                        "Draws samples.", shapes: "-> [count, 2]",
                        example: "> riffle.data.moons():sample(4):shape()\n[4, 2]")
                ) { [.tensor(try $0.sample($1.integer(0)))] },
                Method(
                    "masses", [Argument("bins", .integer(1...10_000), "along each coordinate", default: .integer(50))],
                    Doc(
                        "The exact probabilities of equal bins over its bounds; the checkerboard's alone are known.",
                        shapes: "-> [bins, bins] float64, x first",
                        example: "> riffle.data.checkerboard():masses(2):tolist()[1][1]\n0.25")
                ) { [.tensor(try $0.binMasses($1.integer("bins")))] },
            ],
            properties: [
                Property("name", .string, "Which set it is.", get: { .string($0.name) }),
                Property("bounds", .list(.number), "The ends of the square that holds it, or nil where it has none.") {
                    $0.bounds.map { .list([.number($0.lowerBound), .number($0.upperBound)]) } ?? .none
                },
            ],
            describe: { "\($0.name), \($0.isScaled ? "centred and scaled" : "as its formula gives it")" })
    ]
}

extension Arguments {
    /// A table of texts; numbers and truth values are written out.
    func texts(_ name: String) throws -> [String: String] {
        try table(name).mapValues { value in
            switch value {
            case .string(let string): string
            case .integer(let integer): "\(integer)"
            case .number(let number): riffleFormat(number)
            case .boolean(let boolean): "\(boolean)"
            default: throw RiffleError("", "texts are strings, numbers or booleans")
            }
        }
    }

    /// Two numbers, the smaller one first.
    func range(_ name: String) throws -> ClosedRange<Double>? {
        guard has(name) else { return nil }
        let ends = numbers(name)
        guard ends.count == 2, ends[0].isFinite, ends[1].isFinite, ends[0] < ends[1] else {
            throw RiffleError(
                "",
                "\(name) should be two numbers, the smaller one first, got "
                    + "\(ends.map(riffleFormat).joined(separator: ", "))"
            )
        }
        return ends[0]...ends[1]
    }
}
