import RiffleIO
import RiffleTensor

/// Latents, or samples of any kind, in a safetensors file, with labels or with texts.
///
/// The file holds `x` or `latents`, floats `[n, ...]`, and perhaps `labels`, integers `[n]` from 1, or `tokens` `[n,
/// length, width]` with `summary` `[n, width]`. Opening reads the header and the labels, and a batch the rows that it
/// needs.
package final class LatentSource: SampleSource {
    package let count: Int
    package let sampleShape: Shape
    package let labels: Labels?
    package var origin: String? { path }
    private let path: String
    private let x: StoredTensor
    private let texts: (tokens: StoredTensor, summary: StoredTensor)?

    /// - Throws: `RiffleError` that names the file, what was expected and what was found.
    package init(_ path: String) throws {
        let file = try SafeTensors(path)
        guard let x = file["x"] ?? file["latents"] else {
            let names = file.names.prefix(5).joined(separator: ", ") + (file.names.count > 5 ? ", ..." : "")
            throw file.error("expected a tensor x or latents, found \(names.isEmpty ? "none" : names)")
        }
        guard x.shape.rank >= 2, x.shape[0] >= 1, x.shape.count > 0 else {
            throw file.error("expected \(x.name) [n, ...] of one sample or more, found \(x.shape)")
        }
        func check(_ entry: StoredTensor, rank: Int? = nil) throws {
            guard [.f32, .f16, .bf16].contains(entry.type) else {
                throw file.error("expected \(entry.name) of F32, F16 or BF16, found \(entry.type.rawValue)")
            }
            guard entry.shape.sizes.first == x.shape[0], rank == nil || entry.shape.rank == rank else {
                throw file.error("\(entry.name) \(entry.shape) does not fit the \(x.shape[0]) samples of \(x.name)")
            }
        }
        try check(x)
        if let tokens = file["tokens"], let summary = file["summary"] {
            try check(tokens, rank: 3)
            try check(summary, rank: 2)
            texts = (tokens, summary)
        } else {
            texts = nil
        }
        count = x.shape[0]
        sampleShape = x.shape.removing(0)
        labels = try file["labels"].map { _ in
            try Labels(fromOne: file.tensor(named: "labels"), count: x.shape[0]) { file.error($0) }
        }
        guard texts == nil || labels == nil else {
            throw file.error("expected labels or texts, found labels, tokens and summary")
        }
        self.path = path
        self.x = x
    }

    package func copy(_ draw: Draw, to numbers: UnsafeMutableBufferPointer<Float>) throws -> Bool {
        try x.read(from: draw.number * numbers.count, into: numbers)
        return true
    }

    package func text(of samples: [Int]) throws -> (tokens: Tensor, summary: Tensor)? {
        try texts.map { (try $0.tokens.rows(samples), try $0.summary.rows(samples)) }
    }

    package func description(_ count: String) -> String {
        let texts = texts.map { " with texts of \($0.tokens.shape.removing(0)) and \($0.summary.shape.removing(0))" }
        return "\(count) samples \(sampleShape)\(labels?.summary ?? "")\(texts ?? ""), from \(path)"
    }
}
