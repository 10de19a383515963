/// What a caption of the shapes world asks for, in the six kinds of GenEval (Ghosh et al. 2310.11513).
package enum ShapesRequest: Hashable, Sendable {
    case one(Form)
    case both(Form, Form)
    case several(Int, Form)
    case coloured(Colour, Form)
    case related(Form, Relation, Form)
    case bothColoured(Colour, Form, Colour, Form)

    package enum Form: String, CaseIterable, Sendable { case circle, square, triangle, cross, ring, diamond }

    package enum Colour: String, CaseIterable, Sendable { case red, orange, yellow, green, blue, purple, white }

    package enum Relation: String, CaseIterable, Sendable {
        case left = "left of"
        case right = "right of"
        case above
        case below
    }

    /// The kinds, by GenEval's names of its tasks.
    package enum Kind: String, CaseIterable, Sendable {
        case singleObject = "single_object"
        case twoObject = "two_object"
        case counting
        case colors
        case position
        case colorAttribute = "color_attr"
    }

    package var kind: Kind {
        switch self {
        case .one: .singleObject
        case .both: .twoObject
        case .several: .counting
        case .coloured: .colors
        case .related: .position
        case .bothColoured: .colorAttribute
        }
    }

    /// The request in words, such as `a red circle and a blue square`.
    package var caption: String {
        func one(_ words: String) -> String { (words.hasPrefix("o") ? "an " : "a ") + words }
        func one(_ colour: Colour, _ form: Form) -> String { one("\(colour.rawValue) \(form.rawValue)") }
        return switch self {
        case .one(let form): one(form.rawValue)
        case .both(let first, let second): "\(one(first.rawValue)) and \(one(second.rawValue))"
        case .several(let count, let form):
            "\(ShapesRequest.numbers[count - 2]) \(form == .cross ? "crosses" : form.rawValue + "s")"
        case .coloured(let colour, let form): one(colour, form)
        case .related(let first, let relation, let second):
            "\(one(first.rawValue)) \(relation.rawValue) \(one(second.rawValue))"
        case .bothColoured(let colour, let form, let otherColour, let otherForm):
            "\(one(colour, form)) and \(one(otherColour, otherForm))"
        }
    }

    /// The request of a caption; nil for words that are no caption of this world.
    package init?(caption: String) {
        guard let request = ShapesRequest.byCaption[caption] else { return nil }
        self = request
    }

    /// The numbers of objects that are counted, from two on.
    private static let numbers = ["two", "three", "four"]

    // MARK: - All requests

    /// All requests of a kind. The two objects of a request differ in form, and in colour where colours are asked for.
    package static func all(of kind: Kind) -> [ShapesRequest] {
        let pairs = Form.allCases.flatMap { first in
            Form.allCases.filter { $0 != first }.map { (first, $0) }
        }
        return switch kind {
        case .singleObject: Form.allCases.map { .one($0) }
        case .twoObject: pairs.map { .both($0, $1) }
        case .counting:
            numbers.indices.flatMap { index in Form.allCases.map { .several(index + 2, $0) } }
        case .colors: Colour.allCases.flatMap { colour in Form.allCases.map { .coloured(colour, $0) } }
        case .position:
            Relation.allCases.flatMap { relation in pairs.map { .related($0, relation, $1) } }
        case .colorAttribute:
            pairs.flatMap { first, second in
                Colour.allCases.flatMap { colour in
                    Colour.allCases.filter { $0 != colour }.map { .bothColoured(colour, first, $0, second) }
                }
            }
        }
    }

    private static let byCaption = Dictionary(
        uniqueKeysWithValues: Kind.allCases.flatMap(all).map { ($0.caption, $0) })
}
