import Glibc

private let decimal = ["bytes", "kB", "MB", "GB", "TB"]
private let binary = ["bytes", "KiB", "MiB", "GiB", "TiB"]

/// Bytes in words, such as `4.0 MB`.
package func readable(bytes: Int) -> String {
    var value = Double(bytes)
    var unit = 0
    while value >= 1000, unit < decimal.count - 1 {
        value /= 1000
        unit += 1
    }
    if unit == 0 { return "\(bytes) bytes" }
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(decimal[unit])"
}

/// The number of bytes that a size in words names, such as `500 MB`, `1.5GiB` or `64 bytes`; nil where the text is no
/// size.
///
/// kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024. Large and small letters are the same.
package func bytes(readable text: String) -> Int? {
    let number = text.prefix { $0.isASCII && $0.isNumber || $0 == "." }
    let unit = text.dropFirst(number.count).drop { $0 == " " }.lowercased()
    guard let value = Double(number), let factor = factor(of: unit) else { return nil }
    return Int(exactly: (value * factor).rounded())
}

private func factor(of unit: String) -> Double? {
    if ["b", "byte", "bytes"].contains(unit) { return 1 }
    for (names, base) in [(decimal, 1000.0), (binary, 1024.0)] {
        if let power = names.dropFirst().firstIndex(where: { $0.lowercased() == unit }) {
            return pow(base, Double(power))
        }
    }
    return nil
}
