import RiffleTensor
import TestSupport
import Testing

@testable import RiffleIO

@Suite struct JSONTests {
    /// Whole numbers and others keep their kind, and every number its bits.
    @Test func valuesComeBackAsTheyWere() throws {
        let numbers: [Double] = [
            0, -0.0, 1, -1, 0.1, 1.0 / 3, 1e16, 1e-7, 1e300, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
            .leastNormalMagnitude,
            0.22974581487565426, 0.2639184629332658, 0.43928752189180276, 123456789.87654321,
        ]
        let values: [Value] =
            numbers.map(Value.number)
            + [0, 1, -7, .max, .min].map(Value.integer)
            + ["", "a", "\"\\/\n\t\u{1}", "日本 é 🙂", "</b>", "\u{FEFF}x"].map(Value.string)
            + [.none, .boolean(true), .boolean(false), .list([]), .table([:])]
        let all = Value.table(["all": .list(values), "a b": .table(["x": .list([.list([.integer(1)])])])])
        for pretty in [false, true] {
            let text = try JSON.text(all, pretty: pretty)
            let back = try JSON.value(Array(text.utf8), named: "a")
            let (again, wanted) = (try JSON.text(back), try JSON.text(all))
            #expect(again == wanted)
            #expect("\(back)".contains("number(-0.0)") && "\(back)".contains("integer(1)"))
        }
    }

    @Test func textHasOneForm() throws {
        let value = Value.table(["b": .list([.integer(1), .number(1)]), "a": .string("x\u{7}"), "c": .table([:])])
        #expect(try JSON.text(value) == #"{"a": "x\u0007", "b": [1, 1.0], "c": {}}"#)
        #expect(
            try JSON.text(value, pretty: true) == """
                {
                  "a": "x\\u0007",
                  "b": [
                    1,
                    1.0
                  ],
                  "c": {}
                }
                """)
    }

    @Test func whatJSONCannotHoldIsRefused() throws {
        for number in [Double.nan, .infinity, -.infinity] {
            #expect(message { _ = try JSON.text(.list([.number(number)])) }.contains("no word for \(number)"))
            #expect(try JSON.text(.list([.number(number)]), nonFinite: .null) == "[null]")
        }
        #expect(message { _ = try JSON.text(.tensor(.zeros([2]))) }.contains("numbers, strings"))
        let deep = (0..<300).reduce(Value.none) { value, _ in .list([value]) }
        #expect(message { _ = try JSON.text(deep) }.contains("nested"))
    }

    @Test(arguments: [
        "", "{", "[1", "tru", "NaN", "[Infinity]", "1e400", "{\"a\" 1}", "[01]", "\"\\ud800\"", "1 2", "{1: 2}", "'a'",
    ])
    func whatIsNotJSONIsRefused(text: String) {
        #expect(message { _ = try JSON.value(Array(text.utf8), named: "f.json") }.contains("'f.json' is not JSON: "))
    }

    /// Tables take 3 KB each while they are read, which is asked for before; what only looks like tables is not.
    @Test func memoryIsCountedFromTheText() {
        func footprint(_ text: String) -> Int { JSON.footprint(Array(text.utf8)) }
        let tables = String(repeating: "{\"a\": {\"\\\"{\": 0}},", count: 1000)
        #expect((6_000_000..<8_000_000).contains(footprint("[\(tables)0]")))
        #expect(footprint("[\(String(repeating: "{},", count: 1000))0]") < 1_000_000)
        #expect(footprint("\"\(String(repeating: "{", count: 1000))\"") < 20_000)
    }

    @Test func hostileBytesEndInErrors() throws {
        let nested = [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)
        #expect(message { _ = try JSON.value(nested, named: "f") }.contains("'f' is not JSON: Too many nested"))
        #expect(message { _ = try JSON.value([0x22, 0xFF, 0x22], named: "f") }.contains("UTF-8"))
        #expect(message { _ = try JSON.value(Array("{\0}\0".utf8), named: "f") }.contains("expected UTF-8"))
        #expect(message { _ = try JSON.value(nested, named: "f", limit: 9) }.contains("at most 9 bytes"))
        let big = try JSON.value(Array("[9223372036854775808, 1e-400]".utf8), named: "f")
        #expect(try JSON.text(big) == "[9.223372036854776e+18, 0.0]")
    }
}
