/// Bytes that mean the largest or smallest of something in many formats.
private let extremes: [UInt8] = [0, 1, 0x7F, 0x80, 0xFF, UInt8(ascii: "["), UInt8(ascii: "\""), 0x28, 0x5D]

/// A file with one to eight bytes changed, a stretch taken out, doubled or copied to elsewhere, or cut off.
package func damaged(_ file: [UInt8], _ random: inout Seeded) -> [UInt8] {
    var bytes = file
    for _ in 0..<Int.random(in: 1...8, using: &random) where !bytes.isEmpty {
        let start = Int.random(in: bytes.indices, using: &random)
        let part = start..<min(bytes.count, start + Int.random(in: 1...16, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0: bytes.removeSubrange(part)
        case 1: bytes.insert(contentsOf: bytes[part], at: start)
        case 2: bytes.insert(contentsOf: bytes[part], at: Int.random(in: 0...bytes.count, using: &random))
        case 3: bytes.removeLast(bytes.count - start)
        case 4: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 5: bytes[start] = UInt8.random(in: 0...255, using: &random)
        default: bytes[start] = extremes.randomElement(using: &random) ?? 0
        }
    }
    return bytes
}

/// Random numbers that a seed decides (SplitMix64).
package struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    package init(state: UInt64) { self.state = state }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
