import RiffleTensor

/// A report on what the library found on this machine.
package enum Doctor {
    /// Why the library that RIFFLE_BLAS names is not in use; nil where that library is in use, or none is named.
    package static var missingBLAS: String? {
        Environment.variable("RIFFLE_BLAS") == nil ? nil : Processor.blas.problem
    }

    package static var report: String {
        let (lapack, memory) = (Processor.lapack, Memory.now)
        let rows = [
            ("riffle", Version.text), ("lua", "5.4"), ("processor", Processor.name),
            ("kernels", Processor.level),
            ("bf16", Processor.hasMatrixTiles ? "on matrix tiles" : "none: float32 instead"),
            ("blas", Processor.blas.name ?? "kernels of our own"),
            ("lapack", lapack.name ?? lapack.problem ?? "none"),
            ("threads", "\(Processor.threads)"),
            ("memory limit", readable(bytes: memory.limit)),
            ("cache limit", readable(bytes: memory.cacheLimit)),
        ]
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 }.joined(separator: "\n")
    }
}
