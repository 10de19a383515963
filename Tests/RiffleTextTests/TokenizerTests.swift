import Foundation
import RiffleIO
import RiffleTensor
import RiffleText
import TestSupport
import Testing

/// Tokenizers against transformers and sentencepiece on a thousand strings, by hashes that
/// scripts/make_text_fixtures.py wrote.
@Suite struct TokenizerTests {
    /// A tokenizer, the names of the hashes that it has to give, and the strings that it is given.
    enum Case: String, CaseIterable, CustomTestStringConvertible {
        case clip, pairs, t5, t5JSON, marks, bytes

        var testDescription: String { rawValue }

        func tokenizer() throws -> Tokenizer {
            switch self {
            case .clip: try CLIPTokenizer(path: fixture("text/clip"))
            case .pairs: try CLIPTokenizer(path: fixture("text/pairs"))
            case .t5, .marks: try T5Tokenizer(path: fixture("text/t5"), length: 64)
            case .t5JSON: try T5Tokenizer(path: fixture("text/t5-json/tokenizer.json"), length: 64)
            case .bytes: try T5Tokenizer(path: fixture("text/bytes/spiece.model"), length: 64)
            }
        }

        var hashes: String { self == .t5JSON ? "t5" : rawValue }
    }

    /// What transformers finds in texts as it is written, and white space that sentencepiece leaves.
    private static let unplain = ["</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_42>", "\u{85}"]

    private let reference = try! SafeTensors(fixture("text/tokens.safetensors"))

    private func strings(_ of: Case) throws -> [String] {
        let name = of == .marks ? "decomposed" : "fragments"
        let json = try JSONSerialization.jsonObject(with: Data(try #require(reference.metadata[name]).utf8))
        let fragments = try #require(json as? [String]), most = 24
        return (0..<(of == .marks ? 100 : 1000)).map { index in
            let name = "\(of == .marks ? "marks" : "text").\(index)", numbers = drawn(name, 1 + 8 * most)
            let count = Int(numbers[0] * Double(most)) * (index % 10 == 0 ? 8 : 1)
            let chosen = numbers.dropFirst().prefix(count).map { fragments[Int($0 * Double(fragments.count))] }
            // Joined as scalars: a fragment may begin with a mark of the letter before it.
            var text = String.UnicodeScalarView()
            for fragment in chosen { text.append(contentsOf: fragment.unicodeScalars) }
            let plain = String(text)
            return of == .bytes
                ? Self.unplain.reduce(plain) { $0.replacingOccurrences(of: $1, with: "", options: .literal) } : plain
        }
    }

    private static func hash(_ text: String) -> Int32 {
        Int32(bitPattern: text.utf8.reduce(0x811C_9DC5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 })
    }

    private func hashes(_ name: String) throws -> [Int32] {
        try reference.tensor(named: name).doubles().map { Int32($0) }
    }

    private func published(_ ids: Tensor) throws -> [[Int]] {
        let numbers = try ids.doubles().map { Int($0) - 1 }, length = ids.shape[1]
        return (0..<ids.shape[0]).map { Array(numbers[$0 * length..<($0 + 1) * length]) }
    }

    @Test(arguments: Case.allCases) func tokensAreThoseOfTheReference(_ of: Case) throws {
        let texts = try strings(of), encoded = try of.tokenizer().encode(texts)
        let rows = try published(encoded.ids), wanted = try hashes("\(of.hashes).ids")
        #expect(rows.count == wanted.count)
        let odd = wanted.indices.filter {
            Self.hash(rows[$0].map(String.init).joined(separator: " ")) != wanted[$0]
        }
        #expect(odd.isEmpty, "\(odd.count) differ, among them \(odd.prefix(2).map { (texts[$0], rows[$0]) })")
    }

    @Test(arguments: [Case.clip, .t5]) func textsAreThoseOfTheReference(_ of: Case) throws {
        let tokenizer = try of.tokenizer(), texts = try tokenizer.decode(tokenizer.encode(strings(of)).ids)
        let wanted = try hashes("\(of).texts")
        let odd = wanted.indices.filter { Self.hash(texts[$0]) != wanted[$0] }
        #expect(odd.isEmpty, "\(odd.count) differ, among them \(odd.prefix(3).map { texts[$0] })")
    }
}
