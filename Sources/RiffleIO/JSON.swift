import Foundation
import RiffleTensor

/// JSON text and values.
///
/// Foundation reads. It does not write, since it writes the number 1.0 as 1, and numbers in this library keep their
/// kind: whole numbers have neither a point nor an exponent, all others do. Numbers are written in their shortest form
/// that reads back as the same number.
package enum JSON {
    /// What becomes of a number that is NaN or infinite, for which JSON has no word.
    package enum NonFinite: Sendable { case refused, null }

    /// The JSON text of a value. Tables have their keys in order.
    /// - Parameters:
    ///   - pretty: whether each item has a line of its own, two spaces further in than what holds the item.
    ///   - nonFinite: whether a number that is not finite is an error, or null.
    /// - Throws: `RiffleError` for values that JSON cannot hold: tensors, objects, and lists nested too deeply.
    package static func text(_ value: Value, pretty: Bool = false, nonFinite: NonFinite = .refused) throws -> String {
        var text = ""
        try append(value, to: &text, indent: pretty ? "\n" : nil, nonFinite: nonFinite, depth: 0)
        return text
    }

    /// The JSON text of what is neither a list nor a table; nil where JSON has no word for it.
    package static func word(_ value: Value) -> String? {
        switch value {
        case .none: "null"
        case .boolean(let boolean): boolean ? "true" : "false"
        case .integer(let integer): integer.description
        case .number(let number): number.isFinite ? number.description : nil
        case .string(let string): quoted(string)
        case .list, .table, .tensor, .object: nil
        }
    }

    /// The JSON text of a string, in quotes.
    package static func text(_ string: String) -> String { quoted(string) }

    /// The value of a JSON text. Null is `none`; a key that occurs twice has its last value.
    /// - Parameters:
    ///   - path: the file that errors name.
    ///   - limit: the most bytes that are read.
    /// - Throws: `RiffleError` that names the file when the bytes are not one JSON value, or are too many.
    package static func value(_ bytes: [UInt8], named path: String, limit: Int = usualLimit) throws -> Value {
        try check(bytes.count, "'\(path)'", limit: limit)
        return try value(bytes, "'\(path)'")
    }

    /// The value of a line of JSON, by its number from 1.
    /// - Throws: `RiffleError` that names the file and the line.
    package static func value(line: some Collection<UInt8>, _ number: Int, of file: InputFile) throws -> Value {
        do { return try value(Array(line), named: file.path) } catch let error as RiffleError {
            throw RiffleError("", "\(error.message) (line \(number))")
        }
    }

    /// The value in a file of JSON.
    package static func read(_ path: String, limit: Int = usualLimit) throws -> Value {
        try read(InputFile(path), limit: limit)
    }

    /// The value in a file of JSON, which may be an archive's entry.
    package static func read(_ source: any ByteSource, limit: Int = usualLimit) throws -> Value {
        try check(source.size, source.name, limit: limit)
        return try value(source.bytes(source.size), source.name)
    }

    /// Writes a value to a file of JSON, pretty, whole or not at all.
    package static func write(_ value: Value, to path: String) throws {
        try AtomicFile.write((text(value, pretty: true) + "\n").utf8, to: path)
    }

    package static let usualLimit = 16 << 20

    // MARK: - Writing

    private static let deepest = 256

    /// - Parameter indent: the line break and the spaces before an item; nil where all is one line.
    private static func append(
        _ value: Value, to text: inout String, indent: String?, nonFinite: NonFinite, depth: Int
    ) throws {
        guard depth <= deepest else {
            throw RiffleError("", "the value is nested more than \(deepest) levels deep, too deep for JSON")
        }
        func items<Item>(_ items: [Item], _ brackets: (String, String), _ item: (Item, String?) throws -> Void) throws {
            text += brackets.0
            let inner = indent.map { $0 + "  " }
            for (index, entry) in items.enumerated() {
                if index > 0 { text += inner == nil ? ", " : "," }
                text += inner ?? ""
                try item(entry, inner)
            }
            if !items.isEmpty { text += indent ?? "" }
            text += brackets.1
        }
        if let word = word(value) {
            text += word
            return
        }
        switch value {
        case .list(let values):
            try items(values, ("[", "]")) {
                try append($0, to: &text, indent: $1, nonFinite: nonFinite, depth: depth + 1)
            }
        case .table(let table):
            try items(table.sorted { $0.key < $1.key }, ("{", "}")) {
                text += quoted($0.key) + ": "
                try append($0.value, to: &text, indent: $1, nonFinite: nonFinite, depth: depth + 1)
            }
        case .number(let number):
            guard nonFinite == .null else { throw RiffleError("", "JSON has no word for \(number)") }
            text += "null"
        default: throw RiffleError("", "JSON holds numbers, strings, booleans, lists and tables alone")
        }
    }

    // MARK: - Reading

    private static func check(_ count: Int, _ name: String, limit: Int) throws {
        guard count <= limit else {
            throw RiffleError("", "\(name): expected at most \(limit) bytes of JSON, found \(count)")
        }
    }

    /// - Parameter name: how messages name the file, in quotes.
    private static func value(_ bytes: [UInt8], _ name: String) throws -> Value {
        // Foundation would read UTF-16 and UTF-32 as well, in which the footprint is not seen.
        guard !bytes.contains(0) else {
            throw RiffleError("", "\(name) is not JSON: expected UTF-8, found a zero byte")
        }
        try Memory.check(footprint(bytes))
        let object: Any
        do {
            object = try JSONSerialization.jsonObject(with: Data(keepingMarks(bytes)), options: .fragmentsAllowed)
        } catch {
            let reason = (error as NSError).userInfo["NSDebugDescription"] as? String ?? "it cannot be read"
            throw RiffleError("", "\(name) is not JSON: \(reason.trimmingCharacters(in: ["."]))")
        }
        return value(of: object)
    }

    /// The text with U+FEFF at the beginning of a string written as an escape: Foundation would take it for a mark of
    /// the byte order, and drop it.
    private static func keepingMarks(_ text: [UInt8]) -> [UInt8] {
        let quotedMark: [UInt8] = [UInt8(ascii: "\""), 0xEF, 0xBB, 0xBF]
        guard text.contains(0xEF) else { return text }
        var result: [UInt8] = [], rest = text[...]
        while let found = rest.firstRange(of: quotedMark) {
            result += rest[..<found.lowerBound] + "\"\\ufeff".utf8
            rest = rest[found.upperBound...]
        }
        return result + rest
    }

    /// Foundation refuses more than 512 levels, so the recursion ends.
    private static func value(of object: Any) -> Value {
        switch object {
        case let string as String: .string(string)
        case let list as [Any]: .list(list.map(value(of:)))
        case let table as [String: Any]: .table(table.mapValues(value(of:)))
        case let number as NSNumber: value(of: number)
        default: .none
        }
    }

    private static func value(of number: NSNumber) -> Value {
        // The nearest double of a decimal number is that of its text; `doubleValue` is off by the last bits.
        if let decimal = number as? NSDecimalNumber {
            let text = decimal.stringValue
            // Foundation makes decimals of the smallest integers as well.
            if let integer = Int(text), integer < -1 << 53 { return .integer(integer) }
            return .number(Double(text) ?? decimal.doubleValue)
        }
        return switch UInt8(bitPattern: number.objCType.pointee) {
        case UInt8(ascii: "c"): .boolean(number.boolValue)
        case UInt8(ascii: "i"), UInt8(ascii: "q"): .integer(number.intValue)
        default: .number(number.doubleValue)
        }
    }
}
