/// Floats of 8 bits, each of which float32 holds exactly.
///
/// E5M2 and E4M3 are those of Micikevicius et al., "FP8 Formats for Deep Learning" (2022), table 1: E5M2 follows
/// IEEE 754; E4M3 has no infinities, and a NaN whose other bits are all 1. The forms FNUZ are those of Noune et al.,
/// "8-bit Numerical Formats for Deep Neural Networks" (2022): a bias that is larger by 1, no infinities, no -0, whose
/// bits are the only NaN. E8M0 is the scale of the Open Compute Project's Microscaling Formats 1.0, section 5.4.1: a
/// power of two without a sign, and a NaN.
enum SmallFloat {
    /// The value of every byte.
    static func values(of type: ElementType) -> [Float] { tables[type] ?? [] }

    private static let tables: [ElementType: [Float]] = [
        .f8e5m2: table { bits in
            let rest = bits & 0x7F
            return rest > 0x7C ? .nan : rest == 0x7C ? signed(.infinity, bits) : number(bits, mantissa: 2, bias: 15)
        },
        .f8e4m3: table { $0 & 0x7F == 0x7F ? .nan : number($0, mantissa: 3, bias: 7) },
        .f8e4m3fnuz: table { $0 == 0x80 ? .nan : number($0, mantissa: 3, bias: 8) },
        .f8e5m2fnuz: table { $0 == 0x80 ? .nan : number($0, mantissa: 2, bias: 16) },
        .f8e8m0: table { $0 == 0xFF ? .nan : Float(sign: .plus, exponent: Int($0) - 127, significand: 1) },
    ]

    private static func table(_ value: (UInt8) -> Float) -> [Float] { (0...255).map { value(UInt8($0)) } }

    /// A sign, an exponent and `mantissa` bits behind the point; numbers without an exponent have no leading 1.
    private static func number(_ bits: UInt8, mantissa: Int, bias: Int) -> Float {
        let exponent = Int(bits & 0x7F) >> mantissa, fraction = Int(bits) & (1 << mantissa - 1)
        let whole = exponent == 0 ? fraction : fraction + 1 << mantissa
        let scale = Float(sign: .plus, exponent: max(exponent, 1) - bias - mantissa, significand: 1)
        return signed(Float(whole) * scale, bits)
    }

    private static func signed(_ value: Float, _ bits: UInt8) -> Float { bits & 0x80 == 0 ? value : -value }
}
