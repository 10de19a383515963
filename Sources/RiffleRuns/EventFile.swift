import Foundation
import RiffleIO
import RiffleTensor

/// A file of events for TensorBoard: records, each with its length and two check sums, of which each is an `Event` of
/// Protocol Buffers (tensorflow/core/util/event.proto and framework/summary.proto).
///
/// A file has one writer from its first record on. A run that goes on begins another file, so that the torn last record
/// of a process that was killed never stands in the middle of a file.
final class EventFile {
    private let file: GrowingFile

    /// Begins a file in a folder. Its name follows those of the folder's older files: TensorBoard reads in that order.
    /// - Parameter keeping: the last step whose events in older files stay; TensorBoard forgets what is beyond. Nil
    ///   where there are no older files.
    init(in folder: String, time: Double, keeping: Int?, warn: @escaping (String) -> Void) throws {
        let latest = try EventFile.names(in: folder).compactMap(EventFile.time).max()
        let number = max(Int(time), (latest ?? 0) + 1)
        file = try GrowingFile(
            "\(folder)/\(EventFile.prefix)\(padded(number, to: 10)).\(EventFile.host).0", isNew: true, warn: warn)
        append(time: time) { $0.string(3, "brain.Event:2") }
        // The start of a session at a step has TensorBoard forget that step and all later ones.
        if let keeping { append(time: time, step: min(keeping, .max - 1) + 1) { $0.message(7) { $0.integer(1, 1) } } }
    }

    private static let prefix = "events.out.tfevents."

    /// The event files of a folder, in order.
    static func names(in folder: String) throws -> [String] {
        try namesInFolder(folder).filter { $0.hasPrefix(prefix) }
    }

    private static func time(of name: String) -> Int? {
        Int(name.dropFirst(prefix.count).prefix { $0 != "." }).flatMap { (0..<100_000_000_000).contains($0) ? $0 : nil }
    }

    private static let host: String = {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "host" }
        let text = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let isPlain: (UInt8) -> Bool = { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0 & 0xDF) || $0 == 0x2D }
        return text.isEmpty ? "host" : String(decoding: text.map { isPlain($0) ? $0 : 0x5F }, as: UTF8.self)
    }()

    // MARK: - Events

    func scalars(_ values: [(tag: String, value: Double)], step: Int, time: Double) {
        append(time: time, step: step) { event in
            event.message(5) { summary in
                for (tag, value) in values { EventFile.add(tag, to: &summary) { $0.float(2, Float(value)) } }
            }
        }
    }

    /// - Parameter png: the bytes of a PNG file.
    func image(_ tag: String, _ png: [UInt8], size: (width: Int, height: Int, channels: Int), step: Int, time: Double) {
        append(time: time, step: step) { event in
            event.message(5) { summary in
                EventFile.add(tag, to: &summary) {
                    $0.message(4) {
                        $0.integer(1, size.height)
                        $0.integer(2, size.width)
                        $0.integer(3, size.channels)
                        $0.bytes(4, png)
                    }
                }
            }
        }
    }

    func histogram(_ tag: String, _ counts: BucketCounts, step: Int, time: Double) {
        append(time: time, step: step) { event in
            event.message(5) { summary in
                EventFile.add(tag, to: &summary) {
                    $0.message(5) {
                        $0.double(1, counts.low)
                        $0.double(2, counts.high)
                        $0.double(3, Double(counts.number))
                        $0.double(4, counts.sum)
                        $0.double(5, counts.sumOfSquares)
                        $0.doubles(6, counts.limits)
                        $0.doubles(7, counts.counts)
                    }
                }
            }
        }
    }

    /// Adds a value under its tag to a summary.
    private static func add(_ tag: String, to summary: inout Protobuf, _ value: (inout Protobuf) -> Void) {
        summary.message(1) {
            $0.string(1, tag)
            value(&$0)
        }
    }

    func flush() { file.flush() }
    func sync() { file.sync() }

    private func append(time: Double, step: Int? = nil, _ content: (inout Protobuf) -> Void) {
        var event = Protobuf()
        event.double(1, time)
        if let step { event.integer(2, step) }
        content(&event)
        file.append(EventFile.record(event.bytes))
    }

    // MARK: - Records

    static func record(_ data: [UInt8]) -> [UInt8] {
        let length = withUnsafeBytes(of: UInt64(data.count).littleEndian) { Array($0) }
        func sum(_ bytes: [UInt8]) -> [UInt8] {
            withUnsafeBytes(of: masked(checksum(bytes)).littleEndian) { Array($0) }
        }
        return length + sum(length) + data + sum(data)
    }

    /// CRC-32C: Castagnoli's polynomial, reflected.
    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            ~bytes.reduce(~UInt32(0)) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ ($0 >> 8) }
        }
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { rest, _ in rest & 1 == 1 ? 0x82F6_3B78 ^ (rest >> 1) : rest >> 1 }
    }

    /// Check sums of data that may hold check sums of the same kind are turned and shifted.
    private static func masked(_ checksum: UInt32) -> UInt32 { ((checksum >> 15) | (checksum << 17)) &+ 0xA282_EAD8 }
}

/// How often the finite numbers of a tensor fall into buckets of equal width.
struct BucketCounts {
    private(set) var low = Double.infinity, high = -Double.infinity
    private(set) var number = 0
    private(set) var sum = 0.0, sumOfSquares = 0.0
    /// The right edges.
    private(set) var limits: [Double] = []
    private(set) var counts: [Double] = []

    static let buckets = 64

    /// - Returns: nil where no number is finite.
    init?(_ tensor: Tensor) {
        for index in 0..<tensor.count {
            let value = tensor.element(index)
            guard value.isFinite else { continue }
            low = min(low, value)
            high = max(high, value)
            number += 1
            sum += value
            sumOfSquares += value * value
        }
        guard number > 0 else { return nil }
        let width = (high - low) / Double(BucketCounts.buckets)
        guard width.isFinite, width > 0 else {
            (limits, counts) = ([high], [Double(number)])
            return
        }
        limits = (1...BucketCounts.buckets).map { $0 == BucketCounts.buckets ? high : low + Double($0) * width }
        counts = [Double](repeating: 0, count: BucketCounts.buckets)
        for index in 0..<tensor.count {
            let value = tensor.element(index)
            guard value.isFinite else { continue }
            counts[min(BucketCounts.buckets - 1, Int((value - low) / width))] += 1
        }
    }
}
