import CKernels
import Glibc
import RiffleTensor

/// A report on what the library found on this machine.
package enum Doctor {
    /// Why the library that RIFFLE_BLAS names is not in use; nil where that library is in use, or none is named.
    package static var missingBLAS: String? {
        var reason: UnsafePointer<CChar>?
        guard Environment.variable("RIFFLE_BLAS") != nil, rk_blas_name(&reason) == nil else { return nil }
        return reason.map { String(cBytes: $0) }
    }

    package static var report: String {
        let level =
            switch rk_cpu() {
            case RK_CPU_AMX: "AVX-512 and AMX"
            case RK_CPU_AVX512: "AVX-512"
            case RK_CPU_AVX2: "AVX2"
            default: "baseline x86-64"
            }
        let blas = rk_blas_name(nil).map { String(cBytes: $0) } ?? "kernels of our own"
        var missing: UnsafePointer<CChar>?
        let lapack = (rk_lapack_name(&missing) ?? missing).map { String(cBytes: $0) } ?? "none"
        let memory = rk_memory_now()
        let rows = [
            ("riffle", SystemLibrary.version), ("lua", "5.4"), ("processor", String(cString: rk_cpu_name())),
            ("kernels", level), ("bf16", rk_cpu() == RK_CPU_AMX ? "on matrix tiles" : "none: float32 instead"),
            ("blas", blas), ("lapack", lapack),
            ("threads", "\(rk_threads())"),
            ("memory limit", readable(bytes: Int(memory.limit))),
            ("cache limit", readable(bytes: Int(memory.cache_limit))),
        ]
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 }.joined(separator: "\n")
    }
}
