import CKernels
import Glibc
import Testing

@testable import RiffleTensor

/// Every row of the table on shapes and options that it draws itself: float32 against float64 at each level of the
/// processor, one thread against two and three, gradients, tangents and gradients of both.
///
/// One small case a row, always the same, unless the environment asks for more: RIFFLE_FUZZ_SECONDS for all rows
/// together, RIFFLE_FUZZ_SEED for others, RIFFLE_FUZZ_CASE=row:number for one of them.
@Suite(.serialized) struct FuzzTests {
    private static func setting(_ name: String) -> String? {
        getenv("RIFFLE_FUZZ_\(name)").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    static let seed = setting("SEED").flatMap { UInt64($0) } ?? 1
    static let seconds = setting("SECONDS").flatMap { Double($0) }
    static let one = setting("CASE")

    static let rows = Op.all.map(\.name).filter { name in one.map { $0.hasPrefix("\(name):") } ?? true }

    @Test func thereAreRows() { #expect(!Self.rows.isEmpty, "RIFFLE_FUZZ_CASE=\(Self.one ?? "") names no row") }

    @Test(arguments: rows) func row(_ name: String) throws {
        let op = try #require(Op.all.first { $0.name == name })
        if let one = Self.one {
            let number = try #require(one.split(separator: ":").last.flatMap { UInt64($0) }, "RIFFLE_FUZZ_CASE=\(one)")
            try check(FuzzCase(op, number: number))
            return
        }
        guard let seconds = Self.seconds else {
            try check(FuzzCase(op, number: 0, most: 33))
            return
        }
        let end = now() + seconds / Double(Self.rows.count)
        var number = Self.seed &* 1_000_000
        while now() < end, try check(FuzzCase(op, number: number)) { number += 1 }
        print("\(op.name): \(number - Self.seed &* 1_000_000) cases")
    }

    /// Whether the case holds; where it does not, the smallest of its kind that fails is reported.
    @discardableResult
    private func check(_ test: FuzzCase) throws -> Bool {
        guard let fault = fault(of: test) else { return true }
        var (least, reason) = (test, fault)
        for most in [2, 3, 5, 9, 17, 33, 65, 129] {
            let smaller = FuzzCase(test.op, number: test.number, most: most)
            guard let fault = self.fault(of: smaller) else { continue }
            (least, reason) = (smaller, fault)
            break
        }
        Issue.record(
            "RIFFLE_FUZZ_CASE=\(test.op.name):\(test.number): \(fault)\n\(test)\nsmallest found: \(reason)\n\(least)")
        return false
    }

    private func fault(of test: FuzzCase) -> String? {
        test.announce()
        do { return try test.fault() } catch { return "\(error)" }
    }

    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
