import CKernels
import Synchronization

/// What kernels run on: instructions, threads and the libraries that they were asked to use.
package enum Processor {
    /// Its name, as the processor gives it.
    package static var name: String { String(cString: rk_cpu_name()) }

    /// The instructions that kernels use, in words.
    package static var level: String {
        switch rk_cpu() {
        case RK_CPU_AMX: "AVX-512 and AMX"
        case RK_CPU_AVX512: "AVX-512"
        case RK_CPU_AVX2: "AVX2"
        default: "baseline x86-64"
        }
    }

    /// Whether products of bfloat16 numbers run on matrix tiles; elsewhere they are float32.
    package static var hasMatrixTiles: Bool { rk_cpu() == RK_CPU_AMX }

    /// How many threads compute, at least 1. Results do not depend on it.
    package static var threads: Int {
        get { Int(rk_threads()) }
        set { rk_threads_set(Int32(newValue)) }
    }

    /// The library that products run on, or why that of RIFFLE_BLAS could not be opened; both nil where none was named.
    package static var blas: (name: String?, problem: String?) { library(rk_blas_name) }

    /// The library that factorises matrices, or why there is none.
    package static var lapack: (name: String?, problem: String?) { library(rk_lapack_name) }

    private static func library(
        _ open: (UnsafeMutablePointer<UnsafePointer<CChar>?>?) -> UnsafePointer<CChar>?
    ) -> (name: String?, problem: String?) {
        var problem: UnsafePointer<CChar>?
        let name = open(&problem)
        return (name.map { String(cBytes: $0) }, name == nil ? problem.map { String(cBytes: $0) } : nil)
    }
}

extension Processor {
    /// Runs `body` over pieces of [0, count), on all threads at once; the pieces depend on count and grain alone.
    /// - Throws: the error of the first piece that has one, after all have ended.
    package static func spread(
        _ count: Int, grain: Int, _ body: @escaping @Sendable (Range<Int>) throws -> Void
    ) throws {
        let pieces = Pieces(body)
        withExtendedLifetime(pieces) {
            rk_parallel_for(
                count, grain,
                { Unmanaged<Pieces>.fromOpaque($0!).takeUnretainedValue().run($1..<$2) },
                Unmanaged.passUnretained(pieces).toOpaque())
        }
        if let failure = pieces.failure.withLock(\.self) { throw failure.error }
    }

    /// What the threads share while they run pieces.
    private final class Pieces: Sendable {
        private let body: @Sendable (Range<Int>) throws -> Void
        /// The piece with an error that begins first.
        let failure = Mutex<(begin: Int, error: any Error)?>(nil)

        init(_ body: @escaping @Sendable (Range<Int>) throws -> Void) { self.body = body }

        func run(_ range: Range<Int>) {
            do { try body(range) } catch {
                failure.withLock {
                    if $0.map({ range.lowerBound < $0.begin }) ?? true { $0 = (range.lowerBound, error) }
                }
            }
        }
    }
}
