import RiffleTensor

/// A number with what it is: by which network, of how many samples, against what.
package struct Measurement: Sendable, CustomStringConvertible {
    /// The measure's names and values; the first is the value.
    package let values: [(name: String, value: Double)]
    /// The standard deviation, of measures that have one.
    package let deviation: Double?
    /// The protocol, part by part.
    package let parts: [String]

    package init(_ values: [(name: String, value: Double)], deviation: Double? = nil, _ parts: [String?]) {
        self.values = values
        self.deviation = deviation
        self.parts = parts.compactMap(\.self)
    }

    package var value: Double { values[0].value }
    package var name: String { values[0].name }
    package var protocolText: String { parts.joined(separator: ", ") }

    /// `FID 12.34 (tf1 resize, ...)`.
    package var description: String {
        let numbers = values.map { "\($0.name) \(riffleFormat($0.value))" }.joined(separator: ", ")
        let spread = deviation.map { " +- \(riffleFormat($0))" } ?? ""
        return "\(numbers)\(spread) (\(protocolText))"
    }
}
