import CKernels

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
