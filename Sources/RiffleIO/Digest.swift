import CNettle
import RiffleTensor

/// SHA-256, by which published files are compared and checkpoints are known to be whole.
package struct Digest {
    private var state = sha256_ctx()

    package init() { nettle_sha256_init(&state) }

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        nettle_sha256_update(&state, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }

    package mutating func add(_ text: String) { Array(text.utf8).withUnsafeBytes { add($0) } }

    /// The digest of what was added, in hexadecimal.
    package mutating func text() -> String {
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_SIZE))
        nettle_sha256_digest(&state, digest.count, &digest)
        return digest.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// The digest of a file's bytes.
    package static func sha256(of path: String) throws -> String {
        let file = try InputFile(path)
        var digest = Digest()
        try file.pieces(file.size, at: 0) { digest.add(UnsafeRawBufferPointer($0)) }
        return digest.text()
    }

    /// The digest of some bytes.
    package static func sha256(_ bytes: [UInt8]) -> String {
        var digest = Digest()
        bytes.withUnsafeBytes { digest.add($0) }
        return digest.text()
    }
}
