import RiffleTensor

/// What samples are conditioned on: tensors [n, ...] in the order in which a network takes them.
///
/// Class labels are one tensor, int32 [n], from 1. A text is two: its tokens [n, length, width] and their summary [n,
/// width]; of networks with an encoder it is one, its tokens' numbers, int32 [n, length], from 1.
public struct Condition {
    package let tensors: [Tensor]

    package init(_ tensors: [Tensor]) { self.tensors = tensors }

    /// The conditions of some of the samples.
    package func rows(_ range: Range<Int>) throws -> Condition {
        Condition(try tensors.map { try $0.sliced(0, range) })
    }

    /// This condition, with a random part of the samples conditioned on nothing instead.
    package func dropping(_ part: Double, _ conditioning: Conditioning) throws -> Condition {
        guard part > 0 else { return self }
        let none = try conditioning.null(like: self)
        guard let n = tensors.first?.shape.sizes.first else { return self }
        let isDropped = try Tensor.rand([n]).lt(.scalar(part))
        return Condition(try zip(none.tensors, tensors).map { try $0.where(isDropped.alongside($1), else: $1) })
    }

    /// The conditions of several batches, one after another.
    package static func cat(_ conditions: [Condition]) throws -> Condition {
        Condition(
            try (conditions.first?.tensors ?? []).indices.map { index in
                try .cat(conditions.map { $0.tensors[index] })
            })
    }
}

/// What a network is conditioned on.
public enum Conditioning: Equatable, Sendable {
    case none
    /// Labels from 1 to `count`, and one more for "no class" where `hasNull`.
    case classes(_ count: Int, hasNull: Bool)
    /// Tokens of width `tokens` and a summary of width `summary`.
    case text(tokens: Int, summary: Int)
    /// Texts as tokens from 1 to `vocabulary`, at most `longest` of them.
    case tokens(vocabulary: Int, longest: Int?)

    /// The condition that stands for "none", shaped as the given one: the label after the last, or a text of zeros,
    /// which are no tokens.
    /// - Throws: `RiffleError` where the network knows no such condition.
    package func null(like condition: Condition) throws -> Condition {
        switch self {
        case .none: throw RiffleError("", "the network is not conditioned on anything; make it with classes = ...")
        case .classes(let count, hasNull: true):
            Condition(try condition.tensors.map { try .full($0.shape, Double(count + 1), .int32) })
        case .classes:
            throw RiffleError(
                "", "the network has no label for none; make it with null_class = true, and train it with label_dropout"
            )
        case .text, .tokens: Condition(try condition.tensors.map { try .zeros($0.shape, $0.dtype) })
        }
    }

    /// A condition of one sample that means nothing, for networks whose values' sizes alone count.
    func blank() throws -> Condition? {
        switch self {
        case .none: nil
        case .classes: Condition([try .ones([1], .int32)])
        case .text(let tokens, let summary): Condition([try .zeros([1, 1, tokens]), try .zeros([1, summary])])
        case .tokens: Condition([try .zeros([1, 1], .int32)])
        }
    }

    /// How many tensors a condition has.
    package var count: Int {
        switch self {
        case .none: 0
        case .classes, .tokens: 1
        case .text: 2
        }
    }

    /// Whether a condition of one network can be given to the other. Classes have to be as many; a label for none need
    /// not exist in both.
    package func accepts(conditionsOf other: Conditioning) -> Bool {
        if case .classes(let own, _) = self, case .classes(let others, _) = other { return own == others }
        return self == other
    }

    /// In words that follow a network's sizes in its description.
    var summary: String {
        switch self {
        case .none: ""
        case .classes(let count, let hasNull): ", \(count) classes" + (hasNull ? " and none" : "")
        case .text(let tokens, let summary): ", text of width \(tokens) and \(summary)"
        case .tokens(let vocabulary, let longest):
            ", texts of " + (longest.map { "at most \($0) of " } ?? "") + "\(vocabulary) tokens"
        }
    }

    /// Checks a condition of n samples.
    /// - Throws: `RiffleError` that says what the network needs.
    func check(_ condition: Condition?, _ n: Int) throws {
        let tensors = condition?.tensors ?? []
        switch self {
        case .none:
            guard tensors.isEmpty else {
                throw RiffleError("", "labels given to a network without classes; make it with classes = ...")
            }
        case .classes(let count, let hasNull):
            let range = hasNull ? "from 1 to \(count), or \(count + 1) for none" : "from 1 to \(count)"
            guard let labels = tensors.first else {
                throw RiffleError("", "this network has \(count) classes and needs labels")
            }
            guard tensors.count == 1, labels.shape == [n], labels.dtype == .int32 else {
                throw RiffleError("", "labels must be one int32 tensor [\(n)], \(range) (\(Self.describe(tensors)))")
            }
            let most = Int32(hasNull ? count + 1 : count)
            if let label = labels.elements(Int32.self).first(where: { $0 < 1 || $0 > most }) {
                throw RiffleError("", "labels must be \(range), got \(label) (\(Self.describe(tensors)))")
            }
        case .tokens(let vocabulary, let longest):
            try Self.check(tensors, n, vocabulary: vocabulary, longest: longest)
        case .text(let tokens, let summary):
            guard tensors.count == 2 else {
                throw RiffleError("", "this network needs a text: { tokens, summary }, got \(tensors.count) tensors")
            }
            guard tensors[0].rank == 3, tensors[0].shape[0] == n, tensors[0].shape[2] == tokens,
                tensors[1].shape == [n, summary]
            else {
                throw RiffleError(
                    "",
                    "a text must be tokens [\(n), length, \(tokens)] and a summary [\(n), \(summary)] "
                        + "(\(Self.describe(tensors)))"
                )
            }
        }
    }

    /// Checks tokens: rows from 1 to the vocabulary's size, or of zeros.
    private static func check(_ tensors: [Tensor], _ n: Int, vocabulary: Int, longest: Int?) throws {
        guard tensors.count == 1, let ids = tensors.first, ids.dtype == .int32, ids.rank == 2, ids.shape[0] == n,
            ids.shape[1] > 0
        else {
            throw RiffleError(
                "",
                "this network needs texts as tokens, int32 [\(n), length], such as tokenizer:encode(texts) gives "
                    + "(\(describe(tensors)))")
        }
        let length = ids.shape[1], tokens = try ids.doubles()
        if let longest, length > longest {
            throw RiffleError("", "texts have at most \(longest) tokens, got \(length) (\(describe(tensors)))")
        }
        for row in 0..<n {
            let text = tokens[row * length..<(row + 1) * length]
            let isNone = text.allSatisfy { $0 == 0 }
            guard !isNone, let odd = text.first(where: { $0 < 1 || $0 > Double(vocabulary) }) else { continue }
            throw RiffleError(
                "",
                "tokens must be from 1 to \(vocabulary), or a row of zeros for no text, got \(Int(odd)) in row "
                    + "\(row + 1); is the tokenizer one of another vocabulary?")
        }
    }

    private static func describe(_ tensors: [Tensor]) -> String {
        tensors.map { "\($0.dtype) \($0.shape)" }.joined(separator: ", ")
    }
}
