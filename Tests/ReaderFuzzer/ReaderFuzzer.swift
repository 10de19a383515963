import CFuzzer
import Foundation
import RiffleTensor

/// Gives libFuzzer's inputs to one reader of files, which `RIFFLE_FUZZ_READER` names. The arguments are libFuzzer's.
///
/// A case fails where the process ends, a sanitizer complains, an error is no `RiffleError` or does not name the file,
/// or the reader takes more memory than its bound.
@main
struct ReaderFuzzer {
    static func main() {
        guard let reader = Reader(rawValue: ProcessInfo.processInfo.environment["RIFFLE_FUZZ_READER"] ?? "") else {
            print(Reader.allCases.map(\.rawValue).joined(separator: "\n"))
            return
        }
        do { try Bench.begin(reader) } catch { cf_fail("\(error)") }
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        let status = withUnsafeMutablePointer(to: &arguments) { arguments in
            LLVMFuzzerRunDriver(&count, UnsafeMutableRawPointer(arguments).assumingMemoryBound(to: Optional.self)) {
                Bench.run([UInt8](UnsafeBufferPointer(start: $0, count: $1)))
                return 0
            }
        }
        Bench.end()
        exit(status)
    }
}

/// Runs cases of one reader. libFuzzer calls a function without a context, so that the state is global.
enum Bench {
    nonisolated(unsafe) private static var reader = Reader.json
    nonisolated(unsafe) private static var folder = ""
    /// Whether cases are only measured: the bytes that each took are printed.
    private static let shows = ProcessInfo.processInfo.environment["RIFFLE_FUZZ_SHOW"] != nil

    static func begin(_ reader: Reader) throws {
        self.reader = reader
        folder = "/dev/shm/riffle-fuzz-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try reader.prepare(folder)
        Memory.setCacheLimit(0)
        cf_heap_begin()
    }

    static func end() { try? FileManager.default.removeItem(atPath: folder) }

    static func run(_ input: [UInt8]) {
        for bytes in reader.forms(of: input) { read(bytes) }
    }

    private static func read(_ bytes: [UInt8]) {
        let path = "\(folder)/\(reader.fileName)", bound = reader.bound.bytes(bytes.count)
        write(bytes, to: path)
        Memory.setLimit(Memory.now.live + bound)
        Memory.resetPeak()
        let tensors = Memory.now.live, heap = cf_heap_reset()
        do { try reader.read(path, folder) } catch let error as RiffleError {
            check(error, bytes.count)
        } catch { cf_fail("\(reader): \(error) is no RiffleError") }
        let taken = Memory.now.peak - tensors + cf_heap_peak() - heap
        if shows { print("\(reader): \(bytes.count) bytes, \(taken) bytes taken, bound \(bound)") }
        if taken > bound { cf_fail("\(reader): \(bytes.count) bytes took \(taken), the bound is \(bound)") }
    }

    /// An error names the file, and no size that a file claims may reach the memory limit, which is the bound.
    private static func check(_ error: RiffleError, _ size: Int) {
        if shows { print("\(reader): \(error)") }
        if error.kind == .outOfMemory { cf_fail("\(reader): \(size) bytes asked for more than the bound: \(error)") }
        if !error.description.contains(folder) { cf_fail("\(reader): an error without the file's name: \(error)") }
    }

    private static func write(_ bytes: [UInt8], to path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        guard descriptor >= 0,
            bytes.withUnsafeBytes({ Glibc.write(descriptor, $0.baseAddress, $0.count) }) == bytes.count
        else { cf_fail("cannot write '\(path)'") }
    }
}
